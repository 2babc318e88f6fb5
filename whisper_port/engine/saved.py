"""A whole Whisper model as one fxmax artifact: its four graphs, its weights, and what it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whisper.model import ModelDimensions

import fxmax
from whisper_port.checkpoints.checkpoint import heads_mask
from whisper_port.engine.parts import ModelParts

KEY = "whisper"  # of the manifest's metadata


def write(path: str | os.PathLike[str], model: ModelParts) -> Path:
    """Write a model as an artifact's folder.

    Raises:
        fxmax.ArtifactError: the model was read from one, or the folder can't be written.
    """
    graphs: dict[str, fxmax.Compiled] = {}
    for name, graph in model.graphs.items():
        if not isinstance(graph, fxmax.Compiled):
            raise fxmax.ArtifactError(f"the model was loaded from {model.source}: copy that folder")
        graphs[name] = graph
    about = {
        "dims": asdict(model.dims),
        "alignment_heads": model.alignment_heads.nonzero().tolist(),
        "source": model.source,
    }
    return fxmax.save(Path(path), graphs, metadata={KEY: about})


def read(graphs: Mapping[str, fxmax.Loaded], path: str) -> ModelParts:
    """The model of the artifact at `path`, from the graphs that `fxmax.load_all(path)` gave.

    Raises:
        fxmax.ArtifactError: it is no Whisper model.
    """
    first = next(iter(graphs.values()))
    about: dict[str, Any] | None = first.metadata.get(KEY)
    if about is None:
        raise fxmax.ArtifactError(
            f"{path} is an artifact of another model than Whisper; fxmax.load({path!r}) runs it"
        )
    dims = ModelDimensions(**about["dims"])
    source = f"the artifact {path}, of {about['source']}"
    return ModelParts(graphs, dims, heads_mask(dims, about["alignment_heads"]), source, first.device)
