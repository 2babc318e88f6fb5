"""Seconds from process start, each in a process of its own: imports, and the encoder's first features."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial

from fxmax.progress import Progress
from whisper_port.bench.environment import environment
from whisper_port.bench.measure import Times, in_turn
from whisper_port.bench.table import Benchmark, Row

ENCODER = """
import sys, torch
from whisper_port import checkpoints
from whisper_port.encoder import lower_encoder
checkpoint = checkpoints.resolve(sys.argv[1], random_weights=True, quiet=True)
lower_encoder(checkpoint, device="cpu", quiet=True)(torch.zeros(1, checkpoint.dims.n_mels, 3000))
"""
STARTS = {
    "python": "pass",
    "import fxmax": "import fxmax",
    "import whisper_port": "import whisper_port",
    "import torch": "import torch",
    "import max.engine": "import max.engine",
    "encoder, warm cache": ENCODER,
}


def run(code: str, model: str, environ: Mapping[str, str] | None = None) -> None:
    """Run `code` in a new Python; an error there is raised here with its text."""
    done = subprocess.run(
        [sys.executable, "-c", code, model],
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"a process that was to be timed failed:\n{done.stderr.strip()}")


def bench_startup(model: str, *, rounds: int = 5, threads: int, quiet: bool = False) -> Benchmark:
    """Process start to exit; the encoder has random weights, and its graph is in MAX's cache."""
    sides = {name: lambda code=code: run(code, model) for name, code in STARTS.items()}
    with Progress(quiet).stage("measure", f"{rounds} rounds of {len(sides)} processes"):
        times = in_turn(sides, rounds, warmup=1)
    rows = [Row.of(name, its, None) for name, its in times.items()]
    return Benchmark(f"process start to exit ({model})", rows, environment(threads))


def bench_compile(model: str, *, rounds: int = 1, threads: int, quiet: bool = False) -> Benchmark:
    """Process start to the encoder's first features with an empty cache, then with the one it left."""
    cold, warm = "encoder, empty cache", "encoder, then again"

    def once(folder: str) -> None:
        run(ENCODER, model, {"XDG_CACHE_HOME": folder, "MODULAR_CACHE_DIR": os.path.join(folder, "modular")})

    rows: dict[str, list[float]] = {cold: [], warm: []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, Progress(quiet).stage("compile", "with an empty cache"):
            for name in rows:
                rows[name] += in_turn({name: partial(once, folder)}, 1, warmup=0)[name].seconds
    table = [Row.of(name, Times(seconds), None) for name, seconds in rows.items()]
    return Benchmark(f"cold and warm compile ({model})", table, environment(threads))
