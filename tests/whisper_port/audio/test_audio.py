"""Audio from files and arrays, and the log-mel, against openai-whisper's."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
import whisper

from tests.support.speech import CLIPS, SAMPLE
from whisper_port.audio.log_mel import LogMel, log_mel_spectrogram
from whisper_port.audio.reading import AudioError, load_audio, pieces


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_an_array_of_any_rate_is_resampled(rate):
    heard = load_audio(tone(rate), rate)
    assert abs(len(heard) - 16000) <= 32
    middle = slice(2000, 14000)
    assert np.abs(heard[middle] - tone(16000)[: len(heard)][middle]).max() < 0.01


def test_arrays_tensors_integers_and_channels_are_one_audio():
    mono = tone(16000)
    whole = np.round(mono * 32768).astype(np.int16)
    for same in (mono, torch.from_numpy(mono), mono.astype(np.float64), whole, torch.from_numpy(whole)):
        np.testing.assert_allclose(load_audio(same), mono, atol=2e-5)
    stereo = np.stack([mono, 0 * mono])
    for same in (stereo, stereo.T):
        np.testing.assert_allclose(load_audio(same), mono / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.full(100, np.nan, np.float32), "100 of the 100 samples are NaN"),
        (np.array([0, np.inf], np.float32), "1 of the 2 samples"),
        (np.zeros((2, 3, 4), np.float32), "shape"),
        (np.zeros(3, complex), "complex"),
        ([0.0, 0.1], "list"),
        ("nowhere.wav", "no such audio file: nowhere.wav"),
        (Path("/"), "not a file"),
    ],
)
def test_what_is_no_audio_is_refused(audio, message):
    with pytest.raises(AudioError, match=message):
        load_audio(audio)


def test_a_wrong_sample_rate_is_refused():
    with pytest.raises(AudioError, match="sample rate"):
        load_audio(np.zeros(10, np.float32), 0)


def test_a_text_file_is_no_audio(tmp_path):
    file = tmp_path / "speech.wav"
    file.write_text("this is not audio")
    with pytest.raises(AudioError, match="can't be read as audio"):
        load_audio(file)


def test_damaged_packets_are_skipped_and_told(tmp_path):
    file = tmp_path / "talk.mp3"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mp3", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(16000, 4.0)[None], format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    whole = load_audio(file)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
    file.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged packets were skipped"):
        rest = load_audio(file)
    assert 0.7 * len(whole) < len(rest) <= len(whole) + 16000


def test_a_video_without_sound_is_refused(tmp_path):
    file = tmp_path / "silent.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(AudioError, match="no sound"):
        load_audio(file)


def test_a_file_is_read_in_pieces():
    whole = load_audio(SAMPLE)
    np.testing.assert_array_equal(np.concatenate(list(pieces(SAMPLE))), whole)


def clips() -> list[Any]:
    """The clip that is always there, and real recordings beside the repository (slow)."""
    recorded = [*sorted(CLIPS.glob("*.wav")), *sorted(CLIPS.glob("*.flac"))]
    return [SAMPLE, *(pytest.param(file, marks=pytest.mark.slow) for file in recorded)]


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("file", clips(), ids=lambda f: f.name)
def test_the_log_mel_is_openais(file, n_mels):
    audio = load_audio(file)
    expected = whisper.log_mel_spectrogram(audio, n_mels, padding=480000).numpy()
    assert np.abs(log_mel_spectrogram(audio, n_mels, 480000) - expected).max() <= 1e-5
    mel = LogMel(pieces(file), n_mels)
    assert mel.frames == expected.shape[1] - 3000
    for start in range(0, mel.frames, 2500):
        size = min(3000, mel.frames - start)
        window = mel.window(start, size)
        assert np.abs(window[:, :size] - expected[:, start : start + size]).max() <= 1e-5
        assert not window[:, size:].any()


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 200, 201, 1000, 16077, 480_001])
def test_the_log_mel_of_any_length_is_openais(samples):
    audio = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    expected = whisper.log_mel_spectrogram(audio, 80, padding=480000).numpy()
    mel = LogMel(iter([audio[: samples // 3], audio[samples // 3 :]]), 80)
    assert mel.frames == expected.shape[1] - 3000 == samples // 160
    assert np.abs(mel.window(0, 3000) - expected[:, :3000]).max() <= 1e-5


def test_a_long_log_mel_goes_to_a_file(monkeypatch):
    monkeypatch.setattr("whisper_port.audio.log_mel.MEMORY", 2**20)
    audio = np.random.default_rng(0).normal(0, 0.1, 70 * 16000).astype(np.float32)
    mel = LogMel(iter(np.split(audio, 7)), 80)
    assert mel._file._rolled
    expected = whisper.log_mel_spectrogram(audio, 80, padding=480000).numpy()
    assert np.abs(mel.window(4000, 3000) - expected[:, 4000:7000]).max() <= 1e-5
