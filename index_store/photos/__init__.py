"""Find, open and decode photos."""
