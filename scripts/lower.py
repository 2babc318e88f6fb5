#!/usr/bin/env python3
"""Lower OpenAI Whisper's encoder to MAX with real weights, compile and run it, and compare it with Torch."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, cast

from _checkout import ROOT

from fxmax.support.files import write_whole

EPILOG = """\
examples:
  python scripts/lower.py --model tiny.en                    lower, compile, run, compare
  python scripts/lower.py --model base --audio talk.wav --json proof.json
  python scripts/lower.py --model large-v3 --dry-run         any size, no weights, no compile
  python scripts/lower.py --model tiny.en --verify           where does it first leave torch?
  python scripts/lower.py --model tiny.en --profile          what does each node cost?
  python scripts/lower.py --model tiny --dry-run --emit encoder_max.py
  python scripts/lower.py --checkpoint my-finetune/          .pt, Hugging Face or CTranslate2

The weights of --model NAME are looked for in whisper's cache, in installed packages (the extra `weights`
has tiny.en and base), and at openai's. A first compile takes minutes, a later one seconds.

The exit status is 0 if every tensor is bound, the error is within tolerance and the texts are equal;
1 if not; 2 for an error that a message explains; 130 after Ctrl-C.
"""

WITHOUT_WEIGHTS = """\
Or, without weights:
  --dry-run           lowers {name} and reports how; compiles nothing
  --random-weights    compiles {name} and compares it with Torch on random weights; every output says so"""

SAMPLE = ROOT / "whisper_port" / "assets" / "sample.wav"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default=None, metavar="NAME", help="an openai-whisper name: tiny.en, base, large-v3, …"
    )
    parser.add_argument(
        "--checkpoint", metavar="P", help="a .pt file, or a Hugging Face or CTranslate2 folder"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu or gpu:N (default: auto)")
    parser.add_argument(
        "--no-sdpa", action="store_true", help="trace attention as matmul and softmax, not as one op"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="lower and report alone: no compile, no weights needed"
    )
    parser.add_argument(
        "--verify", action="store_true", help="compare node by node, and name the first that leaves torch"
    )
    parser.add_argument("--profile", action="store_true", help="time every node, compiled and run alone")
    parser.add_argument(
        "--emit", metavar="OUT.py", type=Path, help="also write the graph as Python source on max.graph"
    )
    parser.add_argument(
        "--html",
        metavar="OUT.html",
        type=Path,
        help="also write a page: the graph by fate, and by error (--verify) or time (--profile)",
    )
    parser.add_argument(
        "--audio", metavar="FILE", help="speech to compare on (default: whisper_port/assets/sample.wav)"
    )
    parser.add_argument("--report", choices=("text", "md", "json"), default="text", help="form of the page")
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="also write the results as JSON")
    parser.add_argument(
        "--random-weights", action="store_true", help="use random weights, and say so in every output"
    )
    parser.add_argument(
        "--verbose", action="store_true", help="name the weights and nodes that the page only counts"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    args = parser.parse_args()
    if args.model is None and args.checkpoint is None:
        parser.error("give --model NAME (for example tiny.en) or --checkpoint P")
    for flag, path in (("--json", args.json), ("--emit", args.emit), ("--html", args.html)):
        if path is not None and not path.resolve().parent.is_dir():
            parser.error(f"{flag} {path}: its folder does not exist; make it first")
    if (args.verify or args.profile) and args.dry_run:
        parser.error("--verify and --profile run the graph, and --dry-run does not")
    if args.audio is not None and not Path(args.audio).is_file():
        parser.error(f"--audio {args.audio}: no such file")
    return args


def main() -> int:
    args = arguments()
    from fxmax.errors import FxmaxError
    from fxmax.runtime.device import resolve
    from whisper_port.audio.reading import AudioError
    from whisper_port.checkpoints import CheckpointError, NoWeightsError

    try:
        resolve(args.device)  # before any long work
        if args.verify or args.profile:
            return look(args)
        return dry_run(args) if args.dry_run else prove(args)
    except NoWeightsError as error:
        print(f"error: {error}\n{WITHOUT_WEIGHTS.format(name=args.model)}", file=sys.stderr)
        return 2
    except (FxmaxError, CheckpointError, AudioError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.strerror}: {error.filename}", file=sys.stderr)
        return 2


def prove(args: argparse.Namespace) -> int:
    from rich.console import Console

    from whisper_port import checkpoints
    from whisper_port.audio.reading import load_audio
    from whisper_port.proof import page
    from whisper_port.proof.encoder import prove_encoder

    audio_file = Path(args.audio) if args.audio else SAMPLE
    audio = load_audio(audio_file)
    checkpoint = checkpoints.resolve(
        args.model, args.checkpoint, random_weights=args.random_weights, quiet=args.quiet
    )
    name = args.model or Path(args.checkpoint).name
    proof = prove_encoder(
        name,
        checkpoint,
        audio,
        audio_file.name,
        sdpa=not args.no_sdpa,
        device=args.device,
        quiet=args.quiet,
    )
    if args.report == "text":
        page.show(Console(width=None if sys.stdout.isatty() else 100), *page.proof_page(proof, args.verbose))
    elif args.report == "md":
        print(page.proof_markdown(proof))
    else:
        print(json.dumps(proof.to_dict(), indent=2))
    write_json(args.json, proof.to_dict())
    write_html(args.html, proof.report)
    emit(args, checkpoint.dims, checkpoint.encoder_state())
    return 0 if proof.ok else 1


def look(args: argparse.Namespace) -> int:
    """Node by node: where it leaves torch, what it costs, or both."""
    import fxmax
    from fxmax.viewer import write_page
    from whisper_port import checkpoints
    from whisper_port.audio.reading import load_audio
    from whisper_port.modules.encoder import lower_encoder_dry
    from whisper_port.proof.encoder import log_mel

    checkpoint = checkpoints.resolve(
        args.model, args.checkpoint, random_weights=args.random_weights, quiet=args.quiet
    )
    mel = log_mel(load_audio(Path(args.audio) if args.audio else SAMPLE), checkpoint.dims.n_mels)
    lowered = lower_encoder_dry(
        checkpoint.dims,
        checkpoint.encoder_state(),
        sdpa=not args.no_sdpa,
        device=args.device,
        quiet=args.quiet,
    )
    verification = fxmax.verify(lowered, mel, quiet=args.quiet) if args.verify else None
    profile = fxmax.profile(lowered, mel, quiet=args.quiet) if args.profile else None
    results = {"verification": verification, "profile": profile}
    data = {name: result.to_dict() for name, result in results.items() if result is not None}
    if args.report == "json":
        print(json.dumps(data, indent=2))
    else:
        print("\n\n".join(result.text() for result in results.values() if result is not None))
    write_json(args.json, data)
    if args.html is not None:
        write_page(args.html, lowered.report, verification, profile)
    if args.emit is not None:
        write_whole(args.emit, lowered.source())
    return 0 if verification is None or verification.ok else 1


def emit(args: argparse.Namespace, dims: Any, state: dict[str, Any] | None) -> None:
    """Write the encoder's graph as a program, if that was asked for."""
    if args.emit is not None:
        from whisper_port.modules.encoder import lower_encoder_dry

        lowered = lower_encoder_dry(dims, state, sdpa=not args.no_sdpa, device=args.device, quiet=True)
        write_whole(args.emit, lowered.source())


