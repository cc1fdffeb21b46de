"""Data: the sources, the IDX reader held against good and bad files, and the augmentation against slow loops."""

import gzip
import io
import math
import os
import struct
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from npnets import data
from npnets._optional import need
from npnets.data import augment, idx, sources
from npnets.data import images as images_module

pytestmark = pytest.mark.quick

FILES = "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
CODES = {code: np.dtype(name) for code, name in idx.TYPES.items()}


def encode(values: np.ndarray) -> bytes:
    """IDX by the letter of the format: the inverse of `read_idx`."""
    code = next(code for code, dtype in CODES.items() if dtype.newbyteorder("=") == values.dtype)
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    return header + values.astype(CODES[code]).tobytes()


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.fixture
def four(tmp_path):
    """The four files of a tiny data set, one plain and three compressed."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(FILES):
        count = 6 if "train" in name else 4
        values = rng.integers(0, 256, (count, 5, 3)) if "images" in name else np.arange(count) % 3
        content = encode(values.astype(np.uint8))
        write(tmp_path, name if number == 0 else f"{name}.gz", content if number == 0 else gzip.compress(content))
    return tmp_path


# -- sources -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "train", "test", "shape"), [("fashion-mnist", 6000, 1000, (28, 28, 1)), ("digits", 1437, 360, (8, 8, 1))]
)
def test_sources(name, train, test, shape):
    held = data.load(name)
    assert held.name == name
    assert held.image_shape == shape
    assert held.x_train.shape == (train, *shape)
    assert held.x_test.shape == (test, *shape)
    for x, y in (held.x_train, held.y_train), (held.x_test, held.y_test):
        assert (x.dtype, y.dtype) == (np.uint8, np.int64)
        assert x.min() == 0
        assert x.max() == 255
        counts = np.bincount(y, minlength=10)
        assert len(counts) == len(held.classes) == 10
        assert counts.min() > 0.9 * len(y) / 10


def test_classes_match_what_the_images_show():
    held = data.fashion_mnist()
    width = {  # mean ink of the outer columns: trousers are narrow, bags and pullovers are not
        name: held.x_train[held.y_train == label][:, :, [4, 5, 22, 23]].mean()
        for label, name in enumerate(held.classes)
    }
    assert min(width, key=width.get) == "Trouser"
    top = {name: held.x_train[held.y_train == label][:, :6].mean() for label, name in enumerate(held.classes)}
    assert sorted(top, key=top.get)[:2] in (["Sneaker", "Sandal"], ["Sandal", "Sneaker"])


def test_digits_is_always_the_same_split_and_loses_nothing():
    once, again = data.digits(), data.digits()
    assert np.array_equal(once.x_test, again.x_test)
    together = np.concatenate([once.x_train, once.x_test]).reshape(1797, -1)
    original = np.rint(need("sklearn.datasets", "demos", "a test").load_digits().images * 255 / 16).reshape(1797, -1)
    assert sorted(map(bytes, together)) == sorted(map(bytes, original.astype(np.uint8)))


def test_a_dataset_does_not_change():
    with pytest.raises(AttributeError, match="cannot assign"):
        data.fashion_mnist().name = "other"


def test_load_names_its_choices():
    with pytest.raises(ValueError, match=r"^`source` \(='cifar'\) must be one of 'fashion-mnist', ") as caught:
        data.load("cifar")
    for name in data.SOURCES:
        assert repr(name) in str(caught.value)


def test_full_set(four, monkeypatch):
    monkeypatch.setattr(sources, "DEBIAN_FOLDER", four / "absent")
    with pytest.raises(
        FileNotFoundError, match=f"not in {four / 'absent'}.*apt install dataset-fashion-mnist.*https://"
    ):
        data.load("fashion-mnist-full")
    monkeypatch.setattr(sources, "DEBIAN_FOLDER", four)
    held = data.load("fashion-mnist-full")
    assert (held.name, held.classes[9]) == ("fashion-mnist-full", "Ankle boot")


def test_an_archive_with_a_pickle_in_it_is_refused(tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return pytest.fail, ("the pickle was run",)

    np.savez(tmp_path / "fashion_mnist_7k.npz", x_train=np.array([Evil()]), allow_pickle=True)
    monkeypatch.setattr(sources.resources, "files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        data.fashion_mnist()


def test_what_is_missing_is_named_with_the_command(monkeypatch):
    class Uninstalled:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.startswith("sklearn"):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.startswith("sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Uninstalled, *sys.meta_path])
    with pytest.raises(ImportError) as caught:
        data.digits()
    assert type(caught.value) is ModuleNotFoundError
    assert str(caught.value) == (
        'the digits data set needs `sklearn`: pip install "npnets[demos]" (in a clone: pip install ".[demos]")'
    )


def test_a_package_that_lacks_something_itself_says_what(tmp_path, monkeypatch):
    write(tmp_path, "half_installed.py", b"import missing_of_its_own")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'missing_of_its_own'$"):
        need("half_installed", "demos", "a test")


# -- IDX: good files ---------------------------------------------------------------------------------------------------


@given(
    values=st.sampled_from([dtype.newbyteorder("=") for dtype in CODES.values()]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4))
    ),
    compressed=st.booleans(),
)
def test_idx_round_trip(values, compressed, tmp_path_factory):
    content = encode(values)
    path = write(tmp_path_factory.getbasetemp(), "round.idx", gzip.compress(content, 1) if compressed else content)
    read = data.read_idx(path)
    assert (read.dtype, read.shape) == (values.dtype, values.shape)
    assert read.tobytes() == values.tobytes()  # NaN, too
    assert read.dtype.isnative
    assert read.flags.writeable


def test_idx_folder(four):
    for held in data.idx_folder(four), data.load(four), data.load(str(four)):
        assert held.name == four.name
        assert held.x_train.shape == (6, 5, 3, 1)
        assert held.y_test.tolist() == [0, 1, 2, 0]
        assert held.y_test.dtype == np.int64
        assert held.classes == ("0", "1", "2")
        assert repr(held) == f"Dataset({four.name!r}: 6 + 4 images, 5 x 3 x 1, 3 classes)"
    assert np.array_equal(data.idx_folder(four).x_train[..., 0], data.read_idx(four / FILES[0]))


def test_two_gzip_members_are_one_stream(tmp_path):
    content = encode(np.arange(10, dtype=np.int32))
    path = write(tmp_path, "members", gzip.compress(content[:13]) + gzip.compress(content[13:]))
    assert data.read_idx(path).tolist() == list(range(10))


# -- IDX: bad files ----------------------------------------------------------------------------------------------------

GOOD = encode(np.arange(600, dtype=np.uint8).reshape(6, 10, 10))


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


BAD = {
    "empty": (b"", r"not an IDX file: it begins with the bytes \(none\)"),
    "three bytes": (b"\0\0\x08", "not an IDX file: it begins with the bytes 00 00 08, and must"),
    "text": (b"<html>404", "not an IDX file: it begins with the bytes 3c 68 74 6d"),
    "little-endian": (b"\x03\x08\0\0" + GOOD[4:], "not an IDX file"),
    "unknown type": (
        header(10, 1) + b"x",
        "not an IDX file: .* 00 00 0a 01, and must with 00 00, a type of 08, 09, 0b",
    ),
    "no dimensions": (header(8) + b"x", "must have 1 to 32 dimensions, and this has 0"),
    "255 dimensions": (header(8, *[1] * 255) + b"x", "must have 1 to 32 dimensions, and this has 255"),
    "half a header": (GOOD[:10], "cut off within its header of 16 bytes"),
    "no values": (GOOD[:16], "promises 600 bytes of values, shape .6, 10, 10. of uint8, and only 0 follow"),
    "one byte less": (GOOD[:-1], "promises 600 .* and only 599 follow"),
    "one byte more": (GOOD + b"x", "promises 600 .* and 601 follow"),
    "another type": (header(14, 6, 10, 10) + GOOD[16:], "promises 4800 bytes .* of float64, and only 600 follow"),
    "just allowed": (header(8, 1 << 31, 2) + b"x", "promises 4294967296 bytes .* and only 1 follow"),
    "too large": (header(9, (1 << 32) - 1, 2) + b"x", r"the header promises .*\(4294967295, 2\), more than 4 GiB"),
    "absurd": (header(14, *[(1 << 32) - 1] * 32) + b"x", "more than 4 GiB"),
    "absurd and 0": (header(8, 0, *[(1 << 32) - 1] * 3), "more than 4 GiB"),
}
BAD_ZIPPED = {
    "foreign": (gzip.compress(b"<html>404"), "not an IDX file"),
    "one byte less": (gzip.compress(GOOD[:-1]), "promises 600 .* and only 599 follow"),
    "one byte more": (gzip.compress(GOOD + b"x"), "promises 600 .* and 601 or more follow"),
    "bare magic": (b"\x1f\x8b", "damaged or cut off within its gzip data"),
    "half a gzip header": (gzip.compress(GOOD)[:7], "damaged or cut off within its gzip data"),
    "cut off": (gzip.compress(GOOD)[:-20], "damaged or cut off within its gzip data .*ended"),
    "no checksum": (gzip.compress(GOOD)[:-8], "damaged or cut off within its gzip data"),
    "wrong checksum": (gzip.compress(GOOD)[:-8] + bytes(8), "damaged or cut off within its gzip data .*CRC"),
    "wrong code": (gzip.compress(GOOD)[:10] + b"\xff" * 50, "damaged or cut off within its gzip data .*invalid"),
    "rubbish behind": (gzip.compress(GOOD) + b"rubbish", "damaged or cut off within its gzip data"),
    "just allowed": (gzip.compress(header(8, 1 << 31, 2)), "promises 4294967296 bytes .* and only 0 follow"),
    "absurd": (gzip.compress(header(8, (1 << 32) - 1, 2)), "more than 4 GiB"),
}


@pytest.mark.parametrize(
    ("content", "rule"),
    [pytest.param(*case, id=name) for name, case in BAD.items()]
    + [pytest.param(*case, id=f"gz, {name}") for name, case in BAD_ZIPPED.items()],
)
def test_bad_idx_files(content, rule, tmp_path):
    path = write(tmp_path, "bad file", content)
    tracemalloc.start()
    begin = time.perf_counter()
    with pytest.raises(ValueError, match=f"(?s)^{path}: .*{rule}") as caught:
        data.read_idx(path)
    seconds, (_, peak) = time.perf_counter() - begin, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert type(caught.value) is ValueError
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "\n" not in str(caught.value)
    assert seconds < 5  # it takes a millisecond; the machine may be busy
    assert peak < 4 << 20


@pytest.mark.parametrize("promised", [100, 1 << 31])
def test_a_large_file_of_the_wrong_length_is_not_read(promised, tmp_path):
    path = write(tmp_path, "large", header(8, promised))
    os.truncate(path, 8 + (1 << 31) - 1)  # sparse: no disk is used
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"promises {promised} bytes .* and .*{(1 << 31) - 1} follow"):
        data.read_idx(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_gzip_bomb_is_opened_no_further_than_promised(tmp_path):
    bomb = io.BytesIO()
    with gzip.open(bomb, "wb", 9) as stream:
        stream.write(header(8, 100))
        for _ in range(64):
            stream.write(bytes(1 << 20))  # 64 MB in 64 KB
    path = write(tmp_path, "bomb.gz", bomb.getvalue())
    assert path.stat().st_size < 1 << 17
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"promises 100 bytes .* and 101 or more follow"):
        data.read_idx(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20


@given(st.binary(max_size=64), st.booleans())
def test_rubbish_is_read_or_refused_by_a_value_error(tmp_path_factory, rubbish, compressed):
    content = b"\0\0" + rubbish
    path = write(tmp_path_factory.getbasetemp(), "rubbish", gzip.compress(content, 1) if compressed else content)
    try:
        values = data.read_idx(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert math.prod(values.shape) == values.size


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nosuch"):
        data.read_idx(tmp_path / "nosuch")
    with pytest.raises(IsADirectoryError):
        data.read_idx(tmp_path)


# -- IDX: folders that do not fit together -----------------------------------------------------------------------------


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder$"):
        data.idx_folder(tmp_path / "nosuch")


@pytest.mark.parametrize("missing", FILES)
def test_a_folder_names_the_files_it_should_hold(four, missing):
    for path in four.glob(f"{missing}*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=f"^{four}: no file {missing} or {missing}.gz; ") as caught:
        data.load(four)
    for name in FILES:
        assert name in str(caught.value)


def images(*shape: int, dtype: type = np.uint8) -> bytes:
    return encode(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        (FILES[0], images(6, 5), r"must hold uint8 values in 3 dimensions, .* and holds uint8 of shape \(6, 5\)"),
        (FILES[0], images(6, 5, 3, dtype=np.float32), "must hold uint8 values in 3 dimensions, .* and holds float32"),
        (FILES[0], images(0, 5, 3), r"at least one, and holds uint8 of shape \(0, 5, 3\)"),
        (FILES[0], images(6, 5, 4), r"images of \(5, 4\) pixels for training, \(5, 3\) for testing"),
        (FILES[1], images(7), f"7 labels for the 6 images of {FILES[0]}"),
        (FILES[1], images(6, 1), r"must hold uint8 values in 1 dimension, .* of shape \(6, 1\)"),
        (FILES[1], images(6, dtype=np.int8), "and holds int8"),
        (FILES[3], images(4)[:-1], "only 3 follow"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_files_that_do_not_fit_together(four, name, content, rule):
    write(four, name, content)  # the plain file is found before the compressed one
    with pytest.raises(ValueError, match=rule) as caught:
        data.idx_folder(four)
    assert str(caught.value).startswith(str(four))


def test_more_labels_than_classes(four):
    with pytest.raises(ValueError, match="the labels must be from 0 to 1, and 2 is among them"):
        data.idx_folder(four, classes=("cat", "dog"))


# -- augmentation ------------------------------------------------------------------------------------------------------

IMAGES = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3)),
    elements=st.integers(0, 255),
)


def crop_flip_slowly(x, rng, padding, flip):
    top, left = rng.integers(0, 2 * padding + 1, (2, len(x)))
    mirrored = rng.random(len(x)) < 0.5 if flip else np.zeros(len(x), bool)
    out = np.zeros_like(x)
    B, H, W, _ = x.shape
    for b in range(B):
        for r in range(H):
            for c in range(W):
                row, column = r + top[b] - padding, (W - 1 - c if mirrored[b] else c) + left[b] - padding
                if 0 <= row < H and 0 <= column < W:
                    out[b, r, c] = x[b, row, column]
    return out


@given(x=IMAGES, seed=st.integers(0, 2**32), padding=st.integers(0, 3), flip=st.booleans())
def test_crop_flip_is_the_slow_loop(x, seed, padding, flip):
    before = x.copy()
    out = data.random_crop_flip(x, np.random.default_rng(seed), padding=padding, flip=flip)
    assert np.array_equal(out, crop_flip_slowly(x, np.random.default_rng(seed), padding, flip))
    assert out.dtype == np.uint8
    assert not np.shares_memory(out, x)
    assert np.array_equal(x, before)


def test_crop_flip_takes_every_place_equally_often():
    x = np.zeros((8000, 3, 3, 1), np.uint8)
    x[:, 1, 1] = 1
    places = data.random_crop_flip(x, np.random.default_rng(0), padding=1, flip=False).sum(0).ravel()
    assert places.sum() == 8000
    assert abs(places - 8000 / 9).max() < 5 * np.sqrt(8000 / 9)
    x[:, 1] = [[0], [1], [2]]
    flipped = (data.random_crop_flip(x, np.random.default_rng(0), padding=0)[:, 1, 0, 0] == 2).sum()
    assert abs(flipped - 4000) < 5 * np.sqrt(2000)


SQUARES = st.tuples(st.integers(0, 3), st.integers(1, 6), st.sampled_from([1, 3])).flatmap(
    lambda shape: hnp.arrays(np.uint8, (shape[0], shape[1], shape[1], shape[2]))
)


@given(x=SQUARES, seed=st.integers(0, 2**32), least=st.sampled_from([0.08, 0.5, 1.0]))
def test_resized_crops_are_parts_of_the_image(x, seed, least):
    before, boxes = x.copy(), []

    def note(image, box, side):
        boxes.append(box)
        return images_module.resized(image, box, side)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augment, "resized", note)
        out = data.random_resized_crop(x, np.random.default_rng(seed), least)
    assert (out.shape, out.dtype, np.shares_memory(out, x)) == (x.shape, np.uint8, False)
    assert np.array_equal(x, before)
    assert np.array_equal(out, data.random_resized_crop(x, np.random.default_rng(seed), least))
    for image, made, (top, left, height, width) in zip(x, out, boxes, strict=True):
        assert min(top, left, height - 1, width - 1) >= 0
        assert max(top + height, left + width) <= len(x[0])
        assert made.min() >= image[top : top + height, left : left + width].min()
        assert made.max() <= image[top : top + height, left : left + width].max()


def test_resized_crops_have_all_sizes_shapes_and_places(monkeypatch):
    boxes = []
    side, count = 1000, 4000
    x = np.broadcast_to(np.zeros((1, 1, 1, 1), np.uint8), (count, side, side, 1))
    monkeypatch.setattr(augment.np, "empty_like", lambda x: np.zeros((len(x), 1, 1, 1), np.uint8))
    monkeypatch.setattr(augment, "resized", lambda image, box, side: boxes.append(box) or 0)
    data.random_resized_crop(x, np.random.default_rng(0), 0.25)
    top, left, height, width = np.array(boxes).T
    whole = (height < side) & (width < side)  # the others were cut off
    share, ratio = (height * width / side**2)[whole], np.log(height / width)[whole] / np.log(4 / 3)
    assert share.min() > 0.249
    assert abs(ratio).max() < 1.01
    assert abs(ratio.mean()) < 5 * ratio.std() / np.sqrt(len(ratio))
    assert abs(ratio.std() - np.sqrt(1 / 3)) < 0.05
    small = share[share < 0.5]  # none of these is ever cut off
    assert abs(small.mean() - 0.375) < 5 * 0.25 / np.sqrt(12 * len(small))
    for at, free in (top, side - height), (left, side - width):
        place = at[free > 100] / free[free > 100]
        assert abs(place.mean() - 0.5) < 5 / np.sqrt(12 * len(place))


@given(x=IMAGES.filter(lambda x: x.size))
def test_statistics_and_normalise(x):
    mean, std = data.channel_statistics(x)
    flat = x.reshape(-1, x.shape[3]) / 255
    np.testing.assert_allclose(mean, flat.mean(0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(std, flat.std(0), rtol=0, atol=1e-8)
    std = std + 0.1
    for dtype in np.float32, np.float64:
        out = data.normalise(x, mean, std, dtype)
        assert out.dtype == dtype
        assert np.array_equal(out, ((x / 255 - mean) / std).astype(dtype))


def test_normalised_images_have_mean_0_and_deviation_1():
    x = data.fashion_mnist().x_train
    out = data.normalise(x, *data.channel_statistics(x), np.float64)
    assert abs(out.mean()) < 1e-12
    assert abs(out.std() - 1) < 1e-12


def test_statistics_of_many_images_take_little_memory():
    x = np.random.default_rng(0).integers(0, 256, (20_000, 28, 28, 1), np.uint8)
    tracemalloc.start()
    data.channel_statistics(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes


ONE_IMAGE = np.zeros((1, 2, 2, 3), np.uint8)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: data.channel_statistics([1]), TypeError, "`images` must be a NumPy array, and is a list"),
        (lambda: data.channel_statistics(ONE_IMAGE / 255), TypeError, "`images` must be uint8, and is float64"),
        (
            lambda: data.channel_statistics(ONE_IMAGE[0]),
            ValueError,
            "`images` must have the axes (B, H, W, C), and has the shape (2, 2, 3)",
        ),
        (
            lambda: data.channel_statistics(ONE_IMAGE[:0]),
            ValueError,
            "`images` must have at least one pixel, and has the shape (0, 2, 2, 3)",
        ),
        (
            lambda: data.normalise(ONE_IMAGE, [0.5], [0.5]),
            ValueError,
            "`mean` must have the shape (3,), one value for each channel of `images`, and has (1,)",
        ),
        (
            lambda: data.normalise(ONE_IMAGE, [0.5] * 3, [1, 0, 1]),
            ValueError,
            "`std` (=[1.0, 0.0, 1.0]) must be greater than 0: a channel that is constant has none",
        ),
        (
            lambda: data.normalise(ONE_IMAGE, [0.5] * 3, [1] * 3, np.int8),
            TypeError,
            "`dtype` must be float32 or float64, and is int8",
        ),
        (
            lambda: data.random_crop_flip(ONE_IMAGE, np.random),
            TypeError,
            "`rng` must be a numpy.random.Generator, and is a module",
        ),
        (
            lambda: data.random_crop_flip(ONE_IMAGE, RNG, padding=-1),
            ValueError,
            "`padding` (=-1) must be at least 0",
        ),
        (
            lambda: data.random_crop_flip(ONE_IMAGE, RNG, padding=1.5),
            TypeError,
            "`padding` (=1.5) must be a whole number",
        ),
        (
            lambda: data.random_resized_crop(ONE_IMAGE[:, :1], RNG),
            ValueError,
            "`images` must be squares, and are 1 x 2",
        ),
        (
            lambda: data.random_resized_crop(ONE_IMAGE, RNG, 0),
            ValueError,
            "`least` (=0) must be greater than 0 and finite",
        ),
        (lambda: data.random_resized_crop(ONE_IMAGE, RNG, 1.1), ValueError, "`least` (=1.1) must be at most 1"),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
