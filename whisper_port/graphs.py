"""Every graph of a Whisper model, lowered by fxmax and compiled together in one MAX module."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.export import Dim
from whisper.model import Whisper

import fxmax
from whisper_port.decoder import CrossKeysValues, Prefill, Step, slots
from whisper_port.inference import cache_shape


def compile_graphs(
    model: Whisper, *, device: str = "auto", dtype: str | None = None, quiet: bool = False
) -> dict[str, fxmax.Compiled]:
    """Lower and compile all graphs of `model` (openai's, with weights): minutes the first time."""
    return fxmax.lower_many(jobs(model), device=device, dtype=dtype, strict=False, quiet=quiet)


def jobs(model: Whisper) -> Mapping[str, fxmax.Job]:
    """`encoder`, `cross`, `prefill` and `step`, with their example inputs and dynamic sizes."""
    dims, decoder = model.dims, model.decoder
    audio, group, k = Dim("audio"), Dim("group"), Dim("k")
    n = Dim("n", max=dims.n_text_ctx)
    past = Dim("past", max=dims.n_text_ctx - 1)
    heads, _, width = cache_shape(dims)
    pairs = 2 * dims.n_text_layer
    # Sizes of 2 and more: torch.export would take a 1 for a size that never changes.
    mel = torch.zeros(2, dims.n_mels, 2 * dims.n_audio_ctx)
    features = torch.zeros(2, dims.n_audio_ctx, dims.n_audio_state)
    cross = [torch.zeros(2, heads, dims.n_audio_ctx, width) for _ in range(pairs)]
    cache = [torch.zeros(2, 3, heads, slots(decoder), width) for _ in range(pairs)]
    tokens, at = torch.zeros(2, 3, 5, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    batch, rows = {0: audio}, {0: audio, 1: group}
    caches, crosses = [rows] * pairs, [batch] * pairs
    alignment = [(int(layer), int(head)) for layer, head in model.alignment_heads.indices().T]
    return {
        "encoder": fxmax.Job(model.encoder, (mel,), dynamic_shapes=(batch,)),
        "cross": fxmax.Job(CrossKeysValues(decoder), (features,), dynamic_shapes=(batch,)),
        "prefill": fxmax.Job(
            Prefill(decoder, alignment),
            (tokens, at, cache, cross),
            dynamic_shapes=({**rows, 2: n}, {0: k}, caches, crosses),
        ),
        "step": fxmax.Job(
            Step(decoder),
            (tokens[:, :, 0].clone(), torch.zeros(7, dtype=torch.uint8), cache, cross),
            dynamic_shapes=(rows, {0: past}, caches, crosses),
        ),
    }
