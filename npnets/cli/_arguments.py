"""What several commands share: types of arguments, and the status of one that Ctrl-C stopped."""

import argparse

INTERRUPTED = 130


def switch(text: str) -> bool:
    """Read 0 or 1."""
    if text not in ("0", "1"):
        raise argparse.ArgumentTypeError(f"must be 0 or 1, not {text!r}")
    return text == "1"


def words(text: str) -> tuple[str, ...]:
    """Read words with commas between them; `none` is no word."""
    return () if text == "none" else tuple(word.strip() for word in text.split(","))


def numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between them."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be whole numbers, separated by commas, not {text!r}") from None
