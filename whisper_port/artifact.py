"""A whole Whisper model as one fxmax artifact: its four graphs, its weights, and what it is."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from whisper.model import ModelDimensions

import fxmax
from fxmax import device as devices
from fxmax.artifact.manifest import MANIFEST

if TYPE_CHECKING:
    from whisper_port.model import WhisperModel

KEY = "whisper"  # of the manifest's metadata


def is_artifact(path: str) -> bool:
    """Whether a path is an artifact's folder, of whatever model."""
    return os.path.isfile(os.path.join(path, MANIFEST))


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


def load(path: str, device: str = "auto") -> WhisperModel:
    """The model of an artifact, with nothing compiled and no weights converted.

    Raises:
        fxmax.ArtifactError: it is damaged, of another MAX version, not for this machine or device, or
            no Whisper model.
    """
    from whisper_port.model import WhisperModel

    graphs = fxmax.load_all(path)
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
