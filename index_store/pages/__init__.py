"""Answers as HTML: a page in a file, and what a notebook shows."""
