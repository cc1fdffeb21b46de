"""The page of `npnets explain` in a real browser: every number that it shows is npnets' own, to the last digit.

Needs Chromium (Debian's package) and Playwright's Python package, whose own browsers are not used.
"""

import inspect
import re
import shutil
import sys
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import npnets
from npnets import formulas, ops
from npnets.explain.network import describe
from npnets.explain.page import page as html

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ASKED = Path(__file__).with_name("explain_page.js")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

KINDS = ("standard", "depthwise", "pointwise", "separable", "group", "shuffle")
LIMITS = {"H": 8, "W": 8, "D": 5, "s": 3, "p": 3, "d": 3, "C": 8, "N": 8, "g": 4}


@pytest.fixture(scope="module", autouse=True)
def _numpy():
    with npnets.use("numpy"):  # nothing to compile, and exact on whole numbers like the others
        yield


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp("explain") / "page.html"
    path.write_text(html(), "utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def open_page(browser, url):
    """Open the page, watched: an error, or anything asked of a network, fails the test."""

    def opened(state="", *, at=url, width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **{"locale": "en-US", **options})
        tab = context.new_page()
        tab.set_default_timeout(10_000)
        tab.wrong = []
        tab.add_init_script(path=ASKED)
        tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
        tab.on("console", lambda message: tab.wrong.append(message.text))
        tab.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else tab.wrong.append(request.url),
        )
        tab.goto(f"{at}#{state}")
        return tab

    return opened


@pytest.fixture
def tab(open_page):
    tab = open_page()
    yield tab
    assert tab.wrong == []
    tab.context.close()


# -- what the page shows, read from its elements -----------------------------------------------------------------------


def show(tab, state):
    """Change the address, as a link does."""
    tab.evaluate("follow", state)


def until(tab, expression):
    """Wait until it holds. (Playwright's own waiting is forbidden by the page, which lets nothing be evaluated.)"""
    for _ in range(100):
        if tab.evaluate(expression):
            return
        tab.wait_for_timeout(50)
    raise AssertionError(expression)


def number(text):
    return int(re.sub(r"[\u202f() ]", "", text).replace("−", "-"))


def array(cells):
    """Return the array whose entries the page shows as ("1.2.0", "−3")."""
    indices = [tuple(map(int, at.split("."))) for at, _ in cells]
    found = np.full([max(axis) + 1 for axis in zip(*indices, strict=True)], np.nan)
    for index, (_, text) in zip(indices, cells, strict=True):
        found[index] = number(text)
    assert not np.isnan(found).any()
    return found


# -- what npnets says --------------------------------------------------------------------------------------------------


def window(z):
    return {"stride": z.s, "padding": z.p, "dilation": z.d}


def forward(kind, z, given):
    """Return all arrays of the forward pass, from those that are given."""
    arrays = dict(given)
    batch = {name: value[None] for name, value in given.items()}
    if kind == "depthwise":
        arrays["G"] = ops.depthwise_conv2d(batch["F"], given["K"], **window(z))[0]
    elif kind == "pointwise":
        arrays["G"] = ops.pointwise_conv2d(batch["F"], given["K"])[0]
    elif kind == "separable":
        arrays["Ĝ"] = ops.depthwise_conv2d(batch["F"], given["D"], **window(z))[0]
        arrays["G"] = ops.depthwise_separable_conv2d(batch["F"], given["D"], given["P"], **window(z))[0]
    else:
        arrays["G"] = ops.conv2d(batch["F"], given["K"], groups=z.g, **window(z))[0]
        if kind == "shuffle":
            arrays["S"] = ops.channel_shuffle(arrays["G"][None], z.g)[0]
    return arrays


