"""One window's tokens, greedily: milliseconds a token, ours and others' in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import whisper
from whisper.decoding import DecodingOptions

from benchmarks.encoder_peers import PeerError, ctranslate2_model, needs
from benchmarks.environment import environment
from benchmarks.measure import Times, in_turn, ratios_of
from benchmarks.table import Benchmark, Row
from fxmax.support.progress import Progress
from whisper_port.building import compile_checkpoint
from whisper_port.checkpoints import Checkpoint
from whisper_port.proof.encoder import log_mel

Run = Callable[[], list[int]]
PEERS = ("openai", "faster-whisper", "faster-whisper-int8")


def bench_decode(
    name: str,
    checkpoint: Checkpoint,
    audio: np.ndarray,
    *,
    peers: Sequence[str],
    tokens: int = 100,
    rounds: int = 7,
    threads: int,
    quiet: bool = False,
) -> Benchmark:
    """From one window's features to `tokens` tokens with no end of text: every side does all of them.

    Times are of the whole call divided by the tokens, so that prompt, token rules and the loop
    count. Ours and openai's project the features to keys and values in that time too.
    """
    torch.set_num_threads(threads)
    progress = Progress(quiet)
    theirs = checkpoint.build()
    with torch.inference_mode():
        features = theirs.encoder(log_mel(audio, checkpoint.dims.n_mels)).clone()
    tokenizer = whisper.tokenizer.get_tokenizer(
        theirs.is_multilingual, num_languages=theirs.num_languages, language="en", task="transcribe"
    )
    options = DecodingOptions(
        language="en",
        fp16=False,
        without_timestamps=True,
        sample_len=tokens,
        suppress_tokens=[tokenizer.eot],
        suppress_blank=False,
    )
    sides: dict[str, Run] = {}
    for side, dtype in (("fxmax", None), ("fxmax-int8", "int8")):
        with progress.stage(side, "encoder and decoder: minutes where MAX has not compiled them before"):
            model = compile_checkpoint(checkpoint, "cpu", dtype=dtype, quiet=True)  # one voice at a time
        sides[side] = lambda model=model: model.decode(features, options)[0].tokens  # type: ignore[misc]
    notes: list[str] = []
    for peer in peers:
        if peer == "openai":
            sides[peer] = lambda: whisper.decode(theirs, features, options)[0].tokens
            continue
        try:
            prompt = list(tokenizer.sot_sequence_including_notimestamps)
            sides[peer] = _ctranslate2(peer, name, features, prompt, tokenizer.eot, tokens, threads)
        except PeerError as reason:
            notes.append(f"{peer}: not measured ({reason})")
    made = {side: run() for side, run in sides.items()}
    with progress.stage("measure", f"{rounds} rounds of {len(sides)} sides"):
        times = in_turn(sides, rounds, warmup=1)
    each = {side: Times([s / len(made[side]) for s in times[side].seconds]) for side in sides}
    rows = [Row.of(side, each[side], each["fxmax"], None, _note(made, side)) for side in sides]
    notes.append(ratios_of("fxmax-int8", each))
    notes.append("every side is given openai's features of the window")
    return Benchmark(f"Whisper {name}: {tokens} tokens, a token", rows, environment(threads), notes)


def _ctranslate2(
    peer: str, name: str, features: torch.Tensor, prompt: list[int], eot: int, tokens: int, threads: int
) -> Run:
    compute_type = {"faster-whisper": "float32", "faster-whisper-int8": "int8"}[peer]
    model = ctranslate2_model(name, compute_type, threads)
    given = needs("ctranslate2").StorageView.from_array(features.numpy())

    def run() -> list[int]:
        result = model.generate(
            given,
            [prompt],
            beam_size=1,
            max_length=2 * tokens,  # of which CTranslate2 generates half
            suppress_blank=False,
            suppress_tokens=[eot],
        )
        return list(result[0].sequences_ids[0])

    return run


def _note(made: dict[str, list[int]], side: str) -> str:
    if side == "openai" or "openai" not in made:
        return f"{len(made[side])} tokens"
    same = sum(a == b for a, b in zip(made[side], made["openai"], strict=False))
    return f"{len(made[side])} tokens, {same} as openai's"
