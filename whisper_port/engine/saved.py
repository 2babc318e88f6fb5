"""A whole Whisper model as one fxmax artifact: its four graphs, its weights, and what it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from whisper.model import ModelDimensions

import fxmax
from fxmax.runtime import device as devices

if TYPE_CHECKING:
    from whisper_port.model import WhisperModel

KEY = "whisper"  # of the manifest's metadata


def save(model: WhisperModel, path: str | os.PathLike[str]) -> Path:
    """See `WhisperModel.save`."""
    graphs: dict[str, fxmax.Compiled] = {}
    for name, graph in model.graphs.items():
        if not isinstance(graph, fxmax.Compiled):
            raise fxmax.ArtifactError(f"the model was loaded from {model.source}: copy that folder")
        graphs[name] = graph
    about = {
        "dims": asdict(model.dims),
        "alignment_heads": model.alignment_heads.indices().T.tolist(),
        "source": model.source,
    }
    return fxmax.save(Path(path), graphs, metadata={KEY: about})


def from_graphs(graphs: Mapping[str, fxmax.Loaded], path: str, device: str = "auto") -> WhisperModel:
    """The model of an artifact's graphs, which `fxmax.load_all(path)` gave.

    Raises:
        fxmax.ArtifactError: it is for another device, or no Whisper model.
    """
    from whisper_port.model import WhisperModel

    metadata = next(iter(graphs.values())).metadata
    about: dict[str, Any] | None = metadata.get(KEY)
    if about is None:
        raise fxmax.ArtifactError(
            f"{path} is an artifact of another model than Whisper; fxmax.load({path!r}) runs it"
        )
    where = next(iter(graphs.values())).device
    if device != "auto" and devices.resolve(device) != where:
        raise fxmax.ArtifactError(f"{path} is for {where}, and {device} was asked for: save one for that")
    dims = ModelDimensions(**about["dims"])
    heads = torch.zeros(dims.n_text_layer, dims.n_text_head, dtype=torch.bool)
    for layer, head in about["alignment_heads"]:
        heads[layer, head] = True
    source = f"the artifact {path}, of {about['source']}"
    return WhisperModel(graphs, dims, heads.to_sparse(), source, where)
