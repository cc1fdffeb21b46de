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

# Not quick is what computes: the examples of float64, and a whole step of training.
quick = pytest.mark.quick

MODULES = ["npnets", *(module.name for module in pkgutil.walk_packages(npnets.__path__, "npnets."))]
ROOT = Path(__file__).resolve().parent.parent


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


README = (ROOT / "README.md").read_text("utf-8")


def test_the_code_in_readme():
    """What begins with an import runs; the rest is quoted from the file that the table names."""
    whole, quoted = [], []
    for block in re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        (whole if block.startswith("import") else quoted).append(block)
    assert len(whole) == 1
    assert len(quoted) == 2
    names: dict[str, object] = {}
    exec(whole[0], names)
    assert names["net"]
    assert f"  # {npnets.cost(npnets.MobileNetV1(), (224, 224, 3)).mult_adds}\n" in whole[0]
    source = (ROOT / "npnets" / "ops" / "depthwise.py").read_text("utf-8")
    for block in quoted:
        assert re.search(r"\n\s+".join(map(re.escape, (line.strip() for line in block.splitlines()))), source), block


@quick
def test_the_links_in_readme():
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r'src="(?!http)([^"]+)"', README)
    assert "demos/pictures/training.png" in targets
    for target in targets:
        assert (ROOT / target).exists(), target


@quick
@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_docstring(name):
    assert importlib.import_module(name).__doc__


@quick
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
