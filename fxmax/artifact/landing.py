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
    """Make the golden calls of an artifact's graphs; [] for one that was saved without any.

    Raises:
        ArtifactError: the calls can't be read.
    """
    shapes = {name: entry.golden for name, entry in manifest.graphs.items() if entry.golden is not None}
    if not shapes:
        return []
    calls = golden.read(folder / GOLDEN, shapes)
    return [found for name, call in calls.items() for found in golden.compare(name, graphs[name], call)]


def prove(folder: Path, manifest: Manifest, graphs: Mapping[str, Executable], how: str) -> None:
    """Make the calls, unless this machine did so before with the same artifact, or FXMAX_CHECK=0 forbids it.

    Args:
        how: what ran them, which is told apart from other ways (`compiled here`, …).

    Raises:
        ArtifactError: a result is another one.
    """
    if os.environ.get("FXMAX_CHECK") == "0":
        return
    record = _record(folder, graphs, how) if cache.enabled() else None
    if record is not None and record.exists():
        return
    found = agreements(folder, manifest, graphs)
    if wrong := [one for one in found if one.fault]:
        raise ArtifactError(refusal(folder, manifest, wrong))
    if record is not None and found:
        try:
            record.parent.mkdir(parents=True, exist_ok=True)
            write_whole(record, json.dumps([asdict(one) for one in found]))
        except OSError:
            return  # the calls are made again next time


def refusal(folder: Path, manifest: Manifest, wrong: list[Agreement]) -> str:
    """What to say of an artifact that computes something else here."""
    lines = [f"{folder} computes something else here than where it was saved:"]
    lines += [f"  {one.graph}, {one.result}: {one.fault}" for one in wrong]
    made = ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
    lines.append(
        f"It was saved with {made} for {manifest.target.device}. recompile=True compiles its graph here; if "
        "that differs too, lower the module on this machine with check=True, which says where it goes wrong. "
        "FXMAX_CHECK=0 in the environment takes it as it is."
    )
    return "\n".join(lines)


def _record(folder: Path, graphs: Mapping[str, Executable], how: str) -> Path:
    """Where it is noted that the calls were made here."""
    device = next(iter(graphs.values())).device
    here = json.dumps([version("max"), asdict(target_of(device)), how])
    key = sha256((folder / CHECKSUMS).read_text() + here)
    return cache.landed_folder() / f"{key[:32]}.json"
