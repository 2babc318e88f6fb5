"""`fxmax-whisper`: openai-whisper's command line, on MAX; its flags, defaults and writers."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEVICES = "auto, cpu, gpu or gpu:N"
WORD_OPTIONS = ("highlight_words", "max_line_count", "max_line_width", "max_words_per_line")
EPILOG = """examples:
  fxmax-whisper talk.mp3                          text, subtitles and JSON beside you, in English
  fxmax-whisper a.wav b.m4a --model base -f srt -o out
  fxmax-whisper charla.ogg --model base --task translate --language Spanish
  fxmax-whisper --model base --save_artifact base.fxmax     compile here, and elsewhere:
  fxmax-whisper --artifact base.fxmax talk.mp3
The first run of a model compiles for some minutes; later ones start in seconds.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Transcribe files; returns the exit status: 0, 1 (a file failed), 2 (usage), 130 (Ctrl-C)."""
    parser = build_parser()
    args = vars(parser.parse_args(argv))
    writer_args = {name: args.pop(name) for name in WORD_OPTIONS}
    check_usage(parser, args, writer_args)
    # Imported after the arguments are known to be right: MAX takes a moment, torch a second more.
    from whisper_port.loading import load_model

    save = args.pop("save_artifact")
    files, output_dir, output_format = args.pop("audio"), args.pop("output_dir"), args.pop("output_format")
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        if save is not None:
            from fxmax.artifact.writing import check_place

            check_place(Path(save))
        name, made = args.pop("model"), args.pop("artifact")
        model = load_model(
            made or name,
            args.pop("device"),
            dtype=args.pop("dtype"),
            download_root=args.pop("model_dir"),
            quiet=args["verbose"] is None,
        )
        if save is not None:
            print(f"wrote {model.save(save)}: --artifact {save} starts from it", file=sys.stderr)
        args["language"] = usable_language(args["language"], model.is_multilingual)
        args["temperature"] = temperatures(args["temperature"], args.pop("temperature_increment_on_fallback"))
    except explained() as error:
        print(f"fxmax-whisper: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return transcribe_files(model, files, output_dir, output_format, writer_args, args)


def explained() -> tuple[type[Exception], ...]:
    """The errors whose text is for the user; named only when one came, since torch comes with them."""
    from fxmax.errors import FxmaxError
    from whisper_port.checkpoints import CheckpointError

    return CheckpointError, FxmaxError, OSError, ValueError


def transcribe_files(
    model: Any,
    files: Sequence[str],
    output_dir: Path,
    output_format: str,
    writer_args: dict[str, Any],
    options: dict[str, Any],
) -> int:
    """Transcribe and write each file; one that fails is named, and the next goes on.

    Ctrl-C ends it: the segments so far are written.
    """
    from whisper.utils import get_writer

    from whisper_port.audio.reading import AudioError
    from whisper_port.transcription.start import start

    writer = get_writer(output_format, str(output_dir))
    failed = 0
    for file in files:
        stopped = False
        try:
            run = start(model, file, **options)
            try:
                for _ in run:
                    pass
            except KeyboardInterrupt:
                stopped = True
            if not stopped or run.segments:
                writer(run.result(), file, **writer_args)
            if stopped:
                print(
                    f"fxmax-whisper: interrupted; {len(run.segments)} segments of {file} are written",
                    file=sys.stderr,
                )
                return 128 + signal.SIGINT
        except (AudioError, OSError, ValueError) as error:
            failed += 1
            print(f"fxmax-whisper: {file} is skipped: {error}", file=sys.stderr)
    return 1 if failed else 0


def temperatures(first: float, increment: float | None) -> tuple[float, ...]:
    """`first` and, with an increment, the temperatures to fall back to, up to 1."""
    import numpy as np

    return (first,) if increment is None else tuple(np.arange(first, 1.0 + 1e-6, increment).tolist())


def usable_language(language: str | None, multilingual: bool) -> str | None:
    """The language to transcribe: an English-only model takes English, with a warning."""
    if multilingual:
        return language
    if language not in (None, "en", "English"):
        warnings.warn(f"the model knows English only, not {language}; using English", stacklevel=2)
    return "en"


def check_usage(parser: argparse.ArgumentParser, args: dict[str, Any], words: dict[str, Any]) -> None:
    """Refuse combinations that can't work (exit status 2)."""
    if not args["audio"] and not args["save_artifact"]:
        parser.error("name an audio file to transcribe (or --save_artifact DIR alone)")
    if args["artifact"] is not None and args["dtype"]:
        parser.error("an artifact's weights stay as they were saved: give --dtype where it is saved")
    if args["artifact"] is not None:
        from whisper_port.loading import is_artifact

        if not is_artifact(args["artifact"]):
            parser.error(f"--artifact {args['artifact']} is not an artifact; --save_artifact writes one")
    if args["batch_size"] is not None:
        if args["batch_size"] < 1:
            parser.error("--batch_size is 1 or more, or None for one window after the other")
        if args["hallucination_silence_threshold"] is not None:
            parser.error("--hallucination_silence_threshold and --batch_size exclude each other")
    if not args["word_timestamps"]:
        for name, value in words.items():
            if value:
                parser.error(f"--{name} requires --word_timestamps True")
    if words["max_line_count"] and not words["max_line_width"]:
        warnings.warn("--max_line_count has no effect without --max_line_width", stacklevel=2)
    if words["max_words_per_line"] and words["max_line_width"]:
        warnings.warn("--max_words_per_line has no effect with --max_line_width", stacklevel=2)
    if (
        args["temperature_increment_on_fallback"] is not None
        and args["temperature_increment_on_fallback"] <= 0
    ):
        parser.error("--temperature_increment_on_fallback is above 0, or None for no fallback")
    if args["task"] == "translate" and str(args["model"]).endswith(".en"):
        parser.error(f"--task translate needs a multilingual model; {args['model']} knows English only")
    if args["output_dir"].exists() and not args["output_dir"].is_dir():
        parser.error(f"--output_dir {args['output_dir']} is a file")
    args.pop("fp16")  # of no use here: the device decides
    threads = args.pop("threads")
    if threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)


