"""Calling a Mojo custom op, which brings the package that it is in along.

A rule names the folder with the call (`Context.kernel`), and nothing is declared elsewhere: a graph has the
packages of the ops that it calls.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from max.graph import BufferValue, DeviceRef, Graph, KernelLibrary, TensorType, TensorValue, ops

from fxmax.errors import RuleError
from fxmax.kernels.build import FOLDERS, package, registered
from fxmax.runtime.max_private import import_package


class Packages(KernelLibrary):  # type: ignore[misc]  # MAX has no types
    """The packages that one graph calls ops of.

    MAX checks each call against the packages that it has read, and it reads a set of them in one go: two
    seconds, whichever they are, once a process for each set. So calls are checked against all of fxmax's
    packages, which is one set for every graph, and listed are those that the graph calls: they decide its
    key in the cache.
    """

    def __init__(self) -> None:
        super().__init__()
        self._called: set[Path] = set()

    def library_paths(self) -> list[Path]:
        """The packages of the ops called so far, in an order that does not depend on the calls'."""
        return sorted(self._called)

    def add_path(self, path: Path) -> None:
        """List a package."""
        self._called.add(path)

    def verify_custom_op(self, custom_op: Any) -> None:
        """Check a call, by MAX's analysis of the packages."""
        known = {*super().library_paths(), *own_packages(), *self._called}
        if known != set(super().library_paths()):
            super().__init__(sorted(known))
        super().verify_custom_op(custom_op)


@functools.cache
def own_packages() -> tuple[Path, ...]:
    """The packages of fxmax's own ops, precompiled side by side where they are not there yet."""
    with ThreadPoolExecutor() as pool:  # Mojo takes two seconds for one
        return tuple(pool.map(package, FOLDERS))


def call(
    folder: Path,
    name: str,
    device: DeviceRef,
    inputs: Sequence[TensorValue | BufferValue],
    results: Sequence[TensorType],
    **parameters: bool | int | str,
) -> list[TensorValue]:
    """The results of the custom op `name`, which a Mojo file in `folder` registers, in the current graph.

    An op that is given a buffer may write to it.

    Raises:
        RuleError: no source in the folder registers such an op, or the sources do not compile.
    """
    if name not in registered(folder):
        known = ", ".join(sorted(registered(folder))) or "none"
        raise RuleError(f"no Mojo file in {folder} registers {name!r}; registered there: {known}")
    import_package(Graph.current, package(folder))
    writes = any(isinstance(value, BufferValue) for value in inputs)
    op = ops.inplace_custom if writes else ops.custom
    return [value.tensor for value in op(name, device, inputs, results, parameters=parameters or None)]
