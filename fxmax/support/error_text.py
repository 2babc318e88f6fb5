"""An exception in one line, also one that says nothing."""

from __future__ import annotations


def first_line(error: BaseException, most: int | None = None) -> str:
    """The first line of the error's text, cut to `most` characters; of one without text, its class."""
    lines = str(error).strip().splitlines()
    return lines[0][:most] if lines else type(error).__name__
