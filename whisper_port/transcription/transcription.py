"""What the two ways through a recording share: reading it, its language, and the segments as they come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import torch
import tqdm
from whisper.audio import FRAMES_PER_SECOND, N_FRAMES
from whisper.timing import add_word_timestamps
from whisper.tokenizer import LANGUAGES, Tokenizer, get_tokenizer
from whisper.utils import format_timestamp, make_safe

from fxmax.support.progress import Progress
from whisper_port.audio.log_mel import LogMel
from whisper_port.audio.reading import Audio, pieces
from whisper_port.protocol import TranscriptionModel
from whisper_port.transcription.options import TranscribeOptions, check_options
from whisper_port.transcription.segments import DecodedWindow, Segment


class Transcription(Iterator[Segment], ABC):
    """The segments of a recording, as they come.

    Attributes:
        segments: those that came so far.
        language: the language's code, known from the first segment on.
        duration: of the sound, in seconds, known from the first segment on.
    """

    _tokenizer: Tokenizer  # from the moment that the language is known

    def __init__(self, model: TranscriptionModel, audio: Audio, **options: Any) -> None:
        self.options = TranscribeOptions.of(options)
        self.model = model
        self.segments: list[Segment] = []
        self.language: str = check_options(self.options, model.vocabulary)
        self.duration = 0.0
        self._last_speech = 0.0  # when the last word that was timed ends, in seconds
        self._running = self._run(pieces(audio, self.options.sample_rate))

    def __next__(self) -> Segment:
        return next(self._running)

    def close(self) -> None:
        """Stop, and let go of what is held."""
        self._running.close()

    def result(self) -> dict[str, Any]:
        """Text, segments and language of what came so far, as `whisper.transcribe` returns them."""
        tokens = [token for segment in self.segments for token in segment["tokens"]]
        text = self._tokenizer.decode(tokens) if tokens else ""
        return {"text": text, "segments": self.segments, "language": self.language}

    @abstractmethod
    def _windows(self, mel: LogMel, bar: tqdm.tqdm[Any]) -> Iterator[Segment]:
        """The segments of every window; `bar` is told how many frames are done."""

    def _run(self, sound: Iterator[np.ndarray]) -> Generator[Segment, None, None]:
        options, vocabulary = self.options, self.model.vocabulary
        with Progress(quiet=options.verbose is None).stage("audio", "reading it, for the log-mel"):
            mel = LogMel(sound, self.model.dims.n_mels)
        self.duration = mel.frames / FRAMES_PER_SECOND
        try:
            if not self.language:
                self.language = self._detect(mel)
            self._tokenizer = get_tokenizer(
                vocabulary.is_multilingual,
                num_languages=vocabulary.num_languages,
                language=self.language,
                task=options.decode.get("task", "transcribe"),
            )
            with tqdm.tqdm(total=mel.frames, unit="frames", disable=options.verbose is not False) as bar:
                yield from self._windows(mel, bar)
        finally:
            mel.close()

    def _detect(self, mel: LogMel) -> str:
        if self.options.verbose:
            print(
                "Detecting language using up to the first 30 seconds. "
                "Use `--language` to specify the language"
            )
        _, probabilities = self.model.detect_language(torch.from_numpy(mel.window(0, N_FRAMES)))
        language = str(max(probabilities, key=probabilities.get))
        if self.options.verbose is not None:
            print(f"Detected language: {LANGUAGES[language].title()}")
        return language

    # -- for both ways --------------------------------------------------------------------------

    def _initial_prompt(self) -> list[int]:
        prompt = self.options.initial_prompt
        return [] if prompt is None else self._tokenizer.encode(" " + prompt.strip())

    def _window(self, seek: int, size: int, result: Any) -> DecodedWindow:
        stride = N_FRAMES // self.model.dims.n_audio_ctx
        return DecodedWindow(seek, size, stride, self._tokenizer, result)

    def _add_words(self, segments: list[Segment], frames: np.ndarray, size: int) -> None:
        """Word times for a window's segments, in place, by openai's function."""
        add_word_timestamps(
            segments=segments,
            model=self.model,
            tokenizer=self._tokenizer,
            mel=torch.from_numpy(frames),
            num_frames=size,
            prepend_punctuations=self.options.prepend_punctuations,
            append_punctuations=self.options.append_punctuations,
            last_speech_timestamp=self._last_speech,
        )

    def _give(self, segments: list[Segment]) -> Iterator[Segment]:
        """Number, keep, print and give a window's segments."""
        for segment in segments:
            if self.options.verbose:
                start, end = format_timestamp(segment["start"]), format_timestamp(segment["end"])
                print(make_safe(f"[{start} --> {end}] {segment['text']}"), flush=True)
            if segment["start"] == segment["end"] or segment["text"].strip() == "":
                segment |= {"text": "", "tokens": [], "words": []}
        numbered = [{"id": i, **s} for i, s in enumerate(segments, start=len(self.segments))]
        self.segments += numbered
        yield from numbered
