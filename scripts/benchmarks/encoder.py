"""The encoder beside its peers, and what each pass is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks.encoder_peers import PEERS, EncoderTask, PeerError, openai
from benchmarks.environment import environment
from benchmarks.measure import in_turn
from benchmarks.table import Benchmark, Row
from fxmax.passes import PASSES
from fxmax.support.progress import Progress
from whisper_port.checkpoints import Checkpoint
from whisper_port.modules.encoder import lower_encoder
from whisper_port.proof.encoder import log_mel

OURS = "fxmax"


def bench_encoder(
    name: str,
    checkpoint: Checkpoint,
    audio: np.ndarray,
    *,
    peers: Sequence[str],
    ablate: bool = False,
    windows: int = 1,
    rounds: int = 15,
    threads: int,
    quiet: bool = False,
) -> Benchmark:
    """`windows` of 30 s at once: ours and each peer in turn; the error is against torch eager, max abs.

    With `ablate`, ours also without each pass in turn, and without any. Of several windows (one, and it
    again with noise on it), ours also one after another.
    """
    torch.set_num_threads(threads)
    progress = Progress(quiet)
    mel = log_mel(audio, checkpoint.dims.n_mels)
    noise = torch.randn(windows - 1, *mel.shape[1:], generator=torch.Generator().manual_seed(0))
    mel = torch.cat([mel, mel + 0.1 * noise])
    task = EncoderTask(name, checkpoint, checkpoint.build().encoder.eval(), mel, threads)
    sides: dict[str, Callable[[], np.ndarray]] = {OURS: _ours(task, None, quiet)}
    notes = []
    if windows > 1:
        sides[f"{OURS}, one by one"] = _one_by_one(task, quiet)
    if ablate:
        for removed in PASSES:
            rest = [p for p in PASSES if p != removed]
            sides[f"{OURS} without {removed}"] = _ours(task, rest, quiet)
        sides[f"{OURS} without passes"] = _ours(task, [], quiet)
    with torch.inference_mode():
        for peer in peers:
            with progress.stage(peer, "building it on the same weights"):
                try:
                    sides[peer] = PEERS[peer](task)
                except PeerError as reason:
                    notes.append(f"{peer}: not measured ({reason})")
        expected = openai(task)()
        errors = {side: float(np.abs(run() - expected).max()) for side, run in sides.items()}
        with progress.stage("measure", f"{rounds} rounds of {len(sides)} sides"):
            times = in_turn(sides, rounds)
    rows = [Row.of(side, times[side], times[OURS], errors[side]) for side in sides]
    if checkpoint.random:
        notes.append("RANDOM WEIGHTS")
    title = f"Whisper {name}: encoder, {'one 30 s window' if windows == 1 else f'{windows} windows of 30 s'}"
    return Benchmark(title, rows, environment(threads), notes)


def _ours(task: EncoderTask, passes: Sequence[str] | None, quiet: bool) -> Callable[[], np.ndarray]:
    windows = len(task.mel)
    compiled = lower_encoder(task.checkpoint, device="cpu", passes=passes, windows=windows, quiet=quiet)
    return lambda: compiled(task.mel).numpy()


def _one_by_one(task: EncoderTask, quiet: bool) -> Callable[[], np.ndarray]:
    compiled = lower_encoder(task.checkpoint, device="cpu", quiet=quiet)
    return lambda: np.concatenate([compiled(mel[None]).numpy() for mel in task.mel])
