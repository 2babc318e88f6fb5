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
import tqdm
from whisper.audio import N_FRAMES
from whisper.decoding import DecodingResult
from whisper.utils import get_end

from whisper_port.audio.log_mel import LogMel
from whisper_port.audio.reading import Audio
from whisper_port.option_rules import refuse
from whisper_port.protocol import TranscriptionModel
from whisper_port.transcription.options import clips
from whisper_port.transcription.segments import DecodedWindow, Segment, cut, cut_whole
from whisper_port.transcription.transcription import Transcription

LEAST: int = 2 * N_FRAMES // 3  # frames of a window that is not a clip's last
SMOOTH = 20  # frames (0.2 s) that loudness is averaged over: a stop inside a word is shorter
REST = 100  # frames (1 s) that are worth a window of their own
QUIET = 0.1  # of the way from the quietest frame to the median is quiet enough


@dataclass(frozen=True)
class Span:
    """Frames to decode as a window: a part of the recording, by its number, or the rest of one."""

    part: int
    seek: int
    size: int

    @property
    def end(self) -> int:
        return self.seek + self.size


@dataclass(frozen=True)
class DecodedSpan:
    """A span's log-mel and segments, and the frame up to which those tell of it."""

    span: Span
    frames: np.ndarray
    segments: list[Segment]
    following: int

    @property
    def rest(self) -> Span | None:
        """What is left of the span to decode."""
        left = self.span.end - self.following
        return Span(self.span.part, self.following, left) if left > 0 else None


class InOrder:
    """Holds decoded spans back until every part before theirs is done, since rests come in later batches."""

    def __init__(self) -> None:
        self._held: dict[int, list[DecodedSpan]] = {}
        self._next = 0  # the part whose turn it is

    def add(self, spans: list[DecodedSpan], unfinished: set[int]) -> Iterator[DecodedSpan]:
        """Take a batch's spans; those whose turn it is, where `unfinished` parts have rests to come."""
        for span in spans:
            self._held.setdefault(span.span.part, []).append(span)
        while self._next in self._held and self._next not in unfinished:
            yield from self._held.pop(self._next)
            self._next += 1


class BatchedTranscription(Transcription):
    """The segments of a recording, as each batch gives them.

    Raises:
        ValueError: `batch_size` is below 1, or an option needs the windows before: see
            `hallucination_silence_threshold`. `condition_on_previous_text` has no effect.
    """

    def __init__(self, model: TranscriptionModel, audio: Audio, batch_size: int = 8, **options: Any) -> None:
        refuse({"batch_size": batch_size, **options}, model.vocabulary)
        super().__init__(model, audio, **options)
        self.batch_size = batch_size

    def _windows(self, mel: LogMel, bar: tqdm.tqdm[Any]) -> Iterator[Segment]:
        prompt = self._initial_prompt()
        parts = enumerate(limits(mel, self.options.clip_timestamps))
        fresh = (Span(i, seek, size) for i, (seek, size) in parts)
        rests: list[Span] = []
        in_order = InOrder()
        while batch := [*rests, *islice(fresh, self.batch_size - len(rests))]:
            decoded = self._decode_spans(mel, batch, prompt)
            rests = [rest for span in decoded if (rest := span.rest) is not None]
            for span in in_order.add(decoded, {rest.part for rest in rests}):
                bar.update(span.following - span.span.seek)
                yield from self._finish(span)

    def _decode_spans(self, mel: LogMel, batch: list[Span], prompt: list[int]) -> list[DecodedSpan]:
        frames = np.stack([mel.window(span.seek, span.size) for span in batch])
        results = self._decode_batch(frames, prompt)
        return [
            DecodedSpan(span, own, *self._cut(self._window(span.seek, span.size, result)))
            for span, own, result in zip(batch, frames, results, strict=True)
        ]

    def _finish(self, decoded: DecodedSpan) -> Iterator[Segment]:
        """Time the words of a span's segments, if that is asked for, and give them."""
        segments = decoded.segments
        if self.options.word_timestamps and segments:
            self._add_words(segments, decoded.frames, decoded.span.size)
            self._last_speech = get_end(segments) or self._last_speech
        yield from self._give(segments)

    def _cut(self, window: DecodedWindow) -> tuple[list[Segment], int]:
        """(segments, the frame up to which the window is done)."""
        end = window.seek + window.size
        if self.options.is_silence(window.result):
            return [], end
        segments, following = cut(window)
        if window.seek < following < end - REST:
            return segments, following
        return cut_whole(window), end

    def _decode_batch(self, frames: np.ndarray, prompt: list[int]) -> list[DecodingResult]:
        """Decode windows together; those that look wrong again, at the next temperature."""
        results: list[Any] = [None] * len(frames)
        left = list(range(len(frames)))
        for temperature in self.options.temperatures:
            options = self.options.decoding(temperature, self.language, prompt)
            found = self.model.decode(frames[left], options)
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
                size = quiet_frame(mel.window(seek, N_FRAMES))
            yield seek, size
            seek += size


def quiet_frame(window: np.ndarray) -> int:
    """The last quiet frame of a log-mel (n_mels, 3000), from two thirds of it on."""
    loudness = np.convolve(window.mean(axis=0), np.full(SMOOTH, 1 / SMOOTH), mode="same")
    late = loudness[LEAST : -SMOOTH // 2]  # beyond that the average looks past the window
    least = late.min()
    quiet = np.flatnonzero(late <= least + QUIET * (np.median(loudness) - least))
    return LEAST + int(quiet[-1] if len(quiet) else late.argmin())
