"""What training reads: captions, judgements, photos."""
