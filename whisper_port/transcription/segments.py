"""From a decoded window's tokens to segments, by `whisper.transcribe`'s rules."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from whisper.audio import FRAMES_PER_SECOND, HOP_LENGTH, N_FRAMES, SAMPLE_RATE
from whisper.decoding import DecodingResult
from whisper.tokenizer import Tokenizer

Segment = dict[str, Any]
PUNCTUATION = "\"'“¿([{-\"'.。,，!！?？:：”)]}、"


@dataclass
class DecodedWindow:
    """One decoded window.

    Attributes:
        seek, size: its first mel frame and its frames of sound.
        stride: mel frames to a timestamp token's step.
    """

    seek: int
    size: int
    stride: int
    tokenizer: Tokenizer
    result: DecodingResult

    @property
    def start(self) -> float:
        """Seconds into the recording."""
        return float(self.seek * HOP_LENGTH / SAMPLE_RATE)

    @property
    def end(self) -> float:
        """Seconds, of a whole window."""
        return float((self.seek + N_FRAMES) * HOP_LENGTH / SAMPLE_RATE)

    @property
    def duration(self) -> float:
        """Seconds of sound."""
        return float(self.size * HOP_LENGTH / SAMPLE_RATE)

    @property
    def step(self) -> float:
        """Seconds to a timestamp token's step: 0.02."""
        return float(self.stride * HOP_LENGTH / SAMPLE_RATE)

    @property
    def ends_with_one_time(self) -> bool:
        """Whether it ends in text and one timestamp: no speech after that."""
        return [self.is_time(t) for t in self.result.tokens[-2:]] == [False, True]

    def is_time(self, token: int) -> bool:
        return bool(token >= self.tokenizer.timestamp_begin)

    def steps(self, token: int) -> int:
        """The steps from the window's start that a timestamp token says."""
        return int(token - self.tokenizer.timestamp_begin)

    def segment(self, start: float, end: float, tokens: list[int]) -> Segment:
        """A segment as `whisper.transcribe` returns it."""
        result = self.result
        return {
            "seek": self.seek,
            "start": start,
            "end": end,
            "text": self.tokenizer.decode([t for t in tokens if t < self.tokenizer.eot]),
            "tokens": tokens,
            "temperature": result.temperature,
            "avg_logprob": result.avg_logprob,
            "compression_ratio": result.compression_ratio,
            "no_speech_prob": result.no_speech_prob,
        }


def cut(window: DecodedWindow) -> tuple[list[Segment], int]:
    """(segments of a window, the frame where the next window starts).

    Two timestamps in a row end a segment and start the next. An unfinished segment is left to the
    next window.
    """
    tokens = list(window.result.tokens)
    pairs = pairwise(tokens)
    ends = [i for i, (a, b) in enumerate(pairs, start=1) if window.is_time(a) and window.is_time(b)]
    if not ends:
        times = [t for t in tokens if window.is_time(t)]
        duration = window.duration
        if times and times[-1] != window.tokenizer.timestamp_begin:
            duration = window.steps(times[-1]) * window.step
        segment = window.segment(window.start, window.start + duration, tokens)
        return [segment], window.seek + window.size
    if window.ends_with_one_time:
        ends.append(len(tokens))
    found = []
    for first, last in zip([0, *ends], ends, strict=False):
        part = tokens[first:last]
        start, end = (window.start + window.steps(t) * window.step for t in (part[0], part[-1]))
        found.append(window.segment(start, end, part))
    if window.ends_with_one_time:
        return found, window.seek + window.size
    return found, window.seek + window.steps(tokens[ends[-1] - 1]) * window.stride


def cut_whole(window: DecodedWindow) -> list[Segment]:
    """All of a window's segments, where no later window sees an unfinished one again."""
    found, _ = cut(window)
    rest = list(window.result.tokens)[sum(len(s["tokens"]) for s in found) :]
    if any(t < window.tokenizer.eot for t in rest):
        first = window.steps(rest[0]) * window.step if window.is_time(rest[0]) else 0.0
        found.append(window.segment(window.start + first, window.start + window.duration, rest))
    return found


def skip_hallucinations(
    window: DecodedWindow,
    found: list[Segment],
    following: int,
    threshold: float,
    last_speech: float,
    content_frames: int,
) -> tuple[int, bool]:
    """Skip silence around segments that look invented; `found` loses those that are dropped.

    Args:
        following: the frame where the next window would start.
        threshold: seconds of silence to skip.
        last_speech: when the speech before this window ended, in seconds.
        content_frames: the recording's frames.

    Returns:
        (the frame where the next window starts, whether to drop all of this one).
    """
    if not window.ends_with_one_time:
        end = _last_end(found)
        if end is not None and end > window.start:
            quiet = window.end - end > threshold
            following = round(end * FRAMES_PER_SECOND) if quiet else window.seek + window.size
    first = _with_words(found)
    if first is not None and _is_anomaly(first):
        gap = first["start"] - window.start
        if gap > threshold:
            return window.seek + round(gap * FRAMES_PER_SECOND), True
    before = last_speech
    for i, segment in enumerate(found):
        if not segment["words"]:
            continue
        if _is_anomaly(segment):
            after = _with_words(found[i + 1 :])
            next_start = window.start + window.duration if after is None else after["words"][0]["start"]
            silence_before = (
                segment["start"] - before > threshold
                or segment["start"] < threshold
                or segment["start"] - window.start < 2.0
            )
            silence_after = (
                next_start - segment["end"] > threshold
                or _is_anomaly(after)
                or window.end - segment["end"] < 2.0
            )
            if silence_before and silence_after:
                following = round(max(window.start + 1, segment["start"]) * FRAMES_PER_SECOND)
                if content_frames / FRAMES_PER_SECOND - segment["end"] < threshold:
                    following = content_frames
                found[i:] = []
                break
        before = segment["end"]
    return following, False


def _last_end(found: list[Segment]) -> float | None:
    words = [w["end"] for s in found for w in s["words"]]
    return words[-1] if words else (found[-1]["end"] if found else None)


def _with_words(found: list[Segment]) -> Segment | None:
    return next((s for s in found if s["words"]), None)


def _word_score(word: dict[str, Any]) -> float:
    """How odd a word is: unlikely, very short, or very long."""
    duration = word["end"] - word["start"]
    score = 1.0 if word.get("probability", 0.0) < 0.15 else 0.0
    score += max(0.0, 0.133 - duration) * 15
    return float(score + max(0.0, duration - 2.0))


def _is_anomaly(segment: Segment | None) -> bool:
    if segment is None or not segment["words"]:
        return False
    words = [w for w in segment["words"] if w["word"] not in PUNCTUATION][:8]
    score = sum(_word_score(w) for w in words)
    return score >= 3 or score + 0.01 >= len(words)
