"""What the size of a vocabulary says of a model: openai-whisper tells its models apart by it alone."""

from __future__ import annotations

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
