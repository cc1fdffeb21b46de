"""A network's layers as one picture goes through them: feature maps, kernels and cost, for the page's tab."""

import base64
import io
from math import ceil, prod
from typing import Any

import numpy as np

from npnets._check import Array
from npnets._optional import need
from npnets.cost import cost
from npnets.layers import (
    Activation,
    BatchNorm,
    ChannelShuffle,
    Convolution,
    DepthwiseConvolution,
    Layer,
    Linear,
    PointwiseConvolution,
)
from npnets.models import Network
from npnets.predict.classify import best
from npnets.preprocessing import Images

KINDS: dict[type[Layer], str] = {
    Convolution: "conv",
    DepthwiseConvolution: "depthwise",
    PointwiseConvolution: "pointwise",
    ChannelShuffle: "shuffle",
    Activation: "activation",
    Linear: "linear",
}

MAPS, KERNELS, VALUES = 64, 128, 1024  # shown at most: maps of a layer, kernels (and rows of a matrix), single values
CLASSES = 5

GAP = 255  # the colour between the tiles: none

Colours = tuple[tuple[int, ...], ...]

# From low to high: dark violet over green to yellow for maps; blue over white for 0 to red for kernels.
MAP_COLOURS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
KERNEL_COLOURS = ((33, 84, 173), (146, 190, 230), (247, 247, 247), (244, 165, 130), (178, 24, 43))


def describe(net: Network, picture: Images, source: str) -> dict[str, Any]:
    """Return what the page shows of a network.

    Parameters
    ----------
    net
        In eval mode.
    picture
        (H, W, C), uint8, as large as the network is to see it.
    source
        Where the weights come from, for the reader.

    Returns
    -------
    network
        Of JSON's types, the pictures as data URLs.
    """
    logits, passed = _observe(net, net.preprocess(picture[None]))
    count = cost(net, picture.shape)
    mult_adds = {layer.name: layer.mult_adds for layer in count.layers}
    return {
        "name": type(net).__name__,
        "source": source,
        "photo": _jpeg(picture),
        "input": list(picture.shape),
        "mult_adds": count.mult_adds,
        "parameters": count.parameters,
        "classes": [
            {"name": guess.name, "probability": guess.probability} for guess in best(logits, net.classes, CLASSES)
        ],
        "layers": [_layer(entry, mult_adds) for entry in passed],
    }


def _observe(net: Network, x: Array) -> tuple[Array, list[dict[str, Any]]]:
    """Return the logits, and what went into and came out of each layer; batch norm and activation belong to theirs."""
    passed: list[dict[str, Any]] = []

    def watch(name: str, layer: Layer) -> None:
        forward = layer.forward

        def watched(x: Array) -> Array:
            out = forward(x)
            if isinstance(layer, BatchNorm | Activation) and passed and passed[-1]["output"] is x:
                passed[-1]["output"] = out
                passed[-1]["layers"].append(layer)
            else:
                passed.append({"name": name, "layers": [layer], "input": x, "output": out})
            return out

        vars(layer)["forward"] = watched

    inner = [(name, layer) for name, layer in net.layers() if not layer.children]
    for name, layer in inner:
        watch(name, layer)
    try:
        logits = net(x)[0]
    finally:
        for _, layer in inner:
            del vars(layer)["forward"]
    return logits, passed


def _layer(entry: dict[str, Any], mult_adds: dict[str, int]) -> dict[str, Any]:
    layer = entry["layers"][0]
    return {
        "name": entry["name"],
        "kind": _kind(layer),
        "detail": _detail(layer),
        "input": list(entry["input"].shape[1:]),
        "output": list(entry["output"].shape[1:]),
        "mult_adds": mult_adds[entry["name"]],
        "parameters": sum(value.size for one in entry["layers"] for value in one.params.values()),
        "maps": _maps(entry["output"][0]),
        "kernels": _kernels(layer.params["weight"]) if "weight" in layer.params else None,
    }