def dry_run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from fxmax.errors import LoweringError
    from fxmax.report import Report
    from whisper_port import checkpoints
    from whisper_port.modules.encoder import lower_encoder_dry
    from whisper_port.proof import page

    if args.checkpoint or args.random_weights:
        checkpoint = checkpoints.resolve(
            args.model, args.checkpoint, random_weights=args.random_weights, quiet=args.quiet
        )
        state, source = checkpoint.encoder_state(), checkpoint.source
    else:
        checkpoint = checkpoints.meta_checkpoint(args.model)
        state, source = None, f"none read: a dry run needs the shapes of {args.model} alone"
    try:
        report = lower_encoder_dry(
            checkpoint.dims, state, sdpa=not args.no_sdpa, device=args.device, quiet=args.quiet
        ).report
    except LoweringError as error:
        report = cast(Report, error.report)
    name = args.model or Path(args.checkpoint).name
    result = {"model": name, "device": report.device, "weights_source": source, "dry_run": True} | {
        k: v for k, v in report.to_dict().items() if k not in ("model", "device", "node_list")
    }
    if args.report == "text":
        parts = [
            page.heading(name, source, checkpoint.random),
            page.operations(report),
            page.summary(report, args.verbose),
            page.stages(report),
        ]
        if report.ok:
            parts.append("without --dry-run the graph is compiled, run, and compared with Torch")
        page.show(Console(width=None if sys.stdout.isatty() else 100), *parts)
        if report.gaps:
            print(report.gaps_text())
    else:
        print(report.markdown() if args.report == "md" else json.dumps(result, indent=2))
    write_json(args.json, result)
    write_html(args.html, report)
    if not report.gaps:
        emit(args, checkpoint.dims, state)
    return 1 if report.gaps else 0


def write_json(path: Path | None, data: dict[str, Any]) -> None:
    if path is not None:
        write_whole(path, json.dumps(data, indent=2) + "\n")


def write_html(path: Path | None, page: Any) -> None:
    """The page of a report or a verification."""
    if path is not None:
        page.html(path)


if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was written", file=sys.stderr)
        status = 130
    sys.stdout.flush()
    sys.stderr.flush()
    # MAX's compiler can't be interrupted: leave without waiting for a compile that nobody wants.
    os._exit(status) if status == 130 else sys.exit(status)
