"""Compiling a MAX graph and running it, on MAX buffers alone. Imports no torch."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from max.driver import Buffer
from max.engine import CompiledModel, Model, read
from max.graph import DeviceRef, Graph, Module

from fxmax.errors import DeviceError
from fxmax.runtime import device as devices
from fxmax.runtime import graph_cache as cache
from fxmax.runtime import log_thread
from fxmax.runtime.compile_failure import Describe, compile_error, failed_nodes
from fxmax.runtime.copying import copy_all
from fxmax.runtime.labels import remove_labels
from fxmax.runtime.max_private import execute, in_default_mlir_context, located_text
from fxmax.runtime.target import target_of

T = TypeVar("T")


@dataclass
class Program:
    """Compiled graphs (one or several of a module) and the weights that they were started with.

    `origin` says whether the cache had it, and if not, why. `text` is the MLIR that was compiled, with
    the fx node of each op; empty where it was not compiled here. `kept` is its folder in the cache, where
    it is kept.
    """

    compiled: CompiledModel
    device: DeviceRef
    origin: str = ""
    text: str = ""
    kept: Path | None = None
    weights: dict[str, Any] = field(default_factory=dict)

    def start(self, weights: Mapping[str, Any]) -> dict[str, Model]:
        """Runnable models by graph name, with `weights` (name → DLPack array) over those held."""
        merged = {**self.weights, **weights}
        session = devices.session(self.device)
        models: dict[str, Model] = session.init_all(self.compiled, weights_registry=merged)
        self.weights = merged  # MAX reads them in place: they must live as long as the models
        return models


def compile_graph(
    graph: Graph | Module,
    device: DeviceRef,
    kernels: Sequence[Path] = (),
    title: str = "",
    describe: Sequence[Describe] = (),
) -> Program:
    """Take a compiled graph from the cache, or compile it with MAX and keep it there.

    Ctrl-C is heard at once, though MAX itself can't be interrupted.

    Args:
        kernels: packages of Mojo custom ops that the graph calls.
        title: what the graph is, for `fxmax cache list`.
        describe: for each graph of the module, what an error says of an fx node by its name.

    Raises:
        CompileError: MAX failed, or its cache folder can't be written.
    """
    module = graph if isinstance(graph, Module) else graph.module
    plain = module.mlir_module.asm()  # before MAX compiles it, and expands every kernel in it
    text = located_text(module)

    def compiled_anew() -> CompiledModel:
        return _compile(graph, device, kernels, text, title, describe)

    if not cache.enabled():
        return Program(compiled_anew(), device, "cache: off (FXMAX_CACHE=0)", text)
    target = json.dumps(asdict(target_of(device)))
    key = cache.key_of(plain, kernels, version("max"), target)
    path, why = cache.find(key)
    if path is not None:
        try:
            return Program(read(path), device, f"cache: hit, {why}", text, path.parent)
        except Exception as error:  # noqa: BLE001 - of MAX's reader; it is compiled anew
            why = f"an earlier compile can't be read ({error})"
    start = time.perf_counter()
    compiled = compiled_anew()
    seconds = time.perf_counter() - start
    kept = cache.keep(key, title, seconds, compiled.export_mef)
    origin = f"cache: miss, {why}" + ("" if kept else "; it could not be kept")
    return Program(compiled, device, origin, text, cache.folder_of(key) if kept else None)


def _compile(
    graph: Graph | Module,
    device: DeviceRef,
    kernels: Sequence[Path],
    text: str,
    title: str,
    describe: Sequence[Describe],
) -> CompiledModel:
    cache.check_cache_folder()
    session = devices.session(device)
    # A Graph brings its own packages; given twice, MAX's constant folding refuses them.
    extensions = list(kernels) if isinstance(graph, Module) and kernels else None
    remove_labels(graph if isinstance(graph, Module) else graph.module)

    @in_default_mlir_context
    def work() -> CompiledModel:
        return session.compile(graph, custom_extensions=extensions)

    start = time.perf_counter()
    try:
        return _interruptible(work)
    except Exception as error:
        cause = str(error.__cause__ or error)
        patience = 60 + 4 * (time.perf_counter() - start)
        nodes, why = failed_nodes(text, kernels, device, cause, patience)
        raise compile_error(cause, title, nodes, why, describe) from error


class Runner:
    """One graph of a program with weights and state, safe to call from several threads.

    Calls are serialized: MAX uses every core for one call, and state buffers are written in place.
    """

    _keys = itertools.count(1)  # of recordings
    _looks = 3  # in this process for the log thread, which starts with the first execution

    def __init__(self, program: Program, name: str, model: Model, states: Sequence[Buffer]) -> None:
        self.program, self.name = program, name
        self._lock = threading.Lock()
        self.model, self._weights, self.states = model, program.weights, list(states)

    def rebind(self, weights: Mapping[str, Any], states: Sequence[Buffer]) -> None:
        """Use other weights and fresh states, with no recompile. On an error nothing changes."""
        model = self.program.start(weights)[self.name]
        with self._lock:
            self.model, self._weights, self.states = model, self.program.weights, list(states)

    def reset(self, states: Sequence[Buffer]) -> None:
        """Copy these values into the states, which stay where they are: a recorded run reads them there."""
        with self._lock:
            copy_all(zip(self.states, states, strict=True))

    def __call__(self, inputs: Sequence[Buffer], states: Sequence[Buffer] | None = None) -> list[Buffer]:
        """Run on `inputs`, and on other states than its own if they are given."""
        with self._lock:
            results = execute(self.model, [*inputs, *(self.states if states is None else states)])
        if Runner._looks:
            Runner._looks = 0 if log_thread.lower_priority() else Runner._looks - 1
        return results

    def record(self, inputs: Sequence[Buffer]) -> Replay:
        """See `Compiled.record`."""
        if self.program.device.is_cpu():
            raise DeviceError("what is recorded is a GPU's work; a graph on the CPU is executed each time")
        given = [*inputs, *self.states]
        key = next(Runner._keys)
        with self._lock:
            model = self.model
            try:
                outputs = model.capture(key, *given)
            except Exception as error:
                raise DeviceError(f"MAX can't record {self.name}: {error}") from error
        return Replay(list(inputs), outputs, partial(model.replay, key, *given), self._lock)


class Replay:
    """A graph's execution on a GPU, recorded (a CUDA graph): called, it runs again on the same memory.

    It spares the launch of each kernel, most of the time of a small model. Copy new values into
    `inputs` (`Buffer.inplace_copy_from`); `outputs` are overwritten by every call.
    """

    def __init__(
        self,
        inputs: list[Buffer],
        outputs: list[Buffer],
        replay: Callable[[], None],
        lock: threading.Lock,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._replay, self._lock = replay, lock

    def __call__(self) -> list[Buffer]:
        with self._lock:
            self._replay()
        return self.outputs


def _interruptible(work: Callable[[], T]) -> T:
    """Run `work` in another thread, so that this one hears KeyboardInterrupt while MAX works."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = work()
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True, name="fxmax-compile")
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]  # type: ignore[no-any-return]
