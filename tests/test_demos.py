"""The demos: each runs, prints and draws, opens as a notebook, and has its picture for README."""

import ast
import json
import runpy
import sys
from pathlib import Path

import matplotlib
import pytest
from PIL import Image

import npnets

ROOT = Path(__file__).resolve().parent.parent
DEMOS = sorted((ROOT / "demos").glob("[0-9]*.py"))
SAME_EVERYWHERE = "01_formula", "03_gradient"  # neither trains, measures times nor rounds
CODE, TEXT = "# %%", "# %% [markdown]"

each = pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)


def stored(path: Path) -> dict:
    return json.loads((path.parent / "pictures" / f"{path.stem}.json").read_text("utf-8"))


@pytest.fixture
def _alone(monkeypatch):
    """A demo finds its helper beside it, and leaves the process as it was."""
    monkeypatch.syspath_prepend(ROOT / "demos")
    threads, backend = npnets.get_threads(), matplotlib.get_backend()
    with matplotlib.rc_context():
        yield
    matplotlib.use(backend)
    npnets.set_threads(threads)


@each
@pytest.mark.usefixtures("_alone")
def test_it_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [path.name, "--quick", "--out", str(tmp_path)])
    runpy.run_path(str(path), run_name="__main__")
    assert {file.name for file in tmp_path.iterdir()} == {f"{path.stem}.png", f"{path.stem}.json"}
    with Image.open(tmp_path / f"{path.stem}.png") as picture:
        assert picture.width == 990
        assert len(picture.getcolors()) > 10
    found = json.loads((tmp_path / f"{path.stem}.json").read_text("utf-8"))
    printed = capsys.readouterr().out
    for row in found["rows"]:
        assert row.keys() == found["rows"][0].keys() == stored(path)["rows"][0].keys()
        assert str(next(iter(row.values())))[:20] in printed
    if path.stem in SAME_EVERYWHERE:
        assert found["rows"] == stored(path)["rows"]


@pytest.mark.quick
def test_there_are_nine():
    assert [path.name[:2] for path in DEMOS] == [f"{number:02d}" for number in range(1, 10)]


@pytest.mark.quick
@each
def test_it_opens_as_a_notebook(path):
    """The percent format: cells begin with a mark; text cells are comments, and code cells programs of their own."""
    cells: list[list[str]] = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith(CODE):
            assert line in (CODE, TEXT)
            cells.append([])
        cells[-1].append(line)
    assert cells[0][:2] == [TEXT, cells[0][1]]
    assert cells[0][1].startswith("# # ")
    for words in "What it shows.", "What you should see.", "Units:":
        assert any(words in line for line in cells[0]), words
    for mark, *lines in cells:
        if mark == TEXT:
            assert all(line.startswith("#") for line in lines if line)
            assert "\n".join(lines).count("$") % 2 == 0
        else:
            ast.parse("\n".join(lines))


@pytest.mark.quick
@each
def test_it_uses_what_is_public(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)]
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        for name in names:
            assert not (name.startswith("npnets") and "._" in name), name


@pytest.mark.quick
@each
def test_readme_has_its_picture(path):
    assert stored(path)["size"] == "full"
    picture = path.parent / "pictures" / f"{path.stem}.png"
    assert 5_000 < picture.stat().st_size < 150_000
