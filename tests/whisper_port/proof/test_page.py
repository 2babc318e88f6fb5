"""The page that scripts/lower.py prints of a proof: what it shows, and what it says where it fails."""

from __future__ import annotations

import dataclasses

import pytest
from rich.console import Console

import fxmax
from fxmax.records import NodeRecord, PassRecord, SkippedNode
from whisper_port.proof.encoder import Comparison, Proof
from whisper_port.proof.page import proof_markdown, proof_page, show, verdict

REPORT = fxmax.Report(
    "AudioEncoder",
    "cpu:0",
    nodes=[NodeRecord("linear", "fxmax.linear.default", "lowered", "mlp.0", None, rule="rules/x.py:1")],
    bound=["mlp.0.weight", "conv1.weight"],
    layouts={"mlp.0.weight": "panels", "conv1.weight": "window panels"},
    passes=[PassRecord("fuse_linear", "act(linear(x, w)) → fxmax.linear", changes=1)],
    skipped=[SkippedNode("linear", "strassen", "too few to gain")],
)
SECONDS = {"capture": 1.0, "lower": 2.0, "compile": 90.0, "first_run": 0.5, "run_median": 0.25}
TEXT = {"max": "Good morning.", "torch": "Good morning."}
PROOF = Proof(
    model="tiny.en",
    device="cpu:0",
    weights_source="a package",
    audio="sample.wav",
    sdpa=True,
    random_weights=False,
    comparison=Comparison(3e-5, 12.0, 1.0, TEXT),
    report=REPORT,
    seconds=SECONDS,
    torch_run_median_seconds=0.5,
)


def page(proof: Proof, verbose: bool = False) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        show(console, *proof_page(proof, verbose))
    return captured.get()


def test_it_shows_errors_times_texts_and_counts() -> None:
    text = page(PROOF)
    for part in ("3.00e-05", "1.0e-04", "0.50", "90.000", "Good morning.", "PASS: every weight is bound"):
        assert part in text
    assert "weights packed: 1 as panels, 1 as window panels" in text
    assert "left as they were (verbose: which, and why): strassen 1" in text
    assert "too few to gain" not in text


def test_verbose_it_names_weights_and_nodes() -> None:
    text = page(PROOF, verbose=True)
    assert "mlp.0.weight: packed as panels" in text
    assert "linear: strassen left it: too few to gain" in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"max_abs_error": 1e-3}, "MAX's features differ by more than is allowed"),
        ({"max_abs_error": float("nan")}, "MAX's features differ by more than is allowed"),
        ({"text": {"max": "Good evening.", "torch": "Good morning."}}, "the texts differ"),
    ],
    ids=["error", "nan", "text"],
)
def test_a_failure_says_what_failed_and_what_to_do(change: dict[str, object], reason: str) -> None:
    failed = dataclasses.replace(PROOF, comparison=dataclasses.replace(PROOF.comparison, **change))
    assert verdict(failed).startswith(f"FAIL: {reason}. ")
    for text in (page(failed), proof_markdown(failed)):
        assert reason in text
        assert "--verify" in text


def test_a_weight_without_a_value_fails() -> None:
    failed = dataclasses.replace(PROOF, report=dataclasses.replace(REPORT, missing=["conv1.weight"]))
    assert verdict(failed).startswith("FAIL: 1 of the weights without a value")
