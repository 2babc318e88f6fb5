"""`fxmax-whisper`: openai-whisper's command line, on MAX; its flags, defaults and writers."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from whisper_port.cli.arguments import build_parser
from whisper_port.cli.checks import WORD_OPTIONS, refusals, remarks
from whisper_port.option_rules import VALUES
from whisper_port.vocabulary import Vocabulary

INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Transcribe files; returns the exit status: 0, 1 (a file failed), 2 (usage), 130 (Ctrl-C)."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if wrong := refusals(vars(arguments)):
        parser.error("\n  ".join(wrong))
    for remark in remarks(vars(arguments)):
        say(remark)
    use_threads(arguments.threads)
    options = transcribe_options(arguments)
    try:
        # Torch and MAX are imported from here on, after the arguments are known to be right by themselves.
        if arguments.language is not None and arguments.artifact is None:  # which loads beside the imports
            check_language(parser, arguments.language)
        model = load(arguments)
        options["language"] = usable_language(options["language"], model.vocabulary)
        check_model(parser, options, model.vocabulary)
        return transcribe_files(model, arguments.audio, writer(arguments), options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("", "fxmax", "whisper_port"):
            raise
        say(f"{error.name} is not installed: pip install 'fxmax[whisper]'")
        return 1
    except explained() as error:
        say(str(error))
        return 1


def say(text: str) -> None:
    """Tell the user, beside the text on stdout."""
    print(f"fxmax-whisper: {text}", file=sys.stderr)


def explained() -> tuple[type[Exception], ...]:
    """The errors whose text is for the user; named only when one came, since torch comes with them."""
    from fxmax.errors import FxmaxError
    from whisper_port.audio.reading import AudioError
    from whisper_port.checkpoints import CheckpointError

    return AudioError, CheckpointError, FxmaxError, OSError, ValueError


def use_threads(threads: int | None) -> None:
    """Limit torch's threads, which it reads when it is imported."""
    if threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)


def transcribe_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments that are options of `WhisperModel.transcribe`."""
    options = {name: value for name, value in vars(arguments).items() if name in VALUES}
    step = arguments.temperature_increment_on_fallback
    return options | {"temperature": temperatures(arguments.temperature, step)}


def temperatures(first: float, increment: float | None) -> tuple[float, ...]:
    """`first` and, with an increment, the temperatures to fall back to, up to 1."""
    import numpy as np

    return (first,) if increment is None else tuple(np.arange(first, 1.0 + 1e-6, increment).tolist())


def check_language(parser: argparse.ArgumentParser, language: str) -> None:
    """Refuse what is no language."""
    from whisper_port.compat.lazy_numba import import_whisper
    from whisper_port.loading import imports

    with imports():
        import_whisper()
        from whisper_port.transcription.options import language_code

    try:
        language_code(language)
    except ValueError as error:
        parser.error(f"--language: {error}")


def check_model(parser: argparse.ArgumentParser, options: dict[str, Any], vocabulary: Vocabulary) -> None:
    """Refuse options that a model of this vocabulary can't have."""
    from whisper_port.transcription.options import TranscribeOptions, check_options

    given = TranscribeOptions.of({name: value for name, value in options.items() if name != "batch_size"})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they come when a file is transcribed
            check_options(given, vocabulary)
    except ValueError as error:
        parser.error(str(error))


def usable_language(language: str | None, vocabulary: Vocabulary) -> str | None:
    """The language to transcribe: an English-only model takes English, and says so."""
    from whisper_port.transcription.options import language_code

    if vocabulary.is_multilingual or language is None:
        return language
    if language_code(language) != "en":
        say(f"the model knows English only, not {language}; using English")
    return "en"


def load(arguments: argparse.Namespace) -> Any:
    """The model that is asked for, written as an artifact where that is asked for too."""
    from whisper_port.loading import load_model

    save = arguments.save_artifact
    if save is not None:
        from fxmax.artifact.writing import check_place

        check_place(Path(save))
    model = load_model(
        arguments.artifact or arguments.model,
        arguments.device,
        dtype=arguments.dtype,
        download_root=arguments.model_dir,
        quiet=arguments.verbose is None,
    )
    if save is not None:
        say(f"wrote {model.save(save)}: --artifact {save} starts from it")
    return model


def writer(arguments: argparse.Namespace) -> Callable[[dict[str, Any], str], None]:
    """What writes a file's result, in the formats and the folder that are asked for."""
    from whisper.utils import get_writer

    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    write = get_writer(arguments.output_format, str(arguments.output_dir))
    words = {name: getattr(arguments, name) for name in WORD_OPTIONS}
    return lambda result, file: write(result, file, **words)


def transcribe_files(
    model: Any,
    files: Sequence[str],
    write: Callable[[dict[str, Any], str], None],
    options: dict[str, Any],
) -> int:
    """Transcribe and write each file; one that fails is named, and the next goes on.

    Ctrl-C ends it: the segments so far are written.
    """
    from whisper_port.transcription.start import start

    failed = False
    for file in files:
        interrupted = False
        try:
            run = start(model, file, **options)
            interrupted = not finish(run)
            if run.segments or not interrupted:
                write(run.result(), file)
            if interrupted:
                say(f"interrupted; {len(run.segments)} segments of {file} are written")
        except Exception as error:  # noqa: BLE001 - whatever it is, the other files' text is wanted
            failed = True
            say(f"{file} is skipped: {reason(error)}")
        if interrupted:
            return INTERRUPTED
    return int(failed)


def finish(run: Any) -> bool:
    """Take all segments of a transcription; False where Ctrl-C came before the last."""
    try:
        for _ in run:
            pass
    except KeyboardInterrupt:
        return False
    return True


def reason(error: Exception) -> str:
    """An error for the user; of one that nobody foresaw, where it came from too."""
    if isinstance(error, explained()):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"unforeseen {type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
