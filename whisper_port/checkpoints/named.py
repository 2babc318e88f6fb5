"""The official models by name: their dims, and weights without values or with random ones.

Dims from openai's model card and the released checkpoints (github.com/openai/whisper).
"""

from __future__ import annotations

import base64
import difflib
import gzip

import numpy as np
import torch
import whisper
from whisper.model import ModelDimensions

from whisper_port.checkpoints.checkpoint import Checkpoint, CheckpointError, meta_model
from whisper_port.vocabulary import official_vocabulary

# name → (width, heads, encoder layers, decoder layers)
_SIZES = {
    "tiny": (384, 6, 4, 4),
    "base": (512, 8, 6, 6),
    "small": (768, 12, 12, 12),
    "medium": (1024, 16, 24, 24),
    "large-v1": (1280, 20, 32, 32),
    "large-v2": (1280, 20, 32, 32),
    "large-v3": (1280, 20, 32, 32),
    "large-v3-turbo": (1280, 20, 32, 4),
}
_ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}


def check_name(name: str) -> str:
    """`name` if openai-whisper has such a model.

    Raises:
        CheckpointError: it has not; the text lists the names and the closest.
    """
    names = whisper.available_models()
    if name in names:
        return name
    close = difflib.get_close_matches(name, names, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    raise CheckpointError(f"no Whisper model is called {name!r}.{guess} There are: {', '.join(names)}.")


def dims_of(name: str) -> ModelDimensions:
    """The dims of an official model."""
    size = _ALIASES.get(check_name(name), name)
    width, heads, encoder, decoder = _SIZES[size.removesuffix(".en")]
    vocabulary = official_vocabulary(name)
    assert vocabulary is not None
    mels = 128 if size.startswith("large-v3") else 80
    return ModelDimensions(mels, 1500, width, heads, encoder, vocabulary.size, 448, width, heads, decoder)


def heads_of(name: str) -> torch.Tensor:
    """The alignment heads of an official model, bool (n_text_layer, n_text_head)."""
    dims = dims_of(name)
    raw = gzip.decompress(base64.b85decode(whisper._ALIGNMENT_HEADS[name]))
    mask = np.frombuffer(raw, dtype=bool).reshape(dims.n_text_layer, dims.n_text_head)
    return torch.from_numpy(mask.copy())


def meta_checkpoint(name: str) -> Checkpoint:
    """Names and shapes of an official model, on the meta device: for a dry run of any size."""
    dims = dims_of(name)
    return Checkpoint(dims, meta_model(dims).state_dict(), heads_of(name), f"no values: shapes of {name}")


def random_checkpoint(name: str, seed: int = 0) -> Checkpoint:
    """Random weights in an official model's shapes; the same for the same seed."""
    dims = dims_of(name)
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in meta_model(dims).state_dict().items():
        scale = 0.5 / max(value.shape[-1], 1) ** 0.5 if value.ndim > 1 else 0.02
        state[key] = torch.randn(value.shape, generator=generator) * scale
        if key.endswith(("ln.weight", "ln_post.weight")):
            state[key] += 1  # norms near identity, so that activations keep their scale
    return Checkpoint(dims, state, heads_of(name), f"RANDOM WEIGHTS (seed {seed})", random=True)
