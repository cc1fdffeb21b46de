"""`npnets check` in a process of its own: the command, and whatever a function does, it does not pass."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from npnets import cli
from npnets.check import check_files, child
from npnets.testing import conforms

pytestmark = pytest.mark.uncompiled  # nothing is: so that it is counted in the coverage

# -- whatever a function does ------------------------------------------------------------------------------------------

MISCHIEF = {
    "loop": ("while True: pass", 2, "did not return within 1 s"),
    "sleep": ("import time; time.sleep(1000)", 2, "did not return within 1 s"),
    "leave": ("import os; os._exit(0)", 2, "its process ended with status 0 instead of an answer"),
    "quit": ("raise SystemExit(0)", 2, "raised SystemExit: 0"),
    "memory": ("return np.ones((10**5, 10**5))", 2, "MemoryError"),
    "crash": ("import ctypes; ctypes.string_at(0)", 2, "its process crashed (SIGSEGV)"),
    "huge": ("return np.zeros((2**12, 2**11 + 1))", 2, "answered nonsense"),
    "objects": ("return np.array([object()])", 2, "must be arrays of numbers"),
    "reads": ("input()", 2, "EOFError"),
    "raises": ("if x.ndim > 2: raise IndexError('no such row')\nreturn x * (x > 0)", 2, "IndexError: no such row"),
    "todo": ("raise NotImplementedError", 2, "raised NotImplementedError (todo.py, line 3: raise NotImplementedError)"),
    "prints": ("print('right' * 1000); import os; os.write(1, b'x' * 9); return x * (x > 0)", 0, "conforms"),
    "prints_only": ("print('conforms'); return x", 1, "differs"),
    "patches": (
        "np.array_equal = np.allclose = lambda *a, **k: True\n"
        "np.asarray, np.frombuffer = lambda x, *a: x, None\n"
        "import json; json.dumps = lambda *a, **k: '{}'\nreturn x",
        1,
        "negative values are let through",
    ),
    "writes_anywhere": (
        "import os\nfor n in range(3, 30):\n"
        "    try: os.write(n, b'{\"results\": 1}' * 99)\n    except OSError: pass\nreturn x",
        2,
        "answered nonsense",
    ),
}


def mischief(folder, name):
    body, *expected = MISCHIEF[name]
    lines = "\n".join("    " + line for line in body.splitlines())
    (folder / f"{name}.py").write_text(f"import numpy as np\ndef mine(x):\n{lines}\n")
    return folder / f"{name}.py", *expected


@pytest.mark.parametrize("name", MISCHIEF)
def test_nothing_passes_that_should_not(name, tmp_path, capfd):
    file, status, words = mischief(tmp_path, name)
    assert cli.main(["check", "relu", f"{file}:mine", "--seconds", "1"]) == status
    out, err = capfd.readouterr()
    assert words.lower() in " ".join(out.split()).lower()
    assert err == ""


def test_what_a_function_begins_ends_with_it(tmp_path):
    """A process that it has left behind is ended, too."""
    file = tmp_path / "fork.py"
    file.write_text(
        "import subprocess, sys\ndef mine(x):\n"
        "    p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid))\n"
        "    while True: pass\n"
    )
    assert check_files("relu", (str(file), "mine"), seconds=1).status == "could not run"
    pid = int((tmp_path / "pid").read_text())
    for _ in range(1000):
        status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
        if not status.strip() or status.startswith("Z"):
            return
    raise AssertionError("it still runs")


def test_frames_are_read_as_they_were_written():
    arrays = [np.arange(6.0, dtype=np.float32).reshape(2, 3), None, np.array(3), np.zeros((0, 2), bool)]
    stream = io.BytesIO()
    child.write(stream, {"kind": "numpy"}, arrays)
    stream.seek(0)
    header, found = child.read(stream)
    assert header == {"kind": "numpy"}
    for one, right in zip(found, arrays, strict=True):
        assert right is None or (one.dtype == right.dtype and one.shape == right.shape and np.array_equal(one, right))
    assert found[1] is None
    assert child.read(stream) is None


def frame(text, more=b""):
    return io.BytesIO(len(text).to_bytes(child.LENGTH, "big") + text.encode() + more)


@pytest.mark.parametrize(
    ("stream", "error", "words"),
    [
        (frame('{"arrays": [["|O", [1]]]}', b"12345678"), ValueError, "not an array of numbers"),
        (frame('{"arrays": [["<f8", [-1, -1]]]}', b"12345678"), ValueError, "not an array of numbers"),
        (frame('{"arrays": [["<f8", [1000000, 1000000]]]}'), ValueError, "an answer of 8000000000000 bytes"),
        (frame('{"arrays": [["<f8", [2]]]}', b"12345678"), EOFError, None),
        (frame("[]"), TypeError, None),
        (frame("no JSON"), ValueError, None),
        (io.BytesIO(b"\xff" * 8), ValueError, "bytes"),
    ],
)
def test_nonsense_is_no_answer(stream, error, words):
    with pytest.raises(error, match=words):
        child.read(stream, 2**20)


def test_loading(file):
    path = str(file)
    assert child.load(path, "Solution.relu")(np.array([-1, 2])).tolist() == [0, 2]
    for name, words in (("f", "has no function `f`: there is relu"), ("number", "is a int, and no function")):
        with pytest.raises(child.Unsuitable, match=words):
            child.load(path, name)
    (file.parent / "text.txt").write_text("")
    with pytest.raises(child.Unsuitable, match="is not a Python file"):
        child.load(str(file.parent / "text.txt"), "f")


# -- the command -------------------------------------------------------------------------------------------------------

FILE = """\
import numpy as np
from helper import zero


