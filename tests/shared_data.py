"""Real weights and photographs: not part of the project, so that tests which need them skip where they are not."""

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("NPNETS_DATA", CHECKOUT.parent / "shared" / "data"))


def shared(name: str) -> Path:
    """Return the path of one of these files, or skip the test."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not in {FOLDER} (the variable NPNETS_DATA names another folder)")
    return path
