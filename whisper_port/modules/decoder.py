"""Whisper's decoder as functions of explicit state, around openai's own `TextDecoder`.

openai's decoder keeps its keys and values in a dict that forward hooks fill, which no compiler can
see. Here they are arguments: what `Prefill` and `Step` write in the caches stays on the device, in
place. The submodules and parameters are openai's own objects, called as they are.

Sizes: `audio` windows; `group` token sequences for each window (beams); `n` tokens; `past` tokens
before these. Keys and values lie as attention reads them, (…, heads, places, width), so that no
step has to move them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from whisper.model import MultiHeadAttention, TextDecoder


def slots(decoder: TextDecoder) -> int:
    """Places in a cache: one to spare, so that a slice up to the last token is a slice to torch too.

    (A slice that may also be the whole makes torch.export specialize on its length.)
    """
    return int(decoder.positional_embedding.shape[0]) + 1


def as_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x` in `dtype`; with no trace in a captured graph where it is."""
    return x if x.dtype == dtype else x.to(dtype)


def to_heads(x: Tensor, n_head: int, *sizes: int) -> Tensor:
    """(rows, state) → (sizes, width) with heads before the last of `sizes`, which multiply to rows."""
    return x.view(*sizes, n_head, -1).transpose(-3, -2)


def from_heads(x: Tensor, rows: int) -> Tensor:
    """(…, heads, places, width) → (rows, state)."""
    return x.transpose(-3, -2).reshape(rows, -1)


@dataclass(frozen=True)
class Sizes:
    """Of the tokens, and their products, each made once.

    torch.export is slow over sizes that vary: states have a row for each token, and few axes.
    """

    audio: int
    group: int
    n: int
    sequences: int  # audio · group
    each: int  # group · n, of a window
    rows: int  # audio · group · n

    @classmethod
    def of(cls, tokens: Tensor) -> Sizes:
        audio, group, n = tokens.shape
        sequences = audio * group
        return cls(audio, group, n, sequences, group * n, sequences * n)


@dataclass(frozen=True)
class CrossCache:
    """One layer's cross-attention keys or values, (audio, heads, places, width), as they are kept.

    They are read whole for every token. In int8, with a scale for each place of a head, that is a
    quarter of the bytes.
    """

    values: Tensor
    scales: Tensor | None = None

    @classmethod
    def of(cls, x: Tensor, int8: bool) -> CrossCache:
        if not int8:
            return cls(x)
        scales = x.abs().amax(-1, keepdim=True).clamp_min(1e-20) / 127
        return cls((x / scales).round().to(torch.int8), scales)

    def tensors(self) -> list[Tensor]:
        return [self.values] if self.scales is None else [self.values, self.scales]

    def floats(self) -> Tensor:
        return self.values if self.scales is None else self.values.float() * self.scales

    def heads(self, heads: Tensor) -> Tensor:
        """(audio, some heads, places, width)."""
        scales = None if self.scales is None else self.scales.index_select(1, heads)
        return CrossCache(self.values.index_select(1, heads), scales).floats()


def cross_caches(cross: Sequence[Tensor], layers: int) -> list[tuple[CrossCache, CrossCache]]:
    """Each layer's keys and values, from what `CrossKeysValues` returned."""
    each = len(cross) // (2 * layers)  # tensors for one
    parts = [CrossCache(*cross[i : i + each]) for i in range(0, len(cross), each)]
    return list(zip(parts[::2], parts[1::2], strict=True))


class CrossKeysValues(nn.Module):
    """Features (audio, places, state) → cross-attention keys and values: k0, v0, k1, v1, …

    With `int8` each is two tensors, int8 and its scales: see `CrossCache`.
    """

    def __init__(self, decoder: TextDecoder, int8: bool = False) -> None:
        super().__init__()
        self.decoder, self.int8 = decoder, int8

    def forward(self, features: Tensor) -> list[Tensor]:
        attentions = [block.cross_attn for block in self.decoder.blocks]
        features = as_dtype(features, self.decoder.token_embedding.weight.dtype)
        audio, places, _ = features.shape
        projected = (
            to_heads(f(features), a.n_head, audio, places) for a in attentions for f in (a.key, a.value)
        )
        return [tensor for x in projected for tensor in CrossCache.of(x, self.int8).tensors()]


