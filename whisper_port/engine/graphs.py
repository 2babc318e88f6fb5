"""Every graph of a Whisper model, lowered by fxmax and compiled together in one MAX module."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.export import Dim
from whisper.model import Whisper

import fxmax
from fxmax.runtime.target import has_int8_dot
from whisper_port.engine.engine import cache_shape
from whisper_port.modules.decoder import CrossCache, CrossKeysValues, Prefill, Step, slots
from whisper_port.modules.encoder import Float32Ends


def compile_graphs(
    model: Whisper, *, device: str = "auto", dtype: str | None = None, quiet: bool = False
) -> dict[str, fxmax.Compiled]:
    """Lower and compile all graphs of `model` (openai's, with weights): minutes the first time.

    `dtype` is None, or `int8` (CPU): linears are int8, with activations rounded to int8 too where the
    CPU has an int8 dot product, and so are the cross-attention's keys and values.
    """
    weights = "int8_dynamic" if dtype == "int8" and has_int8_dot() else dtype
    todo = jobs(model, int8=dtype == "int8")
    return fxmax.lower_many(todo, device=device, dtype=weights, strict=False, quiet=quiet)


def jobs(model: Whisper, int8: bool = False) -> Mapping[str, fxmax.Job]:
    """`encoder`, `cross`, `prefill` and `step`, with their example inputs and dynamic sizes.

    With `int8` the cross-attention's keys and values are: see `decoder.CrossCache`. A model in 16 bits has
    caches, keys and values in 16 bits; mels, features, logits and scores are float32 all the same.
    """
    dims, decoder = model.dims, model.decoder
    dtype = decoder.token_embedding.weight.dtype
    encoder = model.encoder if dtype == torch.float32 else Float32Ends(model.encoder)
    audio, group, k = Dim("audio"), Dim("group"), Dim("k")
    n = Dim("n", max=dims.n_text_ctx)
    past = Dim("past", max=dims.n_text_ctx - 1)
    heads, _, width = cache_shape(dims)
    pairs = 2 * dims.n_text_layer
    # Sizes of 2 and more: torch.export would take a 1 for a size that never changes.
    mel = torch.zeros(2, dims.n_mels, 2 * dims.n_audio_ctx)
    features = torch.zeros(2, dims.n_audio_ctx, dims.n_audio_state)
    places = [torch.zeros(2, heads, dims.n_audio_ctx, width, dtype=dtype) for _ in range(pairs)]
    cross = [tensor for x in places for tensor in CrossCache.of(x, int8).tensors()]
    cache = [torch.zeros(2, 3, heads, slots(decoder), width, dtype=dtype) for _ in range(pairs)]
    tokens, at = torch.zeros(2, 3, 5, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    batch, rows = {0: audio}, {0: audio, 1: group}
    caches, crosses = [rows] * pairs, [batch] * len(cross)
    alignment = [(int(layer), int(head)) for layer, head in model.alignment_heads.indices().T]
    return {
        "encoder": fxmax.Job(encoder, (mel,), dynamic_shapes=(batch,)),
        "cross": fxmax.Job(CrossKeysValues(decoder, int8), (features,), dynamic_shapes=(batch,)),
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
