"""Train the rule for photos."""
