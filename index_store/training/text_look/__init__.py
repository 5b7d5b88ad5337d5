"""Train the look at texts."""
