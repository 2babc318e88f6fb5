"""A Hugging Face Whisper folder: `model.safetensors` (or its shards) and `config.json`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from whisper.model import ModelDimensions

from whisper_port.checkpoints.checkpoint import Checkpoint, CheckpointError, checkpoint, heads_mask

# Hugging Face's names → openai's, applied in order.
RENAMES = [
    (r"^model\.", ""),
    (r"\.layers\.", ".blocks."),
    (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
    (r"\.final_layer_norm\.", ".mlp_ln."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.out_proj\.", ".out."),
    (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."),
    (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."),
    (r"\.embed_positions\.weight$", ".positional_embedding"),
    (r"\.embed_tokens\.", ".token_embedding."),
]
TIED = ("proj_out.weight", "decoder.proj_out.weight")


def openai_name(name: str) -> str:
    """openai's name for a Hugging Face tensor."""
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def load(folder: Path) -> Checkpoint:
    """Read a Hugging Face folder.

    Raises:
        CheckpointError: a file is missing, cut or corrupted, or it is another architecture.
    """
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind != "whisper":
        raise CheckpointError(f"{folder / 'config.json'} is a {kind!r} model, not 'whisper'")
    state = {openai_name(k): v for k, v in _tensors(folder).items() if k not in TIED}
    dims = _dims(folder, config)
    generation = folder / "generation_config.json"
    pairs = read_json(generation).get("alignment_heads") if generation.is_file() else None
    heads = heads_mask(dims, pairs) if pairs else None
    return checkpoint(dims, state, f"{folder} (Hugging Face)", heads)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, or a `CheckpointError` that names it."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; the folder needs it beside the weights") from error
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return content


def _dims(folder: Path, config: dict[str, Any]) -> ModelDimensions:
    try:
        return ModelDimensions(
            n_mels=config["num_mel_bins"],
            n_audio_ctx=config["max_source_positions"],
            n_audio_state=config["d_model"],
            n_audio_head=config["encoder_attention_heads"],
            n_audio_layer=config["encoder_layers"],
            n_vocab=config["vocab_size"],
            n_text_ctx=config["max_target_positions"],
            n_text_state=config["d_model"],
            n_text_head=config["decoder_attention_heads"],
            n_text_layer=config["decoder_layers"],
        )
    except KeyError as error:
        raise CheckpointError(f"{folder / 'config.json'} lacks {error}") from error


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    index = folder / "model.safetensors.index.json"
    files = ["model.safetensors"]
    if index.is_file():
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict):
            raise CheckpointError(f"{index} has no weight_map")
        files = sorted(set(shards.values()))
    tensors: dict[str, torch.Tensor] = {}
    for name in files:
        path = folder / name
        if path.parent.resolve() != folder.resolve():
            raise CheckpointError(f"{index} names a file outside of its folder: {name}")
        try:
            with safe_open(path, framework="pt") as held:
                tensors |= {key: held.get_tensor(key) for key in held.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} is missing") from error
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is cut or corrupted: {error}. Get it again.") from error
    return tensors
