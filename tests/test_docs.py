"""The documentation: every example runs, and every operation says what it takes, gives and refuses."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import npnets
from npnets import ops

pytestmark = pytest.mark.quick

MODULES = ["npnets", *(module.name for module in pkgutil.walk_packages(npnets.__path__, "npnets."))]
ROOT = Path(npnets.__file__).parent.parent


@pytest.fixture(autouse=True)
def _clean(tmp_path, monkeypatch):
    """Examples write into a folder of their own, and leave the process as it was."""
    monkeypatch.chdir(tmp_path)
    threads = npnets.get_threads()
    with npnets.use(npnets.implementation()):
        yield
    npnets.set_threads(threads)


def run(test: doctest.DocTest) -> None:
    complaints: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=complaints.append)
    assert not complaints, "".join(complaints)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name)):
        run(test)


def test_readme():
    path = ROOT / "README.md"
    text = path.read_text("utf-8")
    run(doctest.DocTestParser().get_doctest(text, {}, "README", str(path), 0))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_docstring(name):
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", ops.__all__)
def test_operations_are_documented(name):
    function = getattr(ops, name)
    sections = dict(
        re.findall(r"^(\w+)\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", inspect.getdoc(function), re.MULTILINE | re.DOTALL)
    )
    for section in "Parameters", "Returns", "Raises", "Examples":
        assert sections.get(section, "").strip(), f"no section {section}"
    documented = [one for line in re.findall(r"^[\w, ]+$", sections["Parameters"], re.MULTILINE) if line[0] != " "
                  for one in line.split(", ")]  # fmt: skip
    assert set(documented) == set(inspect.signature(function).parameters)
    assert f"{name}(" in sections["Examples"]
