"""Speed and quality of imgsearch, each row with its baseline measured in the same run: `python -m benchmarks`."""
