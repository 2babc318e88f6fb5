"""`whisper.transcribe`'s options: their names and defaults, what is refused, and what they decide."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

from whisper.audio import FRAMES_PER_SECOND, SAMPLE_RATE
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from whisper_port.option_rules import clip_seconds, refuse
from whisper_port.vocabulary import Vocabulary

PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"


@dataclass
class TranscribeOptions:
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
    def of(cls, options: dict[str, Any]) -> TranscribeOptions:
        """From keyword arguments; what is not an option of `transcribe` is one of `decode`."""
        names = {f.name for f in fields(cls)} - {"decode"}
        own = {k: v for k, v in options.items() if k in names}
        return cls(**own, decode={k: v for k, v in options.items() if k not in names})

    def named(self) -> dict[str, Any]:
        """All of them by name, as `transcribe` takes them."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "decode"}
        return own | self.decode

    @property
    def temperatures(self) -> list[float]:
        """What is tried, one after the other, until a result looks right."""
        given = self.temperature
        return [given] if isinstance(given, (int, float, Real)) else list(given)

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


def check_options(options: TranscribeOptions, vocabulary: Vocabulary) -> str:
    """Refuse what can't work, before any long work; returns the language, "" to be detected.

    Raises:
        ValueError, TypeError: options are wrong; the text says which and what they may be.
    """
    decode = {k: v for k, v in options.decode.items() if k not in ("beam_size", "best_of", "patience")}
    DecodingOptions(**decode)  # a TypeError for a name that is no option
    refuse(options.named(), vocabulary)
    if decode.get("task") == "translate" and options.word_timestamps:
        warnings.warn("Word-level timestamps on translations may not be reliable.", stacklevel=4)
    if options.hallucination_silence_threshold is not None and not options.word_timestamps:
        warnings.warn("hallucination_silence_threshold has no effect without word_timestamps", stacklevel=4)
    return check_language(options.decode.pop("language", None), vocabulary)


def check_language(language: str | None, vocabulary: Vocabulary) -> str:
    """The code of a language that the model knows; "" for None on a multilingual model.

    Raises:
        ValueError: there is no such language, or the model does not know it.
    """
    if language is None:
        return "" if vocabulary.is_multilingual else "en"
    code = language_code(language)
    if not vocabulary.is_multilingual and code != "en":
        raise ValueError(f"the model knows English only; {language!r} needs a multilingual one, such as base")
    if vocabulary.is_multilingual and code not in list(LANGUAGES)[: vocabulary.num_languages]:
        raise ValueError(f"the model does not know {language!r}; it came with large-v3")
    return code


def language_code(language: str) -> str:
    """The code of a language, from its name or code.

    Raises:
        ValueError: Whisper knows no such language; the text guesses which was meant.
    """
    code = language.lower()
    code = TO_LANGUAGE_CODE.get(code, code)
    if code in LANGUAGES:
        return str(code)
    close = difflib.get_close_matches(code, [*LANGUAGES, *TO_LANGUAGE_CODE], n=1, cutoff=0.7)
    guess = f" (is it {close[0]}?)" if close else ""
    raise ValueError(
        f"unknown language {language!r}{guess}; it is a name, or a code such as es; or leave it out, to have "
        "it detected"
    )


def clips(timestamps: str | Sequence[float], frames: int) -> list[tuple[int, int]]:
    """(first, end) frames of the parts to transcribe, from "start,end,…" in seconds.

    Raises:
        ValueError: none of them lies within the sound. One that does not beside others is a warning.
    """
    points = [round(second * FRAMES_PER_SECOND) for second in clip_seconds(timestamps)]
    if len(points) % 2:
        points.append(frames)
    found = list(zip(points[::2], points[1::2], strict=True))
    outside = sum(start >= min(end, frames) for start, end in found)
    if frames and outside:
        text = f"clip_timestamps is {timestamps!r}, and the sound ends at {frames / FRAMES_PER_SECOND:g} s"
        if outside == len(found):
            raise ValueError(f"{text}: there is nothing to transcribe")
        warnings.warn(f"{text}: {outside} of {len(found)} clips are not transcribed", stacklevel=2)
    return found
