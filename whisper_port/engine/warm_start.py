"""Starting where an earlier process has compiled: neither captured, lowered nor compiled again.

Whisper's graphs follow from its dims, its alignment heads and the code, so that an artifact without
weights, kept beside the cache of compiled graphs, serves every checkpoint of a size. The checkpoint's
tensors are bound to it by name, shape and dtype, as by `fxmax.load`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from max.graph import DeviceRef

import fxmax
from fxmax.runtime.graph_cache import artifacts_folder, enabled
from fxmax.runtime.target import target_of
from fxmax.support.digests import sha256, sha256_of_sources
from whisper_port.checkpoints import Checkpoint
from whisper_port.engine.engine import Graph

DISTRIBUTIONS = ("max", "torch", "openai-whisper")  # whose versions decide the graphs
PACKAGES = ("fxmax", "whisper_port")  # whose sources decide them, every file


def find(checkpoint: Checkpoint, device: DeviceRef, dtype: str | None) -> Any:
    """Graph name → graph, with the checkpoint's weights; None where none are kept that fit."""
    if not enabled() or not (place := _place(checkpoint, device, dtype)).is_dir():
        return None
    try:
        return fxmax.load_all(place, checkpoint=_by_graph_name(checkpoint))
    except fxmax.ArtifactError:  # damaged, or of a format before: it is written anew
        return None


def keep(
    graphs: Mapping[str, Graph],
    checkpoint: Checkpoint,
    device: DeviceRef,
    dtype: str | None,
) -> None:
    """Keep compiled graphs for the next process; where that can't be, nothing is."""
    if not enabled():
        return
    place = _place(checkpoint, device, dtype)
    compiled = {name: graph for name, graph in graphs.items() if isinstance(graph, fxmax.Compiled)}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        fxmax.save(place, compiled, weights=False)
    except (OSError, fxmax.ArtifactError):
        return  # a full disk, or another process that keeps the same: the model itself is fine


def _place(checkpoint: Checkpoint, device: DeviceRef, dtype: str | None) -> Path:
    facts = {
        "dims": asdict(checkpoint.dims),
        "heads": checkpoint.heads().nonzero().tolist(),
        "device": str(device),
        "target": asdict(target_of(device)),
        "dtype": dtype,
        "versions": {name: version(name) for name in DISTRIBUTIONS},
        "code": _code(),
    }
    name = sha256(json.dumps(facts, sort_keys=True))[:32]
    return artifacts_folder() / f"{name}.fxmax"


@cache
def _code() -> str:
    """A digest of fxmax's and whisper_port's sources: any change to them is another graph."""
    return sha256_of_sources(sources())


def sources() -> dict[str, Path]:
    """Every Python and Mojo file of both packages, wherever in them this module lies, by its name in them."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{package} has no folder", name=package)
        root = Path(spec.origin).parent
        files = (f for f in root.rglob("*") if f.suffix in (".py", ".mojo"))
        found |= {f.relative_to(root.parent).as_posix(): f for f in files}
    return dict(sorted(found.items()))


def _by_graph_name(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The encoder's tensors by their names in the encoder's graph, the decoder's as they are."""
    decoder = {k: v for k, v in checkpoint.state_dict.items() if k.startswith("decoder.")}
    return {**decoder, **checkpoint.encoder_state()}
