"""`npnets check`: right functions conform, wrong ones are diagnosed, and whatever a function does, it does not pass."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from wrong_functions import WRONG, depthwise, gradients

import npnets
from npnets import cli, ops
from npnets.check import check, check_files
from npnets.check.cases import cases
from npnets.check.compare import Outcome
from npnets.check.operations import find
from npnets.testing import conforms

pytestmark = pytest.mark.quick


def said(report):
    return " ".join(str(report).split())


# -- right functions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ops.__all__)
def test_npnets_own_conform(name):
    """Every operation can be checked, and has cases; that it is right in them is for the functions below to say."""
    with npnets.use("numpy"):
        report = check(name, getattr(ops, name))
    assert report.conforms, str(report)
    assert len(report.findings[0].run.outcomes) >= 20


def strided(x, weight, *, stride, padding, dilation):
    """The way of NumPy's sliding windows: nothing in common with npnets."""
    KH, KW, _ = weight.shape
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (dilation * (KH - 1) + 1, dilation * (KW - 1) + 1), (1, 2))
    windows = windows[:, ::stride, ::stride, :, ::dilation, ::dilation]
    return np.einsum("bklmij,ijm->bklm", windows, weight)


def fourier(x, weight, *, stride, padding, dilation):
    """By Fourier transforms: right, but for rounding."""
    KH, KW, M = weight.shape
    spread = np.zeros((dilation * (KH - 1) + 1, dilation * (KW - 1) + 1, M))
    spread[::dilation, ::dilation] = weight
    x64 = np.pad(x.astype(float), ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    sides = x64.shape[1:3]
    product = np.fft.rfft2(x64, sides, (1, 2)) * np.fft.rfft2(spread, sides, (0, 1)).conj()
    full = np.fft.irfft2(product, sides, (1, 2))
    return full[:, : sides[0] - len(spread) + 1 : stride, : sides[1] - spread.shape[1] + 1 : stride].astype(x.dtype)


def lists(x, weight, *, stride, padding, dilation):
    """Lists of lists, which NumPy arrays would not do for: they are joined by +."""
    KH, KW, M = len(weight), len(weight[0]), len(weight[0][0])
    out = []
    for image in x:
        W = len(image[0]) + 2 * padding
        nothing = [[[0.0] * M] * W] * padding
        side = [[0.0] * M] * padding
        image = nothing + [side + row + side for row in image] + nothing
        out.append([
            [
                [
                    sum(weight[i][j][m] * image[k + dilation * i][l + dilation * j][m]
                        for i in range(KH) for j in range(KW))
                    for m in range(M)
                ]
                for l in range(0, W - dilation * (KW - 1), stride)
            ]
            for k in range(0, len(image) - dilation * (KH - 1), stride)
        ])  # fmt: skip
    return out


@pytest.mark.parametrize(("function", "words"), [(strided, "to the bit"), (fourier, "within rounding"),
                                                 (lists, "lists of lists")])  # fmt: skip
def test_others_conform(function, words):
    report = check("depthwise_conv2d", function)
    assert report.conforms, str(report)
    assert words in str(report)


def test_a_right_pair_is_adjoint():
    def backward(dout, x, weight, *, stride, padding, dilation):
        return gradients(dout, x, weight, stride, padding, dilation)

    report = check("depthwise_conv2d", strided, backward)
    assert report.conforms, str(report)
    assert "Adjoint: <dG, G> = <dF, F> = <dK, K> in all" in str(report)


# -- wrong functions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRONG)
def test_wrong_functions_are_diagnosed(name):
    op, words, function = WRONG[name]
    report = check(op, function)
    assert report.status == "differs"
    text = said(report)
    for word in words:
        assert word.lower() in text.lower(), str(report)
    assert max(map(len, str(report).splitlines())) <= 80
    json.dumps(report.json(), allow_nan=False)


def test_there_are_enough_of_them():
    assert len(WRONG) >= 60


def test_an_unknown_mistake_is_told_by_its_terms():
    """No name, but all the rest: the smallest case, the values, the term."""

    def knight(x, weight, *, stride, padding, dilation):
        weight = weight.copy()
        if weight.shape[0] == 3:
            weight[2, 1:2] = 0
        return depthwise(x, weight, stride, padding, dilation)

    report = check("depthwise_conv2d", knight)
    assert "the term i=2, j=1, m=0 (K=" in said(report), str(report)
    assert "is missing" in said(report)
    assert "is read nowhere; every term that is summed is in its place" in said(report)
    assert report.findings[0].told[0].mistake == ""


def test_two_mistakes_at_once_are_named():
    def two(x, weight, *, stride, padding, dilation):
        return depthwise(x, weight[::-1, ::-1], stride, padding, 1)

    text = said(check("depthwise_conv2d", two))
    assert "(flipped): K[i,j] belongs to the pixel s k + d i - p, s l + d j - p; and the dilation is ignored." in text
    assert "a function with these two mistakes and no other returns the same as yours in all" in text


def test_a_beginning_without_options_is_recognised():
    def beginning(x, weight, *, stride, padding, dilation):
        return depthwise(x, weight, 1, 0, 1)

    assert "Stride, padding and dilation are ignored." in said(check("depthwise_conv2d", beginning))


def test_the_first_failing_case_is_a_smallest_one():
    """Of all cases in which it differs none has fewer values, with what is around the image."""
    _, _, function = WRONG["true_convolution"]
    run = check("depthwise_conv2d", function).findings[0].run
    sizes = []
    for case in (one.case for one in run.outcomes if not one.agrees):
        B, H, W, M = case.arguments["x"].shape
        p = case.arguments["padding"]
        sizes.append(B * H * W * M + case.arguments["weight"].size + p * (H + W))
    assert sizes[0] == min(sizes) == 4


def test_a_pair_with_the_same_mistake_on_both_sides():
    def forward(x, weight, *, stride, padding, dilation):
        return depthwise(x, weight[::-1, ::-1], stride, padding, dilation)

    def backward(dout, x, weight, *, stride, padding, dilation):
        dx, dweight = gradients(dout, x, weight[::-1, ::-1], stride, padding, dilation)
        return dx, dweight[::-1, ::-1].copy()

    text = said(check("depthwise_conv2d", forward, backward))
    assert "Your backward function is the gradient of your forward function" in text
    assert "The backward function is not the gradient" in said(
        check("depthwise_conv2d", forward, lambda *args, **options: gradients(*args, *options.values()))
    )


# -- whatever a function does ------------------------------------------------------------------------------------------

MISCHIEF = {
    "loop": ("while True: pass", 2, "did not return within 1 s"),
    "sleep": ("import time; time.sleep(1000)", 2, "did not return within 1 s"),
    "leave": ("import os; os._exit(0)", 2, "its process ended with status 0 instead of an answer"),
    "quit": ("raise SystemExit(0)", 2, "raised SystemExit: 0"),
    "memory": ("return np.ones((10**5, 10**5))", 2, "MemoryError"),
    "crash": ("import ctypes; ctypes.string_at(0)", 2, "its process crashed (SIGSEGV)"),
    "huge": ("return np.zeros((2**13, 2**12))", 2, "answered nonsense"),
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


def test_help(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["check", "--help"])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for phrase in (
        "it is no sandbox",
        "exit status: 0 conforms, 1 differs, 2 could not run",
        "always with all keywords",
        "mine(x, weight, *, groups, stride, padding, dilation)",
    ):
        assert phrase in " ".join(out.split())


# -- in a test ---------------------------------------------------------------------------------------------------------


def test_conforms():
    conforms("relu", lambda x: np.maximum(x, 0))
    with pytest.raises(AssertionError, match="The kernel is turned by 180 degrees"):
        conforms("depthwise_conv2d", WRONG["true_convolution"][2])
    with pytest.raises(AssertionError, match="not added up where windows overlap"):
        conforms("depthwise_conv2d", strided, WRONG["not_accumulated"][2])
    with pytest.raises(ValueError, match="is not an operation"):
        conforms("convolution", strided)
    with pytest.raises(ValueError, match="`layout`"):
        conforms("relu", abs, layout="CHWN")
    with pytest.raises(ValueError, match="`arrays`"):
        conforms("relu", abs, arrays="cupy")
    with pytest.raises(TypeError, match="must both be functions, or both be strings"):
        conforms("relu", abs, "file.py:f")


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


# -- layouts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ops.__all__)
def test_layouts_are_turned_and_turned_back(name):
    operation = find(name)
    case = list(cases(operation))[40 if name.startswith(("conv", "depth", "group")) else -1]
    for key, value in (*case.arrays().items(), *zip(operation.results, operation.correct(case.arguments), strict=True)):
        turned = operation.turned(key, value, "NCHW")
        assert turned.size == value.size
        back = operation.turned_back(key, turned, "NCHW")
        assert back.shape == value.shape
        assert np.array_equal(back, value)


def test_places_are_those_of_the_layout():
    operation = find("conv2d")
    assert operation.place("out", (1, 2, 3, 4), (2, 5, 5, 5), "NHWC") == "G[1,2,3,4]"
    assert operation.place("out", (1, 2, 3, 4), (2, 5, 5, 5), "NCHW") == "G[1,4,2,3]"
    assert operation.place("weight", (1, 2, 0, 3), (2, 3, 1, 4), "NCHW") == "K[3,0,1,2]"


def test_an_outcome_knows_whether_it_is_exact():
    one = np.ones(2)
    case = next(cases(find("relu")))
    assert Outcome(case, (one,), (one,), ()).exact
    assert not Outcome(case, (one,), (one + 1e-15,), ()).exact
