"""placeholder."""
from typing import Any
def describe(weights: str, photo: str) -> dict[str, Any]:
    """Placeholder."""
    raise ValueError
