"""What openai-whisper's functions reach into a model for, answered from the graphs.

`whisper.decode` keeps a dict of keys and values that it reorders for its beams; `whisper.timing`
hooks the cross-attention layers. The objects here have just the attributes they touch; the values
are torch tensors as containers, and no torch module runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from whisper_port.engine.engine import Engine, Sequences, host


class Projection:
    """Stands for a key or value projection: a key of openai's cache dict."""

    def __init__(self, index: int) -> None:
        self.index = index  # of its cache


class Hooked:
    """A cross-attention layer, for its forward hooks alone."""

    def __init__(self) -> None:
        self.hooks: list[Callable[[Any, Any, Any], Any]] = []

    def register_forward_hook(self, hook: Callable[[Any, Any, Any], Any]) -> Handle:
        """Call `hook(layer, inputs, (None, scores))` when the model runs; scores[0][head] is (n, places)."""
        self.hooks.append(hook)
        return Handle(lambda: self.hooks.remove(hook))


class Scores:
    """A layer's cross-attention scores, by head: those of the alignment heads."""

    def __init__(self) -> None:
        self.heads: dict[int, torch.Tensor] = {}

    def __getitem__(self, head: Any) -> torch.Tensor:
        if int(head) not in self.heads:
            raise KeyError(
                f"head {int(head)} is no alignment head of this layer: the graph gives the scores of "
                f"those alone, here {sorted(self.heads)}"
            )
        return self.heads[int(head)]


class Handle:
    """Removes a hook."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self.remove = remove


class SelfAttention:
    """A self-attention layer's projections."""

    def __init__(self, layer: int) -> None:
        self.key, self.value = Projection(2 * layer), Projection(2 * layer + 1)


class DecoderBlock:
    """A decoder layer."""

    def __init__(self, layer: int) -> None:
        self.attn, self.cross_attn = SelfAttention(layer), Hooked()


class KeysValues(dict[Projection, "CacheRows"]):
    """openai's `kv_cache`: empty until the decoder has run with it."""

    def __init__(self) -> None:
        super().__init__()
        self.sequences: Sequences | None = None

    def fill(self, sequences: Sequences, blocks: Sequence[DecoderBlock]) -> None:
        """Hold the caches of `sequences`."""
        self.sequences = sequences
        for block in blocks:
            for one in (block.attn.key, block.attn.value):
                super().__setitem__(one, CacheRows(None))

    def __setitem__(self, projection: Projection, rows: CacheRows) -> None:
        """`cache[p] = cache[p][sources]`: reorder this cache's sequences."""
        if self.sequences is not None and rows.sources is not None:
            self.sequences.take(projection.index, rows.sources)


class CacheRows:
    """The rows of a cache that lies on the device, or a selection of them."""

    def __init__(self, sources: Sequence[int] | None) -> None:
        self.sources = sources

    def __getitem__(self, sources: Sequence[int]) -> CacheRows:
        return CacheRows(sources)

    def detach(self) -> CacheRows:
        """Itself: it has no gradients."""
        return self


class Encoder:
    """`model.encoder`: log-mels to features."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __call__(self, mel: torch.Tensor) -> torch.Tensor:
        """(n_mels, 3000), or with windows before, to (…, places, state), in the mel's dtype."""
        batch = mel if mel.ndim == 3 else mel[None]
        features = host(self.engine.encode(batch.float().cpu().numpy()).features)
        result = torch.from_numpy(features.copy()).to(mel.dtype)
        return result if mel.ndim == 3 else result[0]


class Decoder:
    """`model.decoder`: tokens and features to logits."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.blocks = [DecoderBlock(i) for i in range(engine.dims.n_text_layer)]

    def __call__(
        self, tokens: torch.Tensor, features: torch.Tensor, kv_cache: KeysValues | None = None
    ) -> torch.Tensor:
        """Logits (rows, n, vocabulary) of tokens (rows, n) over features (windows, places, state).

        Rows are sequences; where there are more than windows, each window has an equal share.
        With a cache that was filled before, `tokens` is the one token that each row goes on with.
        """
        if features.ndim == 2:
            features = features[None]
        rows, n = tokens.shape
        audio = features.shape[0]
        if rows % audio:
            raise ValueError(f"{rows} sequences can't be shared among {audio} windows of features")
        ids = np.ascontiguousarray(tokens.cpu().numpy().reshape(audio, rows // audio, n))
        if kv_cache:
            sequences = kv_cache.sequences
            assert sequences is not None
            steps = [sequences.step(np.ascontiguousarray(ids[..., i])) for i in range(n)]
            logits = np.stack(steps, axis=2)
        else:
            windows = self.engine.windows(features.float().cpu().numpy())
            sequences = Sequences(self.engine, windows, rows // audio)
            logits, _ = sequences.prefill(ids, range(n))
            if kv_cache is not None:
                kv_cache.fill(sequences, self.blocks)
        return torch.from_numpy(logits).flatten(0, 1)
