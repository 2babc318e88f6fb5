"""What prompts a window: the initial prompt, the text so far, and what is forgotten."""

from __future__ import annotations

import pytest

from whisper_port.transcription.context import PromptContext

ROOM = 448 // 2 - 1  # tokens of a prompt


def context(initial, carry, *segments):
    made = PromptContext(initial, carry, 448)
    for segment in segments:
        made.add(segment)
    return made


@pytest.mark.parametrize("carry", [True, False])
def test_the_initial_prompt_comes_before_the_text(carry):
    assert context([1, 2], carry, [3], [4, 5]).prompt() == [1, 2, 3, 4, 5]


def test_what_is_forgotten_is_prompted_no_more():
    made = context([1, 2], False, [3])
    made.forget()
    assert made.prompt() == []
    made.add([4])
    assert made.prompt() == [4]


def test_a_carried_prompt_is_never_forgotten_and_leaves_room_for_the_latest_text():
    made = context([1, 2], True, [3])
    made.forget()
    assert made.prompt() == [1, 2]
    made.add(list(range(100, 100 + ROOM)))
    assert made.prompt() == [1, 2, *range(102, 100 + ROOM)]
    assert len(made.prompt()) == ROOM


def test_without_text_before_it_a_forgotten_initial_prompt_is_gone():
    made = context([1, 2], False)
    made.forget()
    assert made.prompt() == []
