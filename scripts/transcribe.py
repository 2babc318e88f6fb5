"""Transcribe audio files with Whisper on MAX: `fxmax-whisper`, without an install."""

from __future__ import annotations

import sys

import _checkout  # noqa: F401 - puts this checkout on the path

from whisper_port.cli import main

if __name__ == "__main__":
    sys.exit(main())
