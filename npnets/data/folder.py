"""A folder of pictures, with a folder for each class.

Either the pictures are split already::

    photos/train/cat/*  photos/train/dog/*  photos/test/cat/*  photos/test/dog/*      (or val in the place of test)

or they are not::

    photos/cat/*  photos/dog/*

and then a hash of each picture's class and name decides. So a picture stays in the half that it is in, whatever is
added to the folder or taken from it, and on every machine.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from npnets import _check
from npnets.data.dataset import Dataset, Labels
from npnets.data.images import decode, square
from npnets.preprocessing import Images

TRAIN, TESTS = "train", ("test", "val", "valid", "validation")
TEST_SHARE = 0.2

# Where no side is asked for, pictures are no larger than what the papers' networks take.
SIDE = 224

LARGEST = 4 << 30  # bytes of all pictures together: a training has them in memory

NOT_PICTURES = ("thumbs.db", "desktop.ini")  # what file managers leave behind; other such files are hidden

Classes = dict[str, list[Path]]


def image_folder(path: str | os.PathLike[str], side: int | None = None, *, seed: int = 0) -> Dataset:
    """Read a folder of pictures: of each the centre square, resized.

    Parameters
    ----------
    path
        A folder with a folder for each class, or one with such folders `train` and `test` (or `val`). The pictures may
        be of any format that Pillow reads; hidden files are passed over.
    side
        Of the squares, in pixels; by default the shorter side of the first picture, but at most 224.
    seed
        Of the split, where the folder has none: each picture is for testing with a chance of a fifth, and of each class
        there is at least one in either half.

    Returns
    -------
    Dataset
        In colour; the classes are in the order of their names, and so are the pictures of each.

    Raises
    ------
    OSError
        The folder or a file in it cannot be read.
    ValueError
        The folder has not this form, a file is no picture or a damaged one, or all together would take more than 4 GiB;
        the message names it and the rule.
    ModuleNotFoundError
        Pillow is not installed.

    Examples
    --------
    >>> image_folder("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: nowhere: no such folder
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    train, test = _given_split(folder) if (folder / TRAIN).is_dir() else _own_split(_classes(folder), seed)
    first = next(iter(train.values()))[0]
    side = min(SIDE, *decode(first).shape[:2]) if side is None else _check.integer("side", side, 1)
    pictures = sum(map(len, (*train.values(), *test.values())))
    check_memory(folder, pictures, side)
    classes = tuple(train)
    return Dataset(folder.resolve().name, *_read(train, classes, side), *_read(test, classes, side), classes)


def check_memory(name: object, pictures: int, side: int, channels: int = 3) -> None:
    """Refuse pictures that would take too much memory, and name the side that would not."""
    if pictures * side**2 * channels > LARGEST:
        raise ValueError(
            f"{name}: `side` (={side}) makes {pictures * side**2 * channels / 2**30:.1f} GiB of {pictures} pictures, "
            f"and {LARGEST >> 30} is the most: they fit with {math.isqrt(LARGEST // (pictures * channels))}"
        )


def _classes(folder: Path) -> Classes:
    """Return the pictures of each class, both in the order of their names."""
    found = {
        each.name: sorted(file for file in _visible(each) if file.name.lower() not in NOT_PICTURES)
        for each in sorted(_visible(folder))
        if each.is_dir()
    }
    if len(found) < 2:
        raise ValueError(
            f"{folder}: must hold a folder of pictures for each of at least two classes, or such folders {TRAIN} and "
            f"{TESTS[0]}, and holds {'none' if not found else f'only {next(iter(found))}'}"
        )
    for name, files in found.items():
        if not files:
            raise ValueError(f"{folder / name}: there is no picture of this class")
        for file in files:
            if file.is_dir():
                raise ValueError(f"{file}: a folder in that of a class, which must hold pictures only")
    return found


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _given_split(folder: Path) -> tuple[Classes, Classes]:
    part = next((name for name in TESTS if (folder / name).is_dir()), None)
    if part is None:
        raise FileNotFoundError(f"{folder}: beside the folder {TRAIN} there must be one of {', '.join(TESTS)}")
    train, test = _classes(folder / TRAIN), _classes(folder / part)
    if unknown := test.keys() - train.keys():
        raise ValueError(f"{folder / part / min(unknown)}: a class that is not in {folder / TRAIN}")
    return train, test


def _own_split(classes: Classes, seed: int) -> tuple[Classes, Classes]:
    train: Classes = {}
    test: Classes = {}
    for name, files in classes.items():
        if len(files) < 2:
            raise ValueError(f"{files[0].parent}: there must be two pictures of a class, one to train and one to test")
        at = {file: _place(f"{seed}/{name}/{file.name}") for file in files}
        last, first = max(files, key=at.__getitem__), min(files, key=at.__getitem__)
        tests = {file: file is first or (at[file] < TEST_SHARE and file is not last) for file in files}
        train[name] = [file for file in files if not tests[file]]
        test[name] = [file for file in files if tests[file]]
    return train, test


def _place(text: str) -> float:
    """Return a number from 0 to 1 that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(os.fsencode(text)).digest()[:8], "big") / 2**64


def _read(files: Classes, classes: Sequence[str], side: int) -> tuple[Images, Labels]:
    labelled = [(file, label) for label, name in enumerate(classes) for file in files.get(name, ())]
    images = np.empty((len(labelled), side, side, 3), np.uint8)
    for image, (file, _) in zip(images, labelled, strict=True):
        image[...] = square(decode(file, least=side), side)
    return images, np.array([label for _, label in labelled], np.int64)
