"""Batch normalisation that goes wrong."""

from types import SimpleNamespace as Given
from typing import Any

import numpy as np

from npnets._check import Array
from npnets.check.mistakes.channels import SUM_OF_ROWS
from npnets.check.mistakes.kinds import Lists, rows


def _norm(a: Any, *, axes: Any = None, ddof: int = 0, variance: Any = None, std: Any = None, gamma: Any = None) -> Any:
    """Normalise, with another variance, standard deviation or scale."""
    axes = tuple(range(a.x.ndim - 1)) if axes is None else axes
    mu = a.x.mean(axes, keepdims=True)
    v = a.x.var(axes, ddof=ddof, keepdims=True) if variance is None else variance
    std = np.sqrt(v + a.eps) if std is None else std(v, a.eps)
    return (a.weight if gamma is None else gamma) * (a.x - mu) / std + a.bias


def _statistics(a: Any, ddof: int = 0) -> tuple[Array, Array]:
    x = rows(a.x)
    return x.mean(0), x.var(0, ddof=ddof)


_TRAIN = [
    ("unbiased", "the variance is the unbiased one, divided by n - 1: to normalise it is the biased one, divided by n",
     lambda a: _norm(a, ddof=1)),
    ("eps missing", "eps is not added to the variance", lambda a: _norm(a, std=lambda v, e: np.sqrt(v))),
    ("eps outside", "eps is added to the standard deviation: it is sqrt(v + eps), not sqrt(v) + eps",
     lambda a: _norm(a, std=lambda v, e: np.sqrt(v) + e)),
    ("fixed eps", "eps is always 1e-5, whatever `eps` says", lambda a: _norm(a, std=lambda v, e: np.sqrt(v + 1e-5))),
    ("no root", "it is divided by the variance, and not by its square root",
     lambda a: _norm(a, std=lambda v, e: v + e)),
    ("not divided", "the mean is taken off, but nothing is divided by the standard deviation",
     lambda a: _norm(a, std=lambda v, e: 1)),
    ("not centred", "the mean is not taken off",
     lambda a: a.weight * a.x / np.sqrt(_statistics(a)[1] + a.eps) + a.bias),
    ("no scale", "gamma is left out", lambda a: _norm(a, gamma=1)),
    ("no shift", "beta is left out", lambda a: _norm(a) - a.bias),
    ("swapped", "gamma and beta are swapped", lambda a: _norm(a, gamma=a.bias) - a.bias + a.weight),
    ("first axis", "the statistics are over the first axis only: all but the channels belong to them",
     lambda a: _norm(a, axes=0)),
    ("last axis", "the statistics are over the channels (layer norm): each channel has its own, over all others",
     lambda a: _norm(a, axes=-1)),
    ("image", "the statistics are those of each image (instance norm): they are over the batch, too",
     lambda a: _norm(a, axes=(1, 2))),
    ("total", "the statistics are over all channels together: each channel has its own",
     lambda a: _norm(a, axes=tuple(range(a.x.ndim)))),
]  # fmt: skip
_INV_STD = [
    ("variance", "it is the variance: inv_std is 1 / sqrt(v + eps)", lambda a: _statistics(a)[1]),
    ("std", "it is the standard deviation: inv_std is 1 / sqrt(v + eps)", lambda a: np.sqrt(_statistics(a)[1] + a.eps)),
    ("std without eps", "it is the standard deviation: inv_std is 1 / sqrt(v + eps)",
     lambda a: np.sqrt(_statistics(a)[1])),
    ("unbiased", "the variance is the unbiased one, divided by n - 1: it is the biased one, divided by n",
     lambda a: 1 / np.sqrt(_statistics(a, 1)[1] + a.eps)),
    ("unbiased variance", "it is the unbiased variance: inv_std is 1 / sqrt(v + eps), with the biased one",
     lambda a: _statistics(a, 1)[1]),
    ("eps missing", "eps is not added to the variance", lambda a: 1 / np.sqrt(_statistics(a)[1])),
    ("eps outside", "eps is added to the standard deviation: it is sqrt(v + eps), not sqrt(v) + eps",
     lambda a: 1 / (np.sqrt(_statistics(a)[1]) + a.eps)),
    ("no root", "the square root is missing: inv_std is 1 / sqrt(v + eps)", lambda a: 1 / (_statistics(a)[1] + a.eps)),
]  # fmt: skip


def _evaluated(a: Any, std: Any = None, **changed: Any) -> Any:
    given = Given(**(vars(a) | changed))
    root = np.sqrt(given.running_var + given.eps) if std is None else std(given.running_var, given.eps)
    return np.asarray(given.weight * (given.x - given.running_mean) / root + given.bias)


