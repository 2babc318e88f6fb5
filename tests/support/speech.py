"""Speech to test with: the clip that comes with whisper_port, and real recordings beside the repository."""

from __future__ import annotations

from pathlib import Path

SAMPLE = Path(__file__).parents[2] / "whisper_port" / "assets" / "sample.wav"
CLIPS = Path(__file__).parents[3] / "shared" / "audio"  # beside the repository, if at all
