"""Where data comes from: in the package, from scikit-learn, from Debian, from what was downloaded, from a folder."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import numpy as np

from npnets._optional import need
from npnets.data.cifar import cifar10, is_cifar10
from npnets.data.dataset import Dataset
from npnets.data.folder import check_memory, image_folder
from npnets.data.idx import idx_folder
from npnets.data.images import square

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


def fashion_mnist() -> Dataset:
    """Return the part of Fashion-MNIST that comes with npnets: 600 + 100 images of each class.

    Returns
    -------
    Dataset
        6000 and 1000 grey images of 28 x 28. MIT licence, © 2017 Zalando SE (arXiv 1708.07747).

    Examples
    --------
    >>> fashion_mnist()
    Dataset('fashion-mnist': 6000 + 1000 images, 28 x 28 x 1, 10 classes)
    """
    with (
        resources.files(__package__).joinpath("fashion_mnist_7k.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as held,
    ):
        x_train, x_test = held["x_train"][..., None], held["x_test"][..., None]
        y_train, y_test = held["y_train"].astype(np.int64), held["y_test"].astype(np.int64)
    return Dataset("fashion-mnist", x_train, y_train, x_test, y_test, FASHION_CLASSES)


def fashion_mnist_full() -> Dataset:
    """Return all of Fashion-MNIST, 60 000 + 10 000 images, from Debian's package `dataset-fashion-mnist`.

    Returns
    -------
    Dataset

    Raises
    ------
    FileNotFoundError
        The package is not installed; the message says how to get the data.
    ValueError
        One of its files is damaged.
    """
    if not DEBIAN_FOLDER.is_dir():
        raise FileNotFoundError(
            f"Fashion-MNIST is not in {DEBIAN_FOLDER}. On Debian and Ubuntu `apt install dataset-fashion-mnist` puts "
            "it there; elsewhere take the four files from https://github.com/zalandoresearch/fashion-mnist and give "
            "their folder in the place of `fashion-mnist-full`. `fashion-mnist`, a tenth of it, comes with npnets."
        )
    return idx_folder(DEBIAN_FOLDER, name="fashion-mnist-full", classes=FASHION_CLASSES)


def digits() -> Dataset:
    """Return scikit-learn's handwritten digits: 1797 grey images of 8 x 8, the least that trains at all.

    A fifth of each class is for testing, always the same one.

    Returns
    -------
    Dataset
        1437 and 360 images; their 17 grey levels are spread over 0 to 255.

    Raises
    ------
    ModuleNotFoundError
        scikit-learn is not installed.

    Examples
    --------
    >>> digits()
    Dataset('digits': 1437 + 360 images, 8 x 8 x 1, 10 classes)
    """
    held = need("sklearn.datasets", "demos", "the digits data set").load_digits()
    x = np.rint(held.images * (255 / 16)).astype(np.uint8)[..., None]
    y = held.target.astype(np.int64)
    shuffled = np.random.default_rng(0).permutation(len(y))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    test = np.zeros(len(y), bool)
    test[by_class[::5]] = True
    return Dataset("digits", x[~test], y[~test], x[test], y[test], tuple("0123456789"))


SOURCES: Mapping[str, Callable[[], Dataset]] = MappingProxyType(
    {"fashion-mnist": fashion_mnist, "fashion-mnist-full": fashion_mnist_full, "digits": digits, "cifar10": cifar10}
)


def load(source: str | os.PathLike[str], side: int | None = None) -> Dataset:
    """Return a data set by its name, or from a folder.

    Parameters
    ----------
    source
        "fashion-mnist", "fashion-mnist-full", "digits", "cifar10"; or a folder (`./digits` for one of that name): of
        IDX files, of CIFAR-10's batches (or their archive), or of pictures, see `image_folder`.
    side
        The images' centre squares are resized to this; by default they are as they are.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        `source` is none of these; or a file of the folder is damaged.
    OSError
        The data is not there.
    ModuleNotFoundError
        "digits" without scikit-learn; pictures, or a `side`, without Pillow.

    Examples
    --------
    >>> load("fashion-mnist").image_shape
    (28, 28, 1)
    """
    return load_named("source", source, side)


def load_named(name: str, source: str | os.PathLike[str], side: int | None = None) -> Dataset:
    """Return what `load` does, for an argument that the caller knows by another name."""
    if isinstance(source, str) and source in SOURCES:
        return _resized(SOURCES[source](), side)
    path = Path(source)
    if is_cifar10(path):
        return _resized(cifar10(path), side)
    if path.is_dir() and any(path.glob("*-ubyte*")):
        return _resized(idx_folder(path), side)
    if path.is_dir() and any(each.is_dir() for each in path.iterdir()):
        return image_folder(path, side)
    raise ValueError(
        f"`{name}` (={os.fspath(source)!r}) must be one of {', '.join(map(repr, SOURCES))}, or a folder: of IDX files "
        "(train-images-idx3-ubyte.gz and so on), of CIFAR-10 (data_batch_1.bin and so on), or with a folder of "
        "pictures for each class"
    )


def _resized(data: Dataset, side: int | None) -> Dataset:
    """Return the data with the centre square of each image resized to this side."""
    if side is None or data.image_shape[:2] == (side, side):
        return data
    check_memory(data.name, len(data.x_train) + len(data.x_test), side, data.image_shape[2])
    x_train, x_test = (np.stack([square(image, side) for image in x]) for x in (data.x_train, data.x_test))
    return dataclasses.replace(data, x_train=x_train, x_test=x_test)
