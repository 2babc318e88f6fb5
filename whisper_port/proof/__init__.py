"""The encoder held against openai-whisper's, and the page that shows it."""