def relu(x):
    return np.maximum(x, zero)


def relu_backward(dout, x):
    return dout * (x >= 0)


class Solution:
    @staticmethod
    def relu(x):
        return np.maximum(x, 0)


number = 3
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file with a neighbour."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "helper.py").write_text("zero = 0\n")
    (tmp_path / "mycode.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mycode.py"


def test_the_command(file, capsys):
    assert cli.main(["check", "relu", "mycode.py"]) == 0
    assert capsys.readouterr().out == "relu: mycode.py:relu conforms, to the bit, in all 21 cases.\n"
    assert cli.main(["check", "relu", "mycode.py:relu", "--backward", "mycode.py"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("relu: mycode.py:relu conforms")
    assert "At x = 0 the gradient is let through" in out
    assert cli.main(["check", "relu", "mycode.py:Solution.relu"]) == 0


def test_json(file, capsys):
    assert cli.main(["check", "relu", "mycode.py", "--backward", "mycode.py:relu_backward", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["status"] == "differs"
    forward, backward = result["functions"]
    assert (forward["status"], forward["case"], forward["cases"]) == ("conforms", None, 21)
    (difference,) = backward["differences"]
    assert difference["mistake"] == "kink"
    assert backward["case"]["x"][difference["index"][0]] == 0
    assert difference["expected"] == 0
    assert difference["found"] == backward["case"]["dout"][difference["index"][0]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing", "mycode.py"], "`nothing` is not an operation of npnets: there are avg_pool2d"),
        (["relu", "other.py:f"], "there is no file other.py (of 'other.py:f', which must be FILE.py:FUNCTION)"),
        (["relu", "mycode.py:f"], "mycode.py has no function `f`: there is relu, relu_backward, Solution"),
        (["relu", "mycode.py:number"], "`number` in mycode.py is a int, and no function"),
        (["relu_backward", "mycode.py", "--backward", "mycode.py:relu"], "there is no `relu_backward_backward`"),
        (["relu", "broken.py:f"], "the file could not be loaded: SyntaxError: expected ':' (broken.py, line 1)"),
        (["relu", "leaves.py:f"], "the file could not be loaded: its process ended with status 3"),
        (["relu", "mycode.py", "--seconds", "0"], "`--seconds` (=0.0) must be greater than 0"),
        (["relu", "mycode.py", "--memory", "1"], "`--memory` (=1) must be at least 100"),
    ],
)
def test_what_cannot_be_run(file, capsys, arguments, words):
    (file.parent / "broken.py").write_text("def f(x)\n    return x\n")
    (file.parent / "leaves.py").write_text("import os; os._exit(3)\n")
    assert cli.main(["check", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("npnets: error: ")
    assert words in captured.err
    assert cli.main(["check", *arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["status"] == "could not run"


# -- in a test ---------------------------------------------------------------------------------------------------------


def test_conforms_in_a_process_of_its_own(file):
    conforms("relu", "mycode.py:relu")
    with pytest.raises(AssertionError, match="At x = 0 the gradient is let through"):
        conforms("relu", "mycode.py:relu", "mycode.py:relu_backward")


def test_a_class_of_students(tmp_path):
    """The form that README shows, run by pytest itself."""
    (tmp_path / "student_a.py").write_text("def relu(x):\n    return x * (x > 0)\n")
    (tmp_path / "student_b.py").write_text("def relu(x):\n    while True: pass\n")
    (tmp_path / "test_class.py").write_text(
        "import pytest\nfrom npnets.testing import conforms\n\n"
        "@pytest.mark.parametrize('student', ['student_a', 'student_b'])\n"
        "def test_relu(student):\n    conforms('relu', f'{student}.py:relu', seconds=1)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_class.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PY_COLORS": "0"})
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "did not return within 1 s" in done.stdout
