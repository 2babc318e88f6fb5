"""What an install without an extra says when it needs it: the extra, and no traceback of the commands."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

# A Python in which `{package}` is not installed.
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
FXMAX = "sys.argv = ['fxmax', 'explain', 'net.py:net']; from fxmax.cli import main; main()"
WHISPER = "from whisper_port.cli import main; sys.exit(main(['whisper_port/assets/sample.wav']))"


@pytest.mark.parametrize(
    ("package", "program", "status", "text"),
    [
        (
            "torch",
            "import fxmax; fxmax.lower",
            1,
            "fxmax.lower needs torch, .* pip install 'fxmax\\[torch\\]'",
        ),
        ("torch", FXMAX, 2, "^error: this needs torch, .* pip install 'fxmax\\[torch\\]'"),
        (
            "whisper",
            "from whisper_port import load_audio",
            1,
            "load_audio needs whisper, .*'fxmax\\[whisper\\]'",
        ),
        ("av", WHISPER, 1, "^fxmax-whisper: av is not installed: pip install 'fxmax\\[whisper\\]'"),
        ("torch", WHISPER, 1, "^fxmax-whisper: torch is not installed: pip install 'fxmax\\[whisper\\]'"),
    ],
    ids=["lower", "fxmax", "load_audio", "fxmax-whisper without av", "fxmax-whisper without torch"],
)
def test_it_names_the_extra(package: str, program: str, status: int, text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(package=package) + program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert re.search(text, done.stderr.splitlines()[-1])
    assert ("Traceback" in done.stderr) == ("main" not in program)  # a command has a message alone
