"""A failure inside MAX's compiler as an error that names the fx nodes.

MAX's own errors name no op. `compile_once_more` finds the nodes, in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from max.graph import DeviceRef

from fxmax.errors import CompileError
from fxmax.runtime.graph_cache import cache_folder

TEXT, REQUEST, FOUND, MESSAGES = "graph.mlir", "request.json", "found.json", "messages.txt"
NEEDED_BYTES = 10**9  # MAX writes its intermediate code too, half of that
WHAT_TO_DO = """\
What to do: lower the op in another way, by a rule of your own (docs/rules.md); or leave it to torch, by a
rule that raises fxmax.Declined and unsupported='torch'. docs/max-workarounds.md has what MAX is known to
fail on."""

Describe = Callable[[str], str]
"""What an error says of an fx node by its name."""


class FailedNode(NamedTuple):
    """A node that is in what MAX failed on: `graph` is its graph's position in the module."""

    graph: int
    label: str


def failed_nodes(
    text: str, kernels: Sequence[Path], device: DeviceRef, error: str, timeout: float
) -> tuple[list[FailedNode], str]:
    """(the nodes in the op or kernel that MAX failed on, why there are none).

    Args:
        text: the module as MLIR, with locations.
        error: what MAX said.
        timeout: in seconds.
    """
    if shutil.disk_usage(cache_folder()).free < NEEDED_BYTES:
        return [], f"that takes {NEEDED_BYTES / 1e9:.0f} GB of free space in {cache_folder()}"
    request = {"kernels": [str(path) for path in kernels], "device": _name(device), "error": error}
    try:
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".failed-") as scratch:
            folder = Path(scratch)
            (folder / TEXT).write_text(text)
            (folder / REQUEST).write_text(json.dumps(request))
            _run_once_more(folder, timeout)
            found = [FailedNode(*item) for item in json.loads((folder / FOUND).read_text())]
    except (OSError, subprocess.SubprocessError) as problem:
        return [], f"compiling once more to find it did not end well ({problem})"
    return found, "" if found else "nothing in MAX's error points to one"


def _run_once_more(folder: Path, timeout: float) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "fxmax.runtime.compile_once_more", str(folder)]
    with (folder / MESSAGES).open("wb") as messages:
        subprocess.run(
            command, env=environment, stdout=messages, stderr=messages, timeout=timeout, check=True
        )


def _name(device: DeviceRef) -> str:
    return "cpu" if device.is_cpu() else f"gpu:{device.id}"


def compile_error(
    cause: str,
    title: str,
    nodes: Sequence[FailedNode],
    why: str,
    describe: Sequence[Describe] = (),
) -> CompileError:
    """What MAX said, after the nodes that it was about (or `why` they are not known) and what to do."""
    names = [label.rpartition("/")[2] for _, label in nodes]
    lines = [f"MAX could not compile {title or 'the graph'}."]
    if nodes:
        lines += ["It failed on what MAX fused into one kernel of:" if len(nodes) > 1 else "It failed on:"]
        for name, (graph, label) in zip(names, nodes, strict=True):
            text = describe[graph](name) if graph < len(describe) else label
            lines += [f"  {line}" for line in text.splitlines()]
        lines += [WHAT_TO_DO]
    else:
        lines += [f"Which op it failed on is not known: {why}."]
    return CompileError("\n".join([*lines, "MAX says:", cause.strip()]), names)
