"""Which network a command is to use: weights from a file or a hub, or what was trained last; and its classes."""

import json

from npnets.models import Network
from npnets.train.checkpoint import reason
from npnets.train.run import latest
from npnets.weights import from_pretrained

LONGEST = 1 << 20  # bytes of names


def load(weights: str | None, classes: str | None) -> tuple[Network, str]:
    """Return the network in eval mode, and a line that says what it is.

    Parameters
    ----------
    weights
        What `from_pretrained` takes; None for what `npnets train` wrote last.
    classes
        A file with the names of its classes: see `read_names`. None for those that the weights bring along.

    Raises
    ------
    OSError, TypeError, ValueError, ModuleNotFoundError
        As `from_pretrained`, `latest` and `read_names`; or the numbers of classes differ.
    """
    names = None if classes is None else read_names(classes)
    source = str(latest()) if weights is None else weights
    net = from_pretrained(source)
    count = outputs(net)
    if names is not None:
        if len(names) == count - 1 == 1000:
            names = ["background", *names]  # TensorFlow's networks have it before the thousand
        if len(names) != count:
            raise ValueError(f"`--classes` (={classes}) has {len(names)} names, and the network {count} classes")
        net.classes = tuple(names)
    side = net.preprocessing.side
    size = "" if side is None else f", images of {side} x {side}"
    parameters = sum(value.size for value in net.parameters().values())
    return net, f"{source}: {type(net).__name__}, {parameters:,} parameters, {count} classes{size}"


def outputs(net: Network) -> int:
    """Return how many classes a network tells apart."""
    return net.parameters()["classifier.bias"].size


def read_names(path: str) -> list[str]:
    """Return the names in a file, in the order of the outputs.

    Parameters
    ----------
    path
        A text with a name on each line, a JSON list of names, or Keras' `imagenet_class_index.json`, which is
        {"0": ["n01440764", "tench"], ...}.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is none of these, or holds no name, or is longer than a megabyte.
    """
    with open(path, "rb") as file:
        content = file.read(LONGEST + 1)
    try:
        if len(content) > LONGEST:
            raise ValueError("it is longer than a megabyte")
        text = content.decode("utf-8-sig").strip()
        names = json.loads(text) if text.startswith(("[", "{")) else text.splitlines()
        if isinstance(names, dict):
            names = [names[str(n)][1] for n in range(len(names))]
        if not all(isinstance(name, str) and name.strip() for name in names):
            raise ValueError("a name is empty, or no text")
        if not names:
            raise ValueError("there are none")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is no list of names, as JSON or one on each line: {reason(error)}") from None
    return [name.strip() for name in names]
