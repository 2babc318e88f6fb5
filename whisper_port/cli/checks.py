"""What the command refuses before any long work: the table of options, and what the command alone has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from whisper_port.option_rules import (
    TOGETHER,
    VALUES,
    Kind,
    Together,
    model_problems,
    number,
    problems,
    whole,
)
from whisper_port.vocabulary import official_vocabulary

WORD_OPTIONS = ("highlight_words", "max_line_count", "max_line_width", "max_words_per_line")


def _is_no_artifact(path: str | None) -> bool:
    if path is None:
        return False
    from whisper_port.loading import is_artifact  # imports MAX, which takes a moment

    return not is_artifact(path)


COMMAND_VALUES: dict[str, Kind] = {
    **VALUES,
    "device": Kind(
        lambda value: bool(re.fullmatch(r"auto|cpu|gpu(:\d+)?", value)), "auto, cpu, gpu or gpu:N"
    ),
    "threads": whole(0).or_none(),
    "temperature_increment_on_fallback": number("a number above 0, at least 0.01", 0.01).or_none(),
    "output_dir": Kind(lambda path: path.is_dir() or not path.exists(), "a folder, and this is a file"),
    "max_line_width": whole(1).or_none(),
    "max_line_count": whole(1).or_none(),
    "max_words_per_line": whole(1).or_none(),
}
COMMAND_TOGETHER: list[Together] = [
    *TOGETHER,
    Together(
        ("audio", "save_artifact"),
        lambda audio, save: not audio and not save,
        "name an audio file to transcribe (or --save_artifact DIR alone)",
    ),
    Together(
        ("artifact", "dtype"),
        lambda artifact, dtype: artifact is not None and dtype is not None,
        "an artifact's weights stay as they were saved: give --dtype where it is saved",
    ),
    Together(
        ("artifact",), _is_no_artifact, "what --artifact names is not an artifact; --save_artifact writes one"
    ),
    Together(
        ("temperature", "temperature_increment_on_fallback"),
        lambda temperature, step: temperature > 1 and step is not None,
        "above 1 a --temperature has none to fall back to: give --temperature_increment_on_fallback None too",
    ),
    *(
        Together(
            (name, "word_timestamps"),
            lambda value, words: bool(value) and not words,
            f"--{name} requires --word_timestamps True",
        )
        for name in WORD_OPTIONS
    ),
]
NO_EFFECT: list[Together] = [
    Together(
        ("max_line_count", "max_line_width"),
        lambda count, width: count is not None and width is None,
        "--max_line_count has no effect without --max_line_width",
    ),
    Together(
        ("max_words_per_line", "max_line_width"),
        lambda words, width: None not in (words, width),
        "--max_words_per_line has no effect with --max_line_width",
    ),
]


def refusals(arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with the command's arguments, one text each."""
    wrong = problems(arguments, COMMAND_VALUES, COMMAND_TOGETHER, prefix="--")
    vocabulary = official_vocabulary(arguments["model"]) if arguments["artifact"] is None else None
    return wrong or ([] if vocabulary is None else model_problems(arguments, vocabulary))


def remarks(arguments: Mapping[str, Any]) -> list[str]:
    """What arguments that are right do not do, one text each."""
    return problems(arguments, {}, NO_EFFECT)
