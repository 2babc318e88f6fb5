"""The encoder on MAX against Torch on the same mel: numbers, times, and the text that comes of it."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import whisper

import fxmax
from fxmax.support.progress import Progress
from whisper_port.checkpoints import Checkpoint
from whisper_port.modules.encoder import attention_form, lower_encoder

# A wrong weight, a wrong axis or a dropped bias exceeds these by orders of magnitude: MAX and torch
# add in different orders, which gives about 1e-6 of the features' scale.
MAX_ABS_ERROR = 1e-4
RELATIVE_ERROR = 1e-5
# On some speech float32 itself is further than that from the truth: base has activations of 500. Two
# float32 results may then differ by the rounding of both, at the one worst of half a million values.
# On the six clips of this project, both models and both forms, MAX was 0.3 to 4.6 times as far from
# float64 as torch was.
ROUNDINGS = 8.0


@dataclass
class Comparison:
    """MAX's features against Torch's, for one clip.

    `relative_error` is the max abs error over `scale`, the largest absolute feature.
    `torch_rounding` is the max abs error of Torch's own float32 features against the same encoder in
    float64; it is measured where the fixed tolerance does not suffice.
    """

    max_abs_error: float
    scale: float
    cosine: float
    text: dict[str, str]
    torch_rounding: float | None = None

    @property
    def relative_error(self) -> float:
        """Of the features' scale."""
        return self.max_abs_error / self.scale

    @property
    def allowed(self) -> float:
        """The max abs error allowed: the fixed tolerance, or `ROUNDINGS` times Torch's own rounding."""
        fixed = min(MAX_ABS_ERROR, RELATIVE_ERROR * self.scale)
        return fixed if self.torch_rounding is None else max(fixed, ROUNDINGS * self.torch_rounding)

    @property
    def ok(self) -> bool:
        """Within tolerance, and the same text. A NaN anywhere is not within tolerance."""
        return self.max_abs_error <= self.allowed and self.text["max"] == self.text["torch"]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {**asdict(self), "relative_error": self.relative_error, "allowed_max_abs_error": self.allowed}


@dataclass
class Proof:
    """What `scripts/lower.py` prints and writes."""

    model: str
    device: str
    weights_source: str
    audio: str
    sdpa: bool
    random_weights: bool
    comparison: Comparison
    report: fxmax.Report
    seconds: dict[str, float]
    torch_run_median_seconds: float
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Everything bound, nothing left over, and the comparison within tolerance."""
        return not self.report.missing and not self.report.unused and self.comparison.ok

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        report = self.report.to_dict()
        return {
            "model": self.model,
            "device": self.device,
            "weights_source": self.weights_source,
            "random_weights": self.random_weights,
            "sdpa": self.sdpa,
            "audio": self.audio,
            "ok": self.ok,
            "nodes": report["nodes"],
            "ops": report["ops"],
            "gaps": report["gaps"],
            "weights": report["weights"],
            **self.comparison.to_dict(),
            "seconds": self.seconds,
            "cache": report["cache"],
            "torch_run_median_seconds": self.torch_run_median_seconds,
            "notes": self.notes,
        }


def log_mel(audio: np.ndarray, n_mels: int) -> torch.Tensor:
    """The first 30 s of 16 kHz mono float32 audio as openai's log-mel, (1, n_mels, 3000) float32."""
    window = whisper.pad_or_trim(torch.from_numpy(audio))
    mel: torch.Tensor = whisper.log_mel_spectrogram(window, n_mels)
    return mel.unsqueeze(0)


def compare(
    model: whisper.Whisper, mel: torch.Tensor, actual: torch.Tensor, expected: torch.Tensor
) -> Comparison:
    """Features (1, n_audio_ctx, n_audio_state) from MAX and from Torch on `mel`, and the text of each."""
    a, e = actual.double(), expected.double()
    comparison = Comparison(
        max_abs_error=float((a - e).abs().max()),
        scale=float(e.abs().max()),
        cosine=float(torch.nn.functional.cosine_similarity(a.flatten(), e.flatten(), dim=0)),
        text={"max": decode(model, actual), "torch": decode(model, expected)},
    )
    if comparison.max_abs_error > comparison.allowed:
        comparison.torch_rounding = float((float64_features(model.encoder, mel) - e).abs().max())
    return comparison


def float64_features(encoder: torch.nn.Module, mel: torch.Tensor) -> torch.Tensor:
    """What the encoder gives in float64. openai's LayerNorm casts to float32; torch's own replaces it."""
    encoder = copy.deepcopy(encoder).double()
    for module in encoder.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.__class__ = torch.nn.LayerNorm
    result: torch.Tensor = encoder(mel.double())
    return result


def decode(model: whisper.Whisper, features: torch.Tensor) -> str:
    """The text that openai-whisper's own decoder makes of encoder features, greedily."""
    language = None if model.is_multilingual else "en"  # None: detected from the same features
    options = whisper.DecodingOptions(fp16=False, temperature=0.0, language=language)
    result = whisper.decode(model, features[0], options)
    return str(result.text)


def prove_encoder(
    name: str,
    checkpoint: Checkpoint,
    audio: np.ndarray,
    audio_name: str,
    *,
    sdpa: bool = True,
    device: str = "auto",
    runs: int = 3,
    quiet: bool = False,
) -> Proof:
    """Lower, bind, compile, run, and compare with Torch; both are timed in turn.

    Raises:
        fxmax.FxmaxError: it can't be lowered, bound or compiled.
    """
    progress = Progress(quiet)
    mel = log_mel(audio, checkpoint.dims.n_mels)
    compiled = lower_encoder(checkpoint, sdpa=sdpa, device=device, quiet=quiet)
    with progress.stage("torch", "building openai's own model on the same weights"):
        model = checkpoint.build()
    with progress.stage("run"), attention_form(sdpa), torch.inference_mode():
        first, actual = _timed(lambda: compiled(mel))
        _, expected = _timed(lambda: model.encoder(mel))
        ours, theirs = [], []
        for _ in range(runs):
            ours.append(_timed(lambda: compiled(mel))[0])
            theirs.append(_timed(lambda: model.encoder(mel))[0])
    with progress.stage("decode", "openai's decoder on both features"), torch.inference_mode():
        comparison = compare(model, mel, actual, expected)
    stages = compiled.report.seconds
    return Proof(
        model=name,
        device=compiled.report.device,
        weights_source=checkpoint.source,
        audio=audio_name,
        sdpa=sdpa,
        random_weights=checkpoint.random,
        comparison=comparison,
        report=compiled.report,
        seconds={**stages, "first_run": first, "run_median": statistics.median(ours)},
        torch_run_median_seconds=statistics.median(theirs),
        notes=[*checkpoint.notes, *compiled.report.notes],
    )


def _timed(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result
