"""What stands in for openai-whisper's own objects and imports."""
