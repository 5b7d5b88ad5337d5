"""The shell of `imgsearch`: click commands and rich output, nothing else."""
