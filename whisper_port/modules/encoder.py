"""Whisper's encoder on MAX: openai's own module, lowered by fxmax, with a checkpoint bound by name."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from whisper.model import AudioEncoder, ModelDimensions, disable_sdpa

import fxmax
from whisper_port.checkpoints import Checkpoint
from whisper_port.modules.example_inputs import encoder_inputs

HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def in_16_bits(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """A copy with weights in `dtype`, but for layer norms, which openai computes in float32."""
    rounded = copy.deepcopy(model).to(dtype)
    for module in rounded.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.float()
    return rounded


class Float32Ends(torch.nn.Module):
    """openai's encoder in 16 bits, from float32 mels to float32 features."""

    def __init__(self, encoder: AudioEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.encoder(mel.to(self.encoder.conv1.weight.dtype))
        return features.float()


def meta_encoder(dims: ModelDimensions) -> AudioEncoder:
    """openai's `AudioEncoder` with these dims on the meta device: shapes and names, no values."""
    with torch.device("meta"):
        encoder = AudioEncoder(
            dims.n_mels, dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head, dims.n_audio_layer
        )
    return encoder.eval()


@contextmanager
def attention_form(sdpa: bool) -> Iterator[None]:
    """Within the block openai's attention calls SDPA, or (False) writes it out."""
    if sdpa:
        yield
    else:
        with disable_sdpa():
            yield


def lower_encoder(
    checkpoint: Checkpoint,
    *,
    sdpa: bool = True,
    device: str = "auto",
    strict: bool = True,
    passes: Sequence[str] | None = None,
    windows: int = 1,
    quiet: bool = False,
) -> fxmax.Compiled:
    """Compile the encoder for (windows, n_mels, 2 * n_audio_ctx) float32 log-mels.

    Returns:
        A callable to (windows, n_audio_ctx, n_audio_state) float32 features.

    Raises:
        fxmax.WeightError: a tensor is missing, unknown or of another shape; it is named.
    """
    encoder = meta_encoder(checkpoint.dims)
    with attention_form(sdpa):
        return fxmax.lower(
            encoder,
            encoder_inputs(encoder, windows),
            state_dict=checkpoint.encoder_state(),
            device=device,
            strict=strict,
            passes=passes,
            quiet=quiet,
        )


def lower_encoder_dry(
    dims: ModelDimensions,
    state_dict: dict[str, torch.Tensor] | None = None,
    *,
    sdpa: bool = True,
    device: str = "auto",
    quiet: bool = False,
) -> fxmax.Lowered:
    """Lower without compiling: any size in seconds and little memory; binds names if given any."""
    encoder = meta_encoder(dims)
    with attention_form(sdpa):
        return fxmax.lower(
            encoder, encoder_inputs(encoder), state_dict=state_dict, device=device, compile=False, quiet=quiet
        )
