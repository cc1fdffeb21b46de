"""`npnets exercise`: a starter file that runs, fails as long as nothing is written, and passes when it is."""

import ast
import subprocess
import sys

import numpy as np
import pytest

from npnets import cli, ops
from npnets.check.exercise import exercise

SOLUTION = """\
    KH, KW, M = weight.shape
    H = (x.shape[1] + 2 * padding - dilation * (KH - 1) - 1) // stride + 1
    W = (x.shape[2] + 2 * padding - dilation * (KW - 1) - 1) // stride + 1
    {start}
    for k, l, i, j in np.ndindex(H, W, KH, KW):
        r, c = stride * k + dilation * i - padding, stride * l + dilation * j - padding
        if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
            {step}
    return {result}
"""
FORWARD = SOLUTION.format(
    start="out = np.zeros((len(x), H, W, M), x.dtype)", step="out[:, k, l] += weight[i, j] * x[:, r, c]", result="out"
)
BACKWARD = SOLUTION.format(
    start="dx, dweight = np.zeros_like(x), np.zeros_like(weight)",
    step="dx[:, r, c] += weight[i, j] * dout[:, k, l]; dweight[i, j] += (x[:, r, c] * dout[:, k, l]).sum(0)",
    result="dx, dweight",
)


def pytest_(folder, name):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_the_starter_file_to_the_solution(folder, capsys):
    assert cli.main(["exercise", "depthwise_conv2d"]) == 0
    out = capsys.readouterr().out
    assert out == "depthwise_conv2d.py: write the functions, then run `pytest depthwise_conv2d.py`\n"
    file = folder / "depthwise_conv2d.py"
    assert cli.main(["check", "depthwise_conv2d", "depthwise_conv2d.py", "--backward", "depthwise_conv2d.py"]) == 2
    assert "NotImplementedError" in capsys.readouterr().out

    first, second, *rest = file.read_text().split("    raise NotImplementedError\n")
    file.write_text(first + FORWARD + second + BACKWARD + "".join(rest))
    status, out = pytest_(folder, file.name)
    assert status == 0, out
    assert "3 passed" in out
    command = file.read_text().split("npnets ")[1].splitlines()[0]  # as the file itself says
    assert cli.main(command.split()) == 0
    assert "Adjoint" in capsys.readouterr().out


def test_as_long_as_nothing_is_written_it_fails(folder):
    (folder / "shuffle.py").write_text(exercise("channel_shuffle", "shuffle.py"))
    status, out = pytest_(folder, "shuffle.py")
    assert status == 1
    assert "3 failed" in out
    assert "NotImplementedError" in out


@pytest.mark.quick
def test_nothing_is_overwritten(folder, capsys):
    assert cli.main(["exercise", "relu", "--out", "mine.py"]) == 0
    (folder / "mine.py").write_text("days of work")
    assert cli.main(["exercise", "relu", "--out", "mine.py"]) == 1
    assert "`--out` (=mine.py) exists already, and is not overwritten" in capsys.readouterr().err
    assert (folder / "mine.py").read_text() == "days of work"
    assert cli.main(["exercise", "relu_backward"]) == 0  # the same exercise
    assert (folder / "relu.py").exists()
    assert cli.main(["exercise", "reul"]) == 1
    assert "`reul` is not an operation of npnets" in capsys.readouterr().err


@pytest.mark.uncompiled
@pytest.mark.parametrize("name", [name for name in ops.__all__ if not name.endswith("_backward")])
def test_every_operation_has_an_exercise(name):
    """The file is Python; with npnets' own functions its examples hold; and it shows no solution."""
    text = exercise(name, f"{name}.py")
    tree = ast.parse(text)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    own = [name, f"{name}_backward"] if f"{name}_backward" in ops.__all__ else [name]
    assert list(functions) == [*own, *(f"test_{one}" for one in own), f"test_{name}_conforms"]
    names = {one: getattr(ops, one) for one in own} | {"np": np}
    for one in own:
        assert ast.unparse(functions[one].body[-1]) == "raise NotImplementedError"
        documentation = ast.get_docstring(functions[one])
        assert "Parameters\n---" in documentation
        assert "\n\nReturns\n---" in documentation
        assert "at the top of this file" not in documentation
        assert "As in `conv2d`" not in documentation
        exec(ast.unparse(functions[f"test_{one}"]), names)
        names[f"test_{one}"]()
    assert max(map(len, text.splitlines())) <= 160
    assert text.endswith("\n")
