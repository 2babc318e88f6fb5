"""What decoding and transcribing ask of a model.

`whisper_port.model.WhisperModel` is built above them, so they know it by these protocols alone.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from whisper.decoding import DecodingOptions
from whisper.model import ModelDimensions

from whisper_port.engine.engine import Engine, Windows
from whisper_port.vocabulary import Vocabulary


class DecodingModel(Protocol):
    """A model whose windows of sound can be decoded, by `whisper_port.decoding`."""

    @property
    def dims(self) -> ModelDimensions: ...

    @property
    def engine(self) -> Engine: ...

    def windows(self, audio: torch.Tensor) -> Windows:
        """Encoded windows from log-mels (windows, n_mels, 3000), or from features."""


class TranscriptionModel(Protocol):
    """A model that recordings can be transcribed with, by `whisper_port.transcription`."""

    @property
    def dims(self) -> ModelDimensions: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    def decode(self, mel: Any, options: DecodingOptions) -> Any:
        """A `DecodingResult` for a log-mel (n_mels, 3000), a list of them for (windows, n_mels, 3000)."""

    def detect_language(self, mel: Any) -> tuple[Any, Any]:
        """(the language's token, each language's probability by its code) for a log-mel (n_mels, 3000)."""
