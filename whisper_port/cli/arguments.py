"""The arguments of `fxmax-whisper`: openai-whisper's flags and defaults, and a few of its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whisper_port.option_rules import TASKS

Add = Callable[..., Any]  # a group's `add_argument`
BOOL = "True|False"
DEVICES = "auto, cpu, gpu or gpu:N"
EPILOG = """examples:
  fxmax-whisper talk.mp3                          text, subtitles and JSON beside you, in English
  fxmax-whisper a.wav b.m4a --model base -f srt -o out
  fxmax-whisper charla.ogg --model base --task translate --language Spanish
  fxmax-whisper --model base --save_artifact base.fxmax     compile here, and elsewhere:
  fxmax-whisper --artifact base.fxmax talk.mp3
The first run of a model compiles for some minutes; later ones start in seconds.
"""


def optional(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A flag's type that also takes the word None."""

    def parse(text: str) -> Any:
        return None if text == "None" else kind(text)

    parse.__name__ = kind.__name__  # which argparse calls it by, of a wrong value
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
        usage="fxmax-whisper [options] audio [audio ...]",
        description="Transcribe speech with OpenAI's Whisper on MAX. The flags are openai-whisper's.",
        epilog=EPILOG,
        formatter_class=_Help,
    )
    parser.add_argument("audio", nargs="*", help="audio or video files, of any kind that FFmpeg reads")
    _add_model(parser.add_argument_group("model").add_argument)
    _add_output(parser.add_argument_group("output").add_argument)
    _add_task(parser.add_argument_group("task").add_argument)
    _add_decoding(parser.add_argument_group("decoding").add_argument)
    _add_fallback(parser.add_argument_group("fallback and silence").add_argument)
    _add_words(parser.add_argument_group("words").add_argument)
    return parser


def _add_model(add: Add) -> None:
    add("--model", metavar="NAME", default="tiny.en", help="a model's name, or a checkpoint's path")
    add("--artifact", metavar="DIR", help="a model that --save_artifact wrote, in place of --model")
    add("--save_artifact", metavar="DIR", help="write the compiled model, to start from later")
    add("--model_dir", metavar="DIR", help="where model files are kept (default: openai-whisper's cache)")
    add("--device", default="auto", help=DEVICES)
    add("--dtype", choices=["int8"], help="int8: faster, and some words may differ")
    add("--threads", metavar="N", type=optional(int), default=0, help="threads of the audio's FFT")
    add("--fp16", metavar=BOOL, type=boolean, default=True, help="accepted and not used: the device decides")


def _add_output(add: Add) -> None:
    formats = ["txt", "vtt", "srt", "tsv", "json", "all"]
    add("--output_dir", "-o", metavar="DIR", type=Path, default=Path("."), help="folder for the output files")
    add("--output_format", "-f", choices=formats, default="all", help="format of the output files")
    add(
        "--verbose",
        metavar=BOOL,
        type=optional(boolean),
        default=True,
        help="True: print segments; False: a bar; None: nothing",
    )


def _add_task(add: Add) -> None:
    add("--task", choices=TASKS, default="transcribe", help="translate is into English")
    add("--language", help="spoken language: a code or a name (default: detected)")


def _add_decoding(add: Add) -> None:
    add(
        "--batch_size",
        metavar="N",
        type=optional(int),
        help="windows decoded together, each without the text before it",
    )
    add("--temperature", metavar="X", type=float, default=0, help="temperature for sampling")
    add(
        "--best_of",
        metavar="N",
        type=optional(int),
        default=5,
        help="samples to choose from, above temperature 0",
    )
    add(
        "--beam_size",
        metavar="N",
        type=optional(int),
        default=5,
        help="beams, at temperature 0; None is greedy",
    )
    add("--patience", metavar="X", type=float, help="patience of the beam search (arXiv:2204.05424)")
    add(
        "--length_penalty",
        metavar="X",
        type=float,
        help="alpha of the length penalty (default: mean log-probability)",
    )
    add(
        "--suppress_tokens",
        metavar="IDS",
        default="-1",
        help="token ids never to give; -1 is most special characters",
    )
    add("--initial_prompt", metavar="TEXT", help="text to prompt the first window with")
    add(
        "--carry_initial_prompt",
        metavar=BOOL,
        type=boolean,
        default=False,
        help="prompt every window with it",
    )
    add(
        "--condition_on_previous_text",
        metavar=BOOL,
        type=boolean,
        default=True,
        help="prompt a window with what came before",
    )


def _add_fallback(add: Add) -> None:
    add(
        "--temperature_increment_on_fallback",
        metavar="X",
        type=optional(float),
        default=0.2,
        help="what to raise the temperature by where decoding fails; None: decode once",
    )
    add(
        "--compression_ratio_threshold",
        metavar="X",
        type=optional(float),
        default=2.4,
        help="text that zips better failed",
    )
    add(
        "--logprob_threshold",
        metavar="X",
        type=optional(float),
        default=-1.0,
        help="text less likely on average failed",
    )
    add(
        "--no_speech_threshold",
        metavar="P",
        type=optional(float),
        default=0.6,
        help="failed text is silence above this",
    )
    add(
        "--clip_timestamps",
        metavar="SECONDS",
        default="0",
        help="start,end,start,end,… in seconds: the parts to transcribe",
    )


def _add_words(add: Add) -> None:
    add("--word_timestamps", metavar=BOOL, type=boolean, default=False, help="find the time of each word")
    add(
        "--prepend_punctuations",
        metavar="TEXT",
        default="\"'“¿([{-",
        help="punctuation that belongs to the next word",
    )
    add(
        "--append_punctuations",
        metavar="TEXT",
        default="\"'.。,，!！?？:：”)]}、",
        help="and to the word before",
    )
    add(
        "--highlight_words",
        metavar=BOOL,
        type=boolean,
        default=False,
        help="underline words as they are spoken (srt, vtt)",
    )
    add("--max_line_width", metavar="N", type=optional(int), help="characters in a line")
    add("--max_line_count", metavar="N", type=optional(int), help="lines in a subtitle")
    add("--max_words_per_line", metavar="N", type=optional(int), help="words in a subtitle")
    add(
        "--hallucination_silence_threshold",
        metavar="SECONDS",
        type=optional(float),
        help="skip silence longer than this around text that looks invented",
    )


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are any, and the epilog as it stands."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)
