"""Transcribe audio files with Whisper on MAX: `fxmax-whisper`, without an install."""

from __future__ import annotations

import sys
from pathlib import Path

# In place of this folder, whose coverage.py would pass for the package that numba asks for.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(p for p in sys.path if Path(p or ".").resolve() != HERE)]

from whisper_port.cli import main  # noqa: E402 - after the path is set

if __name__ == "__main__":
    sys.exit(main())
