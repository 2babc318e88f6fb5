"""An artifact's graphs as MLIR text, with the Mojo kernels they call: to compile on another machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from max.graph import DeviceRef, Graph

from fxmax.artifact.manifest import GRAPH, KERNELS
from fxmax.errors import ArtifactError
from fxmax.runtime.max_private import in_default_mlir_context
from fxmax.runtime.program import Program, compile_graph


def write(folder: Path, text: str, kernels: Sequence[Path]) -> list[str]:
    """Write both into an artifact's folder; returns the files' names there."""
    names = [GRAPH]
    for path in kernels:
        name = f"{KERNELS}/{path.name}"
        (folder / KERNELS).mkdir(exist_ok=True)
        shutil.copyfile(path, folder / name)
        text = text.replace(f'"{path}"', f'"{name}"')
        names.append(name)
    (folder / GRAPH).write_text(text)
    return names


@in_default_mlir_context
def compile_again(folder: Path, device: DeviceRef) -> Program:
    """Compile an artifact's graphs for this machine and this MAX.

    Raises:
        ArtifactError: this MAX can't read them: another version's text may differ.
        CompileError: it can't compile them.
    """
    text = (folder / GRAPH).read_text()
    kernels = sorted((folder / KERNELS).glob("*.mojoc"))
    for path in kernels:
        text = text.replace(f'"{KERNELS}/{path.name}"', f'"{path.resolve()}"')
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / GRAPH
        file.write_text(text)
        try:
            module = Graph("saved", path=file).module
        except Exception as error:
            raise ArtifactError(
                f"this MAX can't read the graph of {folder}: {error}. Lower the module again and save it."
            ) from error
    return compile_graph(module, device, kernels, f"artifact {folder.name}")
