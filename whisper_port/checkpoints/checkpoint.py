"""The one form that every checkpoint is read into, and its check against openai's own model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
import whisper
from torch.overrides import TorchFunctionMode
from whisper.model import ModelDimensions, TextDecoder, Whisper


class CheckpointError(Exception):
    """A checkpoint can't be found, read or used; the text says which, where, and what to do."""


class NoWeightsError(CheckpointError):
    """No place has the weights of a named model; the text lists where they were looked for."""


@dataclass(frozen=True)
class Checkpoint:
    """Whisper's weights.

    Attributes:
        dims: openai's `ModelDimensions`, read from the checkpoint.
        state_dict: float32 tensors in openai's names, `encoder.*` and `decoder.*`.
        alignment_heads: bool (n_text_layer, n_text_head), or None where the checkpoint has none.
        source: where they come from, for a person to read.
        random: whether they are random numbers.
        notes: warnings, such as the names of tensors that hold a NaN.
    """

    dims: ModelDimensions
    state_dict: dict[str, torch.Tensor]
    alignment_heads: torch.Tensor | None
    source: str
    random: bool = False
    notes: tuple[str, ...] = ()

    def encoder_state(self) -> dict[str, torch.Tensor]:
        """The encoder's tensors, by their FQN in openai's `AudioEncoder`."""
        prefix = "encoder."
        return {k.removeprefix(prefix): v for k, v in self.state_dict.items() if k.startswith(prefix)}

    def heads(self) -> torch.Tensor:
        """The alignment heads, bool (layers, heads); openai's default is all of the upper layers'."""
        if self.alignment_heads is not None:
            return self.alignment_heads
        heads = torch.zeros(self.dims.n_text_layer, self.dims.n_text_head, dtype=torch.bool)
        heads[self.dims.n_text_layer // 2 :] = True
        return heads

    def build(self) -> Whisper:
        """openai's own model on these tensors (shared, not copied), in eval mode."""
        model = meta_model(self.dims)
        model.load_state_dict(self.state_dict, strict=True, assign=True)
        # The causal mask is a non-persistent buffer: no checkpoint has it, so it is made anew.
        size = self.dims.n_text_ctx
        mask = torch.full((size, size), float("-inf")).triu_(1)
        model.decoder.register_buffer("mask", mask, persistent=False)
        model.register_buffer("alignment_heads", self.heads().to_sparse(), persistent=False)
        return model.eval().requires_grad_(False)


def meta_model(dims: ModelDimensions) -> Whisper:
    """openai's model with these dims on the meta device: names and shapes, no values."""
    # Sinusoids too by their shape alone.
    positions = patch.object(whisper.model, "sinusoids", lambda *shape: torch.empty(shape))
    with torch.device("meta"), _NoValues(), positions:
        model = Whisper.__new__(Whisper)
        torch.nn.Module.__init__(model)
        model.dims = dims
        model.encoder = _encoder(dims)
        model.decoder = TextDecoder(
            dims.n_vocab, dims.n_text_ctx, dims.n_text_state, dims.n_text_head, dims.n_text_layer
        )
    return model.eval()


class _NoValues(TorchFunctionMode):
    """Leaves tensors as they are made: filling them on the meta device loads torch's compiler, and that
    takes over a second."""

    FILLS = frozenset({"normal_", "uniform_", "kaiming_uniform_", "fill_", "triu_"})

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self.FILLS:
            return args[0] if args else kwargs["tensor"]  # a method's own, or torch.nn.init's argument
        return func(*args, **kwargs)


def _encoder(dims: ModelDimensions) -> torch.nn.Module:
    from whisper.model import AudioEncoder

    encoder: torch.nn.Module = AudioEncoder(
        dims.n_mels, dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head, dims.n_audio_layer
    )
    return encoder


def checkpoint(
    dims: ModelDimensions,
    state_dict: dict[str, torch.Tensor],
    source: str,
    alignment_heads: torch.Tensor | None = None,
) -> Checkpoint:
    """A `Checkpoint`, after every tensor's name and shape were found to be openai's.

    Raises:
        CheckpointError: tensors are missing, unknown or of the wrong shape; each is named.
    """
    wanted = meta_model(dims).state_dict()
    problems = []
    if missing := sorted(set(wanted) - set(state_dict)):
        problems.append(f"missing: {_some(missing)}")
    if unknown := sorted(set(state_dict) - set(wanted)):
        problems.append(f"not Whisper's: {_some(unknown)}")
    for name in sorted(set(wanted) & set(state_dict)):
        have, want = list(state_dict[name].shape), list(wanted[name].shape)
        if have != want:
            problems.append(f"{name}: shape {have}, but {want} is needed")
    if problems:
        raise CheckpointError(
            f"{source} is not a whole Whisper checkpoint:\n  "
            + "\n  ".join(problems)
            + "\n  Get it again, or give another with --checkpoint."
        )
    state = {name: state_dict[name].float() for name in wanted}
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    notes = (f"NaN or infinity in {len(broken)} tensors: {_some(broken)}",) if broken else ()
    for note in notes:
        warnings.warn(f"{source}: {note}", stacklevel=2)
    return Checkpoint(dims, state, alignment_heads, source, notes=notes)


def heads_mask(dims: ModelDimensions, pairs: Sequence[Sequence[int]]) -> torch.Tensor:
    """Alignment heads, bool (layers, heads), from (layer, head) pairs."""
    mask = torch.zeros(dims.n_text_layer, dims.n_text_head, dtype=torch.bool)
    for layer, head in pairs:
        mask[layer, head] = True
    return mask


def _some(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
