"""A data set so small that a whole training takes a second, and what the tests of training share."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
from network_cases import random_state

from npnets._jit import OPTIONS
from npnets.data import Dataset
from npnets.train import Trainer
from npnets.train.run import CHECKPOINT
from npnets.train.settings import Settings

TINY = Settings(width=0.25, batch_size=8, epochs=3, lr=0.1, crop=1, flip=True, skip_decay=("depthwise", "1d"))
SHUFFLE = Settings(model="shufflenet", groups=2, scale=0.25, batch_size=8, epochs=3, lr=0.1, crop=2, flip=True)


# Without Numba's compiler its kernels are Python loops, and a training that takes a second takes a minute.
IMPLEMENTATION = "numpy" if OPTIONS.DISABLE_JIT else "numba"
USE = ("--use", IMPLEMENTATION) if OPTIONS.DISABLE_JIT else ()


def tiny(images=56, side=8, classes=4):
    """Bright stripes at a height that depends on the class, on noise; 7 steps an epoch with batches of 8."""
    rng = np.random.default_rng(0)

    def part(count):
        y = np.arange(count) % classes
        x = rng.integers(0, 90, (count, side, side, 1), dtype=np.uint8)
        x[np.arange(count), y * side // classes] += 160
        return x, y

    return Dataset("tiny", *part(images), *part(20), tuple("abcdefgh"[:classes]))


def write_idx(folder, data):
    """Write a data set as the four files that `--data DIR` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, x, y in ("train", data.x_train, data.y_train), ("t10k", data.x_test, data.y_test):
        images = bytes([0, 0, 8, 3]) + struct.pack(">3I", *x.shape[:3]) + x.tobytes()
        Path(folder, f"{part}-images-idx3-ubyte").write_bytes(images)
        labels = bytes([0, 0, 8, 1]) + struct.pack(">I", len(y)) + y.astype(np.uint8).tobytes()
        Path(folder, f"{part}-labels-idx1-ubyte").write_bytes(labels)
    return folder


def leave(folder):
    """Leave a checkpoint of a network for `tiny` there, as `npnets train` does; its weights are drawn, not trained."""
    trainer = Trainer(TINY, tiny())
    trainer.net.load_state_dict(random_state(trainer.net, 2.5))
    folder.mkdir(parents=True)
    trainer.save(folder / CHECKPOINT)
    return trainer


def take(trainer, steps):
    """Take steps as `run` does: an epoch is finished as soon as it is complete."""
    for _ in range(steps):
        trainer.step()
        if trainer.position == trainer.steps_per_epoch:
            trainer.finish_epoch()
    return trainer


def unpack(content):
    """Return a safetensors file's header as a table, npnets' description in it, and the data."""
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    return header, json.loads(header["__metadata__"]["npnets"]), content[8 + size :]


def pack(header, about, data):
    """Undo `unpack`; `about` may be a table or any text."""
    text = about if isinstance(about, str) else json.dumps(about)
    header = json.dumps({**header, "__metadata__": {"npnets": text}}).encode()
    return struct.pack("<Q", len(header)) + header + data


def untimed(path):
    """Return the content of a checkpoint, without the times that no two runs share."""
    header, about, data = unpack(Path(path).read_bytes())
    about["running"]["seconds"] = 0
    about["history"] = [row[:6] for row in about["history"]]
    return header.keys(), about, data


def python(*arguments, cwd, code=0, **environment):
    """Run Python in a process of its own, and return what it wrote."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr.decode("utf-8", "replace")
    return done
