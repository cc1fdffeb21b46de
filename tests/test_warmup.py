"""Getting ready: `npnets warmup`, and the word to whoever waits without it."""

import json
import logging
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from numba.core import event

import npnets
from npnets import _jit, _notice, cli, ops, warmup
from npnets._jit import OPTIONS
from npnets._notice import Notice

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
for model in "mobilenet", "shufflenet":
    options = ["--model", model, "--data", "digits", "--epochs", "1", "--out", f"{out}/{model}"]
    assert cli.main(["train", *options]) == 0
print(json.dumps(Compilations.names))
"""


def test_nothing_is_left_to_compile(tmp_path):
    dtype = "float32"  # the other goes through the same calls, and takes as long
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}

    def python(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=400, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    for expected in r"compiled \d\d\d? functions", "all was compiled already: loaded":
        *lines, last = python("-m", "npnets", "warmup", "--dtype", dtype)
        assert lines == [f"{i}/4  {name} for {dtype}" for i, name in enumerate(warmup.TASKS, 1)]
        assert re.match(expected + r" in \d+\.\d s; \d+\.\d MB are kept in ", last)
        assert last.partition(" are kept in ")[2].startswith(str(tmp_path / "cache"))
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
def test_without_a_folder(monkeypatch, capsys):
    monkeypatch.setattr(OPTIONS, "DISABLE_JIT", 0)
    monkeypatch.setattr(warmup, "CACHE_FOLDER", None)
    assert cli.main(["warmup"]) == 1
    said = "the folder for compiled code cannot be written: NUMBA_CACHE_DIR names another"
    assert capsys.readouterr().err == f"npnets: error: {said}\n"


@quick
@pytest.mark.parametrize(("choice", "dtypes"), [("float32", 1), ("float64", 1), ("both", 2)])
@pytest.mark.parametrize("extras", [True, False])
def test_what_is_shown(choice, dtypes, extras, monkeypatch, capsys, tmp_path):
    done = []

    def compile_three(dtype):
        done.append(dtype.name)
        _jit.NOTICE.functions += 3

    def nothing_is_installed(module, extra, purpose):
        raise ModuleNotFoundError

    if not extras:
        monkeypatch.setattr(warmup, "need", nothing_is_installed)
    monkeypatch.setattr(OPTIONS, "DISABLE_JIT", 0)
    monkeypatch.setattr(_jit.NOTICE, "said", False)
    monkeypatch.setattr(warmup, "TASKS", {"this": compile_three, "that": lambda dtype: None})
    monkeypatch.setattr(warmup, "CACHE_FOLDER", str(tmp_path))
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "code.nbc").write_bytes(bytes(3 * 2**19))
    assert cli.main(["warmup", "--dtype", choice]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert done == (["float32", "float64"] if dtypes == 2 else [choice])
    assert lines == [
        f"{i}/{2 * dtypes}  {what} for {dtype}"
        for i, (dtype, what) in enumerate(((dtype, what) for dtype in done for what in ("this", "that")), 1)
    ]
    assert re.fullmatch(
        rf"compiled {3 * dtypes} functions in \d\.\d s; 1\.5 MB are kept in {re.escape(str(tmp_path))}", last
    )
    assert _jit.NOTICE.said  # the bar is enough


# -- the word to whoever waits -----------------------------------------------------------------------------------------

SAID = "npnets: compiling for this processor, some 20 s, "
KEPT = "once; see `npnets warmup`"
NOT_KEPT = "each time: the folder for compiled code cannot be written; NUMBA_CACHE_DIR names another"


@pytest.fixture
def no_log(monkeypatch):
    """Let no handler of pytest's be in the way."""
    monkeypatch.setattr(_notice, "LOG", logging.Logger("npnets"))


@pytest.fixture
def notebook(no_log, monkeypatch, capsys):
    monkeypatch.setattr(sys, "ps1", "In [1]:", raising=False)
    return capsys


