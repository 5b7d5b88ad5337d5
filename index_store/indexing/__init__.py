"""Bring a store in line with the photos on the disk."""
