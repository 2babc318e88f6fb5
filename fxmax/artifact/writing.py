"""Writing an artifact: all of it, then a rename; a crash leaves what was there, or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.utils import _pytree as pytree

from fxmax._version import __version__
from fxmax.artifact import graph_text as recompile
from fxmax.artifact.manifest import (
    CHECKSUMS,
    MANIFEST,
    PROGRAM,
    WEIGHTS,
    Checkpoint,
    GraphEntry,
    Manifest,
    WeightEntry,
    checksums,
    sha256,
)
from fxmax.compiled import Compiled
from fxmax.core.weights import Slot
from fxmax.errors import ArtifactError
from fxmax.kernels.packing import PACKINGS, SMALLER
from fxmax.runtime.target import target_of
from fxmax.runtime.tree import Tree


def save(
    path: str | Path,
    graphs: Mapping[str, Compiled],
    *,
    checkpoint: str | Path | None = None,
    weights: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write compiled graphs of one program (one graph, or `fxmax.lower_many`'s) as an artifact.

    Args:
        path: the folder to write; an artifact that is there is replaced, nothing else is.
        graphs: name → compiled; the names are what `fxmax.load_all` gives.
        checkpoint: a safetensors file that holds the weights in use. They are then not copied: the
            artifact names the file and its checksum.
        weights: False keeps none that a checkpoint has: they are given to `fxmax.load`.
        metadata: JSON-ready data to keep, for example a model's dimensions.

    Returns:
        The path.

    Raises:
        ArtifactError: the graphs were not compiled together, the checkpoint holds other values,
            or the folder can't be written.
    """
    path = Path(path)
    check_place(path)
    first = next(iter(graphs.values()))
    if any(c._runner.program is not first._runner.program for c in graphs.values()):
        raise ArtifactError("these graphs were compiled apart; compile them together with fxmax.lower_many")
    entries, held, tensors = {}, dict[str, WeightEntry](), _Tensors()
    alone = weights and checkpoint is None
    for name, compiled in graphs.items():
        entries[name] = _graph(name, compiled, held, tensors, alone)
    reference = _reference(Path(checkpoint), path, held, tensors) if checkpoint is not None else None
    if not weights:
        for entry in held.values():
            if entry.source is not None:
                tensors.held.pop(entry.tensor, None)
    manifest = Manifest(
        versions={"fxmax": __version__, "max": version("max"), "torch": torch.__version__},
        device=str(first.lowered.device),
        target=target_of(first.lowered.device),
        graphs=entries,
        weights=held,
        checkpoint=reference,
        metadata=json.loads(json.dumps(dict(metadata or {}))),
    )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        first._runner.program.compiled.export_mef(part / PROGRAM)
        save_file(tensors.unshared(), part / WEIGHTS)
        (part / MANIFEST).write_text(manifest.to_json())
        (part / WEIGHTS).chmod((part / MANIFEST).stat().st_mode)  # safetensors makes it private
        kernels = sorted({k for c in graphs.values() for k in c.lowered.graph.kernel_libraries_paths})
        names = recompile.write(part, first.lowered.graph.module, kernels)
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
        self.held: dict[str, torch.Tensor] = {}

    def add(self, graph: str, name: str, value: torch.Tensor) -> str:
        for candidate in (name, f"{graph}/{name}"):
            there = self.held.get(candidate)
            if there is None or there is value or _same_memory(there, value):
                self.held[candidate] = value
                return candidate
        raise ArtifactError(f"two tensors of {graph} are called {name}")

    def unshared(self) -> dict[str, torch.Tensor]:
        """Contiguous CPU tensors, none of which shares memory with another."""
        return {name: value.detach().cpu().contiguous().clone() for name, value in self.held.items()}


def _same_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (a.data_ptr(), a.shape, a.stride(), a.dtype) == (b.data_ptr(), b.shape, b.stride(), b.dtype)


