"""Who takes part: npnets and its peers, each doing the same work with the same weights, each at its best.

=============  =========================================================================================================
npnets         `npnets.compile`, `npnets.train_step`
torch          PyTorch, eager; images NCHW or channels_last; `torch.inference_mode`, or SGD with `fused=True`
onnxruntime    ONNX Runtime's CPU provider on the file that `npnets.weights.onnx` writes, NCHW, with fixed sizes
openvino       OpenVINO's CPU plugin on the same file, float32 throughout, hint for latency
=============  =========================================================================================================

Images, labels and whatever can be prepared stand ready in the order that suits each; what is timed is the call alone.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import npnets
from npnets._check import Array
from npnets._optional import need
from npnets.bench import ours
from npnets.bench.torch_network import torch_network, torch_order
from npnets.bench.work import SGD_OPTIONS, Work, many
from npnets.models import Network
from npnets.weights.onnx import model

OURS = "npnets"
PEERS = ("torch", "onnxruntime", "openvino")
TRAINERS = ("torch",)  # of float64, too
NCHW, CHANNELS_LAST = "NCHW", "channels_last"


@dataclass(frozen=True)
class Contender:
    """Someone ready to work.

    Attributes
    ----------
    name, layout, threads
        Who, with images in which order, on how many threads at most.
    prepare
        Sets what belongs to the whole process: numbers of threads.
    call
        Does the work once.
    result
        Does it once and returns what must be the same for all: the logits, or how far the step moved each parameter.
    """

    name: str
    layout: str
    threads: int
    prepare: Callable[[], None]
    call: Callable[[], Any]
    result: Callable[[], Array]

    @property
    def settings(self) -> str:
        """Say layout and threads."""
        layout = f"{self.layout}, " if self.name == "torch" else ""
        return f"{layout}{many(self.threads, 'thread')}"


def candidates(name: str, work: Work, threads: int) -> list[Contender]:
    """Return the contender with each of its settings: for peers the numbers of threads up to `threads`, and layouts.

    Raises
    ------
    ModuleNotFoundError
        The peer is not installed; the message has the command that installs it.
    ValueError
        The peer cannot do this work.
    """
    if name == OURS:
        return [contender(name, work, "NHWC", threads)]
    counts = sorted({threads, *(2**power for power in range(threads.bit_length()) if 2**power < threads)})
    layouts = (NCHW, CHANNELS_LAST) if name == "torch" else (NCHW,)
    return [contender(name, work, layout, count) for layout in layouts for count in counts]


def contender(name: str, work: Work, layout: str, threads: int) -> Contender:
    """Return one contender with these settings."""
    if name not in (OURS, *able(work.train, work.dtype)):
        raise ValueError(f"{name} does neither training steps nor float64 ({work.title})")
    make = {OURS: _npnets, "torch": _torch, "onnxruntime": _onnxruntime, "openvino": _openvino}[name]
    return make(work, layout, threads)


def able(train: bool, dtype: str) -> tuple[str, ...]:
    """Return the peers that can do such work."""
    return TRAINERS if train or dtype == "float64" else PEERS


def check(name: str) -> None:
    """Complain now if the peer is not installed, with the command that installs it."""
    for module in (name,) if name == "torch" else (name, "onnx"):
        need(module, "bench", f"the comparison with {name}")


# ---- npnets ----------------------------------------------------------------------------------------------------------


def _npnets(work: Work, layout: str, threads: int) -> Contender:
    net, x = work.network(), work.images()

    def prepare() -> None:
        npnets.set_threads(threads)

    if not work.train:
        plan = ours.compiled(net)
        return Contender(OURS, layout, threads, prepare, lambda: plan(x), lambda: plan(x))
    labels, optimizer = work.labels(), npnets.SGD(net, **SGD_OPTIONS)

    def step() -> float:
        return npnets.train_step(net, optimizer, x, labels)

    return Contender(OURS, layout, threads, prepare, step, lambda: _moved(step, lambda: _parameters(net)))


def _parameters(net: Network) -> Array:
    """Return a copy of all parameters in one row, each in PyTorch's order of axes."""
    rows = [value.ravel() for _, layer in net.layers() for value in torch_order(layer, layer.params).values()]
    return np.concatenate(rows)


def _moved(step: Callable[[], Any], parameters: Callable[[], Array]) -> Array:
    before = parameters()
    step()
    return parameters() - before


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def _torch(work: Work, layout: str, threads: int) -> Contender:
    torch = need("torch", "bench", "the comparison with torch")
    order = torch.channels_last if layout == CHANNELS_LAST else torch.contiguous_format
    module = torch_network(work.network()).to(memory_format=order)
    images = torch.from_numpy(_nchw(work.images())).to(memory_format=order)

    def prepare() -> None:
        torch.set_num_threads(threads)

    def forward() -> Any:
        with torch.inference_mode():
            return module(images)

    if not work.train:
        module.eval()
        return Contender("torch", layout, threads, prepare, forward, lambda: forward().numpy().copy())
    step = _torch_step(torch, module.train(), images, torch.from_numpy(work.labels()))

    def parameters() -> Array:
        return np.concatenate([value.detach().numpy().ravel() for value in module.parameters()])

    return Contender("torch", layout, threads, prepare, step, lambda: _moved(step, parameters))


def _torch_step(torch: Any, module: Any, images: Any, labels: Any) -> Callable[[], float]:
    optimizer = torch.optim.SGD(module.parameters(), **SGD_OPTIONS, fused=True)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(images), labels)
        loss.backward()
        optimizer.step()
        value: float = loss.item()
        return value

    return step


# ---- ONNX Runtime and OpenVINO ---------------------------------------------------------------------------------------


def _onnxruntime(work: Work, layout: str, threads: int) -> Contender:
    runtime = need("onnxruntime", "bench", "the comparison with onnxruntime")
    images = _nchw(work.images())
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    for name, size in (("batch", work.batch), ("height", work.side), ("width", work.side)):
        options.add_free_dimension_override_by_name(name, size)
    graph = model(work.network(), layout="NCHW").SerializeToString()
    session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def forward() -> Array:
        logits: Array = session.run(None, {"images": images})[0]
        return logits

    return Contender("onnxruntime", layout, threads, _nothing, forward, forward)


def _openvino(work: Work, layout: str, threads: int) -> Contender:
    openvino = need("openvino", "bench", "the comparison with openvino")
    images, core = _nchw(work.images()), _openvino_core()
    graph = core.read_model(model(work.network(), layout="NCHW").SerializeToString())
    graph.reshape(list(images.shape))
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
    }
    request = core.compile_model(graph, "CPU", options).create_infer_request()
    request.set_input_tensor(openvino.Tensor(images, shared_memory=True))

    def forward(images: Array = images) -> Any:  # the request only borrows the images: somebody must keep them
        request.infer()
        return request.get_output_tensor().data

    return Contender("openvino", layout, threads, _nothing, forward, lambda: np.array(forward()))


@functools.cache
def _openvino_core() -> Any:
    """Return the only core of this process.

    Each core's CPU plugin gives the thread a stack for signals, and puts back the one that it found when it goes. Of
    two, the one that goes last puts back the first one's, which is unmapped: the next Ctrl-C would end in a crash.
    """
    return need("openvino", "bench", "the comparison with openvino").Core()


def _nothing() -> None:
    """Prepare nothing: these peers' threads belong to the session."""


def _nchw(images: Array) -> Array:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
