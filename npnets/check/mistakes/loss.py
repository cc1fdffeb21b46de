"""Softmax and cross-entropy that go wrong."""

from typing import Any

import numpy as np

from npnets._check import Array
from npnets.check.mistakes.kinds import Lists


def _softmax(z: Array, axis: int = 1) -> Any:
    e = np.exp(z - z.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def _unstable(z: Array) -> Any:
    return np.asarray(np.exp(z) / np.exp(z).sum(1, keepdims=True))


def _target(a: Any, smoothing: float | None = None, others_only: bool = False) -> Any:
    _, N = a.logits.shape
    e = a.label_smoothing if smoothing is None else smoothing
    right = (np.arange(N)[None] == a.labels[:, None]) * 1.0
    if others_only:
        return right * (1 - e) + (1 - right) * e / (N - 1)
    return right * (1 - e) + e / N


def _entropy(a: Any, p: Array | None = None, t: Array | None = None) -> Any:
    p, t = _softmax(a.logits) if p is None else p, _target(a) if t is None else t
    return np.asarray(-(t * np.log(p)).sum(1))


_OVERFLOW = "exp overflows where the logits are large: the largest one of a row is to be subtracted first"
_LOSS = [
    ("no mean", "the 1/B is forgotten: the loss is the mean over the batch, not the sum", lambda a: _entropy(a).sum()),
    ("smoothing ignored", "the label smoothing is ignored", lambda a: _entropy(a, t=_target(a, 0.0)).mean()),
    ("smoothing of the others", "the label smoothing is shared by the wrong classes only, e / (N - 1): all"
     " N share it, e / N",
     lambda a: _entropy(a, t=_target(a, others_only=True)).mean()),
    ("base 2", "the logarithm has base 2: it is the natural one", lambda a: _entropy(a).mean() / np.log(2)),
    ("sign", "the sign is wrong: the loss is -sum t log p", lambda a: -_entropy(a).mean()),
    ("over the batch", "softmax is over the batch: each row has its own",
     lambda a: _entropy(a, p=_softmax(a.logits, 0)).mean()),
    ("over classes", "it is the mean over the classes too", lambda a: _entropy(a).mean() / a.logits.shape[1]),
    ("not summed", "it is a loss for each row: it is their mean", _entropy),
    ("no maximum", _OVERFLOW, lambda a: _entropy(a, p=_unstable(a.logits)).mean()),
    ("no softmax", "the exponentials are not divided by their sum", lambda a: _entropy(a, p=np.exp(a.logits)).mean()),
]  # fmt: skip
_DLOGITS = [
    ("no mean", "the 1/B is forgotten: the loss is the mean over the batch, so that its gradient is (p - t) / B",
     lambda a: _softmax(a.logits) - _target(a)),
    ("smoothing ignored", "the label smoothing is ignored",
     lambda a: (_softmax(a.logits) - _target(a, 0.0)) / len(a.logits)),
    ("smoothing and mean ignored", "the label smoothing is ignored, and the 1/B is forgotten",
     lambda a: _softmax(a.logits) - _target(a, 0.0)),
    ("smoothing of the others", "the label smoothing is shared by the wrong classes only, e / (N - 1): all"
     " N share it, e / N",
     lambda a: (_softmax(a.logits) - _target(a, others_only=True)) / len(a.logits)),
    ("probabilities", "it is p / B: the target is not taken off", lambda a: _softmax(a.logits) / len(a.logits)),
    ("only probabilities", "it is p: the target is not taken off, and the 1/B is forgotten",
     lambda a: _softmax(a.logits)),
    ("sign", "the sign is wrong: it is (p - t) / B, not (t - p) / B",
     lambda a: (_target(a) - _softmax(a.logits)) / len(a.logits)),
    ("over the batch", "softmax is over the batch: each row has its own",
     lambda a: (_softmax(a.logits, 0) - _target(a)) / len(a.logits)),
    ("no maximum", _OVERFLOW, lambda a: (_unstable(a.logits) - _target(a)) / len(a.logits)),
    ("all values", "it is divided by B N, and not by B", lambda a: (_softmax(a.logits) - _target(a)) / a.logits.size),
]  # fmt: skip

LISTS: Lists = {
    ("softmax_cross_entropy", "loss"): _LOSS,
    ("softmax_cross_entropy", "dlogits"): _DLOGITS,
}