def _graph(
    name: str, compiled: Compiled, weights: dict[str, WeightEntry], tensors: _Tensors, alone: bool
) -> GraphEntry:
    lowered, held = compiled.lowered, compiled.weights
    for bound, slot in held.slots.items():
        entry = _weight(name, slot, held.values[slot.spec.fqn], tensors, alone)
        if weights.setdefault(bound, entry) != entry:
            raise ArtifactError(f"{bound} has different values in two graphs: lower them again, together")
    states = [tensors.add(name, s.name, held.values[s.name]) for s in compiled.signature.states]
    arguments, spec = compiled._arguments, lowered.captured.program.call_spec
    return GraphEntry(
        position=compiled.lowered.position,
        module=compiled.report.model,
        signature=compiled.signature,
        parameters=tuple(arguments.parameters),
        positional=arguments.positional,
        named=tuple(arguments.named),
        inputs=tree_of(spec.in_spec),
        outputs=tree_of(spec.out_spec),
        states=tuple(states),
        weights=tuple(held.slots),
    )


def _weight(graph: str, slot: Slot, value: torch.Tensor, tensors: _Tensors, alone: bool) -> WeightEntry:
    """One weight's entry, its tensor added; `alone`: no checkpoint will stand beside the artifact."""
    dtype, spec = slot.dtype.name, slot.spec
    strides = slot.strides()
    packing = slot.layout if slot.layout in PACKINGS and not (alone and slot.layout in SMALLER) else ""
    if strides is None and not packing:  # made by torch, and kept as made
        made = slot.materialize(value)
        return WeightEntry(tensors.add(graph, slot.name, made), dtype, tuple(made.shape))
    source = (tuple(spec.shape), str(spec.dtype).removeprefix("torch."))
    return WeightEntry(
        tensor=tensors.add(graph, spec.fqn, value),
        dtype=dtype,
        shape=tuple(slot.shape),
        strides=None if slot.transform is None or packing else strides,
        source=source if spec.in_state_dict else None,
        packing=packing,
    )


def _reference(
    checkpoint: Path, artifact: Path, weights: Mapping[str, WeightEntry], tensors: _Tensors
) -> Checkpoint:
    """Take out of `tensors` what the checkpoint holds, after checking that it holds just that."""
    digest, names = sha256(checkpoint), {}
    try:
        with safe_open(checkpoint, "pt") as file:
            for tensor in sorted({w.tensor for w in weights.values() if w.source}):
                found = name_in(tensor, file.keys())
                if not torch.equal(file.get_tensor(found), tensors.held[tensor].detach().cpu()):
                    raise ArtifactError(f"{checkpoint}: {found} is not the weight in use ({tensor})")
                names[tensor] = found
                del tensors.held[tensor]
    except SafetensorError as error:
        raise ArtifactError(f"{checkpoint} is not a safetensors file: {error}") from None
    inside = checkpoint.resolve().is_relative_to(artifact.resolve().parent)
    place = os.path.relpath(checkpoint, artifact.resolve().parent) if inside else str(checkpoint.resolve())
    return Checkpoint(place, digest, names)


def name_in(tensor: str, names: Any) -> str:
    """The checkpoint's name of a tensor: the same, or the only one that ends with it."""
    if tensor in names:
        return tensor
    ending = [n for n in names if n.endswith(f".{tensor}")]
    if len(ending) != 1:
        raise ArtifactError(f"the checkpoint has {len(ending) or 'no'} tensors called {tensor}")
    return str(ending[0])


def tree_of(spec: Any) -> Tree:
    """A torch pytree spec as plain data.

    Raises:
        ArtifactError: a key of a dict in it is no string or number.
    """
    if spec.is_leaf():
        return {"type": "leaf"}
    items = [tree_of(child) for child in spec.children()]
    if spec.type in (list, tuple):
        return {"type": spec.type.__name__, "items": items}
    example = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    entries, _ = pytree.tree_flatten_with_path(example, is_leaf=lambda x: x is not example)
    keys = [getattr(path[0], "key", getattr(path[0], "name", None)) for path, _ in entries]
    if bad := [k for k in keys if not isinstance(k, (str, int))]:
        raise ArtifactError(f"an output of {spec.type.__name__} with key {bad[0]!r} can't be kept as JSON")
    if issubclass(spec.type, dict) and spec.type.__module__ in ("builtins", "collections"):
        return {"type": "dict", "keys": keys, "items": items}
    named = issubclass(spec.type, tuple) or hasattr(spec.context, "_fields")
    cls = spec.context if hasattr(spec.context, "_fields") else spec.type
    return {"type": "namedtuple" if named else "object", "name": cls.__name__, "keys": keys, "items": items}


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
