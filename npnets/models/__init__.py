"""The networks: each a table from its paper and the loop that builds it."""

from npnets.models.fold import fold_batch_norm
from npnets.models.mobilenet_v1 import MobileNetV1
from npnets.models.network import Network
from npnets.models.shufflenet_v1 import ShuffleNetV1

__all__ = ["MobileNetV1", "Network", "ShuffleNetV1", "fold_batch_norm"]
