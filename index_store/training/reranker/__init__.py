"""Train the reranker."""
