"""Models from checkpoints and artifacts, once torch is imported; `whisper_port.loading` is the way in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

import whisper

import fxmax
from fxmax.runtime import device as devices
from whisper_port.checkpoints import Checkpoint, resolve
from whisper_port.engine import saved, warm_start
from whisper_port.engine.parts import ModelParts
from whisper_port.model import WhisperModel


def from_checkpoint(
    name: str, device: str, dtype: str | None, download_root: str | None, quiet: bool
) -> WhisperModel:
    """See `whisper_port.load_model`, of a name or the path of a checkpoint."""
    checkpoint = _find(name, download_root, quiet)
    where = devices.resolve(device)
    if (graphs := warm_start.find(checkpoint, where, dtype)) is not None:
        parts = ModelParts(graphs, checkpoint.dims, checkpoint.heads(), checkpoint.source, where)
        recompile = partial(compile_checkpoint, checkpoint, device, dtype=dtype, quiet=quiet)
        return WhisperModel(parts, recompile)
    model = compile_checkpoint(checkpoint, device, dtype=dtype, quiet=quiet)
    warm_start.keep(model.parts.graphs, checkpoint, where, dtype)
    return model


def compile_checkpoint(
    checkpoint: Checkpoint, device: str = "auto", *, dtype: str | None = None, quiet: bool = False
) -> WhisperModel:
    """A checkpoint that was read before, lowered and compiled, whatever earlier processes have done."""
    from whisper_port.engine.graphs import compile_graphs  # slow to import, and not needed by a warm start

    graphs = compile_graphs(checkpoint.build(), device=device, dtype=dtype, quiet=quiet)
    where = devices.resolve(device)
    return WhisperModel(ModelParts(graphs, checkpoint.dims, checkpoint.heads(), checkpoint.source, where))


def from_artifact(graphs: Mapping[str, fxmax.Loaded], path: str, device: str = "auto") -> WhisperModel:
    """The model of the artifact at `path`, whose graphs were loaded.

    Raises:
        fxmax.ArtifactError: it is for another device, or no Whisper model.
    """
    parts = saved.read(graphs, path)
    if device != "auto" and devices.resolve(device) != parts.device:
        raise fxmax.ArtifactError(
            f"{path} is for {parts.device}, and {device} was asked for: save one for that"
        )
    return WhisperModel(parts)


def _find(name: str, download_root: str | None, quiet: bool) -> Checkpoint:
    """The checkpoint of an official name, from `download_root` if it is there, or of a path."""
    if name in whisper.available_models():
        if download_root is not None:
            file = os.path.join(download_root, os.path.basename(whisper._MODELS[name]))
            if os.path.exists(file):
                return resolve(name, file)
        return resolve(name, quiet=quiet)
    return resolve(None, name) if os.path.exists(name) else resolve(name, quiet=quiet)
