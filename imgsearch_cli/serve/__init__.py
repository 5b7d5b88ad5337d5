"""`imgsearch serve`: the local web page and its API; the only place that knows HTTP."""
