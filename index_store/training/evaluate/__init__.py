"""Measure search and score."""
