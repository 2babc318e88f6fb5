"""What an entry of the zoo is: a small random configuration of a Hugging Face model, and inputs for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import nn

Inputs = Mapping[str, torch.Tensor]

TEXT = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
DECODER = TEXT | {"num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SEQ2SEQ = {
    "vocab_size": 99,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
VISION = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
AUDIO = {
    "vocab_size": 32,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (32, 32, 32),
    "conv_stride": (5, 2, 2),
    "conv_kernel": (10, 3, 3),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def ids(batch: int = 2, length: int = 9, high: int = 99) -> torch.Tensor:
    return torch.randint(3, high, (batch, length))


def text() -> Inputs:
    mask = torch.ones(2, 9, dtype=torch.int64)
    mask[1, 6:] = 0
    return {"input_ids": ids(), "attention_mask": mask}


def left_padded() -> Inputs:
    mask = torch.ones(2, 9, dtype=torch.int64)
    mask[1, :3] = 0
    return {"input_ids": ids(), "attention_mask": mask}


def tokens() -> Inputs:
    return {"input_ids": ids()}


def pairs() -> Inputs:
    return {"input_ids": ids(), "decoder_input_ids": ids(2, 5)}


def image(size: int = 32) -> Callable[[], Inputs]:
    return lambda: {"pixel_values": torch.randn(2, 3, size, size)}


def waveform() -> Inputs:
    return {"input_values": torch.randn(2, 1600)}


def features() -> Inputs:
    return {"input_features": torch.randn(2, 20, 60), "decoder_input_ids": ids(2, 5)}


def image_and_text() -> Inputs:
    return {**text(), **image()()}


@dataclass
class Entry:
    """One model: `config`'s class name and settings, `model`'s class name, and its inputs."""

    config: str
    model: str
    settings: Mapping[str, Any]
    inputs: Callable[[], Inputs]
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> tuple[nn.Module, dict[str, torch.Tensor]]:
        """(the module, its keyword inputs); the same every time."""
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = getattr(transformers, self.config)(**self.settings)
            module = getattr(transformers, self.model)(config).eval()
        for value in module.parameters():  # fresh biases are 0 and norms 1: they would prove nothing
            if value.dim() == 1:
                value.data += 0.1 * torch.randn_like(value)
        kwargs = {**self.inputs(), **self.options}
        _keep_alive(module, kwargs)
        return module, kwargs


def _keep_alive(module: nn.Module, kwargs: dict[str, Any]) -> None:
    """Let convolutions keep the size of their inputs, and batch norms know it.

    As they are made, each makes it smaller, until the output is a constant that any input gives.
    """
    convolutions = [m for m in module.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d))]
    norms = [m for m in module.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for convolution in convolutions if norms or len(convolutions) > 4 else ():
        nn.init.kaiming_normal_(convolution.weight)
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None  # the plain mean over all batches
    if norms:
        with torch.no_grad():
            module(**{name: _more(value) for name, value in kwargs.items()})
    for norm in norms:
        norm.eval()


def _more(value: Any) -> Any:
    """A larger batch: of two items, each of one place, hardly any variance might be left to divide by."""
    if not isinstance(value, torch.Tensor):
        return value
    return torch.randn(32, *value.shape[1:]) if value.is_floating_point() else value.repeat_interleave(16, 0)


def causal(config: str, model: str, inputs: Callable[[], Inputs] = text, **settings: Any) -> Entry:
    return Entry(f"{config}Config", f"{model}ForCausalLM", DECODER | settings, inputs)


def encoder(name: str, **settings: Any) -> Entry:
    return Entry(f"{name}Config", f"{name}Model", TEXT | settings, text)


def vision(name: str, size: int = 32, **settings: Any) -> Entry:
    return Entry(f"{name}Config", f"{name}Model", settings, image(size))


def seq2seq(name: str, head: str = "ForConditionalGeneration", **settings: Any) -> Entry:
    return Entry(f"{name}Config", f"{name}{head}", SEQ2SEQ | settings, pairs)
