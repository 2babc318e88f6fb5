"""What the size of a vocabulary says of a model: openai-whisper tells its models apart by it alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

SMALLEST_MULTILINGUAL = 51865  # tokens; an English-only model has one less, and large-v3 one more
TOKENS_BESIDE_LANGUAGES = 51765


@dataclass(frozen=True)
class Vocabulary:
    """A model's token ids: 0 and up to `size`."""

    size: int

    @property
    def is_multilingual(self) -> bool:
        return self.size >= SMALLEST_MULTILINGUAL

    @property
    def num_languages(self) -> int:
        return self.size - TOKENS_BESIDE_LANGUAGES - int(self.is_multilingual)


def official_vocabulary(name: str) -> Vocabulary | None:
    """The vocabulary of one of OpenAI's models, by its name; None for any other name."""
    if re.fullmatch(r"(tiny|base|small|medium)\.en", name):
        return Vocabulary(SMALLEST_MULTILINGUAL - 1)
    if re.fullmatch(r"large|turbo|large-v3(-turbo)?", name):
        return Vocabulary(SMALLEST_MULTILINGUAL + 1)  # one more language, Cantonese
    if re.fullmatch(r"tiny|base|small|medium|large-v[12]", name):
        return Vocabulary(SMALLEST_MULTILINGUAL)
    return None
