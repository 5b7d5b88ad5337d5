"""Train the head that gives other languages the embeddings of the shipped encoder, and its look at texts."""
