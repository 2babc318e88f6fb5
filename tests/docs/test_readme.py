"""The README's commands are where CI and a newcomer's script look for them."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_first_two_commands_are_the_main_job_and_the_tests() -> None:
    pattern = r"(?:^<!-- ci: (\w+) -->\n)?^```(?:bash|sh|console)\n(.*?)^```"
    blocks = re.findall(pattern, README.read_text(), re.M | re.S)
    assert [name for name, _ in blocks[:2]] == ["main", "tests"]
    assert blocks[0][1].splitlines()[-1] == "python scripts/lower.py --model tiny.en"
    assert blocks[1][1].splitlines()[-1] == "python -m pytest"
