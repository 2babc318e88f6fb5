"""`whisper.transcribe`'s options: their names and defaults, what is refused, and what they decide."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from whisper.audio import FRAMES_PER_SECOND, SAMPLE_RATE
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from whisper_port.vocabulary import Vocabulary

PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"


@dataclass
class Options:
    """`whisper.transcribe`'s options, by its names and defaults; `decode` are `DecodingOptions`'."""

    verbose: bool | None = None
    temperature: float | Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    condition_on_previous_text: bool = True
    initial_prompt: str | None = None
    carry_initial_prompt: bool = False
    word_timestamps: bool = False
    prepend_punctuations: str = PREPENDED
    append_punctuations: str = APPENDED
    clip_timestamps: str | Sequence[float] = "0"
    hallucination_silence_threshold: float | None = None
    sample_rate: int = SAMPLE_RATE
    decode: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, options: dict[str, Any]) -> Options:
        """From keyword arguments; what is not an option of `transcribe` is one of `decode`."""
        names = set(cls.__dataclass_fields__) - {"decode"}
        own = {k: v for k, v in options.items() if k in names}
        return cls(**own, decode={k: v for k, v in options.items() if k not in names})

    @property
    def temperatures(self) -> list[float]:
        """What is tried, one after the other, until a result looks right."""
        given = self.temperature
        return [given] if isinstance(given, (int, float)) else list(given)

    def decoding(self, temperature: float, language: str, prompt: list[int]) -> DecodingOptions:
        """One window's options at one temperature; those that have no meaning there are left out."""
        given = {**self.decode, "language": language, "prompt": prompt}
        for name in ("beam_size", "patience") if temperature > 0 else ("best_of",):
            given.pop(name, None)
        return DecodingOptions(**given, temperature=temperature)

    def is_silence(self, result: DecodingResult) -> bool:
        """Whether a window holds no speech, so that its text is dropped."""
        if self.no_speech_threshold is None or result.no_speech_prob <= self.no_speech_threshold:
            return False
        return self.logprob_threshold is None or result.avg_logprob <= self.logprob_threshold

    def needs_fallback(self, result: DecodingResult) -> bool:
        """Whether a result looks wrong, so that the next temperature is tried."""
        repetitive = (
            self.compression_ratio_threshold is not None
            and result.compression_ratio > self.compression_ratio_threshold
        )
        unlikely = self.logprob_threshold is not None and result.avg_logprob < self.logprob_threshold
        silent = (
            self.no_speech_threshold is not None
            and result.no_speech_prob > self.no_speech_threshold
            and unlikely
        )
        return (repetitive or unlikely) and not silent


def check_options(options: Options, vocabulary: Vocabulary) -> str:
    """Refuse what can't work, before any long work; returns the language, "" to be detected.

    Raises:
        ValueError, TypeError: an option is wrong; the text says which and what it may be.
    """
    decode = {k: v for k, v in options.decode.items() if k not in ("beam_size", "best_of", "patience")}
    DecodingOptions(**decode)  # a TypeError for a name that is no option
    task = decode.get("task", "transcribe")
    if task not in ("transcribe", "translate"):
        raise ValueError(f"task is {task!r}; it may be 'transcribe' or 'translate'")
    if task == "translate" and not vocabulary.is_multilingual:
        raise ValueError("task 'translate' needs a multilingual model; this one knows English only")
    if task == "translate" and options.word_timestamps:
        warnings.warn("Word-level timestamps on translations may not be reliable.", stacklevel=4)
    temperatures = options.temperature
    if not isinstance(temperatures, (int, float)) and not len(temperatures):
        raise ValueError("temperature is an empty sequence; give one at least, such as 0.0")
    clips(options.clip_timestamps, 0)
    return check_language(options.decode.pop("language", None), vocabulary)


def check_language(language: str | None, vocabulary: Vocabulary) -> str:
    """The code of a language that the model knows; "" for None on a multilingual model.

    Raises:
        ValueError: the model does not know it.
    """
    if language is None:
        return "" if vocabulary.is_multilingual else "en"
    code = language.lower()
    code = TO_LANGUAGE_CODE.get(code, code)
    if code not in LANGUAGES:
        raise ValueError(
            f"unknown language {language!r}; see whisper.tokenizer.LANGUAGES for those there are"
        )
    if not vocabulary.is_multilingual and code != "en":
        raise ValueError(f"the model knows English only; {language!r} needs a multilingual one, such as base")
    if vocabulary.is_multilingual and code not in list(LANGUAGES)[: vocabulary.num_languages]:
        raise ValueError(f"the model does not know {language!r}; it came with large-v3")
    return code


def clips(timestamps: str | Sequence[float], frames: int) -> list[tuple[int, int]]:
    """(first, end) frames of the parts to transcribe, from "start,end,…" in seconds.

    Raises:
        ValueError: they are not numbers.
    """
    if isinstance(timestamps, str):
        try:
            seconds = [float(t) for t in timestamps.split(",")] if timestamps else []
        except ValueError:
            raise ValueError(
                f"clip_timestamps is {timestamps!r}; it is start,end,start,end,… in seconds"
            ) from None
    else:
        seconds = [float(t) for t in timestamps]
    points = [round(t * FRAMES_PER_SECOND) for t in seconds] or [0]
    if len(points) % 2:
        points.append(frames)
    return list(zip(points[::2], points[1::2], strict=True))
