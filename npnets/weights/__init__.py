"""Weights and networks for other frameworks, and from them."""
