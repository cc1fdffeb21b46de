"""Weights and networks for other frameworks, and from them."""

from npnets.weights.load import Report, load_weights
from npnets.weights.pretrained import from_pretrained
from npnets.weights.sources import NAMES, SOURCES

__all__ = ["NAMES", "SOURCES", "Report", "from_pretrained", "load_weights"]
