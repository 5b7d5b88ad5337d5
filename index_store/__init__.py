"""The library behind `imgsearch`: photos in, ranked answers out. It never prints and never exits."""

__version__ = "0.1.0"
