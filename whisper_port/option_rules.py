"""What each option may be: one table, for the command and for Python alike, that needs no torch.

`VALUES` says it of an option by itself, `TOGETHER` of several, and `model_problems` what a model adds.
Languages are known to openai-whisper, so `whisper_port.transcription.options` checks those.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from operator import index
from typing import Any, NamedTuple

from whisper_port.vocabulary import Vocabulary

TASKS = ("transcribe", "translate")


class Kind(NamedTuple):
    """The values that an option may have: whether one is such, and the words for them."""

    holds: Callable[[Any], bool]
    words: str

    def or_none(self) -> Kind:
        return Kind(lambda value: value is None or self.holds(value), f"{self.words}, or None")


def whole(least: int) -> Kind:
    return Kind(
        lambda value: isinstance(value, Integral) and int(value) >= least, f"a whole number, {least} or more"
    )


def number(words: str, least: float = -math.inf, most: float = math.inf) -> Kind:
    """A number within limits, as `words` says. NaN is none."""
    return Kind(lambda value: isinstance(value, Real) and least <= float(value) <= most, words)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def clip_seconds(timestamps: str | Sequence[float]) -> list[float]:
    """The seconds in "start,end,start,end,…" or a sequence of them; of none the start of the sound.

    Raises:
        ValueError: they are not numbers.
    """
    if isinstance(timestamps, str):
        timestamps = [float(second) for second in timestamps.split(",")] if timestamps else []
    return [float(second) for second in timestamps] or [0.0]


def token_ids(tokens: str | Sequence[int] | None) -> list[int]:
    """The ids in "50,-1" or a sequence of them.

    Raises:
        ValueError, TypeError: they are not whole numbers.
    """
    if isinstance(tokens, str):
        return [int(token) for token in tokens.split(",")] if tokens else []
    return [] if tokens is None else [index(token) for token in tokens]


def _are_clips(value: Any) -> bool:
    try:
        seconds = clip_seconds(value)
    except (ValueError, TypeError):
        return False
    ordered = all(start < end for start, end in zip(seconds[::2], seconds[1::2], strict=False))
    return ordered and all(0 <= s < math.inf for s in seconds)


def _are_tokens(value: Any) -> bool:
    try:
        return all(token >= -1 for token in token_ids(value))
    except (ValueError, TypeError):
        return False


def _are_temperatures(value: Any) -> bool:
    each = [value] if isinstance(value, Real) else value
    try:
        return len(each) > 0 and all(0 <= float(t) < math.inf for t in each)
    except (ValueError, TypeError):
        return False


YES_OR_NO = Kind(lambda value: value in (True, False), "True or False")

VALUES: dict[str, Kind] = {
    "verbose": YES_OR_NO.or_none(),
    "task": Kind(lambda value: value in TASKS, " or ".join(map(repr, TASKS))),
    "language": Kind(_is_text, "a language's name or code").or_none(),
    "batch_size": whole(1).or_none(),
    "temperature": Kind(_are_temperatures, "a number, 0 or more, or a sequence of such that is not empty"),
    "best_of": whole(1).or_none(),
    "beam_size": whole(1).or_none(),
    "patience": number("a number above 0", sys.float_info.min, sys.float_info.max).or_none(),
    "length_penalty": number("a number from 0 to 1", 0, 1).or_none(),
    "sample_len": whole(1).or_none(),
    "suppress_tokens": Kind(_are_tokens, "token ids with commas between them; -1 is most special characters"),
    "max_initial_timestamp": number("seconds, 0 or more", 0, sys.float_info.max).or_none(),
    "suppress_blank": YES_OR_NO,
    "without_timestamps": YES_OR_NO,
    "condition_on_previous_text": YES_OR_NO,
    "initial_prompt": Kind(_is_text, "text").or_none(),
    "carry_initial_prompt": YES_OR_NO,
    "compression_ratio_threshold": number("a number, 0 or more", 0).or_none(),
    "logprob_threshold": number("a log-probability, 0 or less", most=0).or_none(),
    "no_speech_threshold": number("a probability, from 0 to 1", 0, 1).or_none(),
    "clip_timestamps": Kind(
        _are_clips, "start,end,start,end,… in seconds, 0 or more, each end after its start"
    ),
    "hallucination_silence_threshold": number("seconds, 0 or more", 0).or_none(),
    "word_timestamps": YES_OR_NO,
    "prepend_punctuations": Kind(_is_text, "text"),
    "append_punctuations": Kind(_is_text, "text"),
}


class Together(NamedTuple):
    """Options that may not go together: whether their values do not, and the words for it."""

    options: tuple[str, ...]
    fail: Callable[..., bool]
    words: str


TOGETHER: list[Together] = [
    Together(
        ("batch_size", "hallucination_silence_threshold"),
        lambda size, threshold: size is not None and threshold is not None,
        "hallucination_silence_threshold moves the next window by what this one holds, so windows can't be "
        "decoded together: leave it out, or batch_size",
    ),
    Together(
        ("beam_size", "patience"),
        lambda size, patience: size is None and patience is not None,
        "patience is of a beam search, which beam_size asks for",
    ),
    Together(
        ("beam_size", "patience"),
        lambda size, patience: None not in (size, patience) and round(size * patience) < 1,
        "patience times beam_size is how many texts are compared, and has to be 1 or more",
    ),
]


def problems(
    options: Mapping[str, Any],
    values: Mapping[str, Kind] = VALUES,
    together: Sequence[Together] = TOGETHER,
    prefix: str = "",
) -> list[str]:
    """What is wrong with options, one text each; names get `prefix`. An option that is absent is None."""
    wrong = [
        f"{prefix}{name} is {_shown(options[name])}; it is {kind.words}"
        for name, kind in values.items()
        if name in options and not kind.holds(options[name])
    ]
    # Options are held against each other only where each makes sense by itself.
    return wrong or [t.words for t in together if t.fail(*map(options.get, t.options))]


def _shown(value: Any) -> str:
    return repr(os.fspath(value) if isinstance(value, os.PathLike) else value)


def model_problems(options: Mapping[str, Any], vocabulary: Vocabulary) -> list[str]:
    """What is wrong with options that are right by themselves for a model of this vocabulary."""
    wrong = []
    if options.get("task") == "translate" and not vocabulary.is_multilingual:
        wrong.append("task 'translate' needs a multilingual model; this one knows English only")
    beyond = [token for token in token_ids(options.get("suppress_tokens")) if token >= vocabulary.size]
    if beyond:
        named = ", ".join(map(str, beyond))
        wrong.append(f"suppress_tokens has {named}; the model's tokens end at {vocabulary.size - 1}")
    return wrong


def refuse(options: Mapping[str, Any], vocabulary: Vocabulary) -> None:
    """Raise a `ValueError` that says all that is wrong with options."""
    if wrong := problems(options) or model_problems(options, vocabulary):
        raise ValueError("\n".join(wrong))
