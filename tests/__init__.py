"""Tests of imgsearch; they mirror the two packages."""
