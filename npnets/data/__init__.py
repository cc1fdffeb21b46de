"""Data sets as plain arrays: images (N, H, W, C) of bytes, labels (N,), and what a training loop does to a batch."""

from npnets.data.augment import channel_statistics, random_crop_flip, random_resized_crop
from npnets.data.cifar import cifar10, read_cifar10
from npnets.data.dataset import Dataset
from npnets.data.folder import image_folder
from npnets.data.idx import idx_folder, read_idx
from npnets.data.images import decode, square
from npnets.data.loader import ahead
from npnets.data.sources import SOURCES, digits, fashion_mnist, fashion_mnist_full, load
from npnets.preprocessing import normalise

__all__ = [
    "SOURCES",
    "Dataset",
    "ahead",
    "channel_statistics",
    "cifar10",
    "decode",
    "digits",
    "fashion_mnist",
    "fashion_mnist_full",
    "idx_folder",
    "image_folder",
    "load",
    "normalise",
    "random_crop_flip",
    "random_resized_crop",
    "read_cifar10",
    "read_idx",
    "square",
]
