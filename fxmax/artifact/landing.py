"""Whether an artifact computes here what it did where it was saved: its golden calls, once on a machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from fxmax.artifact import golden
from fxmax.artifact.golden import Agreement
from fxmax.artifact.manifest import CHECKSUMS, GOLDEN, Manifest
from fxmax.errors import ArtifactError
from fxmax.runtime import graph_cache as cache
from fxmax.runtime.executable import Executable
from fxmax.runtime.target import target_of
from fxmax.support.digests import sha256
from fxmax.support.files import write_whole


def agreements(folder: Path, manifest: Manifest, graphs: Mapping[str, Executable]) -> list[Agreement]:
    """Make the golden calls of these graphs of an artifact; [] for those that were saved without any.

    Raises:
        ArtifactError: the calls can't be read, or MAX fails at one.
    """
    entries = {name: manifest.graphs[name] for name in graphs}
    shapes = {name: entry.golden for name, entry in entries.items() if entry.golden is not None}
    if not shapes:
        return []
    calls = golden.read(folder / GOLDEN, shapes, {name: entry.coarsest for name, entry in entries.items()})
    return [found for name, call in calls.items() for found in golden.compare(name, graphs[name], call)]


def prove(folder: Path, manifest: Manifest, graphs: Mapping[str, Executable], how: str) -> None:
    """Make the calls of `graphs`, but those that this machine made before with the same artifact.

    With FXMAX_CHECK=0 in the environment none is made.

    Args:
        how: what ran them, which is told apart from other ways (`compiled here`, …).

    Raises:
        ArtifactError: a result is another one, or MAX fails at a call.
    """
    if os.environ.get("FXMAX_CHECK") == "0":
        return
    records = {name: _record(folder, name, graph, how) for name, graph in graphs.items()}
    todo = {name: graph for name, graph in graphs.items() if not (cache.enabled() and records[name].exists())}
    found = agreements(folder, manifest, todo)
    if wrong := [one for one in found if one.fault]:
        raise ArtifactError(refusal(folder, manifest, wrong))
    for name in todo if cache.enabled() else ():
        mine = [asdict(one) for one in found if one.graph == name]
        try:
            records[name].parent.mkdir(parents=True, exist_ok=True)
            write_whole(records[name], json.dumps(mine))
        except OSError:
            return  # the calls are made again next time


def refusal(folder: Path, manifest: Manifest, wrong: list[Agreement]) -> str:
    """What to say of an artifact that computes something else here."""
    lines = [f"{folder} computes something else here than where it was saved:"]
    lines += [f"  {one.graph}, {one.result}: {one.fault}" for one in wrong]
    made = ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
    lines.append(
        f"It was saved with {made} for {manifest.target.device}. recompile=True compiles its graph here; if "
        "that differs too, lower the module on this machine: `fxmax.lower` says where it goes wrong. "
        "FXMAX_CHECK=0 in the environment takes it as it is."
    )
    return "\n".join(lines)


def _record(folder: Path, name: str, graph: Executable, how: str) -> Path:
    """Where it is noted that a graph's call was made here."""
    here = json.dumps([version("max"), asdict(target_of(graph.device)), how, name])
    key = sha256((folder / CHECKSUMS).read_text() + here)
    return cache.landed_folder() / f"{key[:32]}.json"
