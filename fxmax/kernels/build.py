"""Folders of Mojo custom ops, for what `max.graph.ops` lacks or does not do as torch does."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from mojo.run import subprocess_run_mojo

from fxmax.errors import RuleError
from fxmax.runtime.graph_cache import cache_folder, check_cache_folder
from fxmax.support.digests import sha256_of_sources

ELEMENTWISE = Path(__file__).parent / "elementwise"  # one value in, one out: MAX fuses them
GEMM = Path(__file__).parent / "gemm"  # float32 matrix products, convolution and attention on the CPU
BUFFERS = Path(__file__).parent / "buffers"  # writing into mutable inputs
WINDOWS = Path(__file__).parent / "windows"  # pooling
ROWS = Path(__file__).parent / "rows"  # row by row: sorts, scans, extrema, layer norm, slices by index
FOLDERS = (ELEMENTWISE, GEMM, BUFFERS, WINDOWS, ROWS)


@functools.cache
def registered(folder: Path) -> frozenset[str]:
    """The names that the sources in a folder register custom ops by."""
    texts = (source.read_text() for source in folder.glob("**/*.mojo"))
    return frozenset(name for text in texts for name in re.findall(r'\bregister\(\s*"([^"]+)"', text))


@functools.cache
def package(folder: Path) -> Path:
    """The precompiled package of a folder of Mojo custom ops, made once for each content.

    MAX takes a folder too, but precompiles it (seconds) for every graph anew.

    Raises:
        RuleError: Mojo's compiler refuses the sources; the text is its own.
        CompileError: MAX's cache folder can't be written.
    """
    sources = sorted(folder.glob("**/*.mojo"))
    digest = sha256_of_sources({s.relative_to(folder).as_posix(): s for s in sources}, version("max"))
    name = f"{folder.name}_{digest[:16]}.mojoc"
    made = cache_folder() / "fxmax" / name
    if made.exists():
        return made
    check_cache_folder()
    made.parent.mkdir(parents=True, exist_ok=True)
    # The file keeps its name while it moves: the module's name inside comes from it.
    with tempfile.TemporaryDirectory(dir=made.parent) as staging:
        target = Path(staging) / name
        try:
            subprocess_run_mojo(
                ["precompile", str(folder), "-o", str(target)], capture_output=True, check=True
            )
        except subprocess.CalledProcessError as error:
            text = (error.stderr or error.stdout or b"").decode(errors="replace").strip()
            raise RuleError(f"the Mojo custom ops in {folder} do not compile:\n{text}") from error
        os.replace(target, made)
    return made
