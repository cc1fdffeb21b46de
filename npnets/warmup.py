"""Compile everything beforehand: `npnets warmup`."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from npnets import MobileNetV1, ShuffleNetV1, ops, plan
from npnets._check import Array
from npnets._config import use
from npnets._jit import CACHE_FOLDER, OPTIONS
from npnets._optional import need
from npnets.train import step

DTYPES = ("float32", "float64")


def run(dtypes: Sequence[str]) -> None:
    """Compile all kernels for these dtypes, or load those that are kept, and show it.

    Raises
    ------
    ValueError
        Numba's compiler is off.
    """
    if OPTIONS.DISABLE_JIT:
        raise ValueError("`NUMBA_DISABLE_JIT` is set: nothing is compiled")
    tasks = [(f"{name} for {dtype}", task, np.dtype(dtype)) for dtype in dtypes for name, task in TASKS.items()]
    start = time.perf_counter()
    with use("numba"), _progress(len(tasks)) as show:
        for done, (name, task, dtype) in enumerate(tasks):
            show(done, name)
            task(dtype)
        show(len(tasks), "")
    print(f"ready after {time.perf_counter() - start:.1f} s; {_where()}")


def _where() -> str:
    if CACHE_FOLDER is None:
        return "nothing is kept, as the folder for compiled code cannot be written: NUMBA_CACHE_DIR names another"
    size = sum(file.stat().st_size for file in Path(CACHE_FOLDER).rglob("*") if file.is_file())
    return f"{size / 2**20:.0f} MB of compiled code are kept in {CACHE_FOLDER}"


def _layers(dtype: np.dtype[Any]) -> None:
    """Walk both networks layer by layer, as the evaluation of a training does."""
    mobilenet = MobileNetV1(rows=((8, 1),), width=0.25, num_classes=2, dtype=dtype)
    shufflenet = ShuffleNetV1(groups=2, stem_channels=4, stage_channels=(8, 16), stage_units=(2, 1),
                              stage_strides=(2, 2), num_classes=2, dtype=dtype)  # fmt: skip
    for net in mobilenet, shufflenet:
        x = np.zeros((2, 16, 16, 3), dtype)
        net.eval()(x)
        net.backward(np.zeros_like(net.train()(x)))


def _operations(dtype: np.dtype[Any]) -> None:
    for call in calls(dtype).values():
        call()


TASKS: dict[str, Callable[[np.dtype[Any]], None]] = {
    "inference": plan.prepare,
    "the training step": step.prepare,
    "the layers": _layers,
    "the operations": _operations,
}


def calls(dtype: np.dtype[Any]) -> dict[str, Callable[[], object]]:
    """Return a small call of each operation of `npnets.ops`, by its name."""

    def full(*shape: int) -> Array:
        return np.ones(shape, dtype)

    x, rows, one, square = full(1, 4, 4, 4), full(2, 4), full(4), full(4, 4)
    kernel, halves, depthwise = full(3, 3, 4, 4), full(3, 3, 2, 4), full(3, 3, 4)
    return {
        "conv2d": lambda: ops.conv2d(x, kernel, padding=1),
        "conv2d_backward": lambda: ops.conv2d_backward(x, x, kernel, padding=1),
        "group_conv2d": lambda: ops.group_conv2d(x, halves, padding=1, groups=2),
        "group_conv2d_backward": lambda: ops.group_conv2d_backward(x, x, halves, padding=1, groups=2),
        "depthwise_conv2d": lambda: ops.depthwise_conv2d(x, depthwise, padding=1),
        "depthwise_conv2d_backward": lambda: ops.depthwise_conv2d_backward(x, x, depthwise, padding=1),
        "pointwise_conv2d": lambda: ops.pointwise_conv2d(x, square),
        "pointwise_conv2d_backward": lambda: ops.pointwise_conv2d_backward(x, x, square),
        "depthwise_separable_conv2d": lambda: ops.depthwise_separable_conv2d(x, depthwise, square, padding=1),
        "depthwise_separable_conv2d_backward": lambda: ops.depthwise_separable_conv2d_backward(
            x, x, depthwise, square, padding=1
        ),
        "channel_shuffle": lambda: ops.channel_shuffle(x, 2),
        "channel_shuffle_backward": lambda: ops.channel_shuffle_backward(x, 2),
        "bias_add": lambda: ops.bias_add(x, one),
        "bias_add_backward": lambda: ops.bias_add_backward(x),
        "batch_norm_train": lambda: ops.batch_norm_train(x, one, one),
        "batch_norm_train_backward": lambda: ops.batch_norm_train_backward(x, x, one, one, one),
        "batch_norm_eval": lambda: ops.batch_norm_eval(x, one, one, one, one),
        "batch_norm_eval_backward": lambda: ops.batch_norm_eval_backward(x, x, one, one, one),
        "relu": lambda: ops.relu(x),
        "relu_backward": lambda: ops.relu_backward(x, x),
        "relu6": lambda: ops.relu6(x),
        "relu6_backward": lambda: ops.relu6_backward(x, x),
        "leaky_relu": lambda: ops.leaky_relu(x),
        "leaky_relu_backward": lambda: ops.leaky_relu_backward(x, x),
        "max_pool2d": lambda: ops.max_pool2d(x, 2),
        "max_pool2d_backward": lambda: ops.max_pool2d_backward(full(1, 2, 2, 4), x, 2),
        "avg_pool2d": lambda: ops.avg_pool2d(x, 2),
        "avg_pool2d_backward": lambda: ops.avg_pool2d_backward(full(1, 2, 2, 4), x.shape, 2),
        "global_avg_pool": lambda: ops.global_avg_pool(x),
        "global_avg_pool_backward": lambda: ops.global_avg_pool_backward(full(1, 4), x.shape),
        "linear": lambda: ops.linear(rows, square, one),
        "linear_backward": lambda: ops.linear_backward(rows, rows, square),
        "softmax_cross_entropy": lambda: ops.softmax_cross_entropy(rows, np.zeros(2, np.int64)),
    }


@contextmanager
def _progress(tasks: int) -> Iterator[Callable[[int, str], None]]:
    """Give a function show(done, name): a live bar, or plain lines without a terminal or without rich."""
    try:
        rich = need("rich.progress", "demos", "the bar")
        console = need("rich.console", "demos", "the bar").Console()
    except ModuleNotFoundError:
        console = None
    if console is None or not console.is_interactive:
        yield lambda done, name: print(f"{done + 1}/{tasks}  {name}", flush=True) if done < tasks else None
        return
    columns = (
        rich.BarColumn(bar_width=30),
        rich.TextColumn("{task.description}", markup=False),
        rich.TimeElapsedColumn(),
    )
    with rich.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=tasks)
        yield lambda done, name: bar.update(task, completed=done, description=name)