def compiles(*modules):
    """Return the event of a function of the first module, which calls one of the next, and so on."""
    return [SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=SimpleNamespace(__module__=module))})
            for module in modules]  # fmt: skip


def wait(notice, *modules, seconds=0.0):
    """Let it hear of compiling that takes so long."""
    events = compiles(*modules)
    for one in events:
        notice.on_start(one)
    timer = notice._timer
    if timer.is_alive():
        timer.join(seconds)
    for one in reversed(events):
        notice.on_end(one)
    if timer.is_alive():
        timer.join()
    return notice


@quick
@pytest.mark.parametrize(("kept", "rest"), [(True, KEPT), (False, NOT_KEPT)])
def test_it_is_said_once(kept, rest, monkeypatch, notebook):
    monkeypatch.setattr(_notice, "PATIENCE", 0.0)
    notice = Notice(kept)
    for _ in range(2):
        wait(notice, "npnets.kernels.training", "npnets.kernels.product", seconds=60)
    notice.say()
    assert notebook.readouterr().err == f"{SAID}{rest}\n"
    assert notice.functions == 4


@quick
@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_is_told_and_a_pipe_is_not(terminal, no_log, monkeypatch, capsys):
    monkeypatch.delattr(sys, "ps1", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    Notice(True).say()
    assert capsys.readouterr().err == terminal * f"{SAID}{KEPT}\n"


@quick
def test_a_log_is_told_and_can_be_silenced(caplog, capsys):
    Notice(True).say()
    assert caplog.record_tuples == [("npnets", logging.WARNING, SAID + KEPT)]
    with caplog.at_level("ERROR", "npnets"):
        Notice(True).say()
    assert len(caplog.records) == 1
    assert capsys.readouterr().err == ""


@quick
def test_small_kernels_are_passed_over_until_they_add_up(monkeypatch, notebook):
    monkeypatch.setattr(_notice, "PATIENCE", 60.0)
    notice = wait(Notice(True), "npnets.kernels.elementwise")
    assert not notice.said
    notice._spent += 60
    assert wait(notice, "npnets.kernels.elementwise", seconds=60).said
    assert notebook.readouterr().err == f"{SAID}{KEPT}\n"


@quick
def test_the_users_own_functions_are_not_its_business(monkeypatch, notebook):
    monkeypatch.setattr(_notice, "PATIENCE", 0.0)
    notice = wait(Notice(True), "npnetsish", "__main__", "numba.cpython.builtins")
    assert (notice.said, notice.functions) == (False, 0)
    notice = wait(Notice(True), "__main__", "npnets.kernels.product", "numba.cpython.builtins", seconds=60)
    assert (notice.said, notice.functions) == (True, 1)


@quick
@pytest.mark.parametrize("state", ["none", "closed"])
def test_without_a_standard_error(state, no_log, monkeypatch, tmp_path):
    stream = None  # as under pythonw
    if state == "closed":
        stream = (tmp_path / "log").open("w")
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    notice = Notice(True)
    notice.say()
    assert notice.said


def test_numba_tells_it(monkeypatch, notebook):
    """A real compilation, of a function that claims to be a kernel; the second call compiles nothing."""
    monkeypatch.setattr(_notice, "PATIENCE", 0.0)
    monkeypatch.setattr(_jit.NOTICE, "said", True)

    def kernel(x):
        return x + 1

    kernel.__module__ = "npnets.kernels.made_up"
    notice, compiled, compiles = Notice(True), numba.njit(kernel), not OPTIONS.DISABLE_JIT
    with event.install_listener("numba:compile", notice):
        assert [compiled(1), compiled(2)] == [2, 3]
    if compiles:
        notice._timer.join()
    assert (notice.functions, notice._depth) == (int(compiles), 0)
    assert notebook.readouterr().err == compiles * f"{SAID}{KEPT}\n"


@quick
def test_it_listens():
    assert _jit.NOTICE.kept is (_jit.CACHE_FOLDER is not None)
    assert _jit.NOTICE in event._registered["numba:compile"]
