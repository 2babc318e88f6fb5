"""An exception in one line, also one that says nothing."""

from __future__ import annotations

import pytest

from fxmax.support.error_text import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("size 3\nwas given"), "size 3"),
        (ValueError("\n  size 3  \n"), "size 3"),
        (AssertionError(), "AssertionError"),
        (NotImplementedError(" \n"), "NotImplementedError"),
    ],
)
def test_first_line_says_something(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_first_line_is_cut() -> None:
    assert first_line(ValueError("abcdef"), 3) == "abc"