def _kind(layer: Layer) -> str:
    name = next((name for kind, name in KINDS.items() if isinstance(layer, kind)), "pool")
    grouped = isinstance(layer, Convolution | PointwiseConvolution) and layer.groups > 1
    return f"{name}_group" if grouped else name


def _detail(layer: Layer) -> str:
    """Return sides, stride and groups, in letters that need no translation."""
    window, parts = getattr(layer, "window", {}), []
    if isinstance(layer, Convolution | DepthwiseConvolution):
        parts.append("{} × {}".format(*layer.params["weight"].shape[:2]))
    if window.get("stride", 1) != 1:
        parts.append(f"s = {window['stride']}")
    if getattr(layer, "groups", 1) != 1:
        parts.append(f"g = {layer.groups}")  # type: ignore[attr-defined]
    return "".join(f", {part}" for part in parts)


# -- pictures ----------------------------------------------------------------------------------------------------------


def _maps(out: Array) -> dict[str, Any]:
    """Draw an output: (H, W, C) map by map, each on a scale of its own, or (C,) value by value, all on one scale."""
    if out.ndim == 1:
        return _drawn("values", out[None, None, :VALUES], out.min(), out.max(), out, MAP_COLOURS)
    maps = out[..., :MAPS]
    return _drawn("maps", maps, maps.min((0, 1)), maps.max((0, 1)), out, MAP_COLOURS)


def _kernels(weight: Array) -> dict[str, Any]:
    """Draw kernels (KH, KW, M) or (KH, KW, M, N) one by one, each on a scale of its own; a matrix (M, N) as it is."""
    kind = "matrix" if weight.ndim == 2 else "kernels"
    kernels = weight[:KERNELS, :KERNELS, None] if weight.ndim == 2 else weight.reshape(*weight.shape[:2], -1)
    kernels = kernels[..., :KERNELS]
    reach = abs(kernels).max((0, 1))
    return _drawn(kind, kernels, -reach, reach, weight, KERNEL_COLOURS)


def _drawn(kind: str, tiles: Array, low: Array, high: Array, values: Array, colours: Colours) -> dict[str, Any]:
    """Draw tiles (H, W, C), which are some of `values`; `low` has the first colour, `high` the last one."""
    span = np.asarray(high - low, np.float64)
    shares = (tiles - np.asarray(low, np.float64)) / np.where(span > 0, span, 1)
    one = 1 if kind == "matrix" else prod(tiles.shape[:2])  # of a matrix each entry is a kernel
    return {
        "kind": kind,
        "image": _png(_mosaic(np.rint(shares * (GAP - 1)).astype(np.uint8)), colours),
        "shown": tiles.size // one,
        "count": values.size // one,
        "low": f"{values.min():.3g}",
        "high": f"{values.max():.3g}",
    }


def _mosaic(tiles: Images) -> Images:
    """Lay tiles (H, W, C) side by side, about as many across as down, a pixel apart where they are more than pixels."""
    height, width, count = tiles.shape
    gap = int(height * width > 1)
    across = ceil((count * (height + gap) / (width + gap)) ** 0.5)
    down = ceil(count / across)
    mosaic = np.full((down * (height + gap) - gap, across * (width + gap) - gap), GAP, np.uint8)
    for at in range(count):
        top, left = at // across * (height + gap), at % across * (width + gap)
        mosaic[top : top + height, left : left + width] = tiles[..., at]
    return mosaic


def _png(indices: Images, colours: Colours) -> str:
    pillow = need("PIL.Image", "demos", "the tab with a network")
    steps = np.linspace(0, len(colours) - 1, GAP)
    ramp = np.stack([np.interp(steps, range(len(colours)), channel) for channel in zip(*colours, strict=True)], 1)
    image = pillow.fromarray(indices, "P")
    image.putpalette([*np.rint(ramp).astype(int).ravel().tolist(), 0, 0, 0])
    return _url(image, "png", transparency=GAP, optimize=True)


def _jpeg(picture: Images) -> str:
    pillow = need("PIL.Image", "demos", "the tab with a network")
    return _url(pillow.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture), "jpeg", quality=90)


def _url(image: Any, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
