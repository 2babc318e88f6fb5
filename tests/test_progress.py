"""Progress on stderr: plain lines off a terminal, a live line on one, nothing where asked."""

from __future__ import annotations

import io
import sys
import time

import pytest

from fxmax.support import progress
from fxmax.support.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_FOR", 0.05)
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.05)


def test_plain_lines_say_the_stage_the_time_and_that_it_is_alive(capsys) -> None:
    shown = Progress()
    with shown.stage("compile", "minutes at first"):
        time.sleep(0.3)
    *lines, last = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert last == "compile: done after 0 s"
    assert all(line.startswith("compile: ") and "minutes at first" in line for line in lines)
    assert shown.seconds["compile"] >= 0.3


def test_a_short_stage_prints_nothing(capsys, monkeypatch) -> None:
    monkeypatch.setattr(progress, "QUIET_FOR", 5.0)
    with Progress().stage("capture"):
        pass
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_live_line_with_the_elapsed_time(monkeypatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress().stage("compile", "minutes at first"):
        time.sleep(0.3)
    text = terminal.getvalue()
    assert "compile" in text
    assert "0:00:00" in text


def test_quiet_is_silent_and_still_keeps_the_seconds(capsys) -> None:
    shown = Progress(quiet=True)
    with shown.stage("compile"):
        time.sleep(0.15)
    assert capsys.readouterr().err == ""
    assert shown.seconds["compile"] >= 0.15


def test_the_seconds_are_kept_when_a_stage_fails() -> None:
    shown = Progress(quiet=True)
    with pytest.raises(ValueError, match="x"), shown.stage("lower"):
        raise ValueError("x")
    assert "lower" in shown.seconds
