"""Train the encoder."""
