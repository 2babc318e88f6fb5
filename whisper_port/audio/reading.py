"""Audio of any kind as 16 kHz mono float32: files through PyAV (no ffmpeg binary), and arrays."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from whisper.audio import SAMPLE_RATE

Audio = Any  # a path, a numpy array or a torch tensor: see `pieces`
BLOCK = 30 * SAMPLE_RATE  # samples handed on at a time


class AudioError(Exception):
    """Something can't be read as audio; the text says what, and why."""


def load_audio(audio: Audio, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """All of it, as float32 in [-1, 1], shape (samples,): see `pieces`."""
    held = list(pieces(audio, sample_rate))
    return np.concatenate(held) if held else np.zeros(0, np.float32)


def pieces(audio: Audio, sample_rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """Audio as successive float32 arrays in [-1, 1], mono, at 16 kHz.

    Args:
        audio: the path of anything PyAV reads (its first audio stream is taken); or a numpy array
            or torch tensor, (samples,), (channels, samples) or (samples, channels), of floats in
            [-1, 1] or of integers.
        sample_rate: of an array, in Hz; a file knows its own.

    Raises:
        AudioError: no such file, no audio in it, not a media file; an array of another shape or
            dtype, or with NaN or infinity in it.
    """
    if isinstance(audio, (str, os.PathLike)):
        return _file_pieces(Path(audio))
    return _array_pieces(audio, sample_rate)


def _file_pieces(file: Path) -> Iterator[np.ndarray]:
    """Samples go through 16 bits, as they do in openai-whisper's `load_audio`."""
    if not file.is_file():
        raise AudioError(f"no such audio file: {file}" if not file.exists() else f"{file} is not a file")
    resampler = _resampler()
    found = 0
    try:
        with av.open(str(file), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise AudioError(f"{file} has no sound in it")
            damaged: list[str] = []
            frames = _frames(container, damaged)
            for piece in _resampled(frames, resampler):
                found += len(piece)
                yield piece
    except av.FFmpegError as error:
        at = f" after {found / SAMPLE_RATE:.1f} s of sound" if found else ""
        raise AudioError(f"{file} can't be read as audio{at}: {error.strerror or error}") from error
    if damaged:
        warnings.warn(
            f"{file}: {len(damaged)} damaged packets were skipped; the first said: {damaged[0]}", stacklevel=2
        )
    if not found:
        raise AudioError(f"{file} has no sound in it: its audio stream is empty")


def _frames(container: Any, damaged: list[str]) -> Iterator[av.AudioFrame]:
    """The first audio stream's frames; a packet that can't be decoded is skipped, as ffmpeg does."""
    for packet in container.demux(container.streams.audio[0]):
        try:
            yield from packet.decode()
        except av.InvalidDataError as error:
            damaged.append(str(error.strerror or error))


def _resampler() -> av.AudioResampler:
    return av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)


def _resampled(frames: Iterable[av.AudioFrame], resampler: av.AudioResampler) -> Iterator[np.ndarray]:
    """Frames as 16 kHz mono arrays, about `BLOCK` samples at a time."""
    held: list[np.ndarray] = []
    size = 0
    for frame in _with_end(frames):
        if frame is not None:
            frame.pts = None  # gaps in the timestamps are not silence
        for piece in resampler.resample(frame):
            held.append(piece.to_ndarray().reshape(-1))
            size += held[-1].size
        if size >= BLOCK or (frame is None and size):
            yield np.concatenate(held).astype(np.float32) / 32768.0
            held, size = [], 0


def _with_end(frames: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame | None]:
    """The frames, then the None that makes a resampler give its last samples."""
    yield from frames
    yield None


def _array_pieces(audio: Any, sample_rate: int) -> Iterator[np.ndarray]:
    samples = _mono(_as_float(audio))
    if not isinstance(sample_rate, (int, np.integer)) or sample_rate <= 0:
        raise AudioError(f"a sample rate is a whole number of Hz above 0; this is {sample_rate!r}")
    if sample_rate != SAMPLE_RATE and samples.size:
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = int(sample_rate)
        yield from _resampled([frame], _resampler())
        return
    for start in range(0, samples.size, BLOCK):
        yield samples[start : start + BLOCK]


def _as_float(audio: Any) -> np.ndarray:
    """float32 in [-1, 1] from an array of floats or integers."""
    if hasattr(audio, "detach"):  # a torch tensor
        audio = audio.detach().cpu().numpy()
    if not isinstance(audio, np.ndarray):
        raise AudioError(
            f"audio is a path, a numpy array or a torch tensor; this is a {type(audio).__name__}"
        )
    if audio.dtype.kind in "iu":
        info = np.iinfo(audio.dtype)
        middle = 0 if audio.dtype.kind == "i" else (info.max + 1) // 2
        return ((audio.astype(np.float64) - middle) / (info.max + 1 - middle)).astype(np.float32)
    if audio.dtype.kind != "f":
        raise AudioError(f"audio is floats in [-1, 1] or integers; this array is {audio.dtype}")
    samples = audio.astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise AudioError(f"{bad} of the {samples.size} samples are NaN or infinite")
    return samples


def _mono(samples: np.ndarray) -> np.ndarray:
    """The mean of the channels, which lie along the shorter axis."""
    if samples.ndim == 1:
        return np.ascontiguousarray(samples)
    if samples.ndim != 2:
        raise AudioError(f"audio has 1 axis (samples) or 2 (with channels); this has shape {samples.shape}")
    mean = samples.mean(axis=int(samples.shape[1] < samples.shape[0]), dtype=np.float32)
    return np.ascontiguousarray(mean)
