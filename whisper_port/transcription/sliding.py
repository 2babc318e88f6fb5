"""A whole recording: openai-whisper's sliding window, as an iterator of segments.

The order of decisions is `whisper.transcribe`'s, so that the results are the same; word times and
texts are made by its own functions. What differs: the log-mel is read a window at a time, and a
segment is given as soon as its window is done.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import torch
import tqdm
from whisper.audio import FRAMES_PER_SECOND, N_FRAMES
from whisper.decoding import DecodingResult
from whisper.timing import add_word_timestamps
from whisper.tokenizer import LANGUAGES, Tokenizer, get_tokenizer
from whisper.utils import format_timestamp, get_end, make_safe

from fxmax.support.progress import Progress
from whisper_port.audio.log_mel import LogMel
from whisper_port.audio.reading import Audio, pieces
from whisper_port.protocol import TranscriptionModel
from whisper_port.transcription.options import Options, check_options, clips
from whisper_port.transcription.segments import Window, cut, skip_hallucinations

Segment = dict[str, Any]


class Transcription(Iterator[Segment]):
    """The segments of a recording, as they come.

    Attributes:
        segments: those that came so far.
        language: the language's code, known from the first segment on.
        duration: of the sound, in seconds, known from the first segment on.
    """

    def __init__(self, model: TranscriptionModel, audio: Audio, **options: Any) -> None:
        self.options = Options.of(options)
        self.model = model
        self.segments: list[Segment] = []
        self.language: str = check_options(self.options, model.vocabulary)
        self.duration = 0.0
        self._tokens: list[int] = []
        self._prompt_size = 0
        self._tokenizer: Tokenizer | None = None
        self._running = self._run(pieces(audio, self.options.sample_rate))

    def __next__(self) -> Segment:
        return next(self._running)

    def close(self) -> None:
        """Stop, and let go of what is held."""
        self._running.close()

    def result(self) -> dict[str, Any]:
        """Text, segments and language of what came so far, as `whisper.transcribe` returns them."""
        text = self._tokenizer.decode(self._tokens[self._prompt_size :]) if self._tokenizer else ""
        return {"text": text, "segments": self.segments, "language": self.language}

    # -- the loop -------------------------------------------------------------------------------

    def _run(self, sound: Iterator[np.ndarray]) -> Generator[Segment, None, None]:
        options = self.options
        with Progress(quiet=options.verbose is None).stage("audio", "reading it, for the log-mel"):
            mel = LogMel(sound, self.model.dims.n_mels)
        self.duration = mel.frames / FRAMES_PER_SECOND
        try:
            if not self.language:
                self.language = self._detect(mel)
            vocabulary = self.model.vocabulary
            self._tokenizer = get_tokenizer(
                vocabulary.is_multilingual,
                num_languages=vocabulary.num_languages,
                language=self.language,
                task=options.decode.get("task", "transcribe"),
            )
            bar = tqdm.tqdm(total=mel.frames, unit="frames", disable=options.verbose is not False)
            with bar:
                yield from self._windows(mel, self._tokenizer, bar)
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

    def _windows(self, mel: LogMel, tokenizer: Tokenizer, bar: Any) -> Iterator[Segment]:
        options, dims = self.options, self.model.dims
        prompt: list[int] = []
        if options.initial_prompt is not None:
            prompt = tokenizer.encode(" " + options.initial_prompt.strip())
        self._prompt_size = len(prompt)
        self._tokens = list(prompt)
        room = dims.n_text_ctx // 2 - 1 - len(prompt)
        forgotten = 0  # tokens before this are not prompted any more
        last_speech = 0.0
        stride = N_FRAMES // dims.n_audio_ctx
        for start, stop in clips(options.clip_timestamps, mel.frames):
            seek = start
            while seek < stop:
                size = min(N_FRAMES, mel.frames - seek, stop - seek)
                if size <= 0:  # a clip beyond the end of the sound
                    break
                frames = mel.window(seek, size)
                if options.carry_initial_prompt:
                    recent = self._tokens[max(len(prompt), forgotten) :]
                    before = prompt + recent[-room:]
                else:
                    before = self._tokens[forgotten:]
                result = self._decode(frames, before)
                if options.is_silence(result):
                    seek += size
                    continue
                window = Window(seek, size, stride, tokenizer, result)
                found, following = cut(window)
                if options.word_timestamps:
                    self._add_words(found, tokenizer, frames, size, last_speech)
                    end = get_end(found)
                    if not window.ends_with_one_time and end is not None and end > window.start:
                        following = round(end * FRAMES_PER_SECOND)
                    if (threshold := options.hallucination_silence_threshold) is not None:
                        following, again = skip_hallucinations(
                            window, found, following, threshold, last_speech, mel.frames
                        )
                        if again:
                            seek = following
                            continue
                    end = get_end(found)
                    if end is not None:
                        last_speech = end
                bar.update(min(mel.frames, following) - seek)
                seek = following
                yield from self._given(found)
                if not options.condition_on_previous_text or result.temperature > 0.5:
                    forgotten = len(self._tokens)

    def _add_words(
        self, found: list[Segment], tokenizer: Tokenizer, frames: np.ndarray, size: int, last_speech: float
    ) -> None:
        """Word times for a window's segments, in place, by openai's function."""
        add_word_timestamps(
            segments=found,
            model=self.model,  # type: ignore[arg-type]
            tokenizer=tokenizer,
            mel=torch.from_numpy(frames),
            num_frames=size,
            prepend_punctuations=self.options.prepend_punctuations,
            append_punctuations=self.options.append_punctuations,
            last_speech_timestamp=last_speech,
        )

    def _given(self, found: list[Segment]) -> Iterator[Segment]:
        """Keep, print and give a window's segments."""
        for segment in found:
            if self.options.verbose:
                start, end = format_timestamp(segment["start"]), format_timestamp(segment["end"])
                print(make_safe(f"[{start} --> {end}] {segment['text']}"), flush=True)
            if segment["start"] == segment["end"] or segment["text"].strip() == "":
                segment |= {"text": "", "tokens": [], "words": []}
        numbered = [{"id": i, **s} for i, s in enumerate(found, start=len(self.segments))]
        self.segments += numbered
        for segment in numbered:
            self._tokens += segment["tokens"]
        yield from numbered

    def _decode(self, frames: np.ndarray, prompt: list[int]) -> DecodingResult:
        """Decode at one temperature after the other, until the result looks right."""
        result: Any = None
        for temperature in self.options.temperatures:
            options = self.options.decoding(temperature, self.language, prompt)
            result = self.model.decode(frames, options)
            if not self.options.needs_fallback(result):
                break
        return result  # type: ignore[no-any-return]