def backward(kind, z, given, upstream):
    """Return the gradients of all arrays, from that of the last one."""
    dout, F = upstream[None], given["F"][None]
    found = {}
    if kind == "depthwise":
        dF, found["dK"] = ops.depthwise_conv2d_backward(dout, F, given["K"], **window(z))
    elif kind == "pointwise":
        dF, found["dK"] = ops.pointwise_conv2d_backward(dout, F, given["K"])
    elif kind == "separable":
        dF, found["dD"], found["dP"] = ops.depthwise_separable_conv2d_backward(
            dout, F, given["D"], given["P"], **window(z)
        )
        filtered = ops.depthwise_conv2d(F, given["D"], **window(z))
        found["dĜ"] = ops.pointwise_conv2d_backward(dout, filtered, given["P"])[0][0]
    else:
        if kind == "shuffle":
            dout = ops.channel_shuffle_backward(dout, z.g)
            found["dG"] = dout[0]
        dF, found["dK"] = ops.conv2d_backward(dout, F, given["K"], groups=z.g, **window(z))
    return {**found, "dF": dF[0]}


def settings(kind, rng):
    """Draw a setting that makes sense, as the address has it."""
    while True:
        z = SimpleNamespace(**{name: int(rng.integers(name != "p" and 1, most + 1)) for name, most in LIMITS.items()})
        if kind in ("group", "shuffle"):
            z.C, z.N = (z.g * int(rng.integers(1, LIMITS[name] // z.g + 1)) for name in "CN")
        else:
            z.g = 1
        if kind == "depthwise":
            z.N = z.C
        if kind == "pointwise":
            z.D, z.s, z.p, z.d = 1, 1, 0, 1
        if z.C * z.N * z.D**2 <= 400:  # tables of more kernels take long to draw
            break
    covered = z.d * (z.D - 1) + 1
    z.p = max(z.p, (covered - LIMITS["H"] + 1) // 2)
    z.H, z.W = max(z.H, covered - 2 * z.p), max(z.W, covered - 2 * z.p)
    return z


def address(kind, z, **more):
    return "&".join(f"{name}={value}" for name, value in {"kind": kind, **vars(z), **more}.items())


# -- the tests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_numbers(tab, kind):
    """Arrays, gradients, sums, what is lit, and costs, for many settings, entry by entry."""
    check_numbers(tab, kind, 12)


def check_numbers(tab, kind, count):
    rng = np.random.default_rng(KINDS.index(kind))
    for seed in range(count):
        z = settings(kind, rng)
        show(tab, address(kind, z, seed=seed))
        views = tab.evaluate("readAll", rng.random(2).tolist())
        shown = {}
        for view in views:
            for name, cells in view["panels"].items():
                value = array(cells)
                assert np.array_equal(shown.setdefault(name, value), value), (kind, z, name)
        last = "S" if kind == "shuffle" else "G"
        given = {name: shown[name] for name in ("F", "K", "D", "P") if name in shown}
        expected = {**given, f"d{last}": shown[f"d{last}"], **forward(kind, z, given)}
        expected.update(backward(kind, z, given, shown[f"d{last}"]))
        assert shown.keys() == expected.keys()
        for name, value in expected.items():
            assert np.array_equal(shown[name], value), (kind, z, name)
        for view in views:
            check_sum(kind, z, view, expected)
        check_costs(kind, z, views[0])


def check_sum(kind, z, view, arrays):
    """The sum that is written out: its products, how many there are, and which entries are lit."""
    name, at, total = re.fullmatch(r"(\w+)\[([\d, ]+)\] = (\S+)", view["result"]).groups()
    index = tuple(map(int, at.split(", ")))
    assert name == view["see"]
    assert number(total) == arrays[name][index]
    products = [term for term in view["terms"] if term != "–"]
    values = [np.prod([number(factor) for factor in term.split("×")]) for term in products]
    assert sum(values) == arrays[name][index]
    assert {*view["used"]} == influences(kind, z, name, index, arrays), (kind, z, name, index)
    count = re.search(r"(\d+) products", view["says"])
    if count:
        assert int(count[1]) == len(products)


def influences(kind, z, name, index, arrays):
    """Name the entries that the sum is made of, found without its formula.

    Each sum is linear in each of its factors: with ones for the other factor, an entry takes part where the derivative
    by it, which is a gradient of npnets, is not 0.
    """
    if name in ("S", "dG") and kind == "shuffle":
        order = ops.channel_shuffle(np.arange(z.N, dtype=float).reshape(1, 1, 1, -1), z.g).ravel().astype(int)
        k, l, channel = index
        return {
            entry("G", (k, l, order[channel]))
            if name == "S"
            else entry("dS", (k, l, *np.flatnonzero(order == channel)))
        }
    stage, names = kind, {"F": "F", "K": "K", "G": "G"}
    if kind == "shuffle":
        stage = "group"
    if kind == "separable":
        stage = "pointwise" if name in ("G", "dP", "dĜ") else "depthwise"
        names = {"F": "Ĝ", "K": "P", "G": "G"} if stage == "pointwise" else {"F": "F", "K": "D", "G": "Ĝ"}
    ones = {letter: np.ones_like(arrays[names[letter]]) for letter in "FKG"}
    step = z if stage != "pointwise" else SimpleNamespace(s=1, p=0, d=1, g=1)
    target = next(letter for letter in "FKG" if names[letter] == name.removeprefix("d"))
    ones[target] = np.zeros_like(ones[target])
    ones[target][index] = 1
    gradients = backward(stage, step, ones, ones["G"])
    gradients["dG"] = forward(stage, step, {letter: ones[letter] for letter in "FK"})["G"]
    lit = set()
    for letter in "FKG":
        if letter != target:
            shown = ("d" if letter == "G" else "") + names[letter]
            lit |= {entry(shown, at) for at in np.argwhere(gradients[f"d{letter}"])}
    return lit


def entry(name, index):
    return f"{name}[{', '.join(str(int(at)) for at in index)}]"


def check_costs(kind, z, view):
    """Bars, formula and ratio by `npnets.formulas`; what padding saves by sums of ones, each product being 1."""
    x = np.ones((1, z.H, z.W, z.C))
    pixels = ops.depthwise_conv2d(x, np.ones((z.D, z.D, z.C)), **window(z))[0, ..., 0].size
    standard, grouped = (formulas.group(z.D, z.C, z.N, 1, g) * pixels for g in (1, z.g))
    deep, point = formulas.depthwise(z.D, z.C, 1) * pixels, formulas.pointwise(z.C, z.N, 1) * pixels
    bars = {"standard": standard, "separable": deep + point}
    if kind in ("group", "shuffle"):
        bars["group"] = grouped
    assert {name: number(value) for name, value in view["bars"].items()} == bars
    mine = {"standard": standard, "depthwise": deep, "pointwise": point, "separable": deep + point}.get(kind, grouped)
    assert number(view["cost"]) == mine
    ratio = grouped / standard if kind in ("group", "shuffle") else float(formulas.ratio(z.D, z.N))
    assert view["ratio"] == str(Decimal(ratio).quantize(Decimal("0.001"), ROUND_HALF_UP))  # as JavaScript rounds
    kernels = {"K": (z.D, z.D, z.C // z.g, z.N), "D": (z.D, z.D, z.C), "P": (z.C, z.N)}
    if kind in ("depthwise", "pointwise"):
        kernels["K"] = kernels["D" if kind == "depthwise" else "P"]
    done = forward(kind, z, {"F": x[0], **{name: np.ones(shape) for name, shape in kernels.items()}})
    run = int(done["Ĝ"].sum()) + point if kind == "separable" else int(done["G"].sum())
    numbers = [number(text) for text in re.findall(r"\d[\d\u202f]*", view["skipped"])]
    assert numbers == ([mine - run, run] if run < mine else [])


MISTAKES = [
    ("standard", "[s * k + d * i - p, s * l", "[s * k + d * i + p, s * l"),
    (
        "standard",
        'yield [{ k, l, r, c }, ["dG", k, l, n], ["F", r, c, q + m]]',
        'yield [{ k, l, r, c }, ["dG", k, l, n], ["F", c, r, q + m]]',
    ),
    ("group", "const q = floor(n / (N / g)) * M", "const q = (n % g) * M"),
    ("group", "const [m, first] = [q % M,", "const [m, first] = [floor(q / g),"),
    ("shuffle", '["G", k, l, a * n + j]', '["G", k, l, j * g + a]'),
    ("shuffle", '["dS", k, l, a * g + j]', '["dS", k, l, j * n + a]'),
    ("depthwise", "D * D * C * Ho * Wo", "D * C * Ho * Wo"),
    ("depthwise", "inside(z.s * k + z.d * i - z.p", "inside(z.s * k + i - z.p"),
    ("pointwise", '["K", m, n], ["dG", k, l, n]', '["K", m, n], ["dG", l, k, n]'),
    ("separable", '{ K: "P", F: "Ĝ" }', '{ K: "P", F: "F" }'),
]


@pytest.mark.parametrize(("kind", "right", "wrong"), MISTAKES)
def test_mistakes_are_caught(open_page, tmp_path, kind, right, wrong):
    """A page with one mistake in its mathematics does not pass for npnets."""
    content = html()
    assert right in content
    broken = tmp_path / "broken.html"
    broken.write_text(content.replace(right, wrong), "utf-8")
    tab = open_page(at=broken.as_uri())
    with pytest.raises((AssertionError, playwright.Error)):
        check_numbers(tab, kind, 6)
    tab.context.close()


FUNCTIONS = {
    "G": ("_loops", ("F", "K", "G")),
    "dK": ("_loops_dweight", ("dG", "F", "dK")),
    "dF": ("_loops_dx", ("dG", "K", "dF")),
}
LOOPS = {
    **{
        (kind, see): (file, *function)
        for kind, file in (("standard", "conv2d"), ("group", "conv2d"), ("depthwise",) * 2, ("pointwise",) * 2)
        for see, function in FUNCTIONS.items()
    },
    ("shuffle", "S"): ("channel_shuffle", "_loops", ("G", "S")),
    ("shuffle", "dG"): ("channel_shuffle", "_loops", ("dS", "dG")),
}


@pytest.mark.parametrize(("kind", "see"), LOOPS)
def test_steps_are_those_of_the_loops(tab, kind, see):
    """Python runs the real loops, watched line by line; the page steps through them: same lines, variables and sums."""
    file, function, names = LOOPS[kind, see]
    z = SimpleNamespace(H=3, W=2, D=2, s=2, p=1, d=1, C=2, N=2, g=1)
    if kind == "pointwise":
        z.D, z.s, z.p = 1, 1, 0
    if kind in ("group", "shuffle"):
        z.C, z.N, z.g = 4, 4, 2
    if kind == "depthwise":
        z.s = 1
    show(tab, address(kind, z, see=see))
    shown = {name: array(cells) for name, cells in tab.evaluate("read()")["panels"].items()}
    result = np.zeros_like(shown[see])
    values = [result if name == see else shown[name] for name in names]
    batched = [value if letters(name) in "KDP" else value[None] for name, value in zip(names, values, strict=True)]
    rest = ((z.s, z.s), (z.p, z.p), (z.d, z.d)) if file in ("conv2d", "depthwise") else ()
    groups = {"conv2d": (z.g,), "pointwise": (1,), "channel_shuffle": (z.N // z.g if see == "dG" else z.g,)}.get(
        file, ()
    )
    expected = watched(sys.modules[f"npnets.ops.{file}"].__dict__[function], (*batched, *rest, *groups), result)

    steps = tab.evaluate("readSteps", len(expected))
    for step, (line, variables, total, at) in zip(steps, expected, strict=True):
        assert step["runs"].strip() == line
        said = dict(pair.split(" = ") for text in step["values"] for pair in text.split(", "))
        assert {name: int(value) for name, value in said.items()} == {name: variables[name] for name in said}
        assert {*"ij"} & variables.keys() <= said.keys()
        index, shown_total = re.fullmatch(r"\w+\[([\d, ]+)\] = (\S+)", step["result"]).groups()
        if at is not None:
            assert tuple(map(int, index.split(", "))) == at
            assert number(shown_total) == total
    last = tab.evaluate("read()")
    assert np.array_equal(array(last["panels"][see]), result)
    entries, count = re.search(r"entry (\d+) of (\d+)", last["progress"]).groups()
    assert entries == count == str(result.size)


def letters(name):
    return name.removeprefix("d")


def watched(function, arguments, result):
    """Run the loops in plain Python; for each step: the line that ran, the variables, the entry and its value then.

    A step is a run of the innermost line, or of the `if` that does not lead to it.
    """
    function = getattr(function, "py_func", function)
    lines = dict(enumerate(source_lines(function), function.__code__.co_firstlineno))
    body = max(number for number, text in lines.items() if text)
    condition = next((number for number, text in lines.items() if text.startswith("if ")), None)
    events = []

    def trace(frame, event, _):
        if frame.f_code is not function.__code__:
            return None
        if event in ("line", "return"):
            variables = {name: value for name, value in frame.f_locals.items() if isinstance(value, int)}
            events.append((frame.f_lineno if event == "line" else 0, variables, result.copy()))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    steps = []
    inner = body - 1 if lines[body - 1].startswith("for ") else body
    for (line, variables, old), (following, _, new) in pairwise(events):
        if line == body:
            changed = np.argwhere(old != new)
            at = tuple(changed[0].tolist()) if len(changed) else None
            steps.append((lines[body], variables, new[at] if at is not None else None, at))
        elif line == condition and following not in (body, inner):
            steps.append((lines[condition], variables, None, None))
    return steps


def source_lines(function):
    return [line.strip() for line in inspect.getsource(function).splitlines()]


def test_every_product_can_be_pointed_at(tab):
    """Hovering a product names its factors, and lights just these two."""
    show(tab, "kind=group&C=4&N=4&g=2&see=dF&at=1.2.3")
    arrays = {name: array(cells) for name, cells in tab.evaluate("read()")["panels"].items()}
    for item in tab.query_selector_all("#terms li"):
        item.hover()
        line = tab.text_content("#term")
        if item.text_content() == "–":
            assert "skipped" in line
            assert tab.query_selector_all("td.now") == []
            continue
        one, other, *values = re.fullmatch(r"(\w+\[.*?\]) × (\w+\[.*?\]) = (\S+) × (\S+) = (\S+)", line).groups()
        for factor, value in zip((one, other), values, strict=False):
            name, at = re.fullmatch(r"(\w+)\[(.*)\]", factor).groups()
            assert arrays[name][tuple(map(int, at.split(", ")))] == number(value)
        assert number(values[0]) * number(values[1]) == number(values[2])
        assert len(tab.query_selector_all("td.now")) == 2


def test_formula_with_numbers(tab):
    show(tab, "kind=standard&H=6&W=5&s=2&d=2&p=2&see=G&at=1.2.1")
    text = tab.text_content("#formula-numbers").replace("\u2009", " ")
    assert text == "G1, 2, 1 = ∑i, j, m  Ki, j, m, 1 F2 · 1 + 2 i − 2, 2 · 2 + 2 j − 2, m"
    show(tab, "kind=group&C=4&N=4&g=2&see=dF&at=1.2.3")
    assert tab.text_content("#formula").startswith("dFr, c, q = ∑i, j, n")
    assert "q mod M" in tab.text_content("#where")
    assert tab.get_attribute("#ratio .math:nth-child(2)", "aria-label") == "1/2"
    assert tab.get_attribute("#cost-formula .math:nth-child(2)", "aria-label") == "3^2 · 4/2 · 4 · 4 · 4"


def test_padding_has_zeros_and_its_gradient_has_none(tab):
    colour = "getComputedStyle(document.querySelector('td.outside')).color"
    show(tab, "kind=standard&see=G&p=1")
    assert tab.evaluate(colour) != "rgba(0, 0, 0, 0)"
    show(tab, "kind=standard&see=dF&p=1")
    assert tab.evaluate(colour) == "rgba(0, 0, 0, 0)"


# -- wiring ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffles", [False, True])
def test_wiring(tab, shuffles):
    """Which channels reach which, against npnets' own group convolutions and shuffles of one channel at a time."""
    rng = np.random.default_rng(0)
    card = "#wired-shuffle" if shuffles else "#wired-plain"
    for _ in range(25):
        g, depth = int(rng.integers(1, 9)), int(rng.integers(1, 5))
        C = g * int(rng.integers(1, 24 // g + 1))
        C = max(C, 2 if g == 1 else g)
        level, channel = int(rng.integers(0, 2 * depth)), int(rng.integers(0, C))
        show(tab, f"tab=wiring&channels={C}&groups={g}&layers={depth}&pick={level}.{channel}")
        levels = [np.eye(C).reshape(C, 1, 1, C)]  # image m: a one in channel m
        for step in range(2 * depth - 1):
            mixed = ops.channel_shuffle(levels[-1], g) if shuffles else levels[-1]
            levels.append(mixed if step % 2 else ops.pointwise_conv2d(levels[-1], np.ones((C // g, C)), groups=g))
        paths = [value[:, 0, 0, :] != 0 for value in levels]  # [input, channel of the level]
        onward = np.eye(C)[None, None, channel, None].reshape(1, 1, 1, C)
        ahead = {level: onward[0, 0, 0] != 0}
        for step in range(level, 2 * depth - 1):
            mixed = ops.channel_shuffle(onward, g) if shuffles else onward
            onward = mixed if step % 2 else ops.pointwise_conv2d(onward, np.ones((C // g, C)), groups=g)
            ahead[step + 1] = onward[0, 0, 0] != 0
        lit = {
            tuple(map(int, at.split(".")))
            for at in tab.eval_on_selector_all(f"{card} .dot.on", "all => all.map(dot => dot.dataset.pick)")
        }
        behind = {0: paths[level][:, channel]}
        assert {m for at, m in lit if at == 0} == set(np.flatnonzero(behind[0]))
        for at, reached in ahead.items():
            assert {m for of, m in lit if of == at} == set(np.flatnonzero(reached))
        squares = tab.eval_on_selector_all(f"{card} rect", "all => all.map(one => one.classList.contains('on'))")
        assert np.array_equal(np.reshape(squares, (C, C)), paths[-1].T)
        assert tab.text_content(f"{card} .matrix figcaption").startswith(f"{paths[-1].sum()} of {C * C} ")
        says = tab.text_content(f"{card} .reach")
        inputs, outputs = np.flatnonzero(behind[0]), np.flatnonzero(ahead[2 * depth - 1])
        for names, there in ((inputs, level > 0), (outputs, level < 2 * depth - 1)):
            assert (f"{len(names)} " in says and f": {' '.join(map(str, names))}" in says) or not there
        order = ops.channel_shuffle(np.arange(C, dtype=float).reshape(1, 1, 1, C), g).ravel().astype(int)
        assert tab.text_content("#reads").endswith(f" {' '.join(map(str, order))}")


# -- a network ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network_url(tmp_path_factory):
    net = npnets.ShuffleNetV1(scale=0.5, num_classes=7).eval()
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    said = describe(net, picture, "weights.npz")
    path = tmp_path_factory.mktemp("explain") / "network.html"
    path.write_text(html(said), "utf-8")
    return path.as_uri(), said


@pytest.mark.parametrize("width", [360, 1280])
def test_network(open_page, network_url, width):
    """The tab's numbers are `describe`'s, which are compared with npnets' own elsewhere; its pictures are there."""
    url, said = network_url
    tab = open_page(at=url, width=width)
    costs = f"{spaced(said['mult_adds'])} mult-adds, {spaced(said['parameters'])} parameters."
    assert tab.text_content("#network-total") == f"weights.npz. Input 64 × 64 × 3: {costs}"
    guesses = tab.eval_on_selector_all(
        "#classes li", "all => all.map(one => one.innerText.replace(/\\s+/g, ' ').trim())"
    )
    assert guesses == [f"{one['name']} {100 * one['probability']:.1f} %" for one in said["classes"]]
    rows = tab.eval_on_selector_all(
        "#layers tbody tr", "all => all.map(row => [...row.cells].map(cell => cell.textContent.trim()))"
    )
    for row, layer in zip(rows, said["layers"], strict=True):
        name, _, output, parameters, mult_adds, share = row
        assert (name, output) == (layer["name"], " × ".join(map(str, layer["output"])))
        assert (number(parameters), number(mult_adds)) == (layer["parameters"], layer["mult_adds"])
        assert abs(float(share.split()[0]) - 100 * layer["mult_adds"] / said["mult_adds"]) <= 0.05 + 1e-9
    for at in (0, 3, 4, len(rows) - 1):
        layer = said["layers"][at]
        tab.click(f"#layers tr:nth-child({at + 1}) button")
        assert tab.text_content("#layer-name") == layer["name"]
        for picture in ("maps", "kernels"):
            assert tab.is_visible(f"#{picture}") == (layer[picture] is not None)
            if layer[picture]:
                caption = tab.text_content(f"#{picture} figcaption").replace("−", "-")
                first = ["1", "1"] * (layer[picture]["kind"] == "matrix")
                middle = ["0"] * (picture == "kernels")
                shown, count, low, high = (str(layer[picture][name]) for name in ("shown", "count", "low", "high"))
                numbers = re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", caption)
                assert numbers == [*first, shown, count, *middle, low, high]
                until(tab, f"document.querySelector('#{picture} img').naturalWidth > 0")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.keyboard.press("ArrowUp")
    assert tab.text_content("#layer-name") == said["layers"][-2]["name"]
    tab.click("#language")
    assert "pointwise" not in tab.inner_text("#layers tbody td.kind") or width == 360
    assert tab.wrong == []
    tab.context.close()


def spaced(value):
    return f"{value:,}".replace(",", "\u202f")


# -- pointing, keys, links, languages, themes --------------------------------------------------------------------------


def test_pointing(tab):
    """The mouse on G shows a sum, on F and K a gradient; where both are computed the direction stays."""
    tab.hover('[data-panel=G] td[data-at="0.1.2"]')
    assert tab.text_content("#result").startswith("G[0, 1, 2] = ")
    tab.hover('[data-panel=F] td[data-at="3.1.1"]')
    assert tab.text_content("#result").startswith("dF[3, 1, 1] = ")
    tab.hover('[data-panel=K] td[data-at="2.0.1.2"]')
    assert tab.text_content("#result").startswith("dK[2, 0, 1, 2] = ")
    show(tab, "kind=separable&see=dF")
    tab.hover('[data-panel="Ĝ"] td[data-at="0.0.0"]')
    assert tab.text_content("#result").startswith("dĜ[0, 0, 0] = ")
    tab.hover("[data-panel=G] td[data-at='0.0.0']")
    tab.hover('[data-panel="Ĝ"] td[data-at="0.0.0"]')
    assert tab.text_content("#result").startswith("Ĝ[0, 0, 0] = ")


def test_keyboard_alone(tab):
    """Reach everything by Tab, arrows and the step keys; what happens is spoken."""
    for _ in range(60):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.matches('[data-panel=G] td')"):
            break
    assert tab.text_content("#result").startswith("G[")
    tab.focus('[data-panel=G] td[data-at="1.2.0"]')
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):  # over the edge into the next channel
        tab.keyboard.press(key)
    assert tab.text_content("#result").startswith("G[2, 0, 1]")
    tab.keyboard.press(".")
    tab.keyboard.press(".")
    assert "step 2 of" in tab.text_content("#progress")
    tab.keyboard.press(",")
    assert "step 1 of" in tab.text_content("#progress")
    until(tab, "document.getElementById('live').textContent.startsWith('G[2, 0, 1] = ')")
    tab.focus("#kinds [aria-checked=true]")
    tab.keyboard.press("ArrowRight")
    assert tab.get_attribute("#kinds [data-kind=depthwise]", "aria-checked") == "true"
    tab.focus("#tabs [aria-selected=true]")
    tab.keyboard.press("ArrowRight")
    assert tab.is_visible("#wiring")
    tab.focus("#wired-shuffle .own")
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate("document.activeElement.dataset.pick") == "3.1"
    tab.focus("#wiring [name=groups]")
    tab.keyboard.press("ArrowRight")
    assert tab.text_content("#wiring [data-slider=groups] output") == "4"


def test_a_link_leads_to_the_same_step(open_page, tab):
    show(tab, "kind=shuffle&C=6&N=6&g=3&s=2&see=dK")
    tab.click('[data-panel=K] td[data-at="1.1.0.3"]')
    for _ in range(4):
        tab.click("#steps [data-action=on]")
    until(tab, "location.hash.includes('step=4')")
    other = open_page(tab.evaluate("location.hash.slice(1)"))
    assert other.evaluate("read()") == tab.evaluate("read()")
    other.context.close()


@pytest.mark.parametrize(
    "state",
    [
        "kind=nosuch&D=99&s=-3&at=7.7&see=dX&C=x",
        "kind=group&g=4&C=1&N=99&d=3&D=5&H=1&W=1",
        "tab=network",
        "tab=nosuch&kind=constructor&language=toString&theme=valueOf&see=constructor",
        "%%%=&&",
        "step=1e9&at=a.b.c&language=xx&theme=xx",
    ],
)
def test_any_address_shows_a_page(open_page, state):
    tab = open_page(state)
    assert tab.is_visible("#stage td")
    assert "undefined" not in tab.inner_text("body")
    assert "NaN" not in tab.inner_text("body")
    assert tab.wrong == []
    tab.context.close()


def test_playing(tab):
    tab.click("#speed")
    tab.click("#speed")
    tab.click("#play")
    until(tab, "Number(/step (\\d+)/.exec(document.getElementById('progress').textContent)?.[1]) > 3")
    tab.click("#play")
    said = tab.text_content("#progress")
    tab.wait_for_timeout(150)
    assert tab.text_content("#progress") == said


def test_sliders(tab):
    for name, value in (("H", 7), ("D", 2), ("s", 3), ("N", 5)):
        tab.fill(f"#sliders [name={name}]", str(value))
    view = tab.evaluate("read()")
    assert {name: view["sliders"][name] for name in "HDsN"} == {"H": "7", "D": "2", "s": "3", "N": "5"}
    assert array(view["panels"]["F"]).shape == (7, 4, 2)
    assert array(view["panels"]["K"]).shape == (2, 2, 2, 5)
    before = view["panels"]["F"]
    tab.click("#numbers")
    assert tab.evaluate("read()")["panels"]["F"] != before


def test_language(open_page):
    korean = open_page(locale="ko-KR")
    assert korean.get_attribute("html", "lang") == "ko"
    assert korean.text_content("#kinds [data-kind=standard]") == "표준"
    assert not re.search(r"[a-z]{3,} [a-z]{3,}", korean.inner_text("#convolution .side"))
    korean.click("#language")
    assert korean.get_attribute("html", "lang") == "en"
    assert korean.text_content("#kinds [data-kind=standard]") == "standard"
    assert korean.wrong == []
    korean.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(open_page, scheme):
    """The system's choice, contrast of at least 4.5 everywhere, and a switch to the other one."""
    tab = open_page("kind=separable&see=G&step=1", color_scheme=scheme)
    background = "getComputedStyle(document.body).backgroundColor"
    before = tab.evaluate(background)
    for state in ("kind=separable&see=dF", "kind=group&C=4&N=4&step=2", "tab=wiring"):
        show(tab, state)
        assert tab.evaluate("faint()") == []
    tab.click("#theme")
    after = tab.evaluate(background)
    assert (before, after)[scheme == "dark"] == "rgb(246, 247, 249)"
    assert before != after
    until(tab, "location.hash.includes('theme=')")
    tab.context.close()


LARGE = "C=8&N=8&D=5&p=3&H=8&W=8&g=4"


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
@pytest.mark.parametrize("width", [360, 820, 1280])
def test_nothing_is_cut(open_page, width, locale):
    """No page is wider than its screen, and no text than its box."""
    tab = open_page(width=width, height=740, locale=locale)
    states = [*(f"kind={kind}" for kind in KINDS), *(f"kind={kind}&{LARGE}" for kind in ("separable", "shuffle"))]
    states += ["tab=wiring", "tab=wiring&channels=24&groups=8&layers=4"]
    for state in states:
        show(tab, state)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, state
        assert tab.evaluate("cut()") == [], state
    assert tab.wrong == []
    tab.context.close()


def test_names_for_screen_readers(tab):
    """Each control has a name; each table, list and group too."""
    for state in ("kind=separable", "tab=wiring"):
        show(tab, state)
        assert tab.evaluate("nameless()") == []
    assert tab.get_attribute("#live", "aria-live") == "polite"


def test_reduced_motion(open_page):
    tab = open_page(reduced_motion="reduce")
    assert tab.evaluate("getComputedStyle(document.querySelector('.bar i')).transitionDuration") == "0s"
    tab.context.close()
