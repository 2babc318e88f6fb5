"""Runs the command `fxmax-whisper` as `python -m whisper_port.cli`."""

from whisper_port.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
