"""CIFAR-10: batch files and the archive of them, written here by the letter of the format; and what is refused."""

import gzip
import io
import tarfile
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npnets import data
from npnets.data import cifar

pytestmark = pytest.mark.quick

RECORD = 3073


def batch(rng, count):
    """Images, labels, and the bytes of the file that holds them."""
    images, labels = rng.integers(0, 256, (count, 32, 32, 3), np.uint8), rng.integers(0, 10, count)
    lines = [bytes([label]) + image.transpose(2, 0, 1).tobytes() for image, label in zip(images, labels, strict=True)]
    return images, labels, b"".join(lines)


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(0)
    return {name: batch(rng, 3 + number) for number, name in enumerate(cifar.FILES)}


@pytest.fixture
def folder(tmp_path, batches):
    where = tmp_path / cifar.FOLDER
    where.mkdir()
    for name, (*_, content) in batches.items():
        (where / name).write_bytes(content)
    return where


def archive(path, contents, kind=tarfile.REGTYPE, claimed=None, **options):
    """Write an archive; `claimed` is the size that the headers of its files give."""
    with tarfile.open(path, "w:gz", **options) as file:
        for name, content in contents.items():
            header = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            header.type, header.size = kind, len(content) if claimed is None else claimed
            file.addfile(header, io.BytesIO(content) if claimed is None else None)
    return path


def whole(batches):
    return {"readme.html": b"<html>", **{name: batches[name][2] for name in reversed(cifar.FILES)}}


def check(held, batches):
    assert held.name == "cifar10"
    assert held.classes[3] == "cat"
    for x, y, names in (held.x_train, held.y_train, cifar.TRAIN), (held.x_test, held.y_test, [cifar.TEST]):
        assert np.array_equal(x, np.concatenate([batches[name][0] for name in names]))
        assert np.array_equal(y, np.concatenate([batches[name][1] for name in names]))
        assert (x.dtype, y.dtype, x.flags.c_contiguous) == (np.uint8, np.int64, True)


def test_folder(folder, batches):
    check(data.cifar10(folder), batches)
    check(data.load(folder), batches)


def test_archive(tmp_path, batches):
    path = archive(tmp_path / cifar.ARCHIVE, whole(batches))
    check(data.cifar10(path), batches)
    check(data.load(str(path)), batches)


@pytest.mark.parametrize("named", [False, True])
def test_where_it_is_looked_for(tmp_path, folder, batches, monkeypatch, named):
    monkeypatch.chdir(folder if named else tmp_path)
    monkeypatch.setenv("NPNETS_DATA", str(tmp_path) if named else "")
    check(data.load("cifar10"), batches)


def test_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPNETS_DATA", "elsewhere")
    with pytest.raises(FileNotFoundError) as caught:
        data.load("cifar10")
    assert str(caught.value) == (
        "there is no cifar-10-batches-bin and no cifar-10-binary.tar.gz in the working directory or elsewhere (the "
        "variable NPNETS_DATA may name a folder): take cifar-10-binary.tar.gz (162 MB; the binary version) from "
        "https://www.cs.toronto.edu/~kriz/cifar.html, and put it there, or give its path in the place of `cifar10`"
    )


@pytest.mark.parametrize("missing", cifar.FILES)
def test_an_incomplete_folder_names_what_is_missing(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"^{folder}: there is no {missing}: take .*https://"):
        data.cifar10(folder)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "has 3073 bytes for each of 1 to 10000 images, and this has 0 bytes"),
        (bytes(RECORD - 1), "and this has 3072 bytes"),
        (bytes(RECORD + 1), "and this has 3074 bytes"),
        (bytes(10_001 * RECORD), "and this has 30730001 bytes or more"),
        (b"\n" + bytes(RECORD - 1), "the labels must be from 0 to 9, and 10 is among them"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_bad_batches(tmp_path, content, rule):
    path = tmp_path / "batch.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path}: .*{rule}$"):
        data.read_cifar10(path)


@given(st.binary(max_size=3), st.sampled_from([0, RECORD, 2 * RECORD]))
def test_rubbish_is_read_or_refused_by_a_value_error(tmp_path_factory, rubbish, size):
    path = tmp_path_factory.getbasetemp() / "rubbish.bin"
    path.write_bytes((rubbish + bytes(size))[: size + len(rubbish) % 2])
    try:
        images, labels = data.read_cifar10(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert len(images) == len(labels) == path.stat().st_size / RECORD


# -- archives that are not what they should be -------------------------------------------------------------------------


def test_an_archive_without_all_files(tmp_path, batches):
    path = archive(tmp_path / "some.tar.gz", {name: batches[name][2] for name in cifar.TRAIN[1:]})
    with pytest.raises(ValueError, match=f"^{path}: holds no data_batch_1.bin, test_batch.bin: take"):
        data.cifar10(path)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda content: content[: len(content) // 2], "damaged"),
        (lambda content: content[:-8] + bytes(8), "CRC"),
        (lambda content: b"<html>", "Not a gzipped file"),
        (lambda content: gzip.compress(b"<html>" * 200), "invalid header"),
        (lambda content: gzip.compress(b""), "empty file|end"),
        (lambda content: b"", ""),
    ],
)
def test_damaged_archives(tmp_path, batches, change, rule):
    path = archive(tmp_path / "damaged.tar.gz", whole(batches))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=f"^{path}: .*{rule}") as caught:
        data.cifar10(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE])
def test_only_files_and_folders(tmp_path, kind):
    path = archive(tmp_path / "links.tar.gz", {cifar.TEST: b""}, kind)
    with pytest.raises(ValueError, match="holds something that is neither a file nor a folder"):
        data.cifar10(path)


def test_extended_headers_are_refused(tmp_path, batches):
    """They can hold any amount of text, and change what the headers after them say."""
    contents = {name + "x" * 200: content for name, content in whole(batches).items()}
    for format in tarfile.GNU_FORMAT, tarfile.PAX_FORMAT:
        path = archive(tmp_path / "extended.tar.gz", contents, format=format)
        with pytest.raises(ValueError, match="neither a file nor a folder"):
            data.cifar10(path)


def test_a_promise_is_not_kept(tmp_path):
    path = archive(tmp_path / "large.tar.gz", {cifar.TEST: b""}, claimed=32 << 30, format=tarfile.GNU_FORMAT)
    with pytest.raises(ValueError, match="holds a file of 34359738368 bytes"):
        data.cifar10(path)


def test_a_bomb_is_opened_no_further_than_the_set_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "LARGEST_ARCHIVE", 10 * RECORD)
    path = archive(tmp_path / "bomb.tar.gz", {f"{number}.bin": bytes(RECORD) for number in range(2000)})
    tracemalloc.start()
    with pytest.raises(ValueError, match="holds more than 30730 bytes"):
        data.cifar10(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
