"""The log-mel spectrogram of a recording of any length, in bounded memory.

openai normalizes by the loudest frame of the whole recording, so all of it is read before the first
window can be given. Frames are kept as they come, in memory while they are few and then in a
temporary file, and normalized when a window is read.

The STFT is `torch.stft`, as in openai-whisper: a quiet band beside a loud one is within the
rounding noise of a float32 FFT, so that numpy's FFT differs by up to 2.5e-5 (measured), above the
1e-5 that we allow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch.nn.functional import pad
from whisper.audio import HOP_LENGTH, N_FFT, N_FRAMES, N_SAMPLES, mel_filters

from whisper_port.audio.reading import Audio, load_audio

MEMORY = 64 * 2**20  # bytes of frames in memory, above which they go to a file: 35 minutes
BLOCK_FRAMES = 3000
SILENCE = 1e-10  # the least power, as openai has it


class LogMel:
    """Made from pieces of 16 kHz mono float32 audio, which are read to the end.

    Attributes:
        frames: frames of sound, one for each 10 ms.
        n_mels: bands.
    """

    def __init__(self, pieces: Iterable[np.ndarray], n_mels: int) -> None:
        self.n_mels = n_mels
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY)  # noqa: SIM115 - closed with self
        self._peak = -np.inf
        samples = 0

        def counted() -> Iterator[np.ndarray]:
            nonlocal samples
            for piece in pieces:
                samples += len(piece)
                yield piece
            yield np.zeros(N_SAMPLES, np.float32)  # openai pads 30 s of silence

        for block in _log_power(counted(), n_mels):
            self._peak = max(self._peak, float(block.max()))
            self._file.write(block.tobytes())
        self.frames = samples // HOP_LENGTH

    def window(self, start: int, size: int) -> np.ndarray:
        """Frames start … start + size, then zeros up to a window: (n_mels, 3000) float32."""
        mel = np.zeros((self.n_mels, N_FRAMES), np.float32)
        row = 4 * self.n_mels
        self._file.seek(start * row)
        frames = np.frombuffer(self._file.read(min(size, N_FRAMES) * row), np.float32)
        frames = frames.reshape(-1, self.n_mels).T
        mel[:, : frames.shape[1]] = normalized(frames, self._peak)
        return mel

    def close(self) -> None:
        """Let go of the frames."""
        self._file.close()


def log_mel_spectrogram(audio: Audio, n_mels: int = 80, padding: int = 0) -> np.ndarray:
    """openai's function of that name: (n_mels, frames) float32 of a path, array or tensor at 16 kHz."""
    padded = np.concatenate([load_audio(audio), np.zeros(padding, np.float32)])
    blocks = list(_log_power(iter([padded]), n_mels))
    power = np.concatenate(blocks)[: len(padded) // HOP_LENGTH].T
    return normalized(power, float(power.max()))


def normalized(log_power: np.ndarray, peak: float) -> np.ndarray:
    """Cut to 80 dB below the peak of the recording and scaled, as openai's."""
    floor = np.float32(peak) - np.float32(8.0)
    scaled: np.ndarray = (np.maximum(log_power, floor) + np.float32(4.0)) / np.float32(4.0)
    return scaled


def _log_power(pieces: Iterator[np.ndarray], n_mels: int) -> Iterator[np.ndarray]:
    """log10 of the mel power, (frames, n_mels), a block at a time; the ends are reflected."""
    window, filters = torch.hann_window(N_FFT), mel_filters("cpu", n_mels)

    def log_power(samples: np.ndarray) -> np.ndarray:
        spectrum = torch.stft(
            torch.from_numpy(samples), N_FFT, HOP_LENGTH, window=window, center=False, return_complex=True
        )
        power = filters @ (spectrum.abs() ** 2)
        return torch.clamp(power, min=SILENCE).log10().T.numpy()

    half = N_FFT // 2
    held, started = np.zeros(0, np.float32), False
    block = BLOCK_FRAMES * HOP_LENGTH
    for piece in pieces:
        held = np.concatenate([held, piece.astype(np.float32, copy=False)])
        if not started and len(held) > half:
            held, started = np.concatenate([held[half:0:-1], held]), True
        while started and len(held) >= block + N_FFT:
            yield log_power(held[: block + N_FFT - HOP_LENGTH])
            held = held[block:]
    if not started:
        reflected = pad(torch.from_numpy(held)[None], (half, half), mode="reflect")[0].numpy()
    else:
        reflected = np.concatenate([held, held[-2 : -half - 2 : -1]])
    if (frames := (len(reflected) - N_FFT) // HOP_LENGTH) > 0:  # openai drops the last frame
        yield log_power(reflected[: frames * HOP_LENGTH + N_FFT - HOP_LENGTH])
