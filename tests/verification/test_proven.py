"""A graph that was proven on this machine is not proven again; another one is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fxmax.frontend.capture import capture
from fxmax.frontend.options import Options
from fxmax.records import Check
from fxmax.report import Report
from fxmax.verification import proven
from fxmax.verification.proven import program_text, prove_once
from tests.support.parity import Fn

X = torch.randn(2, 3)
CHECK = Check("the example", 1, 1e-7, 2e-7)


def cos(x: torch.Tensor) -> torch.Tensor:
    return x.cos()


def compiled(fn: Callable[..., Any], folder: Path | None, x: torch.Tensor = X) -> Any:
    """What prove_once reads of a compiled graph, which is in the cache's `folder`."""
    captured = capture(Fn(fn), (x,), options=Options.resolve(device="cpu"))
    report = Report("m", "cpu:0")
    return SimpleNamespace(kept_in=folder, report=report, lowered=SimpleNamespace(captured=captured))


@pytest.fixture
def runs(monkeypatch) -> list[Any]:
    """The graphs that were run to be compared; `outcome` is what the next comparison finds."""
    ran: list[Any] = []

    def prove(graph: Any, warn: bool = False) -> bool:
        ran.append(graph)
        graph.report.checks.append(CHECK)
        return not graph.report.notes

    monkeypatch.setattr(proven, "prove", prove)
    return ran


def test_it_is_run_once_and_the_report_says_so(tmp_path, runs) -> None:
    first, second = (compiled(cos, tmp_path) for _ in range(2))
    prove_once(first)
    prove_once(second)
    assert runs == [first]
    assert second.report.checks == first.report.checks == [CHECK]
    assert (first.report.proven, second.report.proven) == ("", "earlier on this machine")
    assert "compared with torch earlier on this machine on the example" in str(second.report)


@pytest.mark.parametrize(
    ("fn", "x"),
    [
        (lambda x: x.sin(), X),
        (cos, torch.randn(2, 4)),
        (cos, X.double()),
        (lambda x: torch.cos(x) + 0.5, X),
    ],
    ids=["op", "size", "dtype", "number"],
)
def test_another_program_is_run_though_the_graph_is_the_same(tmp_path, runs, fn, x) -> None:
    prove_once(compiled(cos, tmp_path))
    prove_once(compiled(fn, tmp_path, x))
    assert len(runs) == 2


def test_without_a_cache_it_is_run_each_time(runs) -> None:
    for _ in range(2):
        prove_once(compiled(cos, None))
    assert len(runs) == 2


def test_a_difference_that_was_only_warned_of_is_looked_for_again(tmp_path, runs) -> None:
    for _ in range(2):
        graph = compiled(cos, tmp_path)
        graph.report.notes.append("a difference")
        prove_once(graph, warn=True)
    assert len(runs) == 2


def test_a_damaged_record_is_no_proof(tmp_path, runs) -> None:
    prove_once(compiled(cos, tmp_path))
    [record] = tmp_path.glob("proofs/*.json")
    record.write_text(record.read_text()[:-9])
    prove_once(compiled(cos, tmp_path))
    assert len(runs) == 2


def test_a_folder_that_can_t_be_written_is_no_error(tmp_path, runs) -> None:
    (tmp_path / "proofs").write_text("not a folder")
    prove_once(compiled(cos, tmp_path))
    assert len(runs) == 1


def test_a_program_s_text_has_no_addresses() -> None:
    def text() -> str:
        return program_text(compiled(lambda x: x[: x.shape[0] // 2].cos(), None).lowered.captured.exported)

    assert text() == text()
    assert " at 0x" not in text()
