"""Weights of Keras: files that Keras itself writes, in all its formats, and its own logits for them."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from network_cases import assert_near
from uninstalled import uninstall

import npnets
from npnets.weights import from_pretrained, hdf5, load_weights

FILES = (
    "whole.keras", "compiled.keras", "wrapped.keras", "numbered.weights.h5", "whole.h5", "compiled.h5", "names.npz",
)  # fmt: skip
EXPECTED = {"width": 0.25, "num_classes": 7, "in_channels": 3, "activation": "relu6", "padding": "same", "bn_eps": 1e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder into which Keras has written; in a process of its own, as its warnings are its own."""
    folder = tmp_path_factory.mktemp("keras")
    script = Path(__file__).with_name("keras_files.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, folder], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def rounding(net):
    """Return what float32 may add to the relative error of the logits, layer by layer: the sum of gamma_{n+4}.

    n is the length of a layer's sum; batch norm has four operations more, and it keeps the scale of what comes in.
    """
    lengths = [value.size // value.shape[-1] for value in net.parameters().values() if value.ndim in (2, 4)]
    lengths += [9 for value in net.parameters().values() if value.ndim == 3]
    unit = 2.0**-24
    return sum((n + 4) * unit / (1 - (n + 4) * unit) for n in lengths)


@pytest.mark.parametrize("name", FILES)
def test_logits_are_those_of_keras(name, folder):
    with np.load(folder / "logits.npz") as held:
        x, logits = held["x"], held["logits"]
    net = from_pretrained(folder / name, dtype=np.float64)
    assert {argument: net.arguments[argument] for argument in EXPECTED} == EXPECTED
    with npnets.use("numpy"):
        exact = net(x.astype(np.float64))
        assert_near(logits.astype(np.float64), exact, rounding(net))
        assert_near(from_pretrained(folder / name)(x).astype(np.float64), exact, rounding(net))
    assert rounding(net) < 1.2e-4
    assert net.state_dict()["classifier.bias"].any()


def test_all_formats_hold_the_same(folder):
    first, *others = (from_pretrained(folder / name).state_dict() for name in FILES)
    for other in others:
        assert all(other[name].tobytes() == value.tobytes() for name, value in first.items())


def test_what_is_reported(folder):
    fresh = npnets.MobileNetV1(width=0.25, num_classes=7)
    report = load_weights(fresh, folder / "numbered.weights.h5")
    assert (report.source, report.left_over, report.missing) == ("keras", (), ())
    assert report.mapped["block13.pointwise_norm.running_mean"] == "conv_pw_13_bn/moving_mean"
    assert report.differences == (("activation", "relu", "relu6"), ("padding", 1, "same"), ("bn_eps", 1e-5, 1e-3))
    assert fresh.preprocessing.mean == (0.5, 0.5, 0.5)


def test_layers_of_other_types_are_not_passed_over(folder, tmp_path):
    """Such as one behind the whole network: without it the logits would be others."""
    path = tmp_path / "longer.weights.h5"
    path.write_bytes((folder / "numbered.weights.h5").read_bytes())
    with h5py.File(path, "a") as file:
        file["layers/dense/vars/0"] = np.zeros((7, 4), np.float32)
    with pytest.raises(ValueError, match=r"the weights do not fit .*: `layers/dense/vars/0` is left over$"):
        from_pretrained(path)
    fresh = npnets.MobileNetV1(width=0.25, num_classes=7)
    assert load_weights(fresh, path, strict=False).left_over == ("layers/dense/vars/0",)


# -- files that are not what they seem ---------------------------------------------------------------------------------


def test_links_out_of_the_file(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(96))
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("conv1/kernel", (24,), "f4", external=[(str(secret), 0, 96)])
    with pytest.raises(ValueError, match=r"net\.h5 cannot be read as weights: `conv1/kernel` lies in another file$"):
        from_pretrained(path)
    layout = h5py.VirtualLayout((24,), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "a", (24,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("conv1/kernel", layout)
    with pytest.raises(ValueError, match=r"`conv1/kernel` lies in another file$"):
        from_pretrained(path)
    with h5py.File(path, "w") as file:
        file["conv1"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
    with pytest.raises(ValueError, match=r"^.*net\.h5: none of its 0 names"):
        from_pretrained(path)


def test_datasets_that_claim_more_than_they_hold(tmp_path, monkeypatch):
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("conv1/kernel", (1 << 33,), "f4", chunks=(1 << 20,), compression="gzip")  # nothing written
    with pytest.raises(ValueError, match=r"and would unpack to 34359738368, which no weights do$"):
        from_pretrained(path)
    with h5py.File(path, "w") as file:
        for number in range(4):
            file.create_dataset(str(number), (), "f4")
    monkeypatch.setattr(hdf5, "MOST", 3)
    with pytest.raises(ValueError, match=r"it holds more than 3 arrays$"):
        from_pretrained(path)


def test_numbers_that_no_layer_has(tmp_path):
    path = tmp_path / "net.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/conv2d/vars/2"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"`layers/conv2d/vars/2` is one array more than such a layer has$"):
        from_pretrained(path)


def test_h5py_is_needed(tmp_path, monkeypatch):
    (tmp_path / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    uninstall(monkeypatch, "h5py")
    with pytest.raises(
        ModuleNotFoundError, match=r'^reading a file of Keras needs `h5py`: pip install "npnets\[weights'
    ):
        from_pretrained(tmp_path / "net.h5")
