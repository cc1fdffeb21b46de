"""Training: the optimiser, one step, schedules, checkpoints, and the loop that ties them together."""

from npnets.train.settings import Settings
from npnets.train.sgd import SGD
from npnets.train.step import train_step
from npnets.train.trainer import Trainer

__all__ = ["SGD", "Settings", "Trainer", "train_step"]
