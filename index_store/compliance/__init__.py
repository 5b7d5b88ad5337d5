"""The policy: which texts are refused, and which photos are withheld."""
