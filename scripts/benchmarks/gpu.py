"""Whisper on a GPU beside torch on the same card: an encoded window, or a decoded token.

Every call is waited for. The error is against torch in float32 (without TF32) on the card, max abs error
relative to the output's scale.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from max.driver import Buffer

import fxmax
from benchmarks.encoder_peers import PeerError
from benchmarks.environment import environment
from benchmarks.measure import in_turn
from benchmarks.table import Benchmark, Row
from fxmax.errors import DeviceError
from fxmax.fx.torch_private import pytree
from fxmax.runtime import device as devices
from fxmax.support.progress import Progress
from whisper_port.checkpoints import Checkpoint
from whisper_port.engine.engine import cache_shape
from whisper_port.engine.graphs import jobs
from whisper_port.modules.decoder import CrossKeysValues, Step
from whisper_port.modules.encoder import HALVES, in_16_bits

PEERS = ("eager", "compile")
PAST = 100  # tokens before the one that is timed

Work = Callable[[], torch.Tensor]


def bench_gpu(
    name: str,
    checkpoint: Checkpoint,
    *,
    part: str,
    dtype: str,
    peers: Sequence[str],
    rounds: int = 50,
    threads: int,
    quiet: bool = False,
) -> Benchmark:
    """Ours, ours recorded as a CUDA graph, torch eager and torch.compile(mode="max-autotune"), in turn.

    Raises:
        PeerError: this torch sees no GPU. DeviceError: MAX sees none.
    """
    devices.resolve("gpu")
    if not torch.cuda.is_available():
        raise PeerError("torch sees no GPU here: install a torch that is built for CUDA")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    progress = Progress(quiet)
    whole = checkpoint.build()
    model = whole if dtype == "float32" else in_16_bits(whole, HALVES[dtype])
    job = jobs(model)[part]
    torch.manual_seed(0)
    args = _encoder_inputs(checkpoint) if part == "encoder" else _step_inputs(checkpoint, whole, dtype)
    compiled = fxmax.lower(
        job.module, job.args, dynamic_shapes=job.dynamic_shapes, device="gpu", strict=False, quiet=quiet
    )
    with torch.inference_mode():
        sides, notes = _ours(compiled, args)
        module = copy.deepcopy(job.module).cuda()  # type: ignore[union-attr]  # its tensors are bound
        sides |= _theirs(module, args, peers, progress)
        expected = _float32(part, whole, args)
        errors = {side: _error(run(), expected) for side, run in sides.items()}
        with progress.stage("measure", f"{rounds} rounds of {len(sides)} sides"):
            times = in_turn(sides, rounds, warmup=10, rest=0)
    rows = [Row.of(side, times[side], times["fxmax"], errors[side]) for side in sides]
    if checkpoint.random:
        notes.append("RANDOM WEIGHTS")
    notes.append(f"on {torch.cuda.get_device_name()}")
    what = "one 30 s window" if part == "encoder" else f"a token after {PAST}"
    return Benchmark(f"Whisper {name}, {dtype}: {part}, {what}", rows, environment(threads), notes)


def _ours(compiled: fxmax.Compiled, args: Sequence[Any]) -> tuple[dict[str, Work], list[str]]:
    """Executed, and replayed where MAX can record it; notes say why it can't."""
    buffers = compiled.buffers([x for a in args for x in (a if isinstance(a, list) else [a])])
    card = devices.resolve("gpu").to_device()

    def waited(run: Callable[[], list[Buffer]]) -> Work:
        def work() -> torch.Tensor:
            [result] = run()
            card.synchronize()
            return torch.from_dlpack(result)

        return work

    sides = {"fxmax": waited(lambda: compiled.execute(*buffers))}
    try:
        sides["fxmax, recorded"] = waited(compiled.record(*buffers))
    except DeviceError as reason:
        return sides, [f"fxmax, recorded: not measured ({reason})"]
    return sides, []


def _theirs(
    module: torch.nn.Module, args: Sequence[Any], peers: Sequence[str], progress: Progress
) -> dict[str, Work]:
    """The peers asked for, compiled where they are to be; `module` is on the card."""
    given = pytree.tree_map(lambda x: x.cuda(), args)

    def waited(run: Callable[..., torch.Tensor]) -> Work:
        def work() -> torch.Tensor:
            result = run(*given)
            torch.cuda.synchronize()
            return result

        return work

    sides: dict[str, Work] = {}
    if "eager" in peers:
        sides["torch eager"] = waited(module)
    if "compile" in peers:
        for caches in (x for x in given if isinstance(x, list)):
            for tensor in caches:  # without it torch.compile makes no CUDA graph of the step
                torch._dynamo.mark_static_address(tensor)
        sides["torch.compile"] = waited(torch.compile(module, mode="max-autotune", dynamic=False))
        with progress.stage("torch.compile", "max-autotune"):
            sides["torch.compile"]()
    return sides


def _encoder_inputs(checkpoint: Checkpoint) -> list[torch.Tensor]:
    dims = checkpoint.dims
    return [torch.randn(1, dims.n_mels, 2 * dims.n_audio_ctx)]


def _step_inputs(checkpoint: Checkpoint, model: torch.nn.Module, dtype: str) -> list[object]:
    """One sequence of one window, its caches filled with noise and its keys and values of noise."""
    dims = checkpoint.dims
    half = getattr(torch, dtype)
    features = torch.randn(1, dims.n_audio_ctx, dims.n_audio_state)
    with torch.inference_mode():
        cross = [x.to(half) for x in CrossKeysValues(model.decoder)(features)]
    cache = [torch.randn(1, 1, *cache_shape(dims)).to(half) for _ in range(2 * dims.n_text_layer)]
    tokens = torch.full((1, 1), 440)
    return [tokens, torch.zeros(PAST, dtype=torch.uint8), cache, cross]


def _float32(part: str, model: torch.nn.Module, args: Sequence[object]) -> torch.Tensor:
    module: torch.nn.Module = model.encoder if part == "encoder" else Step(model.decoder)  # type: ignore
    given = pytree.tree_map(lambda x: (x.float() if x.is_floating_point() else x).cuda(), args)
    result: torch.Tensor = copy.deepcopy(module).cuda()(*given)
    return result.double().cpu()


def _error(result: torch.Tensor, expected: torch.Tensor) -> float:
    return float((result.double().cpu() - expected).abs().max() / expected.abs().max())
