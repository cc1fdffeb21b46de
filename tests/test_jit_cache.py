"""The cache of compiled code: warm when nothing changed, never stale, and done without where it cannot be written.

Each test starts processes of its own on a copy of what compiles (`_jit.py`, a real kernel and two small ones), with a
home of its own, so that neither the package nor the user's cache is touched.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from npnets import _jit

HELPER = "from npnets._jit import jit\n\n@jit\ndef scaled(value):\n    return 2 * value\n"
CALLER = """
from npnets._jit import jit
from npnets.kernels.helper import scaled

@jit
def at(x, place):
    return scaled(x[place])
"""
INTRINSICS = {"numba.core", "numba.extending"}
REPORT = """
import json, sys
import numba, numpy as np
import npnets
from npnets import _jit
from npnets.kernels import caller, elementwise
out = np.empty(3)
elementwise.relu(np.array([-1.0, 0.0, 2.0]), out)
try:
    value = caller.at(np.arange(3.0), int(sys.argv[1]))
except IndexError:
    value = "IndexError"
print(json.dumps({
    "package": npnets.__path__[0], "folder": _jit.CACHE_FOLDER, "config": numba.config.CACHE_DIR, "relu": out.tolist(),
    "value": value, **{
        f"{event} {name}": sum(getattr(kernel.stats, f"cache_{event}").values())
        for event in ("hits", "misses") for name, kernel in (("relu", elementwise._relu), ("at", caller.at))
    },
}))
"""


@pytest.fixture
def package(tmp_path):
    """A package that compiles as npnets does."""
    copy = tmp_path / "sources" / "npnets"
    (copy / "kernels").mkdir(parents=True)
    for name in "_jit.py", "_check.py", "_parallel.py", "kernels/elementwise.py":
        shutil.copy(_jit.PACKAGE / name, copy / name)
    for name, content in ("__init__.py", ""), ("kernels/helper.py", HELPER), ("kernels/caller.py", CALLER):
        (copy / name).write_text(content)
    return copy


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def run(package: Path, home: Path, place: int = 2, **variables: str) -> dict:
    """Compile, or load, two kernels in a new process, and return what it reports."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "COV"))}
    homes = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME"), str(home))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", REPORT, str(place)],
        env=kept | homes | {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"} | variables,
        cwd=package.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["package"] == str(package)
    assert report["relu"] == [0, 0, 2]
    return report


def edit(path: Path, old: str, new: str) -> None:
    """Change a file as an editor does; a program is fast enough to keep its modification time, so move that on."""
    content = path.read_text()
    assert old in content
    before = path.stat()
    path.write_text(content.replace(old, new))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


def counts(report: dict) -> tuple[int, ...]:
    return tuple(report[name] for name in ("hits relu", "hits at", "misses relu", "misses at"))


def cached(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.nb[ic]"))


def test_the_second_process_compiles_nothing_and_an_edited_helper_is_seen(package, home):
    first, second = run(package, home), run(package, home)
    assert counts(first) == (0, 0, 1, 1)
    assert counts(second) == (1, 1, 0, 0)
    assert first["folder"] == second["folder"]
    assert Path(first["folder"]).is_relative_to(home)
    assert first["value"] == second["value"] == 4

    edit(package / "kernels" / "helper.py", "2 * value", "3 * value")
    third = run(package, home)
    assert third["value"] == 6
    assert third["folder"] != first["folder"]
    assert not cached(package)


def test_without_the_digest_the_helper_would_be_stale(package, home):
    """What the test above proves is not what Numba does anyway."""
    edit(package / "_jit.py", "return digest.hexdigest()[:16]", "return 'one folder for all'")
    assert run(package, home)["value"] == 4
    edit(package / "kernels" / "helper.py", "2 * value", "3 * value")
    assert run(package, home)["value"] == 4


@pytest.mark.parametrize("name", ["XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_a_folder_that_cannot_be_written_is_done_without(package, home, tmp_path, name):
    if name == "XDG_CACHE_HOME" and sys.platform in ("win32", "darwin"):
        pytest.skip("not asked there")
    occupied = tmp_path / "a file in its place"  # a mode without w would not stop root
    occupied.touch()
    for _ in range(2):
        report = run(package, home, **{name: str(occupied)})
        assert report["folder"] is None
        assert counts(report) == (0, 0, 1, 1)  # compiled each time
        assert report["value"] == 4
    assert not cached(tmp_path)


def test_checked_bounds_use_no_code_compiled_without(package, home):
    unchecked = run(package, home)
    checked = run(package, home, place=5, NUMBA_BOUNDSCHECK="1")
    assert checked["value"] == "IndexError"
    assert checked["folder"] != unchecked["folder"]
    assert counts(run(package, home)) == (1, 1, 0, 0)


def test_the_users_folder_is_honoured_and_left_as_it_was(package, home, tmp_path):
    users = tmp_path / "the user's"
    report = run(package, home, NUMBA_CACHE_DIR=str(users))
    assert report["config"] == str(users)
    assert Path(report["folder"]).parent == users
    assert len(cached(users)) >= 4  # an index and code, for each of two kernels
    assert not cached(home)
    assert run(package, home)["config"] == ""


@pytest.mark.quick
def test_folders_out_of_use_are_removed(tmp_path):
    """Whatever is not one of them stays, and so does one that was used within the time."""
    now, day = 1e9, 24 * 3600
    names = {"0123456789abcdef": 31, "fedcba9876543210": 29, "0123456789abcdeg": 31, "0123456789abcde": 31}
    for name, days in names.items():
        (tmp_path / name / "kernels").mkdir(parents=True)
        (tmp_path / name / "kernels" / "code.nbc").touch()
        os.utime(tmp_path / name, (now - days * day, now - days * day))
    (tmp_path / "aaaaaaaaaaaaaaaa").write_text("a file")
    os.utime(tmp_path / "aaaaaaaaaaaaaaaa", (0, 0))
    _jit.forget_old(tmp_path, now)
    assert {path.name for path in tmp_path.iterdir()} == {*list(names)[1:], "aaaaaaaaaaaaaaaa"}


def test_a_new_folder_takes_the_place_of_old_ones_and_a_start_counts_as_use(package, home):
    used = run(package, home)["folder"]
    unused = Path(used).with_name("0123456789abcdef")
    unused.mkdir()
    for folder in used, unused:
        os.utime(folder, (0, 0))
    run(package, home)
    assert unused.exists()  # nothing is looked for where the folder is there already
    edit(package / "kernels" / "helper.py", "2 * value", "3 * value")
    run(package, home)
    assert Path(used).exists()
    assert not unused.exists()


@pytest.mark.quick
def test_the_digest_sees_every_edit(package, monkeypatch):
    digests = [_jit.source_digest(package)]
    assert _jit.source_digest(package) == digests[0]
    for path in package / "_jit.py", package / "kernels" / "helper.py":
        edit(path, "import", "import  ")
        digests.append(_jit.source_digest(package))
    (package / "kernels" / "helper.py").rename(package / "kernels" / "renamed.py")
    digests.append(_jit.source_digest(package))
    monkeypatch.setattr(numba.config, "BOUNDSCHECK", 1)
    digests.append(_jit.source_digest(package))
    assert len(set(digests)) == len(digests)


@pytest.mark.quick
def test_compiled_code_stands_where_the_digest_looks():
    """And calls nothing of Numba but through `_jit`; only intrinsics, of which each is compiled into its callers, are
    made elsewhere.
    """
    intrinsics = dict.fromkeys(("kernels/_vectors.py", "kernels/team.py", "bench/peak.py"), INTRINSICS)
    for path in _jit.PACKAGE.rglob("*.py"):
        name = path.relative_to(_jit.PACKAGE).as_posix()
        tree = ast.parse(path.read_text("utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        if "jit" in names and name != "_jit.py":
            assert any(path in _jit.PACKAGE.glob(pattern) for pattern in _jit.COMPILED), name
        if name != "_jit.py":
            of_numba = {str(module) for module in imported if str(module).split(".")[0] == "numba"}
            assert of_numba <= intrinsics.get(name, set()), name


@pytest.mark.quick
def test_an_error_while_decorating_leaves_the_users_folder_as_it_was(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "the user's")
    with pytest.raises(TypeError):
        _jit.jit(3)
    assert numba.config.CACHE_DIR == "the user's"
