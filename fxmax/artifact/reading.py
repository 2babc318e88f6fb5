"""Reading an artifact and running it: MAX and numpy, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from max.driver import Buffer
from max.dtype import DType
from max.engine import read
from max.graph import DeviceRef

from fxmax.artifact import landing
from fxmax.artifact.golden import Agreement
from fxmax.artifact.graph_text import compile_again
from fxmax.artifact.manifest import (
    PROGRAM,
    WEIGHTS,
    GraphEntry,
    Manifest,
    WeightEntry,
    check_files,
    read_manifest,
    sha256,
)
from fxmax.artifact.tensor_file import read_tensors
from fxmax.errors import ArtifactError, DeviceError, WeightError
from fxmax.kernels.packing import PACKINGS
from fxmax.runtime import device as devices
from fxmax.runtime import tree as trees
from fxmax.runtime.arrays import NumpyArrays, as_buffer, as_numpy
from fxmax.runtime.call_arguments import Arguments
from fxmax.runtime.dtypes import graph_dtype
from fxmax.runtime.executable import Executable
from fxmax.runtime.program import Program, Runner
from fxmax.runtime.target import target_of


class Loaded(Executable):
    """One graph of an artifact. Call it as the module that it came from.

    It takes numpy arrays and anything else that speaks DLPack (torch tensors, MAX buffers), by
    position or name, and returns numpy arrays in the module's output structure. A class that is
    not a tuple, list or dict comes back as a `Record`: fields as items and attributes. bfloat16,
    which numpy lacks, comes back as float32. Calls from several threads are safe and take turns.
    """

    def __init__(self, name: str, entry: GraphEntry, runner: Runner, fresh: list[Buffer]) -> None:
        arguments = Arguments(
            entry.signature,
            entry.parameters,
            entry.positional,
            entry.named,
            partial(trees.flatten_call, entry.inputs, entry.parameters),
        )
        super().__init__(
            runner,
            arguments,
            lambda outputs: trees.unflatten(entry.outputs, iter(outputs)),
            NumpyArrays(),
            lambda: fresh,
        )
        self.name, self.entry = name, entry
        self.metadata: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<fxmax.Loaded {self.entry.module}{self.signature} on {self.device}>"


def load(
    path: str | Path,
    graph: str | None = None,
    *,
    checkpoint: str | Path | Mapping[str, Any] | None = None,
    recompile: bool = False,
) -> Loaded:
    """One graph of an artifact, ready to run.

    Args:
        path: the artifact's folder.
        graph: which graph, for an artifact of several.
        checkpoint: weights to use in place of the artifact's own, as a safetensors file, or as name →
            anything that speaks DLPack: names, shapes and dtypes must fit. For fine-tunes that share
            one compiled graph, and for an artifact that was saved without weights.
        recompile: compile the artifact's graph here (minutes, the first time), for a machine or a MAX
            that its compiled program is not for.

    Raises:
        ArtifactError: the artifact is damaged, of a newer format or another MAX version, not for this
            machine, or computes something else here than where it was saved, which is tried once on a
            machine, on inputs that it brings.
        WeightError: the checkpoint does not fit.
    """
    folder = Path(path)
    names = list(read_manifest(folder).graphs)
    if graph is None and len(names) > 1:
        raise ArtifactError(f"{path} has {len(names)} graphs ({', '.join(names)}): say which, graph=...")
    if graph is not None and graph not in names:
        raise ArtifactError(f"{path} has no graph {graph!r}; it has {', '.join(names)}")
    return _proven(folder, [graph or names[0]], checkpoint, recompile)[graph or names[0]]


def load_all(
    path: str | Path,
    *,
    checkpoint: str | Path | Mapping[str, Any] | None = None,
    recompile: bool = False,
) -> dict[str, Loaded]:
    """Every graph of an artifact by name; they share the program and its weights. As `load`."""
    return _proven(Path(path), None, checkpoint, recompile)


def _proven(
    folder: Path, names: list[str] | None, checkpoint: str | Path | Mapping[str, Any] | None, recompile: bool
) -> dict[str, Loaded]:
    """The graphs of these names (None: all), proven."""
    manifest, loaded = _started(folder, checkpoint, recompile)
    wanted = loaded if names is None else {name: loaded[name] for name in names}
    if checkpoint is None:  # of other weights no results are known
        landing.prove(folder, manifest, wanted, "compiled here" if recompile else "as saved")
    return wanted


def check(path: str | Path, *, recompile: bool = False) -> list[Agreement]:
    """Run an artifact on the inputs that it brings, and compare with what it computed when it was saved.

    Args:
        path: the artifact's folder.
        recompile: as `load`'s.

    Returns:
        One for each result of each graph; [] for an artifact of format 1, or one that was saved without
        example inputs.

    Raises:
        ArtifactError: as `load`, but that a difference is returned; of an artifact without weights, too.
    """
    folder = Path(path)
    return landing.agreements(folder, *_started(folder, None, recompile))


def _started(
    folder: Path, checkpoint: str | Path | Mapping[str, Any] | None, recompile: bool
) -> tuple[Manifest, dict[str, Loaded]]:
    """The graphs, ready to run."""
    manifest = read_manifest(folder)
    check_files(folder)
    device = _device(folder, manifest)
    devices.warn_of_gpu(device)
    if not recompile:
        _check_fits(folder, manifest, device)
    registry, states = _weights(folder, manifest, checkpoint, device.is_cpu())
    program = compile_again(folder, device) if recompile else _program(folder, device)
    try:
        models = list(program.start(registry).items())
    except Exception as error:
        raise ArtifactError(f"MAX can't start the program of {folder}: {error}") from error
    loaded = {}
    for name, entry in manifest.graphs.items():
        place = device.to_device()
        fresh = [Buffer.from_numpy(states[tensor].copy()).to(place) for tensor in entry.states]
        held = [Buffer.from_numpy(states[tensor].copy()).to(place) for tensor in entry.states]
        symbol, model = models[entry.position]
        loaded[name] = Loaded(name, entry, Runner(program, symbol, model, held), fresh)
        loaded[name].metadata = manifest.metadata
    return manifest, loaded


def _program(folder: Path, device: DeviceRef) -> Program:
    try:
        return Program(read(folder / PROGRAM), device)
    except Exception as error:
        raise ArtifactError(f"MAX can't read the program of {folder}: {error}") from error


def _device(folder: Path, manifest: Manifest) -> DeviceRef:
    kind, _, index = manifest.device.partition(":")
    try:
        return devices.resolve(kind if kind == "cpu" else f"gpu:{index or 0}")
    except DeviceError as error:
        raise ArtifactError(f"{folder} can't run here: {error}") from None


def _check_fits(folder: Path, manifest: Manifest, device: DeviceRef) -> None:
    """Raises `ArtifactError` where this machine or its MAX won't do."""
    again = "recompile=True compiles its graph here"
    made, here = manifest.versions["max"], version("max")
    if made != here:
        raise ArtifactError(
            f"{folder} was compiled with MAX {made}, and MAX {here} is installed: a compiled program runs "
            f"on its own version only. Install max=={made}, or lower the module again and save it; {again}."
        )
    if why := manifest.target.unfit(target_of(device)):
        raise ArtifactError(f"{folder} can't run here: {why}; {again}.")


