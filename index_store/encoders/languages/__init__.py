"""Read texts in other languages than English into the shipped encoder's space."""
