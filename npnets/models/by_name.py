"""Networks by a word, as command lines have them: "mobilenet:0.5", "shufflenet:1:8"."""

from typing import Any, NamedTuple

from npnets.models.mobilenet_v1 import MobileNetV1
from npnets.models.network import Network
from npnets.models.shufflenet_v1 import ShuffleNetV1

RULE = 'must be "mobilenet", "mobilenet:WIDTH", "shufflenet", "shufflenet:SCALE" or "shufflenet:SCALE:GROUPS"'


class Named(NamedTuple):
    """A network that a word stands for: its class, how one writes it, and the arguments that the word gives."""

    kind: type[Network]
    title: str
    arguments: dict[str, Any]

    def build(self, **options: Any) -> Network:
        """Build it, with what else its class takes."""
        net: Network = self.kind(**{**self.arguments, **options})
        return net


def named(net: str) -> Named:
    """Return what "mobilenet[:WIDTH]" or "shufflenet[:SCALE[:GROUPS]]" stands for.

    Raises
    ------
    ValueError
        It is no such word. (Whether there is a network of these numbers says `build`.)

    Examples
    --------
    >>> named("shufflenet:0.5").title
    'ShuffleNet V1 0.5x g=3'
    """
    name, *numbers = net.split(":")
    try:
        if name == "mobilenet" and len(numbers) < 2:
            width = float([*numbers, "1"][0])
            return Named(MobileNetV1, f"MobileNet V1 {width:g}", {"width": width})
        if name == "shufflenet" and len(numbers) < 3:
            scale, groups = float([*numbers, "1"][0]), int([*numbers[1:], "3"][0])
            return Named(ShuffleNetV1, f"ShuffleNet V1 {scale:g}x g={groups}", {"scale": scale, "groups": groups})
    except ValueError:  # no numbers
        pass
    raise ValueError(f"`net` (={net!r}) {RULE}")