class _Cached(nn.Module):
    """What prefill and step share."""

    mask: Tensor

    def __init__(self, decoder: TextDecoder) -> None:
        super().__init__()
        self.decoder = decoder
        places = slots(decoder)
        mask = torch.full((places, places), -torch.inf).triu_(1)
        self.register_buffer("mask", mask, persistent=False)

    def states(
        self,
        tokens: Tensor,
        past: int,
        causal: bool,
        cache: Sequence[Tensor],
        cross: Sequence[Tensor],
        see: Callable[[int, Tensor, CrossCache], None] | None = None,
    ) -> Tensor:
        """The last layer's states for `tokens` (audio, group, n), which come after `past` others.

        `cache` holds (audio, group, heads, slots, width) for k0, v0, k1, v1, …; it is written.
        `see` is called with each layer's number and its cross-attention's queries and keys.
        """
        decoder = self.decoder
        sizes = Sizes.of(tokens)
        n, rows = sizes.n, sizes.rows
        x = decoder.token_embedding(tokens) + decoder.positional_embedding[past : past + n]
        x = x.view(rows, -1)
        mask = as_dtype(self.mask[:n, :n], x.dtype) if causal else None
        for i, (block, (keys, values)) in enumerate(
            zip(decoder.blocks, cross_caches(cross, len(decoder.blocks)), strict=True)
        ):
            own = cache[2 * i : 2 * i + 2]
            x = x + self_attention(block.attn, block.attn_ln(x), sizes, past, own, mask)
            query = block.cross_attn.query(block.cross_attn_ln(x))
            # A window's sequences read its keys together.
            query = to_heads(query, block.cross_attn.n_head, sizes.audio, sizes.each)
            if see is not None:
                see(i, query, keys)
            y = scaled_dot_product_attention(query, keys.floats(), values.floats())
            x = x + block.cross_attn.out(from_heads(y, rows))
            x = x + block.mlp(block.mlp_ln(x))
        states: Tensor = x.view(sizes.audio, sizes.group, n, -1)
        return states

    def logits(self, x: Tensor) -> Tensor:
        """(…, state) → (…, vocabulary) float32, by the tied embedding."""
        logits = self.decoder.ln(x) @ self.decoder.token_embedding.weight.transpose(0, 1)
        return as_dtype(logits, torch.float32)


def self_attention(
    attention: MultiHeadAttention,
    x: Tensor,
    sizes: Sizes,
    past: int,
    cache: Sequence[Tensor],
    mask: Tensor | None,
) -> Tensor:
    """openai's self-attention of (rows, state), after writing `n` places of the cache."""
    audio, group, n = sizes.audio, sizes.group, sizes.n
    end = past + n
    for place, projection in zip(cache, (attention.key, attention.value), strict=True):
        place[..., past:end, :] = to_heads(projection(x), attention.n_head, audio, group, n)
    # MAX multiplies batches of at most two axes: windows and their sequences are one.
    query = to_heads(attention.query(x), attention.n_head, sizes.sequences, n)
    keys, values = (place.flatten(0, 1)[..., :end, :] for place in cache)
    out = scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    result: Tensor = attention.out(from_heads(out, sizes.rows))
    return result


class Prefill(_Cached):
    """The first tokens of a sequence.

    Args:
        heads: (layer, head) pairs, the alignment heads, which word times come from.

    Returns:
        (logits at the places `at`, (audio, group, k, vocabulary); scores (audio, pairs, group · n,
        places): the cross-attention of each of `heads`, in order of layer and head, before its softmax).
    """

    def __init__(self, decoder: TextDecoder, heads: Sequence[tuple[int, int]]) -> None:
        super().__init__(decoder)
        for layer, pairs in groupby(sorted(heads), lambda pair: pair[0]):
            numbers = torch.tensor([head for _, head in pairs])
            self.register_buffer(f"heads_{layer}", numbers, persistent=False)

    def forward(
        self, tokens: Tensor, at: Tensor, cache: list[Tensor], cross: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        scores: list[Tensor] = []

        def score(layer: int, query: Tensor, keys: CrossCache) -> None:
            heads = getattr(self, f"heads_{layer}", None)
            if heads is not None:
                q = query.index_select(1, heads) * query.shape[-1] ** -0.5
                scores.append(q @ keys.heads(heads).transpose(-1, -2))

        x = self.states(tokens, 0, True, cache, cross, score)
        logits = self.logits(x.index_select(2, at))
        return logits, as_dtype(torch.cat(scores, 1), torch.float32)


class Step(_Cached):
    """One token more for each sequence, (audio, group): logits of the next, (audio, group, vocabulary).

    `past` has a row for each token before this one; its data is not read.
    """

    def forward(self, tokens: Tensor, past: Tensor, cache: list[Tensor], cross: list[Tensor]) -> Tensor:
        x = self.states(tokens.unsqueeze(-1), past.shape[0], False, cache, cross)
        return self.logits(x).squeeze(2)
