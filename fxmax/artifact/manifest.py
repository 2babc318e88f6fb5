"""An artifact's manifest and checksums: what is in the folder, as plain JSON. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fxmax.errors import ArtifactError
from fxmax.runtime.signature import ConstantSpec, OutputSpec, Signature, TensorSpec
from fxmax.runtime.target import Target
from fxmax.runtime.tree import Tree
from fxmax.support import digests

FORMAT_VERSION = 2
READABLE = (1, FORMAT_VERSION)  # 1 has no golden calls
MANIFEST, PROGRAM, WEIGHTS, CHECKSUMS = "manifest.json", "program.mef", "weights.safetensors", "SHA256SUMS"
GOLDEN = "golden.safetensors"  # calls whose results are known, if it has any
GRAPH, KERNELS = "graph.mlir", "kernels"  # what the program was compiled from


@dataclass(frozen=True)
class WeightEntry:
    """A weight of the compiled program: where its data is and what the graph makes of it.

    `tensor` is its name in the weights file, `dtype` the graph's dtype, `shape` its shape there.
    `strides` (in elements) read that shape out of the tensor, for a layout that is a view of it;
    `packing` names the function that makes another layout (`fxmax.kernels.packing.PACKINGS`).
    `source` is the shape and dtype that a checkpoint's tensor must have to stand in for it; None
    where none can (a buffer that no checkpoint has, a layout that needs torch to be made).
    """

    tensor: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    source: tuple[tuple[int, ...], str] | None = None
    packing: str = ""


@dataclass(frozen=True)
class GraphEntry:
    """How one graph is called, and the tensors that its state starts from."""

    position: int  # among the program's graphs
    module: str  # the class that it came from
    signature: Signature
    parameters: tuple[str, ...]
    positional: int
    named: tuple[str, ...]
    inputs: Tree
    outputs: Tree
    states: tuple[str, ...] = ()  # tensor names, in the order of `signature.states`
    weights: tuple[str, ...] = ()  # names of the weights that it uses
    golden: tuple[tuple[int, ...], ...] | None = None  # shapes of its golden call's inputs
    coarsest: str = ""  # the float of the largest rounding that it computes in, for its golden call


@dataclass(frozen=True)
class CheckpointReference:
    """Weights that are not in the folder: a safetensors file, and what it must hash to."""

    path: str
    sha256: str
    names: dict[str, str]  # tensor here → tensor there


@dataclass(frozen=True)
class Manifest:
    """Everything about an artifact but the bytes of its program and weights."""

    versions: dict[str, str]
    device: str
    target: Target
    graphs: dict[str, GraphEntry]
    weights: dict[str, WeightEntry]
    checkpoint: CheckpointReference | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return (
            json.dumps({"format": "fxmax", "format_version": FORMAT_VERSION} | asdict(self), indent=1) + "\n"
        )

    @staticmethod
    def from_json(text: str) -> Manifest:
        """Raises `ArtifactError` for a newer format, or for something that is no manifest."""
        try:
            data = json.loads(text)
            version = data["format_version"] if data["format"] == "fxmax" else None
            if version not in READABLE:
                raise ArtifactError(
                    f"this artifact has format {version}; this fxmax reads formats up to {FORMAT_VERSION}. "
                    "Upgrade fxmax, or save the artifact again."
                )
            return Manifest(
                versions=data["versions"],
                device=data["device"],
                target=Target(**{**data["target"], "features": tuple(data["target"]["features"])}),
                graphs={name: _graph(entry) for name, entry in data["graphs"].items()},
                weights={name: _weight(entry) for name, entry in data["weights"].items()},
                checkpoint=CheckpointReference(**data["checkpoint"]) if data["checkpoint"] else None,
                metadata=data["metadata"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{MANIFEST} is not an fxmax manifest: {error!r}") from None


def _weight(entry: dict[str, Any]) -> WeightEntry:
    strides, source = entry["strides"], entry["source"]
    return WeightEntry(
        tensor=entry["tensor"],
        dtype=entry["dtype"],
        shape=tuple(entry["shape"]),
        strides=None if strides is None else tuple(strides),
        source=None if source is None else (tuple(source[0]), source[1]),
        packing=entry["packing"],
    )


def _graph(entry: dict[str, Any]) -> GraphEntry:
    listed = {k: tuple(entry[k]) for k in ("parameters", "named", "states", "weights")}
    golden = entry.get("golden")
    shapes = None if golden is None else tuple(map(tuple, golden))
    return GraphEntry(**{**entry, **listed, "signature": _signature(entry["signature"]), "golden": shapes})


def _signature(entry: dict[str, Any]) -> Signature:
    def tensor(e: dict[str, Any]) -> TensorSpec:
        return TensorSpec(**{**e, "shape": tuple(e["shape"])})

    return Signature(
        inputs=[tensor(e) if "shape" in e else ConstantSpec(**e) for e in entry["inputs"]],
        outputs=[OutputSpec(**e) for e in entry["outputs"]],
        states=[tensor(e) for e in entry["states"]],
        arg_names=entry["arg_names"],
        ranges={k: (least, most) for k, (least, most) in entry["ranges"].items()},
    )


# -- checksums, in the form that `sha256sum --check` reads ------------------------------------------


def sha256(path: Path) -> str:
    """Raises `ArtifactError` if it can't be read."""
    try:
        return digests.sha256_of_file(path)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} can't be read: {error}") from None


def checksums(folder: Path, names: Iterable[str]) -> str:
    """The text of `SHA256SUMS` for these files."""
    return "".join(f"{sha256(folder / name)}  {name}\n" for name in sorted(names))


def read_manifest(folder: Path) -> Manifest:
    """The manifest, checked against its checksum first, so that damage is not read as a version.

    Raises:
        ArtifactError: the folder is no artifact, its manifest is damaged, or the format is newer.
    """
    if not folder.exists():
        raise ArtifactError(f"{folder}: no such artifact")
    for name in (CHECKSUMS, MANIFEST):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder} is not an fxmax artifact, or is a part of one: it has no {name}")
    if sha256(folder / MANIFEST) != _listed(folder).get(MANIFEST):
        raise ArtifactError(_damaged(folder, [MANIFEST]))
    return Manifest.from_json((folder / MANIFEST).read_text())


def check_files(folder: Path) -> None:
    """Every file of an artifact against `SHA256SUMS`, which itself must be what it was, to the byte.

    Raises:
        ArtifactError: a file is missing, changed or cut.
    """
    listed = _listed(folder)
    needed = {MANIFEST, PROGRAM, WEIGHTS, GRAPH, *listed}
    if lost := sorted(n for n in needed if n not in listed or not (folder / n).is_file()):
        raise ArtifactError(f"{folder} is damaged: {', '.join(lost)} missing. Copy it or save it again.")
    if wrong := [name for name, digest in listed.items() if sha256(folder / name) != digest]:
        raise ArtifactError(_damaged(folder, wrong))
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(listed.items()))
    if (folder / CHECKSUMS).read_bytes() != text.encode():
        raise ArtifactError(_damaged(folder, [CHECKSUMS]))


def _listed(folder: Path) -> dict[str, str]:
    lines = (folder / CHECKSUMS).read_bytes().decode("latin-1").split("\n")
    return {line[66:]: line[:64] for line in lines if line}


def _damaged(folder: Path, names: list[str]) -> str:
    return (
        f"{folder} is damaged: {', '.join(map(repr, names))} not as {CHECKSUMS} has it. "
        "Copy it or save it again."
    )
