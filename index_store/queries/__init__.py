"""Answer queries: one, or many."""
