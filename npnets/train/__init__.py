"""Training: the optimiser, one step, schedules, checkpoints, and the loop that ties them together."""

from npnets.train.sgd import SGD
from npnets.train.step import train_step

__all__ = ["SGD", "train_step"]
