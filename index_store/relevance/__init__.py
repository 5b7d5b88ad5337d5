"""Learn from people's judgements how well a photo matches a text, and rerank candidates by it."""