# -- weights --------------------------------------------------------------------------------------


def _weights(
    folder: Path, manifest: Manifest, checkpoint: str | Path | Mapping[str, Any] | None, on_cpu: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(weights registry, tensors that states start from)."""
    own = read_tensors(folder / WEIGHTS)
    given: Mapping[str, Buffer] = {}
    names: Mapping[str, str] = {}
    if isinstance(checkpoint, Mapping):
        given = {name: Buffer.from_dlpack(value) for name, value in checkpoint.items()}
        names = _fit(manifest, given, "the checkpoint")
    elif checkpoint is not None:
        given = read_tensors(Path(checkpoint))
        names = _fit(manifest, given, str(checkpoint))
    elif manifest.checkpoint is not None:
        place = folder.resolve().parent / manifest.checkpoint.path
        if not place.is_file():
            raise ArtifactError(
                f"{folder} takes its weights from {place}, which is not there; give checkpoint=..."
            )
        if sha256(place) != manifest.checkpoint.sha256:
            raise ArtifactError(
                f"{place} is not the checkpoint that {folder} was saved with (its SHA-256 differs). "
                "To use it all the same, pass it as checkpoint=..."
            )
        given, names = read_tensors(place), manifest.checkpoint.names
    if lost := sorted({e.tensor for e in manifest.weights.values()} - set(own) - set(names)):
        raise ArtifactError(
            f"{folder} was saved without weights, {lost[0]} for one: give them as checkpoint=..."
        )

    def tensor(entry: WeightEntry) -> Buffer:
        if entry.source is not None and entry.tensor in names:
            return given[names[entry.tensor]]
        return own[entry.tensor]

    copy = not isinstance(checkpoint, Mapping)
    registry = {name: _laid_out(tensor(entry), entry, copy) for name, entry in manifest.weights.items()}
    states = {}
    for graph in manifest.graphs.values():
        for spec, name in zip(graph.signature.states, graph.states, strict=True):
            states[name] = as_numpy(own[name], graph_dtype(spec.dtype, on_cpu))
    return registry, states


def _fit(manifest: Manifest, given: Mapping[str, Buffer], path: str) -> dict[str, str]:
    """Tensor → its name in a checkpoint; all that don't fit are told at once."""
    names, problems = {}, []
    for entry in manifest.weights.values():
        if entry.source is None:
            continue
        shape, dtype = entry.source
        ending = [n for n in given if n == entry.tensor] or [
            n for n in given if n.endswith(f".{entry.tensor}")
        ]
        if len(ending) != 1:
            problems.append(f"{entry.tensor}: {'missing' if not ending else 'several have this name'}")
            continue
        there = given[ending[0]]
        if tuple(there.shape) != shape or there.dtype.name != dtype:
            problems.append(
                f"{entry.tensor}: {there.dtype.name}{list(there.shape)}, but {dtype}{list(shape)} is needed"
            )
        names[entry.tensor] = ending[0]
    fixed = [e.tensor for e in manifest.weights.values() if "::" in e.tensor]
    problems += [f"{name}: its layout is made by torch, so it can't be swapped here" for name in fixed]
    if problems:
        raise WeightError(f"{path} does not fit this artifact:\n  " + "\n  ".join(problems))
    return names


def _laid_out(buffer: Buffer, entry: WeightEntry, copy: bool) -> Any:
    """The graph's form of a tensor; `copy`: in memory of its own, as a file may change under a map."""
    array = as_numpy(buffer, DType.float32 if entry.packing else DType[entry.dtype])
    if entry.strides is not None:
        strides = [s * array.itemsize for s in entry.strides]
        array = np.lib.stride_tricks.as_strided(array, entry.shape, strides)
    if entry.packing:
        try:
            array = PACKINGS[entry.packing](array)
        except ValueError as error:
            raise WeightError(f"{entry.tensor}: {error}") from error
    array = np.array(array, order="C", copy=True) if copy else np.ascontiguousarray(array)
    return as_buffer(array, DType.bfloat16) if entry.dtype == "bfloat16" else array
