"""Example inputs for Whisper's modules, read off their own parameters."""

from __future__ import annotations

import torch
from whisper.model import AudioEncoder


def encoder_inputs(encoder: AudioEncoder, windows: int = 1) -> tuple[torch.Tensor, ...]:
    """(log-mel,) for an `AudioEncoder`: float32 zeros, (windows, n_mels, 2 * n_audio_ctx).

    The second convolution has stride 2, so the encoder takes two mel frames a position. The
    tensor is on the encoder's own device, which may be `meta`.
    """
    weight = encoder.conv1.weight
    frames = 2 * encoder.positional_embedding.shape[0]
    return (torch.zeros(windows, weight.shape[1], frames, device=weight.device),)
