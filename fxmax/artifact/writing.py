"""Writing an artifact: all of it, then a rename; a crash leaves what was there, or nothing. No torch."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from max.driver import Buffer

from fxmax._version import __version__
from fxmax.artifact import golden, graph_text
from fxmax.artifact.golden import GoldenCall
from fxmax.artifact.manifest import (
    CHECKSUMS,
    GOLDEN,
    MANIFEST,
    PROGRAM,
    WEIGHTS,
    CheckpointReference,
    Manifest,
    WeightEntry,
    checksums,
    sha256,
)
from fxmax.artifact.snapshot import Snapshot, WeightSnapshot
from fxmax.artifact.tensor_file import TensorSource, read_tensors, write_tensors
from fxmax.errors import ArtifactError
from fxmax.kernels.packing import PACKINGS, SMALLER
from fxmax.runtime.arrays import as_numpy
from fxmax.runtime.target import target_of
from fxmax.support.digests import BLOCK


def save(
    path: str | Path,
    graphs: Mapping[str, Snapshot],
    *,
    checkpoint: str | Path | None = None,
    weights: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write the snapshots of one program's graphs as an artifact: see `fxmax.save`.

    Raises:
        ArtifactError: the graphs were not compiled together, the checkpoint holds other values, MAX
            fails on a graph's example inputs, or the folder can't be written.
    """
    path = Path(path)
    check_place(path)
    first = next(iter(graphs.values()))
    if any(graph.program is not first.program for graph in graphs.values()):
        raise ArtifactError("these graphs were compiled apart; compile them together with fxmax.lower_many")
    entries, held, tensors, calls = {}, dict[str, WeightEntry](), _Tensors(), dict[str, GoldenCall]()
    alone = weights and checkpoint is None
    for name, graph in graphs.items():
        for bound, weight in graph.weights.items():
            entry = _weight(name, weight, tensors, alone)
            if held.setdefault(bound, entry) != entry:
                raise ArtifactError(f"{bound} has different values in two graphs: lower them again, together")
        states = tuple(tensors.add(name, state) for state in graph.states)
        entries[name] = replace(graph.entry, states=states, weights=tuple(graph.weights))
        # Of a graph whose weights come later, results are not known.
        if weights and (call := graph.golden()) is not None:
            calls[name] = call
            entries[name] = replace(entries[name], golden=call.shapes, coarsest=call.dtype)
    reference = _reference(Path(checkpoint), path, held, tensors) if checkpoint is not None else None
    if not weights:
        for entry in held.values():
            if entry.source is not None:
                tensors.held.pop(entry.tensor, None)
    device = first.program.device
    manifest = Manifest(
        versions={"fxmax": __version__, "max": version("max"), "torch": first.torch},
        device=str(device),
        target=target_of(device),
        graphs=entries,
        weights=held,
        checkpoint=reference,
        metadata=json.loads(json.dumps(dict(metadata or {}))),
    )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        first.program.compiled.export_mef(part / PROGRAM)
        write_tensors(part / WEIGHTS, tensors.held)
        (part / MANIFEST).write_text(manifest.to_json())
        kernels = sorted(frozenset[Path]().union(*(graph.kernels for graph in graphs.values())))
        names = graph_text.write(part, first.program.text, kernels)
        if calls:
            golden.write(part / GOLDEN, calls)
            names = [*names, GOLDEN]
        (part / CHECKSUMS).write_text(checksums(part, (PROGRAM, WEIGHTS, MANIFEST, *names)))
        for file in part.rglob("*"):
            if file.is_file():
                _sync(file)
        _replace(part, path)
    except OSError as error:
        raise ArtifactError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


class _Tensors:
    """What goes into the weights file: FQN → tensor; another tensor of that name gets a prefix."""

    def __init__(self) -> None:
        self.held: dict[str, TensorSource] = {}

    def add(self, graph: str, tensor: TensorSource) -> str:
        for candidate in (tensor.name, f"{graph}/{tensor.name}"):
            if self.held.setdefault(candidate, tensor).identity == tensor.identity:
                return candidate
        raise ArtifactError(f"two tensors of {graph} are called {tensor.name}")


def _weight(graph: str, weight: WeightSnapshot, tensors: _Tensors, alone: bool) -> WeightEntry:
    """One weight's entry, its tensor added; `alone`: no checkpoint will stand beside the artifact."""
    source, made, layout = weight.source, weight.made, weight.layout
    packing = layout if layout in PACKINGS and not (alone and layout in SMALLER) else ""
    if weight.strides is None and not packing:  # made by torch, and kept as made
        return WeightEntry(tensors.add(graph, made), made.dtype, made.shape)
    as_it_stands = made.shape == source.shape and weight.strides == _contiguous(source.shape)
    return WeightEntry(
        tensor=tensors.add(graph, source),
        dtype=made.dtype,
        shape=made.shape,
        strides=None if as_it_stands or packing else weight.strides,
        source=(source.shape, source.dtype) if weight.swappable else None,
        packing=packing,
    )


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(size, 1))
    return tuple(reversed(strides)) if shape else ()


def _reference(
    checkpoint: Path, artifact: Path, weights: Mapping[str, WeightEntry], tensors: _Tensors
) -> CheckpointReference:
    """Take out of `tensors` what the checkpoint holds, after checking that it holds just that."""
    digest, names = sha256(checkpoint), {}
    there = read_tensors(checkpoint)
    for tensor in sorted({w.tensor for w in weights.values() if w.source}):
        found = _name_in(tensor, there)
        if not _same(there[found], tensors.held[tensor]):
            raise ArtifactError(f"{checkpoint}: {found} is not the weight in use ({tensor})")
        names[tensor] = found
        del tensors.held[tensor]
    inside = checkpoint.resolve().is_relative_to(artifact.resolve().parent)
    place = os.path.relpath(checkpoint, artifact.resolve().parent) if inside else str(checkpoint.resolve())
    return CheckpointReference(place, digest, names)


def _same(buffer: Buffer, tensor: TensorSource) -> bool:
    """Whether both are the same to the byte, compared a block at a time."""
    if (buffer.dtype.name, tuple(buffer.shape)) != (tensor.dtype, tensor.shape):
        return False
    theirs, ours = as_numpy(buffer, buffer.dtype).reshape(-1).view(np.uint8), tensor.read()
    return all(np.array_equal(theirs[i : i + BLOCK], ours[i : i + BLOCK]) for i in range(0, ours.size, BLOCK))


def _name_in(tensor: str, names: Iterable[str]) -> str:
    """The checkpoint's name of a tensor: the same, or the only one that ends with it."""
    names = list(names)
    ending = [tensor] if tensor in names else [n for n in names if n.endswith(f".{tensor}")]
    if len(ending) != 1:
        raise ArtifactError(f"the checkpoint has {len(ending) or 'no'} tensors called {tensor}")
    return ending[0]


# -- files ----------------------------------------------------------------------------------------


def check_place(path: Path) -> None:
    """Raise `ArtifactError` if an artifact can't be written there: before a long compile, not after."""
    if path.exists() and not (path / MANIFEST).is_file():
        raise ArtifactError(
            f"{path} is there and is not an artifact; nothing was written. Choose another name."
        )
    if not path.resolve().parent.is_dir():
        raise ArtifactError(f"{path}: its folder does not exist; make it first")


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _replace(part: Path, path: Path) -> None:
    """`part` takes the place of `path`; the old one comes back if that fails."""
    if not path.exists():
        part.rename(path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(old)
    try:
        part.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
