"""What a window of the sliding window is prompted with: the text before it."""

from __future__ import annotations


class PromptContext:
    """The tokens before a window: the initial prompt's, and those of the segments so far.

    Attributes:
        initial: the initial prompt's tokens.
    """

    def __init__(self, initial: list[int], carry: bool, n_text_ctx: int) -> None:
        """`carry` prompts every window with `initial`, and with as much of the rest as fits after it."""
        self.initial, self.carry = initial, carry
        self._room = n_text_ctx // 2 - 1 - len(initial)
        self._tokens = list(initial)
        self._forgotten = 0  # tokens before this are not prompted any more

    def prompt(self) -> list[int]:
        """The next window's prompt; openai's decoding cuts what is too long of it."""
        if not self.carry:
            return self._tokens[self._forgotten :]
        recent = self._tokens[max(len(self.initial), self._forgotten) :]
        return self.initial + recent[-self._room :]

    def add(self, tokens: list[int]) -> None:
        """Take in a segment's tokens."""
        self._tokens += tokens

    def forget(self) -> None:
        """Prompt later windows with nothing of what came so far, but for a prompt that is carried."""
        self._forgotten = len(self._tokens)