def optional(kind: type) -> Any:
    """A flag's type that also takes the word None."""

    def parse(text: str) -> Any:
        return None if text == "None" else kind(text)

    parse.__name__ = kind.__name__
    return parse


def boolean(text: str) -> bool:
    """True or False, as openai-whisper's flags take them."""
    if text not in ("True", "False"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return text == "True"


def build_parser() -> argparse.ArgumentParser:
    """openai-whisper's arguments. The model's default differs: tiny.en, not turbo (see the README)."""
    parser = argparse.ArgumentParser(
        prog="fxmax-whisper",
        description="Transcribe speech with OpenAI's Whisper on MAX. The flags are openai-whisper's.",
        epilog=EPILOG,
        formatter_class=_Help,
    )
    add = parser.add_argument
    add("audio", nargs="*", help="audio or video files, of any kind that FFmpeg reads")
    model = parser.add_argument_group("model")
    model.add_argument("--model", default="tiny.en", help="a model's name, or a checkpoint's path")
    model.add_argument(
        "--artifact", metavar="DIR", help="a model that --save_artifact wrote, in place of --model"
    )
    model.add_argument("--save_artifact", metavar="DIR", help="write the compiled model, to start from later")
    model.add_argument("--model_dir", help="where model files are kept (default: openai-whisper's cache)")
    model.add_argument("--device", default="auto", help=DEVICES)
    model.add_argument("--dtype", choices=["int8"], help="int8: faster, and some words may differ")
    model.add_argument("--threads", type=optional(int), default=0, help="threads of the audio's FFT")
    model.add_argument("--fp16", type=boolean, default=True, help="accepted and not used: the device decides")
    out = parser.add_argument_group("output")
    out.add_argument("--output_dir", "-o", type=Path, default=Path("."), help="folder for the output files")
    out.add_argument(
        "--output_format",
        "-f",
        default="all",
        choices=["txt", "vtt", "srt", "tsv", "json", "all"],
        help="format of the output files",
    )
    out.add_argument(
        "--verbose",
        type=optional_bool,
        default=True,
        help="True: print segments; False: a bar; None: nothing",
    )
    _add_decoding(parser)
    _add_words(parser)
    return parser


def optional_bool(text: str) -> bool | None:
    return None if text == "None" else boolean(text)


def _add_decoding(parser: argparse.ArgumentParser) -> None:
    task = parser.add_argument_group("task")
    task.add_argument(
        "--task", default="transcribe", choices=["transcribe", "translate"], help="translate is into English"
    )
    task.add_argument(
        "--language", type=_language, help="spoken language: a code or a name (default: detected)"
    )
    add = parser.add_argument_group("decoding").add_argument
    add("--batch_size", type=optional(int), help="windows decoded together, each without the text before it")
    add("--temperature", type=float, default=0, help="temperature for sampling")
    add("--best_of", type=optional(int), default=5, help="samples to choose from, above temperature 0")
    add("--beam_size", type=optional(int), default=5, help="beams, at temperature 0; None is greedy")
    add("--patience", type=float, help="patience of the beam search (arXiv:2204.05424)")
    add("--length_penalty", type=float, help="alpha of the length penalty (default: mean log-probability)")
    add("--suppress_tokens", default="-1", help="token ids never to give; -1 is most special characters")
    add("--initial_prompt", help="text to prompt the first window with")
    add("--carry_initial_prompt", type=boolean, default=False, help="prompt every window with it")
    add(
        "--condition_on_previous_text",
        type=boolean,
        default=True,
        help="prompt a window with what came before",
    )
    add = parser.add_argument_group("fallback and silence").add_argument
    step = "--temperature_increment_on_fallback"
    add(step, type=optional(float), default=0.2, help="what to raise the temperature by where decoding fails")
    add(
        "--compression_ratio_threshold",
        type=optional(float),
        default=2.4,
        help="text that zips better failed",
    )
    add("--logprob_threshold", type=optional(float), default=-1.0, help="text less likely on average failed")
    add("--no_speech_threshold", type=optional(float), default=0.6, help="failed text is silence above this")
    add("--clip_timestamps", default="0", help="start,end,start,end,… in seconds: the parts to transcribe")


def _add_words(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("words")
    add = group.add_argument
    add("--word_timestamps", type=boolean, default=False, help="find the time of each word")
    add("--prepend_punctuations", default="\"'“¿([{-", help="punctuation that belongs to the next word")
    add("--append_punctuations", default="\"'.。,，!！?？:：”)]}、", help="and to the word before")
    add(
        "--highlight_words", type=boolean, default=False, help="underline words as they are spoken (srt, vtt)"
    )
    add("--max_line_width", type=optional(int), help="characters in a line")
    add("--max_line_count", type=optional(int), help="lines in a subtitle")
    add("--max_words_per_line", type=optional(int), help="words in a subtitle")
    add(
        "--hallucination_silence_threshold",
        type=optional(float),
        help="skip silence longer than this, in seconds, around text that looks invented",
    )


def _language(text: str) -> str:
    from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

    if text in LANGUAGES or text.lower() in TO_LANGUAGE_CODE:
        return text
    import difflib

    close = difflib.get_close_matches(text.lower(), [*LANGUAGES, *TO_LANGUAGE_CODE], n=1)
    guess = f" (is it {close[0]}?)" if close else ""
    raise argparse.ArgumentTypeError(f"unknown language {text!r}{guess}; a code such as es, or a name")


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are any, and the epilog as it stands."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


if __name__ == "__main__":
    raise SystemExit(main())
