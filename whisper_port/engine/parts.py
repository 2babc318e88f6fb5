"""What a model on MAX is made of, wherever it comes from: compiled here, started warm, or an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from max.graph import DeviceRef
from whisper.model import ModelDimensions

from whisper_port.engine.engine import Graph


@dataclass(frozen=True)
class ModelParts:
    """Plain data; `whisper_port.model.WhisperModel` makes a model of it.

    Attributes:
        graphs: by name; see `whisper_port.engine.graphs.jobs`.
        alignment_heads: bool (layers, heads): the heads that word times come from.
        source: where the weights come from, for a person to read.
        device: what the graphs were compiled for.
    """

    graphs: Mapping[str, Graph]
    dims: ModelDimensions
    alignment_heads: torch.Tensor
    source: str
    device: DeviceRef
