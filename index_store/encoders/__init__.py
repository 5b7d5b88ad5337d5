"""Turn photos and texts into embeddings."""
