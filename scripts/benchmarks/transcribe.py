"""Whole recordings, ours and others' in turn, with the word error rate beside every speed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from whisper.audio import SAMPLE_RATE
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from benchmarks.encoder_peers import PeerError, needs
from benchmarks.environment import environment
from benchmarks.measure import in_turn, ratios_of
from benchmarks.speech_peers import OURS, PEERS, SpeechTask
from benchmarks.table import Benchmark, Row
from fxmax.support.progress import Progress
from whisper_port.audio.reading import load_audio
from whisper_port.checkpoints import Checkpoint


def bench_transcribe(
    name: str,
    checkpoint: Checkpoint,
    file: Path,
    *,
    peers: Sequence[str],
    language: str = "en",
    rounds: int = 3,
    threads: int,
    quiet: bool = False,
) -> Benchmark:
    """One recording, greedily: ours (float32, int8, int8 in batches) and each peer in turn.

    The error column is the word error rate against `refs.json` beside the file, where it has the
    file's text; texts are normalized as openai-whisper's paper does. Peers' ratios are given for
    each of ours.
    """
    torch.set_num_threads(threads)
    progress = Progress(quiet)
    task = SpeechTask(name, checkpoint, load_audio(file), language, threads)
    sides: dict[str, Callable[[], str]] = {}
    notes: list[str] = []
    for side, build in {**OURS, **{p: PEERS[p] for p in peers}}.items():
        with progress.stage(
            side, "building it on the same weights: minutes where MAX has not compiled it before"
        ):
            try:
                sides[side] = build(task)
            except PeerError as reason:
                notes.append(f"{side}: not measured ({reason})")
    texts = {side: run() for side, run in sides.items()}
    with progress.stage("measure", f"{rounds} rounds of {len(sides)} sides"):
        times = in_turn(sides, rounds, warmup=0)  # each has just run once
    reference = reference_of(file)
    rows = []
    for side in sides:
        error = None if reference is None else word_error_rate(reference, texts[side], language)
        rows.append(Row.of(side, times[side], times["fxmax"], error, _note(texts, side)))
    notes += [ratios_of(side, times) for side in OURS if side != "fxmax"]
    notes.append("error: word error rate" if reference else "no reference text: no word error rate")
    seconds = len(task.audio) / SAMPLE_RATE
    return Benchmark(
        f"Whisper {name}: {file.name}, {seconds:.0f} s, greedy", rows, environment(threads), notes
    )


def reference_of(file: Path) -> str | None:
    """The recording's text, from `refs.json` in its folder."""
    refs = file.resolve().parent / "refs.json"
    entry: Any = json.loads(refs.read_text()).get(file.name) if refs.is_file() else None
    return None if entry is None else str(entry["text"])


def word_error_rate(reference: str, text: str, language: str = "en") -> float:
    """Of normalized texts, by jiwer."""
    normalize = EnglishTextNormalizer() if language == "en" else BasicTextNormalizer()
    return float(needs("jiwer").wer(normalize(reference), normalize(text)))


def _note(texts: dict[str, str], side: str) -> str:
    if side == "openai" or "openai" not in texts:
        return ""
    return "openai's text" if texts[side].strip() == texts["openai"].strip() else "another text"
