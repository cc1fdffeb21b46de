"""Getting ready: `npnets warmup`, and the word to whoever waits without it."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

import npnets
from npnets import _notice, cli, ops, plan, warmup
from npnets._jit import CACHE_FOLDER, OPTIONS
from npnets.train import step

quick = pytest.mark.quick

# What a process of its own does after the warm-up, with the names of all functions that Numba compiles meanwhile.
LATER = """
import json, sys
import numpy as np
from numba.core import event

class Compilations(event.Listener):
    names = []
    def on_start(self, event):
        self.names.append(event.data["dispatcher"].py_func.__qualname__)
    def on_end(self, event):
        pass

event.register("numba:compile", Compilations())
import npnets
from npnets import cli

dtype, out = sys.argv[1:]
x = np.zeros((4, 32, 32, 3), dtype)
labels = np.arange(4)
for net in (npnets.MobileNetV1(width=0.25, dtype=dtype), npnets.ShuffleNetV1(scale=0.5, dtype=dtype),
            npnets.MobileNetV1(rows=((8, 1), (12, 2)), width=1.0, activation="leaky_relu", dtype=dtype)):
    for options in {}, {"momentum": 0.9, "weight_decay": 4e-5, "nesterov": True, "skip_decay": ("1d",)}:
        optimizer = npnets.SGD(net.train(), lr=0.01, **options)
        npnets.train_step(net, optimizer, x, labels, label_smoothing=0.1)
    net.eval()(x)
    npnets.compile(net)(x)
if dtype == "float32":
    for model in "mobilenet", "shufflenet":
        options = ["--model", model, "--data", "digits", "--epochs", "1", "--out", f"{out}/{model}"]
        assert cli.main(["train", *options]) == 0
print(json.dumps(Compilations.names))
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_left_to_compile(dtype, tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}

    def python(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=400, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    lines = python("-m", "npnets", "warmup", "--dtype", dtype)
    assert lines[:-1] == [f"{i}/4  {name} for {dtype}" for i, name in enumerate(warmup.TASKS, 1)]
    assert lines[-1].startswith("ready after ")
    assert f"MB of compiled code are kept in {tmp_path / 'cache'}" in lines[-1]
    assert json.loads(python("-c", LATER, dtype, str(tmp_path / "runs"))[-1]) == []


@quick
def test_every_operation_is_called():
    assert warmup.calls(np.dtype(np.float32)).keys() == set(ops.__all__)


@quick
@pytest.mark.parametrize("name", ops.__all__)
def test_the_calls_are_right(name):
    with npnets.use("numpy"):
        warmup.calls(np.dtype(np.float64))[name]()


@quick
def test_without_a_compiler(monkeypatch, capsys):
    monkeypatch.setattr(OPTIONS, "DISABLE_JIT", 1)
    assert cli.main(["warmup"]) == 1
    assert capsys.readouterr().err == "npnets: error: `NUMBA_DISABLE_JIT` is set: nothing is compiled\n"


@quick
@pytest.mark.parametrize(("choice", "dtypes"), [("float32", 1), ("float64", 1), ("both", 2)])
def test_what_is_shown(choice, dtypes, monkeypatch, capsys):
    done = []
    monkeypatch.setattr(OPTIONS, "DISABLE_JIT", 0)
    monkeypatch.setattr(warmup, "TASKS", {"this": done.append, "that": done.append})
    monkeypatch.setattr(warmup, "CACHE_FOLDER", None)
    assert cli.main(["warmup", "--dtype", choice]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"{i}/{2 * dtypes}" for i in range(1, 2 * dtypes + 1)]
    assert last.endswith(
        "nothing is kept, as the folder for compiled code cannot be written: NUMBA_CACHE_DIR names another"
    )
    assert {dtype.name for dtype in done} == ({choice} if dtypes == 1 else {"float32", "float64"})


# -- the word to whoever waits -----------------------------------------------------------------------------------------

KEPT = " and is kept for the next time; `npnets warmup` does it beforehand\n"
NOT_KEPT = ", and each time, as the folder for compiled code cannot be written: NUMBA_CACHE_DIR names another\n"


def wait(monkeypatch, capsys, terminal=True, patience=0.0, folder="a folder"):
    monkeypatch.setattr(_notice, "PATIENCE", patience)
    monkeypatch.setattr(_notice, "CACHE_FOLDER", folder)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with _notice.compiling("something"):
        time.sleep(0.2)
    return capsys.readouterr().err


@quick
@pytest.mark.parametrize(("folder", "rest"), [("a folder", KEPT), (None, NOT_KEPT)])
def test_a_terminal_is_told(folder, rest, monkeypatch, capsys):
    assert wait(monkeypatch, capsys, folder=folder) == f"npnets: compiling something, which takes some seconds{rest}"


@quick
def test_a_notebook_is_told(monkeypatch, capsys):
    assert wait(monkeypatch, capsys, terminal=False) == ""
    monkeypatch.setattr(sys, "ps1", "In [1]:", raising=False)
    assert wait(monkeypatch, capsys, terminal=False).startswith("npnets: compiling something")


@quick
def test_nothing_is_said_of_what_is_loaded_at_once(monkeypatch, capsys):
    assert wait(monkeypatch, capsys, patience=60) == ""


@quick
def test_without_a_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    with _notice.compiling("something"):
        pass


@pytest.mark.parametrize(("module", "prepare", "what"), [(plan, plan.prepare, "inference"),
                                                         (step, step.prepare, "the training step")])  # fmt: skip
def test_both_ways_in_are_announced_once(module, prepare, what, monkeypatch):
    said = []
    monkeypatch.setattr(module, "_prepared", set())
    monkeypatch.setattr(module, "compiling", lambda text: said.append(text) or _notice.compiling(text))
    with npnets.use("numba"):
        for _ in range(2):
            prepare(np.dtype(np.float32))
    assert said == [f"{what} for float32"]


def test_the_first_step_prepares(monkeypatch):
    asked = []
    monkeypatch.setattr(step, "prepare", asked.append)
    net = npnets.MobileNetV1(rows=((8, 1),), width=0.25, num_classes=2).train()
    for implementation in "numpy", "numba":
        with npnets.use(implementation):
            npnets.train_step(net, npnets.SGD(net, lr=0.1), np.zeros((2, 4, 4, 3), np.float32), np.zeros(2, int))
    assert asked == [np.float32]


@quick
def test_the_folder_is_that_of_the_compiler():
    assert warmup.CACHE_FOLDER == _notice.CACHE_FOLDER == CACHE_FOLDER
