"""A whole recording: openai-whisper's sliding window, as an iterator of segments.

The order of decisions is `whisper.transcribe`'s, so that the results are the same; word times and
texts are made by its own functions. What differs: the log-mel is read a window at a time, and a
segment is given as soon as its window is done.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import tqdm
from whisper.audio import FRAMES_PER_SECOND, N_FRAMES, SAMPLE_RATE
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.timing import add_word_timestamps
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE, Tokenizer, get_tokenizer
from whisper.utils import format_timestamp, get_end, make_safe

from fxmax.progress import Progress
from whisper_port.audio import Audio, pieces
from whisper_port.mel import LogMel
from whisper_port.segments import Window, cut, skip_hallucinations

if TYPE_CHECKING:
    from whisper_port.model import WhisperModel

Segment = dict[str, Any]
PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"


@dataclass
class Options:
    """`whisper.transcribe`'s options, by its names and defaults; `decode` are `DecodingOptions`'."""

    verbose: bool | None = None
    temperature: float | Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    condition_on_previous_text: bool = True
    initial_prompt: str | None = None
    carry_initial_prompt: bool = False
    word_timestamps: bool = False
    prepend_punctuations: str = PREPENDED
    append_punctuations: str = APPENDED
    clip_timestamps: str | Sequence[float] = "0"
    hallucination_silence_threshold: float | None = None
    sample_rate: int = SAMPLE_RATE
    decode: dict[str, Any] = field(default_factory=dict)


def transcribe(model: WhisperModel, audio: Audio, **options: Any) -> dict[str, Any]:
    """Transcribe a recording: openai-whisper's `transcribe`, faster.

    Args:
        audio: a path, or a numpy array or torch tensor of samples: see `whisper_port.audio.pieces`.
        options: as `whisper.transcribe` takes them; and `sample_rate`, of an array in Hz (16000).

    Returns:
        {"text", "segments", "language"}, as openai-whisper returns them.

    Raises:
        AudioError: it can't be read as audio. ValueError: an option is wrong; before any long work.
    """
    run = Transcription(model, audio, **options)
    for _ in run:
        pass
    return run.result()


class Transcription(Iterator[Segment]):
    """The segments of a recording, as they come.

    Attributes:
        segments: those that came so far.
        language: the language's code, known from the first segment on.
        duration: of the sound, in seconds, known from the first segment on.
    """

    def __init__(self, model: WhisperModel, audio: Audio, **options: Any) -> None:
        names = set(Options.__dataclass_fields__) - {"decode"}
        own = {k: v for k, v in options.items() if k in names}
        self.options = Options(**own, decode={k: v for k, v in options.items() if k not in names})
        self.model = model
        self.segments: list[Segment] = []
        self.language: str = check_options(model, self.options)
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
            self._tokenizer = get_tokenizer(
                self.model.is_multilingual,
                num_languages=self.model.num_languages,
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
                if self._is_silence(result):
                    seek += size
                    continue
                window = Window(seek, size, stride, tokenizer, result)
                found, following = cut(window)
                if options.word_timestamps:
                    add_word_timestamps(
                        segments=found,
                        model=self.model,  # type: ignore[arg-type]
                        tokenizer=tokenizer,
                        mel=torch.from_numpy(frames),
                        num_frames=size,
                        prepend_punctuations=options.prepend_punctuations,
                        append_punctuations=options.append_punctuations,
                        last_speech_timestamp=last_speech,
                    )
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

    def _is_silence(self, result: DecodingResult) -> bool:
        options = self.options
        if options.no_speech_threshold is None or result.no_speech_prob <= options.no_speech_threshold:
            return False
        return options.logprob_threshold is None or result.avg_logprob <= options.logprob_threshold

    def _decode(self, frames: np.ndarray, prompt: list[int]) -> DecodingResult:
        """Decode at one temperature after the other, until the result looks right."""
        temperatures = self.options.temperature
        tried = [temperatures] if isinstance(temperatures, (int, float)) else list(temperatures)
        result: Any = None
        for temperature in tried:
            given = {**self.options.decode, "language": self.language, "prompt": prompt}
            for name in ("beam_size", "patience") if temperature > 0 else ("best_of",):
                given.pop(name, None)
            result = self.model.decode(frames, DecodingOptions(**given, temperature=temperature))
            if not self._needs_fallback(result):
                break
        return result  # type: ignore[no-any-return]

    def _needs_fallback(self, result: DecodingResult) -> bool:
        options = self.options
        repetitive = (
            options.compression_ratio_threshold is not None
            and result.compression_ratio > options.compression_ratio_threshold
        )
        unlikely = options.logprob_threshold is not None and result.avg_logprob < options.logprob_threshold
        silent = (
            options.no_speech_threshold is not None
            and result.no_speech_prob > options.no_speech_threshold
            and unlikely
        )
        return (repetitive or unlikely) and not silent


def check_options(model: WhisperModel, options: Options) -> str:
    """Refuse what can't work, before any long work; returns the language, "" to be detected.

    Raises:
        ValueError, TypeError: an option is wrong; the text says which and what it may be.
    """
    decode = {k: v for k, v in options.decode.items() if k not in ("beam_size", "best_of", "patience")}
    DecodingOptions(**decode)  # a TypeError for a name that is no option
    task = decode.get("task", "transcribe")
    if task not in ("transcribe", "translate"):
        raise ValueError(f"task is {task!r}; it may be 'transcribe' or 'translate'")
    if task == "translate" and not model.is_multilingual:
        raise ValueError("task 'translate' needs a multilingual model; this one knows English only")
    if task == "translate" and options.word_timestamps:
        warnings.warn("Word-level timestamps on translations may not be reliable.", stacklevel=4)
    temperatures = options.temperature
    if not isinstance(temperatures, (int, float)) and not len(temperatures):
        raise ValueError("temperature is an empty sequence; give one at least, such as 0.0")
    clips(options.clip_timestamps, 0)
    return check_language(model, options.decode.pop("language", None))


def check_language(model: WhisperModel, language: str | None) -> str:
    """The code of a language that the model knows; "" for None on a multilingual model.

    Raises:
        ValueError: the model does not know it.
    """
    if language is None:
        return "" if model.is_multilingual else "en"
    code = language.lower()
    code = TO_LANGUAGE_CODE.get(code, code)
    if code not in LANGUAGES:
        raise ValueError(
            f"unknown language {language!r}; see whisper.tokenizer.LANGUAGES for those there are"
        )
    if not model.is_multilingual and code != "en":
        raise ValueError(f"the model knows English only; {language!r} needs a multilingual one, such as base")
    if model.is_multilingual and code not in list(LANGUAGES)[: model.num_languages]:
        raise ValueError(f"the model does not know {language!r}; it came with large-v3")
    return code


def clips(timestamps: str | Sequence[float], frames: int) -> list[tuple[int, int]]:
    """(first, end) frames of the parts to transcribe, from "start,end,…" in seconds.

    Raises:
        ValueError: they are not numbers.
    """
    if isinstance(timestamps, str):
        try:
            seconds = [float(t) for t in timestamps.split(",")] if timestamps else []
        except ValueError:
            raise ValueError(
                f"clip_timestamps is {timestamps!r}; it is start,end,start,end,… in seconds"
            ) from None
    else:
        seconds = [float(t) for t in timestamps]
    points = [round(t * FRAMES_PER_SECOND) for t in seconds] or [0]
    if len(points) % 2:
        points.append(frames)
    return list(zip(points[::2], points[1::2], strict=True))
