"""Seconds from process start to an import, the first features, the first text: a process for each."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.measure import Times, in_turn
from benchmarks.table import Benchmark, Row
from fxmax.support.progress import Progress

ENCODER = """
import sys, torch
from whisper_port import lower_encoder, resolve_checkpoint
checkpoint = resolve_checkpoint(sys.argv[1], random_weights=True, quiet=True)
lower_encoder(checkpoint, device="cpu", quiet=True)(torch.zeros(1, checkpoint.dims.n_mels, 3000))
"""
TEXT = """
import os, sys
from whisper_port import load_model
segments = load_model(sys.argv[1], "cpu", quiet=True).segments(sys.argv[2], language="en")
print(next(iter(segments))["text"], flush=True)
os._exit(0)  # the clock stops at the text
"""
SAVE = """
import sys
from whisper_port import load_model
load_model(sys.argv[1], "cpu", quiet=True).save(sys.argv[2])
"""
IMPORTS = {
    "python": "pass",
    "import fxmax": "import fxmax",
    "import whisper_port": "import whisper_port",
    "import torch": "import torch",
    "import max.engine": "import max.engine",
    "import whisper": "import whisper",
}
SAMPLE = Path(__file__).parents[2] / "whisper_port" / "assets" / "sample.wav"


def run(code: str, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
    """Run `code` in a new Python; an error there is raised here with its text."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"a process that was to be timed failed:\n{done.stderr.strip()}")


def bench_startup(
    model: str, audio: Path = SAMPLE, *, rounds: int = 5, threads: int, quiet: bool = False
) -> Benchmark:
    """Process start to its aim, with graphs in the cache: the encoder (random weights), and first text."""
    progress = Progress(quiet)
    with tempfile.TemporaryDirectory() as folder:
        saved = os.path.join(folder, "saved.fxmax")
        with progress.stage("artifact", "compiling the whole model, to start from"):
            run(SAVE, model, saved)
        sides = {name: partial(run, code) for name, code in IMPORTS.items()}
        sides["encoder's features"] = partial(run, ENCODER, model)
        sides["first text"] = partial(run, TEXT, model, str(audio))
        sides["first text, from an artifact"] = partial(run, TEXT, saved, str(audio))
        with progress.stage("measure", f"{rounds} rounds of {len(sides)} processes"):
            times = in_turn(sides, rounds, warmup=1)
    rows = [Row.of(name, its, None) for name, its in times.items()]
    title = f"Whisper {model}, from process start, warm cache, {audio.name}"
    return Benchmark(title, rows, environment(threads))


def bench_compile(
    model: str, audio: Path = SAMPLE, *, rounds: int = 1, threads: int, quiet: bool = False
) -> Benchmark:
    """Process start to exit with an empty cache, then with the one it left: the encoder, and all graphs."""
    sides = {
        "encoder": partial(run, ENCODER, model),
        "encoder and decoder": partial(run, TEXT, model, str(audio)),
    }
    rows: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, work in sides.items():
            with tempfile.TemporaryDirectory() as folder, Progress(quiet).stage(name, "with an empty cache"):
                empty = {"XDG_CACHE_HOME": folder, "MODULAR_CACHE_DIR": os.path.join(folder, "modular")}
                for state in ("empty cache", "then again"):
                    times = in_turn({"it": partial(work, environ=empty)}, 1, warmup=0)
                    rows.setdefault(f"{name}, {state}", []).extend(times["it"].seconds)
    table = [Row.of(name, Times(seconds), None) for name, seconds in rows.items()]
    return Benchmark(f"Whisper {model}, cold and warm compile", table, environment(threads))
