"""Data sets as plain arrays: images (N, H, W, C) of bytes, labels (N,), and what a training loop does to a batch."""

from npnets.data.augment import channel_statistics, random_crop_flip
from npnets.data.dataset import Dataset
from npnets.data.idx import idx_folder, read_idx
from npnets.data.sources import SOURCES, digits, fashion_mnist, fashion_mnist_full, load
from npnets.preprocessing import normalise

__all__ = [
    "SOURCES",
    "Dataset",
    "channel_statistics",
    "digits",
    "fashion_mnist",
    "fashion_mnist_full",
    "idx_folder",
    "load",
    "normalise",
    "random_crop_flip",
    "read_idx",
]
