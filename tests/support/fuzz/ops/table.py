"""Ops written as lines of Python, one a line."""

from __future__ import annotations

from tests.support.fuzz.drawing import Op


def table(
    of: str, lines: str, *, exact: bool = False, decides: bool = False, writes: bool = False
) -> list[Op]:
    """An op for each line."""
    codes = [line.strip() for line in lines.strip().splitlines()]
    return [Op(code, of, exact, decides, writes) for code in codes if code]
