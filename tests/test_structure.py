"""The shape of the code: imports that point one way, nothing optional at import, nothing forbidden, a tidy top."""

import ast
import graphlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import npnets

pytestmark = pytest.mark.quick

PACKAGE = Path(npnets.__file__).parent
ROOT = Path(__file__).resolve().parent.parent

# A module may import from the groups before its own, and from its own: "is used by" points to the right.
GROUPS = (
    ("_jit", "_check", "_config", "_notice", "_parallel", "_optional", "_text"),
    ("kernels",),
    ("ops",),
    ("layers", "preprocessing", "formulas"),
    ("models",),
    ("plan", "train", "weights", "cost", "counting", "cam", "data", "testing", "_picture"),
    ("",),  # npnets/__init__.py: the public names
    ("bench", "check", "explain", "predict", "summary", "tables", "warmup"),
    ("cli", "__main__"),
)
GROUP = {name: group for group, names in enumerate(GROUPS) for name in names}

SOURCES = {
    ".".join(("npnets", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): ast.parse(
        path.read_text("utf-8"), path.name
    )
    for path in sorted(PACKAGE.rglob("*.py"))
}


def part(module: str) -> str:
    """npnets.ops.conv2d -> ops."""
    return module.partition(".")[2].partition(".")[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Name each module that the statements of `tree` import; `from a import b` imports a.b where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in SOURCES else str(node.module)


def inner(module: str) -> set[str]:
    return {name for name in imported(SOURCES[module]) if name.split(".")[0] == "npnets"}


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_one_way(module):
    assert part(module) in GROUP, f"{module} has no place in GROUPS"
    for name in inner(module):
        assert name in SOURCES, name
        assert GROUP[part(name)] <= GROUP[part(module)], f"{module} imports {name}, which stands after it"


def test_no_circle():
    graph = {module: inner(module) for module in SOURCES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(SOURCES)


def test_the_arrows_are_seen():
    """The walk itself: each form of import is found."""
    tree = ast.parse("import npnets.ops.conv2d\nfrom npnets import _check, use\nfrom npnets.ops import relu, pool")
    assert list(imported(tree)) == [
        "npnets.ops.conv2d", "npnets._check", "npnets", "npnets.ops", "npnets.ops.pool",
    ]  # fmt: skip


@pytest.mark.parametrize("module", SOURCES)
def test_functions_import_nothing(module):
    """What is optional comes through `_optional.need`, where its absence is explained."""
    for node in ast.walk(SOURCES[module]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            assert not list(imported(node)), f"{module}, line {node.lineno}"
        if isinstance(node, ast.Name | ast.Attribute) and module != "npnets._optional":
            name = node.id if isinstance(node, ast.Name) else node.attr
            assert name not in ("import_module", "__import__"), f"{module}, line {node.lineno}"


@pytest.mark.parametrize("module", SOURCES)
def test_nothing_optional_at_module_level(module):
    tree = SOURCES[module]
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    foreign = {name.split(".")[0] for name in imported(tree)} - set(sys.stdlib_module_names)
    assert foreign <= {"numpy", "numba", "llvmlite", "npnets"}  # llvmlite is a part of Numba


def test_importing_npnets_imports_nothing_optional():
    """Nor does importing any of its modules: without the extras, `need` complains when asked, and nothing else does."""
    modules = [module for module in SOURCES if not module.endswith("__main__")]
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    names = {re.split(r"[^\w-]", requirement)[0] for extra in extras.values() for requirement in extra}
    imports = {"scikit-learn": "sklearn", "Pillow": "PIL"}
    assert not loaded & {imports.get(name, name) for name in names} - {"npnets"}


# -- what is forbidden -------------------------------------------------------------------------------------------------

WALL_CLOCK = {"time.time", "datetime.now", "datetime.datetime.now", "datetime.today", "date.today"}


@pytest.mark.parametrize("module", SOURCES)
def test_nothing_forbidden(module):
    tree = SOURCES[module]
    assert not {"pickle", "marshal", "shelve"} & set(imported(tree))
    for node in ast.walk(tree):
        where = f"{module}, line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.keyword):
            assert node.arg not in ("fastmath", "parallel"), where
            assert node.arg != "allow_pickle" or ast.unparse(node.value) == "False", where
        if isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {keyword.arg for keyword in node.keywords}
            assert called != "np.load" or "allow_pickle" in given, f"{where}: say allow_pickle=False"
            assert called not in WALL_CLOCK, f"{where}: the wall clock jumps; time.perf_counter does not"
            assert called not in ("eval", "exec"), where


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listing.split("\0") if (ROOT / name).is_file()]


def test_the_top_is_tidy():
    top = {name.split("/")[0] for name in tracked() if not name.startswith(".")}
    assert top <= {"npnets", "tests", "demos", "pyproject.toml", "README.md"}


def test_no_path_of_one_machine():
    pattern = re.compile(rb"/(?:home|root|Users|work)/\w")
    for name in tracked():
        content = (ROOT / name).read_bytes()
        assert b"\0" in content or not pattern.search(content), name
