"""Convolutions that go wrong: one walk through all windows, in which each mistake changes a single thing.

The walk is that of the formula, G[b,k,l,n] += K[i,j,m,n] F[b, s k + d i - p, s l + d j - p, q(n) + m], and its two
gradients: it meets the same K, F and G, and adds to another of the three. A depthwise convolution has a group for each
channel, a pointwise one a kernel of 1 x 1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from npnets._check import Array, Ints
from npnets.check.cases import Case
from npnets.check.mistakes.kinds import Mistake

NAMES = ("conv2d", "group_conv2d", "depthwise_conv2d", "pointwise_conv2d")


@dataclass
class Walk:
    """What a convolution walks through, and how.

    Attributes
    ----------
    F, K, dG
        Image, kernel (KH, KW, M, N), and the output's gradient if there is one.
    s, p, d, out
        Stride, padding above and to the left, dilation, rows and columns of the output.
    more
        Padding below and to the right.
    q
        (M, N): the channel of F that K[i,j,m,n] meets.
    entry
        Which entry of the kernel is taken for (i, j).
    pixel
        Which pixel is met, if not that of the formula: (k, l, i, j) -> (r, c).
    outside
        What is met outside of the image: "zero", "edge", "reflect", "wrap", "negative" (Python's own: -1 is the last
        one) or "one".
    kept
        Whether (k, l, i, j) is visited at all.
    order
        "windows" or "entries": which of the two loops is the outer one; it matters where values are replaced.
    replaces
        Whether a value replaces the one before it, instead of being added to it.
    scale
        What the results are multiplied with.
    """

    F: Array
    K: Array
    dG: Array | None
    s: Ints
    p: Ints
    d: Ints
    out: Ints
    more: Ints
    q: Array
    groups: int
    entry: Callable[[int, int], Ints] = lambda i, j: (i, j)
    pixel: Callable[[int, int, int, int], Ints] | None = None
    outside: str = "zero"
    kept: Callable[[int, int, int, int], bool] = lambda k, l, i, j: True
    order: str = "windows"
    replaces: bool = False
    scale: float = 1.0

    @property
    def kernel(self) -> Ints:
        """KH, KW."""
        return self.K.shape[0], self.K.shape[1]

    @property
    def sides(self) -> Ints:
        """H, W."""
        return self.F.shape[1], self.F.shape[2]

    def resize(self) -> None:
        """Let the output have the size that belongs to stride, padding and dilation, where there is no dout."""
        if self.dG is None:
            sizes = [(n + p + e - d * (k - 1) - 1) // s + 1 for n, p, e, d, k, s in
                     zip(self.sides, self.p, self.more, self.d, self.kernel, self.s, strict=True)]  # fmt: skip
            self.out = max(sizes[0], 0), max(sizes[1], 0)

    def meetings(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Yield (i, j, k, l, r, c) for all that meet; outside of the image r is -1."""
        windows, entries = list(np.ndindex(self.out)), list(np.ndindex(self.kernel))
        pairs = ((w, e) for w in windows for e in entries)
        if self.order == "entries":
            pairs = ((w, e) for e in entries for w in windows)
        for (k, l), (i, j) in pairs:
            if not self.kept(k, l, i, j):
                continue
            place = (self.s[0] * k + self.d[0] * i - self.p[0], self.s[1] * l + self.d[1] * j - self.p[1])
            r, c = self.pixel(k, l, i, j) if self.pixel is not None else place
            (r, y), (c, x) = (_inside(at, side, self.outside) for at, side in zip((r, c), self.sides, strict=True))
            if y and x:
                yield i, j, k, l, r, c
            elif self.outside == "one":
                yield i, j, k, l, -1, -1

    def result(self, name: str) -> Array:
        """Return out, dx or dweight (KH, KW, M, N)."""
        M, N = self.q.shape
        result = {"out": np.zeros((len(self.F), *self.out, N)), "dx": np.zeros(self.F.shape),
                  "dweight": np.zeros(self.K.shape)}[name]  # fmt: skip
        for i, j, k, l, r, c in self.meetings():
            entry = self.entry(i, j)
            F = self.F[:, r, c][:, self.q] if r >= 0 else np.ones((len(self.F), M, N))  # (B, M, N)
            dG = self.dG[:, k, l][:, None, :] if self.dG is not None else F  # (B, 1, N)
            if name == "out":
                target, value = result[:, k, l], (F * self.K[entry]).sum(1)
            elif name == "dweight":
                target, value = result[entry], (F * dG).sum(0)
            else:
                target, value = result[:, r, c], np.zeros((len(self.F), self.F.shape[3]))
                for (m, n), channel in np.ndenumerate(self.q):
                    value[:, channel] += dG[:, 0, n] * self.K[entry][m, n]
            target[...] = value if self.replaces else target + value
        return result * self.scale


