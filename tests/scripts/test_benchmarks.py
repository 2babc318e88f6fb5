"""The benchmark's own arithmetic and its bad-input errors; no speed is asserted."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.encoder_peers import PEERS, EncoderTask, PeerError
from benchmarks.environment import environment
from benchmarks.measure import Times, in_turn
from benchmarks.table import Benchmark, Row

from whisper_port.checkpoints.named import random_checkpoint

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench.py"


def test_sides_take_turns_and_the_first_rotates() -> None:
    calls: list[str] = []
    times = in_turn({s: lambda s=s: calls.append(s) for s in "abc"}, rounds=3, warmup=1)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
    assert [len(t.seconds) for t in times.values()] == [3, 3, 3]


def test_a_ratio_is_the_median_over_rounds() -> None:
    assert Times([1.0, 2.0, 30.0]).ratio_to(Times([2.0, 2.0, 10.0])) == 1.0


def test_a_ratio_is_of_the_same_round() -> None:
    ours, theirs = Times([1.0, 20.0, 3.0]), Times([2.0, 40.0, 12.0])
    row = Row.of("peer", theirs, ours)
    assert row.ratio == 0.5
    assert (row.median_ms, row.minimum_ms) == (12_000, 2_000)


def test_the_word_error_rate_is_of_normalized_text(tmp_path: Path) -> None:
    pytest.importorskip("jiwer", reason="needs the extra `bench`")
    from benchmarks.transcribe import reference_of, word_error_rate

    (tmp_path / "refs.json").write_text(json.dumps({"a.wav": {"text": "Mr. Brown's 3 dogs ran"}}))
    reference = reference_of(tmp_path / "a.wav")
    assert reference is not None
    assert word_error_rate(reference, "mister brown is three dogs ran!") == 0.0
    assert word_error_rate(reference, "Mr. Brown's 3 cats ran") == pytest.approx(1 / 6)
    assert reference_of(tmp_path / "b.wav") is None


def test_the_forms_say_the_same() -> None:
    ours, theirs = Times([0.1, 0.2, 0.3]), Times([0.2, 0.4, 0.4])
    rows = [Row.of("ours", ours, ours, 1e-6), Row.of("theirs", theirs, ours, 2e-6)]
    benchmark = Benchmark("a title", rows, environment(2), ["a note"])
    assert benchmark.cells() == [
        ["ours", "200", "100", "", "1.0e-06", ""],
        ["theirs", "400", "200", "0.50", "2.0e-06", ""],
    ]
    text = benchmark.markdown()
    assert "| theirs | 400 | 200 | 0.50 | 2.0e-06 |\n" in text
    assert "a note" in text
    rows[1].note = "said otherwise"
    assert "| theirs | 400 | 200 | 0.50 | 2.0e-06 | said otherwise |\n" in benchmark.markdown()
    assert str(json.loads(json.dumps(benchmark.to_dict()))["environment"]["date"]) in text


@pytest.mark.parametrize("kind", [".svg", ".png"])
def test_a_chart_is_of_the_same_rows(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra `bench`")
    from benchmarks.chart import write_chart

    ours, theirs = Times([0.1, 0.2, 0.3]), Times([0.2, 0.4, 0.4])
    rows = [Row.of("fxmax", ours, ours), Row.of("theirs", theirs, ours)]
    file = tmp_path / f"chart{kind}"
    write_chart(Benchmark("a title", rows, environment(2)), file)
    begins = b"<?xml" if kind == ".svg" else b"\x89PNG"
    assert file.read_bytes().startswith(begins)


def test_a_peer_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    checkpoint = random_checkpoint("tiny")
    task = EncoderTask("tiny", checkpoint, checkpoint.build().encoder, torch.zeros(1, 80, 3000), 1)
    for peer in ("onnxruntime", "openvino", "faster-whisper"):
        with pytest.raises(PeerError, match=r"pip install -e '\.\[bench\]'"):
            PEERS[peer](task)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["encoder", "--peers", "onyx"], "no such peer: onyx"),
        (["encoder", "--audio", "nowhere.wav"], "no such file"),
        (["transcribe", "--peers", "whisper.cpp"], "no such peer: whisper.cpp; there are openai"),
        (["decode", "--audio", "none.wav"], "none.wav: no such file"),
        (["encoder", "--rounds", "0"], "--rounds must be 1 or more"),
        (["encoder", "--windows", "0"], "--windows must be 1 or more"),
        (["decode", "--threads", "0"], "--threads must be 1 or more"),
        (["overhead", "--json", "no/such/folder.json"], "its folder does not exist"),
        (["overhead", "--chart", "chart.pdf"], "its name ends in .svg or .png"),
        ([], "the following arguments are required"),
    ],
)
def test_bad_input_is_told_before_any_work(
    argv: list[str], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("bench_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", ["bench.py", *argv])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code not in (0, None)
    assert text in capsys.readouterr().err + str(end.value.code)
