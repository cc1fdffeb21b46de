"""npnets: the mathematics of efficient convolutional networks as code."""

from npnets import ops
from npnets._config import implementation, use
from npnets._parallel import get_threads, set_threads

__version__ = "0.1.0"

__all__ = ["__version__", "get_threads", "implementation", "ops", "set_threads", "use"]
