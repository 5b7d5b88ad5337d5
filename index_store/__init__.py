"""The library behind `imgsearch`: photos in, ranked answers out. It never prints and never exits."""

import os

__version__ = "0.1.0"

_SILENT = {"ORT_DISABLE_TELEMETRY": "1", "ANONYMIZED_TELEMETRY": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""What keeps ONNX Runtime, Chroma and the model hub's library from reporting to their makers."""

# ONNX Runtime reads its variable while it is imported; every import of it here comes after this one. What the user has
# set stays as it is: who wants to report may
for _name, _value in _SILENT.items():
    os.environ.setdefault(_name, _value)
