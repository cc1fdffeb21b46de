"""Files of weights that are damaged, or made to do harm: what each must be refused with, and what that costs.

Usage: bad_files.py FOLDER. It writes each file there, has it read, and prints as JSON for each its name, a part of the
error that there must be, the error, the processor's seconds and the process's growth in bytes.
"""

import io
import json
import pickle
import resource
import struct
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import torch
from weight_files import keras_names, renamed, to_hwio

import npnets
from npnets.weights import from_pretrained, npz, save_weights

HUGE = 1 << 33  # values of float32: 32 GiB


class Harmful:
    """What would run a command, were it unpickled."""

    def __reduce__(self):
        return print, ("unpickled",)


def arrays():
    return renamed(npnets.MobileNetV1(width=0.25, num_classes=7), keras_names(), to_hwio)


def to_npz(held):
    buffer = io.BytesIO()
    np.savez(buffer, **held)
    return buffer.getvalue()


def to_zip(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def to_bomb(members, last, begins=b""):
    """Compress 320 MiB of zeros behind the beginning of the last member; in pieces, which take no memory."""
    buffer = io.BytesIO(to_zip(members))
    with (
        zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(last, "w") as file,
    ):
        file.write(begins)
        for _ in range(320):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


def npy_header(shape, dtype="<f4"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def to_h5(held):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, value in held.items():
            file[name] = value
    return buffer.getvalue()


def hollow_h5():
    """32 GiB of which nothing was ever written."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("conv1/kernel", (HUGE,), "f4", chunks=(1 << 20,))
    return buffer.getvalue()


def to_torch(held):
    buffer = io.BytesIO()
    torch.save(held, buffer)
    return buffer.getvalue()


def to_safetensors(header):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(64)


def own(folder, ending):
    save_weights(npnets.MobileNetV1(width=0.25, num_classes=7), folder / f"own.{ending}")
    return (folder / f"own.{ending}").read_bytes()


def lying_directory(content):
    """An archive whose directory says 32 GiB of its first member."""
    at = content.index(b"PK\1\2") + 24
    return content[:at] + struct.pack("<I", 0xFFFFFFF0) + content[at + 4 :]


def files(folder):
    """Return the content of each file, and a part of the error that it must be refused with."""
    good = arrays()
    whole = {
        "npz": to_npz(good),
        "h5": to_h5(good),
        "keras": to_zip({"config.json": "{}", "model.weights.h5": to_h5(good)}),
        "pth": to_torch({name: torch.from_numpy(value) for name, value in good.items()}),
        "safetensors": own(folder, "safetensors"),
        "own.npz": own(folder, "npz"),
    }
    nan = {**good, "conv_pw_3/kernel": np.full_like(good["conv_pw_3/kernel"], np.nan)}
    wrong = {**good, "conv_pw_3/kernel": np.zeros((1, 1, 5, 7), np.float32)}
    found = {f"cut{part}.{ending}": (content[: len(content) * part // 100], "") for ending, content in whole.items()
             for part in (1, 30, 99)}  # fmt: skip
    return found | {
        "empty": (b"", "begins with the bytes (none)"),
        "text.npz": (b"once upon a time", "like no kind that is known"),
        "picture.npz": (b"\x89PNG\r\n\x1a\n" + bytes(100), "like no kind that is known"),
        "pickle.pth": (pickle.dumps(Harmful()), "a pickle, which can run any code"),
        "harmful.pth": (to_torch({"conv1/kernel": Harmful()}), "it holds more than tensors"),
        "object.npz": (to_npz({"conv1/kernel": np.array([Harmful()], object)}), "a pickle is not read: it can run"),
        "no_array.npz": (to_zip({"a.npy": b"abc"}), ""),
        "nan.npz": (to_npz(nan), "`conv_pw_3/kernel` holds NaN or infinity"),
        "nan.h5": (to_h5(nan), "`conv_pw_3/kernel` holds NaN or infinity"),
        "shape.npz": (to_npz(wrong), "`block3.pointwise.weight` has the shape (5, 7), and must have (32, *)"),
        "names.npz": (to_npz({f"a{i}/b": v for i, v in enumerate(good.values())} | {"x": good["conv1/kernel"]}),
                      "is one of any source"),
        "missing.npz": (to_npz({"conv1/kernel": good["conv1/kernel"]}), "`classifier.weight` is missing"),
        "huge_header.npz": (to_zip({"a.npy": npy_header((HUGE,)) + bytes(64)}), "34359738368 bytes, and 64 follow"),
        "negative.npz": (to_zip({"a.npy": npy_header((-4, -4)) + bytes(64)}), "does not begin like an array of"),
        "long_header.npz": (to_zip({"a.npy": b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 20) + b"(" * (1 << 20)}), ""),
        "deep.npz": (to_zip({"a.npy": b"\x93NUMPY\1\0" + struct.pack("<H", 9000) + b"(" * 9000}), ""),
        "directory.npz": (lying_directory(to_zip({"a.npy": npy_header((HUGE,)) + bytes(64)})), "would unpack to"),
        "bomb.npz": (to_bomb({}, "conv1/kernel.npy", npy_header((80 << 20,))), "would unpack to"),
        "bomb.keras": (to_bomb({"config.json": "{}"}, "model.weights.h5"), "would unpack to"),
        "bomb.pth": (to_bomb({"archive/data.pkl": b""}, "archive/data/0"), "would unpack to"),
        "huge.h5": (hollow_h5(), "would unpack to 34359738368"),
        "huge.safetensors": (struct.pack("<Q", 32 << 30) + b"{" + bytes(64), "a header of 34359738368 bytes"),
        "huge_tensor.safetensors": (
            to_safetensors({"a": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}), "",
        ),
        "overlap.safetensors": (
            to_safetensors({n: {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]} for n in "ab"}), "",
        ),
        "deep_text.npz": (to_npz({npz.ABOUT: np.array("[" * 100_000)}), ""),
        "no_text.npz": (to_npz({npz.ABOUT: np.zeros(3)}), ""),
    }  # fmt: skip


def largest():
    """Return the most memory that the process has had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read(path):
    """Return the error that a file is refused with."""
    try:
        from_pretrained(path)
    except (ValueError, OSError) as error:
        return str(error)
    return "no error"


def main(folder):
    folder = Path(folder)
    made, results = files(folder), []
    for name, (content, _) in made.items():
        (folder / name).write_bytes(content)
    from_pretrained(folder / "own.npz")  # what is imported once
    for name, (_, message) in made.items():
        before, start = largest(), time.process_time()
        error = read(folder / name)
        results.append([name, message, error, time.process_time() - start, largest() - before])
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