def _inside(at: int, side: int, outside: str) -> tuple[int, bool]:
    """Return where a row or column is found, and whether it is."""
    if 0 <= at < side:
        return at, True
    if outside == "edge":
        return min(max(at, 0), side - 1), True
    if outside == "wrap" or (outside == "negative" and at < 0):
        return at % side, True
    if outside == "reflect" and side > 1:
        at = abs(at) % (2 * side - 2)
        return min(at, 2 * side - 2 - at), True
    return at, False


def walk(case: Case) -> Walk:
    """Return the right walk of a case."""
    given = case.arguments
    x, weight, dout = given["x"], given["weight"], given.get("dout")
    depthwise = weight.ndim == 3
    K = weight[:, :, None] if depthwise else weight[None, None] if weight.ndim == 2 else weight
    g = x.shape[3] if depthwise else given.get("groups", 1)
    M, N = K.shape[2:]
    q = (np.arange(N) // (N // g) * M)[None] + np.arange(M)[:, None]
    s, p, d = given.get("stride", 1), given.get("padding", 0), given.get("dilation", 1)
    made = Walk(x, K, dout, (s, s), (p, p), (d, d), (0, 0), (p, p), q, g)
    made.resize()
    if dout is not None:
        made.out = dout.shape[1:3]
    return made


Change = Callable[[Walk], None]


def mistakes(operation: str, result: str) -> Iterator[Mistake]:
    """Yield the mistakes of a convolution's result: each alone, then two together, and what is left out altogether."""
    changes = [
        (key, _IN_GRADIENTS.get((key, result), words), change)
        for key, (words, change) in _CHANGES.items()
        if (key in _OF_CHANNELS or not operation.startswith("pointwise")) and (result == "out" or key not in _OF_SIZES)
    ]
    for key, words, change in changes:
        yield Mistake(key, words, _model(operation, result, change))
    for (key, words, change), (key2, words2, change2) in combinations(changes, 2):
        yield Mistake(f"{key}, {key2}", f"{words}; and {words2}", _model(operation, result, change, change2))
    ignored = [change for key, _, change in changes if key in _IGNORED]
    yield Mistake("options ignored", "stride, padding and dilation are ignored", _model(operation, result, *ignored))


def _model(operation: str, result: str, *changes: Change) -> Callable[[Case], Array]:
    def model(case: Case) -> Array:
        made = walk(case)
        for change in changes:
            change(made)
        found = made.result(result)
        if result == "dweight":
            found = found[:, :, 0] if operation.startswith("depthwise") else found
            found = found[0, 0] if operation.startswith("pointwise") else found
        return found

    return model


def _set(resize: bool = False, **fields: Any) -> Change:
    """Return a change of some fields; what depends on the walk is a function of it."""

    def change(w: Walk) -> None:
        values = {name: value(w) if callable(value) else value for name, value in fields.items()}
        for name, value in values.items():
            setattr(w, name, value)
        if resize:
            w.resize()

    return change


def _turned(rows: bool, columns: bool) -> Change:
    def change(w: Walk) -> None:
        KH, KW = w.kernel
        w.entry = lambda i, j: (KH - 1 - i if rows else i, KW - 1 - j if columns else j)

    return change


def _transposed(w: Walk) -> None:
    w.K = w.K.swapaxes(0, 1)
    w.resize()


def _transposed_entries(w: Walk) -> None:
    if w.kernel[0] == w.kernel[1]:
        w.entry = lambda i, j: (j, i)


def _without(**least: int) -> Change:
    """Return a change that leaves out rows and columns of the kernel (i, j) or of the output (k, l)."""

    def change(w: Walk) -> None:
        sides = dict(zip("klij", (*w.out, *w.kernel), strict=True))
        first = {name: 1 for name, where in least.items() if where == 0}
        last = {name: sides[name] - 1 for name, where in least.items() if where == -1}

        def kept(k: int, l: int, i: int, j: int) -> bool:
            at = dict(zip("klij", (k, l, i, j), strict=True))
            return all(at[name] >= one for name, one in first.items()) and all(
                at[name] < one for name, one in last.items()
            )

        w.kept = kept

    return change


def _square(w: Walk) -> None:
    KH, _ = w.kernel
    w.kept = lambda k, l, i, j: j < KH


def _whole_windows(w: Walk) -> None:
    ends = [(s * 0 - p, d * (k - 1) - p) for s, p, d, k in zip(w.s, w.p, w.d, w.kernel, strict=True)]

    def kept(k: int, l: int, i: int, j: int) -> bool:
        return all(
            s * at + first >= 0 and s * at + last < side
            for at, s, (first, last), side in zip((k, l), w.s, ends, w.sides, strict=True)
        )

    w.kept = kept


def _thinned(w: Walk) -> None:
    w.F = w.F[:, :: w.s[0], :: w.s[1]]
    w.s = 1, 1
    w.resize()


def _smaller(rows: int, columns: int) -> Change:
    def change(w: Walk) -> None:
        w.out = max(w.out[0] - rows, 0), max(w.out[1] - columns, 0)

    return change


def _rounded_up(w: Walk) -> None:
    sizes = [-(-(n + p + e - d * (k - 1) - 1) // s) + 1 for n, p, e, d, k, s in
             zip(w.sides, w.p, w.more, w.d, w.kernel, w.s, strict=True)]  # fmt: skip
    w.out = sizes[0], sizes[1]


def _same(w: Walk) -> None:
    total = [d * (k - 1) for d, k in zip(w.d, w.kernel, strict=True)]
    w.p, w.more = (total[0] // 2, total[1] // 2), (total[0] - total[0] // 2, total[1] - total[1] // 2)
    w.resize()


def _stride_everywhere(w: Walk) -> None:
    s, p, d = w.s, w.p, w.d
    w.pixel = lambda k, l, i, j: (s[0] * (k + d[0] * i) - p[0], s[1] * (l + d[1] * j) - p[1])


def _group_of_output(group: Callable[[Array, int, int], Array]) -> Change:
    """Let output n belong to another group: `group(n, g, N)`."""

    def change(w: Walk) -> None:
        M, N = w.q.shape
        w.q = (group(np.arange(N), w.groups, N) * M)[None] + np.arange(M)[:, None]

    return change


def _inputs_interleaved(w: Walk) -> None:
    M, N = w.q.shape
    w.q = np.arange(M)[:, None] * w.groups + (np.arange(N) // (N // w.groups))[None]


def _both_interleaved(w: Walk) -> None:
    M, N = w.q.shape
    w.q = np.arange(M)[:, None] * w.groups + (np.arange(N) % w.groups)[None]


def _one_kernel(w: Walk) -> None:
    w.K = np.broadcast_to(w.K[..., :1], w.K.shape)


def _all_channels(w: Walk) -> None:
    """Let every output sum over all channels of the image, with its own kernel or with each channel's."""
    C = w.F.shape[3]
    w.K = np.broadcast_to(w.K, (*w.kernel, C, w.K.shape[3]))
    w.q = np.broadcast_to(np.arange(C)[:, None], (C, w.K.shape[3]))


def _all_channels_own(w: Walk) -> None:
    C = w.F.shape[3]
    w.K = np.broadcast_to(w.K.swapaxes(2, 3), (*w.kernel, C, C))
    w.q = np.broadcast_to(np.arange(C)[:, None], (C, C))


def _one_input(which: int) -> Change:
    def change(w: Walk) -> None:
        w.K, w.q = w.K[:, :, [which]], w.q[[which]]

    return change


def _swapped_channels(w: Walk) -> None:
    M, N = w.q.shape
    w.K = w.K.reshape(*w.kernel, N, M).swapaxes(2, 3)


_CHANGES: dict[str, tuple[str, Change]] = {
    # the kernel
    "flipped": ("the kernel is turned by 180 degrees (flipped): K[i,j] belongs to the pixel s k + d i - p,"
                " s l + d j - p",
                _turned(True, True)),
    "rows flipped": ("the kernel's rows are in reverse order", _turned(True, False)),
    "columns flipped": ("the kernel's columns are in reverse order", _turned(False, True)),
    "transposed": ("rows and columns of the kernel are swapped (transposed)", _transposed),
    "transposed entries": ("rows and columns of the kernel are swapped (transposed)", _transposed_entries),
    "last row": ("off by one: the last row of the kernel is not read", _without(i=-1)),
    "last column": ("off by one: the last column of the kernel is not read", _without(j=-1)),
    "last row and column": ("off by one: the last row and the last column of the kernel are not read",
                            _without(i=-1, j=-1)),
    "first row and column": ("off by one: the first row and the first column of the kernel are not read",
                             _without(i=0, j=0)),
    "square": ("the kernel is taken to be square: its columns are counted by KH", _square),
    # stride
    "stride ignored": ("the stride is ignored", _set(True, s=lambda w: (1, 1))),
    "stride ignored in the pixel": ("the stride is ignored where the pixel is chosen: s k + d i - p, not k + d i - p",
                                    _set(s=lambda w: (1, 1))),
    "stride of rows": ("the stride is used for the rows only, and not for the columns (stride on the wrong axis)",
                       _set(True, s=lambda w: (w.s[0], 1))),
    "stride of columns": ("the stride is used for the columns only, and not for the rows (stride on the wrong axis)",
                          _set(True, s=lambda w: (1, w.s[1]))),
    "stride of rows in the pixel": ("the columns are chosen without the stride (stride on the wrong axis)",
                                    _set(s=lambda w: (w.s[0], 1))),
    "stride of columns in the pixel": ("the rows are chosen without the stride (stride on the wrong axis)",
                                       _set(s=lambda w: (1, w.s[1]))),
    "stride first": ("the stride thins out the image before the convolution, instead of the places of the window",
                     _thinned),
    "stride everywhere": ("the stride multiplies i and j too: the pixel is s k + d i - p, not s (k + d i) - p",
                          _stride_everywhere),
    "stride and padding": ("the padding is multiplied by the stride: the pixel is s k + d i - p, not s (k - p) + d i",
                           _set(p=lambda w: (w.s[0] * w.p[0], w.s[1] * w.p[1]))),
    "stride late": ("the stride begins at s - 1 instead of 0: the first window lies at the first pixel",
                    _set(p=lambda w: (w.p[0] - w.s[0] + 1, w.p[1] - w.s[1] + 1))),
    # padding
    "padding ignored": ("the padding is ignored", _set(True, p=lambda w: (0, 0), more=lambda w: (0, 0))),
    "padding after": ("the padding is on one side only: below and to the right, not above and to the left",
                      _set(True, p=lambda w: (0, 0))),
    "padding before": ("the padding is on one side only: above and to the left, not below and to the right",
                       _set(True, more=lambda w: (0, 0))),
    "all padding before": ("the padding is on one side only: all 2 p of it above and to the left",
                           _set(p=lambda w: (2 * w.p[0], 2 * w.p[1]))),
    "all padding after": ("the padding is on one side only: all 2 p of it below and to the right, as if the pixel were"
                          " s k + d i without - p", _set(p=lambda w: (0, 0))),
    "padding of rows": ("the padding is only above and below, not to the left and right",
                        _set(True, p=lambda w: (w.p[0], 0), more=lambda w: (w.more[0], 0))),
    "padding of columns": ("the padding is only to the left and right, not above and below",
                           _set(True, p=lambda w: (0, w.p[1]), more=lambda w: (0, w.more[1]))),
    "padding twice": ("the padding is put around the image twice",
                      _set(True, p=lambda w: (2 * w.p[0], 2 * w.p[1]), more=lambda w: (2 * w.more[0], 2 * w.more[1]))),
    "padding same": ("the padding is always `same`, whatever `padding` says", _same),
    "edge": ("the padding is not 0: the pixels of the edge are repeated", _set(outside="edge")),
    "reflect": ("the padding is not 0: the image is reflected", _set(outside="reflect")),
    "negative": ("a row or column below 0 is read from the other end: to Python the index -1 is the last one",
                 _set(outside="negative")),
    "wrap": ("the padding is not 0: the image is continued from its other side", _set(outside="wrap")),
    "one": ("the padding is 1, not 0", _set(outside="one")),
    "whole windows": ("windows that reach over the edge of the image are left out", _whole_windows),
    "one early": ("off by one: the window lies one pixel too far above and to the left (counted from 1?)",
                  _set(p=lambda w: (w.p[0] + 1, w.p[1] + 1))),
    "one late": ("off by one: the window lies one pixel too far below and to the right (counted from 1?)",
                 _set(p=lambda w: (w.p[0] - 1, w.p[1] - 1))),
    # dilation
    "dilation ignored": ("the dilation is ignored", _set(True, d=lambda w: (1, 1))),
    "dilation ignored in the pixel": ("the dilation is ignored where the pixel is chosen: s k + d i - p, not"
                                      " s k + i - p",
                                      _set(d=lambda w: (1, 1))),
    "dilation of rows": ("the dilation is used for the rows only, and not for the columns",
                         _set(True, d=lambda w: (w.d[0], 1))),
    "dilation of columns": ("the dilation is used for the columns only, and not for the rows",
                            _set(True, d=lambda w: (1, w.d[1]))),
    "dilation of rows in the pixel": ("the columns are chosen without the dilation", _set(d=lambda w: (w.d[0], 1))),
    "dilation of columns in the pixel": ("the rows are chosen without the dilation", _set(d=lambda w: (1, w.d[1]))),
    "dilation one more": ("off by one: the kernel is spread by d + 1 instead of d (d zeros between its entries,"
                          " not d - 1)",
                          _set(True, d=lambda w: (w.d[0] + 1, w.d[1] + 1))),
    # the output
    "output smaller": ("off by one at the edge: the output has a row and a column less than"
                       " floor((H + 2 p - d (KH - 1) - 1) / s) + 1", _smaller(1, 1)),
    "output larger": ("off by one at the edge: the output has a row and a column more than"
                      " floor((H + 2 p - d (KH - 1) - 1) / s) + 1", _smaller(-1, -1)),
    "output rounded up": ("the size of the output is rounded up, not down", _rounded_up),
    "last output": ("off by one at the edge: the last row and the last column of the output are not computed",
                    _without(k=-1, l=-1)),
    "last output row": ("off by one at the edge: the last row of the output is not computed", _without(k=-1)),
    "last output column": ("off by one at the edge: the last column of the output is not computed", _without(l=-1)),
    # sums
    "replaced": ("the terms are not added up: each replaces the one before it (= instead of +=)", _set(replaces=True)),
    "replaced by entries": ("the terms are not added up: each replaces the one before it (= instead of +=)",
                            _set(replaces=True, order="entries")),
    "mean": ("it is divided by KH KW: a convolution is a sum, not a mean",
             _set(scale=lambda w: 1 / (w.kernel[0] * w.kernel[1]))),
    # channels
    "groups interleaved": ("the groups are interleaved: output n is given the channels of group n mod g, and belongs to"
                           " group n // (N/g)", _group_of_output(lambda n, g, N: n % g)),
    "inputs interleaved": ("the groups are interleaved: group a is given the input channels a, a + g, a + 2 g, ..., and"
                           " has a C/g to (a + 1) C/g - 1", _inputs_interleaved),
    "both interleaved": ("the groups are interleaved, in the input and in the output: channel a belongs to group"
                         " a // (C/g), not a mod g", _both_interleaved),
    "groups reversed": ("the groups are in reverse order", _group_of_output(lambda n, g, N: g - 1 - n // (N // g))),
    "first group": ("every group reads the channels of the first one", _group_of_output(lambda n, g, N: 0 * n)),
    "one kernel": ("the kernel of channel 0 is used for all output channels", _one_kernel),
    "all channels": ("each output channel sums over all input channels: a depthwise convolution keeps them apart",
                     _all_channels),
    "all channels own": ("each output channel sums over all input channels: a depthwise convolution keeps them apart",
                         _all_channels_own),
    "first input": ("only the first input channel is read: the sum over m is missing", _one_input(0)),
    "last input": ("only the last input channel counts: the sum over m is not added up (= instead of +=)",
                   _one_input(-1)),
    "swapped channels": ("the kernel's axes of input and output channels are swapped", _swapped_channels),
}  # fmt: skip

_OF_CHANNELS = ("groups interleaved", "inputs interleaved", "both interleaved", "groups reversed", "first group",
                "one kernel", "first input", "last input", "swapped channels", "replaced")  # fmt: skip

_IGNORED = "stride ignored", "padding ignored", "dilation ignored"

# What gives the output another size: a gradient is told the size by dout.
_OF_SIZES = ("stride ignored", "stride of rows", "stride of columns", "padding ignored", "padding before",
             "padding after", "padding same", "dilation ignored", "dilation of rows",
             "dilation of columns")  # fmt: skip

_NOT_TURNED = "the kernel is not turned by 180 degrees: dF is a convolution of dG with the kernel flipped"
_OVERLAP = ("the gradient is not added up where windows overlap: a pixel gets that of one window only"
            " (= instead of +=)")  # fmt: skip
_IN_GRADIENTS = {
    ("flipped", "dx"): _NOT_TURNED,
    ("flipped", "dweight"): "dK is turned by 180 degrees (flipped)",
    ("replaced", "dx"): _OVERLAP,
    ("replaced by entries", "dx"): _OVERLAP,
    ("all padding after", "dx"): "the padding is cut off on one side only: dF begins at row p and column p of the"
                                " padded gradient",
    ("transposed entries", "dweight"): "rows and columns of dK are swapped (transposed)",
    ("mean", "dx"): "it is divided by KH KW",
    ("mean", "dweight"): "it is divided by KH KW",
}  # fmt: skip
