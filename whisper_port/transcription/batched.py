"""A whole recording with several windows decoded together: faster, and without text before a window.

Windows are cut where the recording is quietest, between two thirds of a window and all of it, so that
few words are split; `clip_timestamps` sets limits of your own (a voice detector's, for example). What
a batch gives for a window is what the window gives alone. Where a window's text ends before its sound
does, the rest is a window of a later batch: openai-whisper's sliding window goes on from there, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from whisper.audio import N_FRAMES
from whisper.decoding import DecodingResult
from whisper.tokenizer import Tokenizer
from whisper.utils import get_end

from whisper_port.audio.log_mel import LogMel
from whisper_port.audio.reading import Audio
from whisper_port.protocol import TranscriptionModel
from whisper_port.transcription.options import clips
from whisper_port.transcription.segments import Segment, Window, cut, cut_whole
from whisper_port.transcription.sliding import Transcription

LEAST = 2 * N_FRAMES // 3  # frames of a window that is not a clip's last
SMOOTH = 20  # frames (0.2 s) that loudness is averaged over: a stop inside a word is shorter
REST = 100  # frames (1 s) that are worth a window of their own
QUIET = 0.1  # of the way from the quietest place to the median is quiet enough


@dataclass(frozen=True)
class Place:
    """A window to decode, or the rest of one: the limits it belongs to, by number, and its frames."""

    turn: int
    seek: int
    size: int

    @property
    def end(self) -> int:
        return self.seek + self.size


@dataclass(frozen=True)
class Given:
    """What a window gave: its segments, its log-mel and frames of sound, and how many of them are done."""

    found: list[Segment]
    frames: np.ndarray
    size: int
    done: int


def start(
    model: TranscriptionModel, audio: Audio, batch_size: int | None = None, **options: Any
) -> Transcription:
    """The transcription of a recording, by sliding window or in batches of `batch_size` windows."""
    if batch_size is None:
        return Transcription(model, audio, **options)
    return BatchedTranscription(model, audio, batch_size, **options)


class BatchedTranscription(Transcription):
    """The segments of a recording, as each batch gives them.

    Raises:
        ValueError: `batch_size` is below 1, or an option needs the windows before: see
            `hallucination_silence_threshold`. `condition_on_previous_text` has no effect.
    """

    def __init__(self, model: TranscriptionModel, audio: Audio, batch_size: int = 8, **options: Any) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it is 1 or more")
        if options.get("hallucination_silence_threshold") is not None:
            raise ValueError(
                "hallucination_silence_threshold moves the next window by what this one holds, so windows "
                "can't be decoded together: leave it out, or batch_size"
            )
        super().__init__(model, audio, **options)
        self.batch_size = batch_size

    def _windows(self, mel: LogMel, tokenizer: Tokenizer, bar: Any) -> Iterator[Segment]:
        options = self.options
        prompt: list[int] = []
        if options.initial_prompt is not None:
            prompt = tokenizer.encode(" " + options.initial_prompt.strip())
        stride = N_FRAMES // self.model.dims.n_audio_ctx
        last_speech = 0.0
        fresh = (Place(i, *limit) for i, limit in enumerate(limits(mel, options.clip_timestamps)))
        rests: list[Place] = []
        given: dict[int, list[Given]] = {}
        turn = 0
        while batch := [*rests, *islice(fresh, self.batch_size - len(rests))]:
            rests = []
            frames = np.stack([mel.window(place.seek, place.size) for place in batch])
            results = self._decode_batch(frames, prompt)
            for place, one, result in zip(batch, frames, results, strict=True):
                found, following = self._cut(Window(place.seek, place.size, stride, tokenizer, result))
                given.setdefault(place.turn, []).append(Given(found, one, place.size, following - place.seek))
                if following < place.end:
                    rests.append(Place(place.turn, following, place.end - following))
            while turn in given and all(rest.turn != turn for rest in rests):
                for part in given.pop(turn):
                    bar.update(part.done)
                    if options.word_timestamps and part.found:
                        self._add_words(part.found, tokenizer, part.frames, part.size, last_speech)
                        last_speech = get_end(part.found) or last_speech
                    yield from self._given(part.found)
                turn += 1

    def _cut(self, window: Window) -> tuple[list[Segment], int]:
        """(segments, the frame up to which the window is done)."""
        end = window.seek + window.size
        if self.options.is_silence(window.result):
            return [], end
        found, following = cut(window)
        if window.seek < following < end - REST:
            return found, following
        return cut_whole(window), end

    def _decode_batch(self, frames: np.ndarray, prompt: list[int]) -> list[DecodingResult]:
        """Decode windows together; those that look wrong again, at the next temperature."""
        results: list[Any] = [None] * len(frames)
        left = list(range(len(frames)))
        for temperature in self.options.temperatures:
            options = self.options.decoding(temperature, self.language, prompt)
            found: Any = self.model.decode(frames[left], options)
            for i, result in zip(left, found, strict=True):
                results[i] = result
            left = [i for i in left if self.options.needs_fallback(results[i])]
            if not left:
                break
        return results


def limits(mel: LogMel, timestamps: Any) -> Iterator[tuple[int, int]]:
    """(first frame, frames) of each window."""
    for begin, stop in clips(timestamps, mel.frames):
        seek, end = begin, min(stop, mel.frames)
        while seek < end:
            size = end - seek
            if size > N_FRAMES:
                size = quiet_place(mel.window(seek, N_FRAMES))
            yield seek, size
            seek += size


def quiet_place(window: np.ndarray) -> int:
    """The last quiet frame of a log-mel (n_mels, 3000), from two thirds of it on."""
    loudness = np.convolve(window.mean(axis=0), np.full(SMOOTH, 1 / SMOOTH), mode="same")
    late = loudness[LEAST : -SMOOTH // 2]  # beyond that the average looks past the window
    least = late.min()
    quiet = np.flatnonzero(late <= least + QUIET * (np.median(loudness) - least))
    return LEAST + int(quiet[-1] if len(quiet) else late.argmin())
