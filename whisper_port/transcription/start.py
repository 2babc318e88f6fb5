"""The way in: which of the two transcriptions a recording gets."""

from __future__ import annotations

from typing import Any

from whisper_port.audio.reading import Audio
from whisper_port.protocol import TranscriptionModel
from whisper_port.transcription.batched import BatchedTranscription
from whisper_port.transcription.sliding import SlidingTranscription
from whisper_port.transcription.transcription import Transcription


def start(
    model: TranscriptionModel, audio: Audio, batch_size: int | None = None, **options: Any
) -> Transcription:
    """The transcription of a recording, by sliding window or in batches of `batch_size` windows."""
    if batch_size is None:
        return SlidingTranscription(model, audio, **options)
    return BatchedTranscription(model, audio, batch_size, **options)