_EVAL = [
    ("batch statistics", "the statistics are those of the batch: after training they are the running ones", _norm),
    ("eps missing", "eps is not added to the variance", lambda a: _evaluated(a, lambda v, e: np.sqrt(v))),
    ("eps outside", "eps is added to the standard deviation: it is sqrt(v + eps), not sqrt(v) + eps",
     lambda a: _evaluated(a, lambda v, e: np.sqrt(v) + e)),
    ("fixed eps", "eps is always 1e-5, whatever `eps` says", lambda a: _evaluated(a, lambda v, e: np.sqrt(v + 1e-5))),
    ("no root", "it is divided by the variance, and not by its square root",
     lambda a: _evaluated(a, lambda v, e: v + e)),
    ("not centred", "the mean is not taken off", lambda a: _evaluated(a, running_mean=0)),
    ("no scale", "gamma is left out", lambda a: _evaluated(a, weight=1)),
    ("no shift", "beta is left out", lambda a: _evaluated(a, bias=0)),
    ("swapped", "gamma and beta are swapped", lambda a: _evaluated(a, weight=a.bias, bias=a.weight)),
    ("statistics swapped", "mean and variance are swapped",
     lambda a: _evaluated(a, running_mean=a.running_var, running_var=a.running_mean)),
]  # fmt: skip


def _closed(a: Any, mean: float = 1, slope: float = 1, n: int | None = None, r: Any = None, gamma: Any = None) -> Any:
    """Dx = gamma r (dy - dbeta / n - h dgamma / n), with parts left out."""
    dy, x = rows(a.dout), rows(a.x)
    h = (x - a.mean) * a.inv_std
    n = n or len(x)
    dx = dy - mean * dy.sum(0) / n - slope * h * (dy * h).sum(0) / n
    return np.asarray(
        ((a.weight if gamma is None else gamma) * (a.inv_std if r is None else r) * dx).reshape(a.x.shape)
    )


_TRAIN_DX = [
    ("constants", "mean and variance are taken to be constants: they depend on x, and pass on gradient too",
     lambda a: _closed(a, 0, 0)),
    ("variance constant", "the variance is taken to be a constant: the part along h, h dgamma / n, is missing",
     lambda a: _closed(a, 1, 0)),
    ("mean constant", "the mean is taken to be a constant: the part dbeta / n is missing", lambda a: _closed(a, 0, 1)),
    ("not divided", "dbeta and dgamma are not divided by n", lambda a: _closed(a, n=1)),
    ("no scale", "gamma is left out", lambda a: _closed(a, gamma=1)),
    ("no root", "the factor inv_std is left out", lambda a: _closed(a, r=1)),
]  # fmt: skip
_TRAIN_DWEIGHT = [
    ("not normalised", "dout is multiplied with x, and not with the normalised h = (x - mu) r",
     lambda a: rows(a.dout * a.x).sum(0)),
    ("not scaled", "dout is multiplied with x - mu, and not with h = (x - mu) r",
     lambda a: rows(a.dout * (a.x - a.mean)).sum(0)),
    ("mean", "it is divided by n: the gradient of gamma is a sum, not a mean",
     lambda a: rows(a.dout * (a.x - a.mean) * a.inv_std).mean(0)),
    ("first axis", "only the first axis is summed over: all but the channels have to be",
     lambda a: (a.dout * (a.x - a.mean) * a.inv_std).sum(0)),
    ("swapped", "dweight and dbias are swapped", lambda a: rows(a.dout).sum(0)),
]  # fmt: skip
_TRAIN_DBIAS = [
    *SUM_OF_ROWS,
    ("swapped", "dweight and dbias are swapped", lambda a: rows(a.dout * (a.x - a.mean) * a.inv_std).sum(0)),
]  # fmt: skip


def _eval_r(a: Any) -> Any:
    return np.asarray(1 / np.sqrt(a.running_var + a.eps))


_EVAL_DX = [
    ("no scale", "gamma is left out", lambda a: _eval_r(a) * a.dout),
    ("no root", "the factor 1 / sqrt(v + eps) is left out", lambda a: a.weight * a.dout),
    ("eps missing", "eps is not added to the variance", lambda a: a.weight * a.dout / np.sqrt(a.running_var)),
    ("training", "it is the gradient of training: after it mean and variance are constants",
     lambda a: _closed(Given(**vars(a), mean=a.running_mean, inv_std=_eval_r(a)))),
]  # fmt: skip
_EVAL_DWEIGHT = [
    ("not normalised", "dout is multiplied with x, and not with the normalised (x - mu) r",
     lambda a: rows(a.dout * a.x).sum(0)),
    ("not scaled", "dout is multiplied with x - mu, and not with (x - mu) r",
     lambda a: rows(a.dout * (a.x - a.running_mean)).sum(0)),
    ("mean", "it is divided by n: the gradient of gamma is a sum, not a mean",
     lambda a: rows(a.dout * (a.x - a.running_mean) * _eval_r(a)).mean(0)),
]  # fmt: skip

LISTS: Lists = {
    ("batch_norm_train", "out"): _TRAIN,
    ("batch_norm_train", "inv_std"): _INV_STD,
    ("batch_norm_train_backward", "dx"): _TRAIN_DX,
    ("batch_norm_train_backward", "dweight"): _TRAIN_DWEIGHT,
    ("batch_norm_train_backward", "dbias"): _TRAIN_DBIAS,
    ("batch_norm_eval", "out"): _EVAL,
    ("batch_norm_eval_backward", "dx"): _EVAL_DX,
    ("batch_norm_eval_backward", "dweight"): _EVAL_DWEIGHT,
    ("batch_norm_eval_backward", "dbias"): SUM_OF_ROWS,
}
