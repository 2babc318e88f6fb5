"""The four compiled graphs of a Whisper model: made, saved, started warm and called."""
