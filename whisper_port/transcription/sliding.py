"""A whole recording by openai-whisper's sliding window: each window starts where the last one's text ends.

The order of decisions is `whisper.transcribe`'s, so that the results are the same; word times and
texts are made by its own functions. What differs: the log-mel is read a window at a time, and a
segment is given as soon as its window is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tqdm
from whisper.audio import FRAMES_PER_SECOND, N_FRAMES
from whisper.decoding import DecodingResult
from whisper.utils import get_end

from whisper_port.audio.log_mel import LogMel
from whisper_port.transcription.context import PromptContext
from whisper_port.transcription.options import clips
from whisper_port.transcription.segments import DecodedWindow, Segment, cut, skip_hallucinations
from whisper_port.transcription.transcription import Transcription

HOT = 0.5  # text that was sampled above this temperature prompts no window


class SlidingTranscription(Transcription):
    """The segments of a recording, as each window gives them."""

    def _windows(self, mel: LogMel, bar: tqdm.tqdm[Any]) -> Iterator[Segment]:
        options = self.options
        n_text_ctx = self.model.dims.n_text_ctx
        context = PromptContext(self._initial_prompt(), options.carry_initial_prompt, n_text_ctx)
        for start, stop in clips(options.clip_timestamps, mel.frames):
            seek = start
            while (size := min(N_FRAMES, mel.frames - seek, stop - seek)) > 0:
                frames = mel.window(seek, size)
                result = self._decode(frames, context.prompt())
                segments, following = self._cut(self._window(seek, size, result), frames, mel.frames)
                bar.update(min(mel.frames, following) - seek)
                seek = following
                if segments is None:
                    continue
                for segment in self._give(segments):
                    context.add(segment["tokens"])
                    yield segment
                if not options.condition_on_previous_text or result.temperature > HOT:
                    context.forget()

    def _decode(self, frames: np.ndarray, prompt: list[int]) -> DecodingResult:
        """Decode at one temperature after the other, until the result looks right."""
        result = None
        for temperature in self.options.temperatures:
            options = self.options.decoding(temperature, self.language, prompt)
            result = self.model.decode(frames, options)
            if not self.options.needs_fallback(result):
                break
        return result

    def _cut(
        self, window: DecodedWindow, frames: np.ndarray, content_frames: int
    ) -> tuple[list[Segment] | None, int]:
        """(a window's segments, the frame where the next window starts); None where all of it is dropped.

        `content_frames` are the recording's.
        """
        options = self.options
        if options.is_silence(window.result):
            return None, window.seek + window.size
        segments, following = cut(window)
        if not options.word_timestamps:
            return segments, following
        self._add_words(segments, frames, window.size)
        end = get_end(segments)
        if not window.ends_with_one_time and end is not None and end > window.start:
            following = round(end * FRAMES_PER_SECOND)
        if (threshold := options.hallucination_silence_threshold) is not None:
            following, drop = skip_hallucinations(
                window, segments, following, threshold, self._last_speech, content_frames
            )
            if drop:
                return None, following
        end = get_end(segments)
        self._last_speech = self._last_speech if end is None else end
        return segments, following
