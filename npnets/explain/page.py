"""The explorer's page: its parts, which stand beside this file, joined into one that needs nothing else.

The loops that it shows are the source of `npnets.ops` itself, read when the page is written.
"""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PARTS = Path(__file__).parent
SCRIPTS = ("texts", "equations", "formula", "state", "stage", "sum", "cost", "wiring", "network", "main")
LANGUAGES = ("en", "ko")
OPERATIONS = ("conv2d", "depthwise", "pointwise", "channel_shuffle")


def page(network: Mapping[str, Any] | None = None) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    network
        What `network.describe` returns, for the tab with a network's layers; None for a page without it.
    """
    data = {
        "texts": {language: json.loads(_part(f"{language}.json")) for language in LANGUAGES},
        "loops": _loops(),
        "network": network,
    }
    html = _part("page.html")
    for name, content in (
        ("style", _part("style.css")),
        ("data", json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")),  # no end of the script inside of it
        ("script", "\n".join(_part(f"{script}.js") for script in SCRIPTS)),
    ):
        html = html.replace(f"<!-- {name} -->", content)
    return html


def _part(name: str) -> str:
    return (PARTS / name).read_text("utf-8")


def _loops() -> dict[str, dict[str, Any]]:
    """Return the lines of each function `loops`, without its decorator, and the file that it stands in."""
    found = {}
    for name in OPERATIONS:
        source = (PARTS.parent / "ops" / f"{name}.py").read_text("utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("_loops"):
                lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
                found[f"{name}.{node.name}"] = {"file": f"npnets/ops/{name}.py", "lines": lines}
    return found
