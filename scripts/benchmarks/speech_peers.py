"""Other ways from a recording to its text, greedily: the same weights and threads as ours.

Each peer is a function from a `SpeechTask` to a callable that returns the text. What a peer needs
is in the extra `bench`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import whisper

from benchmarks.encoder_peers import ctranslate2_folder, needs
from whisper_port.building import compile_checkpoint
from whisper_port.checkpoints import Checkpoint
from whisper_port.model import WhisperModel

Run = Callable[[], str]
BATCH = 8  # windows at once, where they are decoded together


@dataclass
class SpeechTask:
    """What every side transcribes: 16 kHz mono float32 samples."""

    name: str
    checkpoint: Checkpoint
    audio: np.ndarray
    language: str
    threads: int

    @property
    def options(self) -> dict[str, Any]:
        """Greedy, no fallback to sampling: the same work for everyone."""
        return {"language": self.language, "temperature": 0.0, "beam_size": None}


def ours(task: SpeechTask) -> Run:
    """fxmax, float32."""
    return _transcribing(compile_checkpoint(task.checkpoint, "cpu", quiet=True), task)


def ours_int8(task: SpeechTask) -> Run:
    """fxmax, int8 weights."""
    return _transcribing(compile_checkpoint(task.checkpoint, "cpu", dtype="int8", quiet=True), task)


def ours_batched(task: SpeechTask) -> Run:
    """fxmax, int8 weights, windows cut at quiet places and decoded together, no timestamps."""
    model = compile_checkpoint(task.checkpoint, "cpu", dtype="int8", quiet=True)
    return _transcribing(model, task, batch_size=BATCH, without_timestamps=True)


def openai(task: SpeechTask) -> Run:
    """openai-whisper, float32."""
    model = task.checkpoint.build()
    return lambda: str(whisper.transcribe(model, task.audio, fp16=False, **task.options)["text"])


def faster_whisper(task: SpeechTask) -> Run:
    """faster-whisper, float32, sequential."""
    return _faster_whisper(task, "float32")


def faster_whisper_int8(task: SpeechTask) -> Run:
    """faster-whisper with int8 weights and activations, sequential."""
    return _faster_whisper(task, "int8")


def faster_whisper_batched(task: SpeechTask) -> Run:
    """faster-whisper int8, windows cut by voice activity and decoded together, no timestamps."""
    return _faster_whisper(task, "int8", batched=True)


OURS: dict[str, Callable[[SpeechTask], Run]] = {
    "fxmax": ours,
    "fxmax-int8": ours_int8,
    "fxmax-int8-batched": ours_batched,
}
PEERS: dict[str, Callable[[SpeechTask], Run]] = {
    "openai": openai,
    "faster-whisper": faster_whisper,
    "faster-whisper-int8": faster_whisper_int8,
    "faster-whisper-batched": faster_whisper_batched,
}


def _transcribing(model: WhisperModel, task: SpeechTask, **more: Any) -> Run:
    def run() -> str:
        model.engine.forget()  # a batch of windows may be the whole recording
        return str(model.transcribe(task.audio, **task.options, **more)["text"])

    return run


def _faster_whisper(task: SpeechTask, compute_type: str, batched: bool = False) -> Run:
    module = needs("faster_whisper")
    with tempfile.TemporaryDirectory() as folder:
        model = module.WhisperModel(
            str(ctranslate2_folder(task.name, Path(folder))),
            device="cpu",
            compute_type=compute_type,
            cpu_threads=task.threads,
        )
    options: dict[str, Any] = {"language": task.language, "temperature": 0.0, "beam_size": 1}
    if batched:
        model = module.BatchedInferencePipeline(model)
        options |= {"batch_size": BATCH, "without_timestamps": True, "vad_filter": True}
    return lambda: "".join(s.text for s in model.transcribe(task.audio, **options)[0])
