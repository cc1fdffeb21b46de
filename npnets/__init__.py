"""npnets: the mathematics of efficient convolutional networks as code.

MobileNet V1 and ShuffleNet V1 from scratch: every operation as the explicit loops of the paper's formula, as NumPy and
as a fast Numba kernel, each with its gradient written by hand, and a small trainer that ties them into whole networks.
"""

from npnets import ops
from npnets._config import implementation, use
from npnets._parallel import get_threads, set_threads
from npnets.cost import cost
from npnets.models import MobileNetV1, ShuffleNetV1, fold_batch_norm
from npnets.plan import compile
from npnets.train import SGD, train_step
from npnets.weights import from_pretrained, load_weights, save_weights, to_pytorch

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "MobileNetV1",
    "ShuffleNetV1",
    "__version__",
    "compile",
    "cost",
    "fold_batch_norm",
    "from_pretrained",
    "get_threads",
    "implementation",
    "load_weights",
    "ops",
    "save_weights",
    "set_threads",
    "to_pytorch",
    "train_step",
    "use",
]
