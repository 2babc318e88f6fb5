"""A compiled graph that is called as the module it came from: arguments, buffers, MAX, outputs. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from max.driver import Buffer
from max.engine import Model
from max.graph import DeviceRef

from fxmax.runtime.arrays import Arrays, on_host, unfit_to_write
from fxmax.runtime.call_arguments import Arguments
from fxmax.runtime.copying import copy_all
from fxmax.runtime.dtypes import graph_dtype
from fxmax.runtime.overlap import Held, refuse_overlap
from fxmax.runtime.program import Replay, Runner

NOTHING: Mapping[str, Any] = {}


class Executable:
    """One graph with its weights and state. Calls from several threads are safe and take turns.

    Args:
        runner: the graph on its device.
        arguments: how it is called.
        unflatten: the module's output structure, of flat outputs.
        arrays: what callers give and get.
        fresh: copies of what the graph's state starts from.
    """

    def __init__(
        self,
        runner: Runner,
        arguments: Arguments,
        unflatten: Callable[[list[Any]], Any],
        arrays: Arrays,
        fresh: Callable[[], Sequence[Buffer]],
    ) -> None:
        self.signature = arguments.signature
        self._runner, self._arguments, self._unflatten, self._fresh = runner, arguments, unflatten, fresh
        self._on_cpu, self._device = self.device.is_cpu(), self.device.to_device()
        tensors, outputs = self.signature.tensors, self.signature.outputs
        self._inlets = [arrays.inlet(spec, graph_dtype(spec.dtype, self._on_cpu)) for spec in tensors]
        self._outlets = [(spec, arrays.outlet(spec)) for spec in outputs]
        self._home = arrays.home
        self._aliases = [(i, spec.alias) for i, spec in enumerate(outputs) if spec.alias is not None]
        self._in_place = {
            i: arrays.in_place(graph_dtype(spec.dtype, self._on_cpu))
            for i, spec in enumerate(tensors)
            if spec.mutated
        }
        self._write_back, self._writes = arrays.write_back, self.signature.writes
        # What the call may not be given, and what that was made of; one attribute, for calls side by side.
        self._owned: tuple[tuple[Any, Any], list[Held], Held] = ((None, None), [], Held({}))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on MAX.

        Raises:
            InputError: an argument is missing, unknown, or has another dtype or shape than the signature, or
                shares memory with what the call writes (`OverlapError`); nothing is run.
        """
        return self._unflatten(self.flat(*args, **kwargs))

    def flat(self, *args: Any, **kwargs: Any) -> list[Any]:
        """As a call, with the outputs flat and in the signature's order, however they are nested."""
        values = self.inputs(*args, **kwargs)
        self._refuse_overlap(values)
        own = [inlet(value) for inlet, value in zip(self._inlets, values, strict=True)]
        buffers = self._placed(own)
        results, home = iter(self._runner(buffers)), self._home(values)
        # What the caller's memory was copied from, to write it where the graph is, is copied back.
        copied = [(own[i], buffers[i]) for i in self._in_place if own[i].device != buffers[i].device]
        if copied:
            copy_all(copied)
        for i, in_place in self._in_place.items():
            if not in_place(values[i]):
                self._write_back(values[i], own[i])
        outputs = [
            spec.value
            if spec.kind == "constant"
            else int(next(results).to_numpy())
            if spec.kind == "size"
            else outlet(next(results), home)
            for spec, outlet in self._outlets
        ]
        for position, index in self._aliases:
            outputs[position] = values[index]
        return outputs

    def inputs(self, *args: Any, **kwargs: Any) -> list[Any]:
        """A call's tensors, checked, in the signature's order: what `buffers` takes.

        Raises:
            InputError: as a call does.
        """
        return self._arguments.flatten(args, kwargs)

    def buffers(self, values: Sequence[Any]) -> list[Buffer]:
        """Tensors of the signature's shapes and order as MAX buffers: what `execute` takes.

        Raises:
            InputError: an array that the graph writes is not contiguous, or not of the graph's dtype: the
                buffer would be a copy.
        """
        for i, in_place in self._in_place.items():
            if not in_place(values[i]):
                spec = self.signature.tensors[i]
                raise unfit_to_write(spec, graph_dtype(spec.dtype, self._on_cpu))
        return self._placed([inlet(value) for inlet, value in zip(self._inlets, values, strict=True)])

    def execute(self, *buffers: Buffer) -> list[Buffer]:
        """Run on MAX buffers of this device: the graph's tensors, flat and in the signature's order.

        Nothing is checked, converted or copied, and the results (those that are tensors) stay on
        the device: for loops that keep their state there. `__call__` is for all else.
        """
        return self._runner(buffers)

    def apart(self, buffers: Sequence[Buffer]) -> tuple[list[Buffer], list[Buffer]]:
        """Run as `execute` does, on a state of its own: (the results, that state after the call).

        The state begins as before the first call; the one that calls go on from is not touched.
        """
        fresh = self._fresh()
        states = [Buffer(b.dtype, b.shape, b.device) for b in fresh]
        copy_all(zip(states, fresh, strict=True))
        return self._runner(buffers, states), states

    def record(self, *buffers: Buffer) -> Replay:
        """Run on MAX buffers as `execute` does, and record what the GPU is given to do.

        Raises:
            DeviceError: not on a GPU, or MAX can't record this graph.
        """
        return self._runner.record(buffers)

    @property
    def device(self) -> DeviceRef:
        """The device that it runs on."""
        return self._runner.program.device

    @property
    def max_model(self) -> Model:
        """MAX's own handle of the graph with the weights in use; its state follows the inputs."""
        return self._runner.model

    @property
    def states(self) -> dict[str, Buffer]:
        """The module's mutated buffers (a cache, a running mean) as they are now, by FQN."""
        specs = self.signature.states
        return {spec.name: state for spec, state in zip(specs, self._runner.states, strict=True)}

    def reset(self) -> None:
        """The module's mutated buffers as they were before the first call, in the memory they have."""
        self._runner.reset(self._fresh())

    def _refuse_overlap(self, values: Sequence[Any]) -> None:
        """See that what a call writes is nobody else's.

        Raises:
            OverlapError: it is.
        """
        if not self._writes:
            return
        now = self._module_arrays(), self._runner.states
        owners, copies, held = self._owned
        if any(a is not b for a, b in zip(now, owners, strict=True)):
            written = self.states.keys()
            copied = {name: array for name, array in now[0].items() if name in written}
            read = {name: array for name, array in now[0].items() if name not in written}
            copies, held = [Held(self.states), Held(copied)], Held(read)
            self._owned = now, copies, held
        refuse_overlap(self.signature.tensors, values, copies, held)

    def _module_arrays(self) -> Mapping[str, Any]:
        """The module's own arrays by FQN, in its own memory; the same object as long as they are the same."""
        return NOTHING

    def _placed(self, buffers: list[Buffer]) -> list[Buffer]:
        if self._on_cpu:
            return [on_host(buffer) for buffer in buffers]
        return [buffer.to(self._device) for buffer in buffers]
