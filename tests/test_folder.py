"""Folders of pictures: how they are split, what is read of them, and each thing that is refused."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from npnets import data
from npnets.data import folder as module

pytestmark = pytest.mark.quick


def fill(where, counts, side=4):
    """Write pictures of one colour each, which tells the class and the number."""
    for label, (name, count) in enumerate(counts.items()):
        (where / name).mkdir(parents=True)
        for number in range(count):
            colour = np.array([label, number, 0], np.uint8)
            Image.fromarray(np.broadcast_to(colour, (side, side + 2, 3)).copy()).save(where / name / f"{number:03}.png")
    return where


def colours(images):
    assert (images == images[:, :1, :1]).all()
    return [tuple(colour) for colour in images[:, 0, 0, :2].tolist()]


def test_a_split_that_is_given(tmp_path):
    fill(tmp_path / "pets/train", {"cat": 3, "dog": 2})
    fill(tmp_path / "pets/val", {"cat": 1, "dog": 2})
    held = data.load(tmp_path / "pets")
    assert repr(held) == "Dataset('pets': 5 + 3 images, 4 x 4 x 3, 2 classes)"
    assert held.classes == ("cat", "dog")
    assert colours(held.x_train) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert held.y_train.tolist() == [0, 0, 0, 1, 1]
    assert colours(held.x_test) == [(0, 0), (1, 0), (1, 1)]
    assert held.y_test.tolist() == [0, 1, 1]
    assert (held.x_test.dtype, held.y_test.dtype) == (np.uint8, np.int64)


def test_test_goes_before_val(tmp_path):
    for part, count in ("train", 2), ("val", 3), ("test", 4):
        fill(tmp_path / part, {"a": count, "b": count})
    assert len(data.image_folder(tmp_path).x_test) == 8


def test_own_split(tmp_path):
    fill(tmp_path, {"a": 150, "b": 150, "c": 2})
    held = data.image_folder(tmp_path)
    assert set(colours(held.x_train)).isdisjoint(colours(held.x_test))
    assert len(held.x_train) + len(held.x_test) == 302
    counts = np.bincount(held.y_test)
    assert counts[2] == 1
    assert abs(counts[:2] - 30).max() < 4 * np.sqrt(150 * 0.2 * 0.8)
    other = data.image_folder(tmp_path, seed=1)
    assert colours(other.x_test) != colours(held.x_test)


def test_a_picture_stays_in_its_half(tmp_path):
    fill(tmp_path, {"a": 20, "b": 20})
    before = data.image_folder(tmp_path)
    for number in range(100, 120):
        shutil.copy(tmp_path / "a" / "001.png", tmp_path / "a" / f"{number}.png")
    (tmp_path / "a" / "000.png").unlink()
    fill(tmp_path, {"c": 5})
    after = data.image_folder(tmp_path)
    assert set(colours(before.x_test)) - {(0, 0)} <= set(colours(after.x_test)) | {(0, 1)}
    assert set(colours(before.x_train)) - {(0, 0)} <= set(colours(after.x_train)) | {(0, 1)}


@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1),
        min_size=2,
        max_size=40,
        unique=True,
    )
)
def test_each_half_has_a_picture(names, tmp_path_factory):
    files = [tmp_path_factory.getbasetemp() / "class" / name for name in names]
    train, test = module._own_split({"class": files}, 0)
    assert train["class"]
    assert test["class"]
    assert sorted(train["class"] + test["class"]) == sorted(files)


@pytest.mark.parametrize(("side", "expected"), [(None, 6), (3, 3), (40, 40)])
def test_side(tmp_path, side, expected):
    fill(tmp_path, {"a": 2, "b": 2}, 6)
    assert data.load(str(tmp_path), side).image_shape == (expected, expected, 3)


def test_large_pictures_become_224(tmp_path):
    fill(tmp_path, {"a": 2, "b": 2}, 400)
    assert data.image_folder(tmp_path).image_shape == (224, 224, 3)


def test_hidden_files_are_passed_over(tmp_path):
    fill(tmp_path, {"a": 2, "b": 2})
    for name in ".DS_Store", "a/.hidden", "b/Thumbs.db", "b/desktop.ini", "LICENSE.txt":
        (tmp_path / name).write_text("no picture")
    (tmp_path / ".git").mkdir()
    held = data.image_folder(tmp_path)
    assert (held.classes, len(held.x_train) + len(held.x_test)) == (("a", "b"), 4)


def refused(path, kind=ValueError):
    with pytest.raises(kind) as caught:
        data.image_folder(path)
    assert type(caught.value) is kind
    return str(caught.value).replace(str(path), "PETS")


def test_refused(tmp_path):
    nosuch = tmp_path / "nosuch"
    assert refused(nosuch, FileNotFoundError) == "PETS: no such folder"
    rule = "PETS: must hold a folder of pictures for each of at least two classes, or such folders train and test, and"
    assert refused(tmp_path) == f"{rule} holds none"
    fill(tmp_path, {"cat": 2})
    assert refused(tmp_path) == f"{rule} holds only cat"
    (tmp_path / "dog").mkdir()
    assert refused(tmp_path) == "PETS/dog: there is no picture of this class"
    (tmp_path / "dog" / "one.png").write_bytes((tmp_path / "cat" / "000.png").read_bytes())
    assert refused(tmp_path) == "PETS/dog: there must be two pictures of a class, one to train and one to test"
    (tmp_path / "dog" / "puppies").mkdir()
    assert refused(tmp_path) == "PETS/dog/puppies: a folder in that of a class, which must hold pictures only"
    (tmp_path / "dog" / "puppies").rmdir()
    (tmp_path / "dog" / "two.jpg").write_text("<html>")
    assert refused(tmp_path) == "PETS/dog/two.jpg: not a picture that can be read: Pillow knows no such format"


def test_refused_splits(tmp_path):
    fill(tmp_path / "train", {"cat": 2, "dog": 2})
    assert refused(tmp_path, FileNotFoundError) == (
        "PETS: beside the folder train there must be one of test, val, valid, validation"
    )
    fill(tmp_path / "test", {"cat": 1, "emu": 1, "dog": 1})
    assert refused(tmp_path) == "PETS/test/emu: a class that is not in PETS/train"


def test_too_much_for_the_memory(tmp_path, monkeypatch):
    fill(tmp_path, {"a": 2, "b": 2}, 8)
    monkeypatch.setattr(module, "LARGEST", 4 * 3 * 5 * 5)
    with pytest.raises(ValueError, match=r"`side` \(=8\) makes 0.0 GiB of 4 pictures, .* they fit with 5$"):
        data.image_folder(tmp_path)
    assert data.image_folder(tmp_path, 5).image_shape == (5, 5, 3)


def test_other_data_is_resized_too(monkeypatch):
    held = data.load("digits", 16)
    assert held.image_shape == (16, 16, 1)
    assert np.array_equal(held.x_test[7], data.square(data.digits().x_test[7], 16))
    monkeypatch.setattr(module, "LARGEST", 1797 * 100)
    with pytest.raises(ValueError, match=r"^digits: `side` \(=16\) makes .* they fit with 10$"):
        data.load("digits", 16)


def test_jpegs_may_be_decoded_small(tmp_path):
    """What is left of the difference is rounding: the picture is smooth."""
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    image = np.stack([np.broadcast_to(ramp, (480, 640)), np.broadcast_to(ramp[:480, None], (480, 640))] * 2, 2)[..., :3]
    Image.fromarray(np.ascontiguousarray(image)).save(tmp_path / "ramp.jpg", quality=95)
    whole, small = data.decode(tmp_path / "ramp.jpg"), data.decode(tmp_path / "ramp.jpg", least=100)
    assert (whole.shape, small.shape) == ((480, 640, 3), (240, 320, 3))
    assert abs(data.square(whole, 100).astype(int) - data.square(small, 100)).max() <= 4
    assert data.decode(tmp_path / "ramp.jpg", least=300).shape == whole.shape
