"""A compiled module: called like the module it came from, with torch tensors or numpy arrays."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from max.driver import CPU, Buffer
from max.graph import Module
from torch.utils import _pytree as pytree

from fxmax.core.types import TO_TORCH, compute_dtype
from fxmax.core.weights import Weights, not_finite
from fxmax.errors import InputError
from fxmax.lowered import Lowered
from fxmax.report import Report
from fxmax.runtime import device as devices
from fxmax.runtime import program as runtime
from fxmax.runtime.call_arguments import Arguments
from fxmax.runtime.program import Replay
from fxmax.runtime.signature import Signature, TensorSpec


class Compiled:
    """Call it with the inputs of the module that was lowered; it returns that module's outputs.

    Torch tensors in, torch tensors out; where every array given is numpy's, numpy arrays out. CPU
    inputs are handed over without a copy. Calls from several threads are safe and take turns.
    """

    def __init__(self, lowered: Lowered, runner: runtime.Runner, weights: Weights) -> None:
        self.lowered = lowered
        self.weights = weights
        self._runner = runner
        self._device = lowered.device.to_device()
        self._on_cpu = lowered.device.is_cpu()
        self._arguments = arguments_of(lowered)
        self._out_spec = lowered.captured.program.call_spec.out_spec
        self._dtypes = [
            TO_TORCH[compute_dtype(getattr(torch, t.dtype), lowered.device)] for t in self.signature.tensors
        ]
        self._aliases = [(i, o.alias) for i, o in enumerate(self.signature.outputs) if o.alias is not None]
        self._returned = [getattr(torch, o.dtype, None) for o in self.signature.outputs]

    @property
    def report(self) -> Report:
        """What became of every node and weight, and the seconds of each stage."""
        return self.lowered.report

    @property
    def signature(self) -> Signature:
        """Names, dtypes and shapes of inputs and outputs."""
        return self.lowered.signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on MAX.

        Raises:
            InputError: an argument is missing, unknown, or has another dtype or shape than the
                signature; nothing is run.
        """
        return pytree.tree_unflatten(self.flat(*args, **kwargs), self._out_spec)

    def flat(self, *args: Any, **kwargs: Any) -> list[Any]:
        """As a call, with the outputs flat and in the signature's order, however they are nested."""
        leaves = self.inputs(*args, **kwargs)
        home = _home(leaves)
        buffers = self.buffers(leaves)
        results = iter(self._runner(buffers))
        if not self._on_cpu:
            runtime.write_back(self.signature.tensors, leaves, buffers)
        outputs = [
            spec.value if spec.kind == "constant" else self._result(next(results), spec.kind, dtype, home)
            for spec, dtype in zip(self.signature.outputs, self._returned, strict=True)
        ]
        for place, index in self._aliases:
            outputs[place] = leaves[index]
        return outputs

    def inputs(self, *args: Any, **kwargs: Any) -> list[Any]:
        """A call's tensors, checked, in the signature's order: what `buffers` takes.

        Raises:
            InputError: as a call does.
        """
        return self._arguments.flatten(args, kwargs)

    def buffers(self, values: Sequence[Any]) -> list[Buffer]:
        """Tensors of the signature's shapes and order as MAX buffers: what `execute` takes."""
        return [
            self._buffer(value, spec, dtype)
            for value, spec, dtype in zip(values, self.signature.tensors, self._dtypes, strict=True)
        ]

    def execute(self, *buffers: Buffer) -> list[Buffer]:
        """Run on MAX buffers of this device: the graph's tensors, flat and in the signature's order.

        Nothing is checked, converted or copied, and the results (those that are tensors) stay on
        the device: for loops that keep their state there. `__call__` is for all else.
        """
        return self._runner(buffers)

    @property
    def states(self) -> dict[str, Buffer]:
        """The module's mutated buffers (a cache, a running mean) as they are now, by FQN."""
        specs = self.signature.states
        return {spec.name: state for spec, state in zip(specs, self._runner.states, strict=True)}

    def reset(self) -> None:
        """The module's mutated buffers as they were before the first call, in the memory they have."""
        self._runner.reset(fresh_states(self.weights, self.lowered))

    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor], strict: bool = True) -> None:
        """Swap the checkpoint: the same graph, other values, no recompile; state starts afresh.

        Raises:
            WeightError: a name is missing or unknown (strict), or a shape or dtype is wrong. The
                old checkpoint then stays in use.
        """
        weights = self.weights.replaced(state_dict, strict)
        self._runner.rebind(*bind(weights, self.lowered, strict))
        self.weights = weights

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The checkpoint in use, by FQN (tied names share a tensor)."""
        held = self.weights
        return {f: held.values[held.spec(f).fqn] for f in sorted(held.checkpoint_names())}

    def save(
        self,
        path: str | Path,
        *,
        checkpoint: str | Path | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write an artifact, a folder that `fxmax.load` runs without torch; see `fxmax.save`."""
        from fxmax.artifact import save

        return save(path, {self.lowered.captured.name: self}, checkpoint=checkpoint, metadata=metadata)

    def _buffer(self, value: Any, spec: TensorSpec, dtype: torch.dtype) -> Buffer:
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.require(value, requirements=["C", "W"]))
        elif not isinstance(value, torch.Tensor):  # anything else that speaks DLPack
            value = torch.from_dlpack(value)
        elif value.requires_grad:
            _warn_no_gradients()
            value = value.detach()
        if spec.mutated and not (value.is_contiguous() and value.dtype == dtype):
            raise InputError(
                f"{spec.name} is written in place: it must be contiguous and {dtype} "
                f"(here it is {value.dtype}, strides {value.stride()})"
            )
        buffer = Buffer.from_dlpack(value.to(dtype).contiguous())
        return buffer if self._on_cpu else buffer.to(self._device)

    def record(self, *buffers: Buffer) -> Replay:
        """Run on MAX buffers as `execute` does, and record what the GPU is given to do.

        Raises:
            DeviceError: not on a GPU, or MAX can't record this graph.
        """
        return self._runner.record(buffers)

    def _result(self, buffer: Buffer, kind: str, dtype: torch.dtype | None, home: Any) -> Any:
        if kind == "size":
            return int(buffer.to_numpy())
        if not self._on_cpu and home != "cuda":
            buffer = buffer.to(CPU())
        value = torch.from_dlpack(buffer)
        if value.dtype != dtype:
            value = value.to(dtype)
        return value.numpy() if home == "numpy" else value

    def __repr__(self) -> str:
        return f"<fxmax.Compiled {self.report.model}{self.signature} on {self.report.device}>"


def arguments_of(lowered: Lowered) -> Arguments:
    """How the module is called, by torch's own pytree of the inputs that it was traced with."""
    captured = lowered.captured
    in_spec = captured.program.call_spec.in_spec
    examples: Any = captured.program.example_inputs or ((), {})

    def flatten(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        leaves, spec = pytree.tree_flatten((args, kwargs))
        if spec != in_spec:
            raise InputError(
                f"the arguments' structure differs from the one that was lowered.\n"
                f"  given: {spec}\n  lowered: {in_spec}"
            )
        return leaves

    return Arguments(lowered.signature, captured.parameters, len(examples[0]), list(examples[1]), flatten)


def compile_lowered(lowered: Lowered, weights: Weights, strict: bool = True) -> Compiled:
    """Compile one graph with MAX and bind `weights`."""
    devices.warn_of_gpu(lowered.device)
    registry, states = bind(weights, lowered, strict)
    kernels = sorted(lowered.graph.kernel_libraries_paths)
    program = runtime.compile_graph(lowered.graph, lowered.device, kernels, lowered.report.model)
    lowered.report.cache = program.origin
    [(name, model)] = program.start(registry).items()
    return Compiled(lowered, runtime.Runner(program, name, model, states), weights)


def compile_module(
    module: Module, lowered: Mapping[str, Lowered], strict: bool = True
) -> dict[str, Compiled]:
    """Compile several graphs of one MAX module together; each keeps its own weights and state."""
    bound = {name: bind(low.weights, low, strict) for name, low in lowered.items()}
    first = next(iter(lowered.values()))
    devices.warn_of_gpu(first.device)
    kernels = sorted({path for low in lowered.values() for path in low.graph.kernel_libraries_paths})
    title = " + ".join(lowered)
    program = runtime.compile_graph(module, first.device, kernels, title)
    started = program.start({k: v for registry, _ in bound.values() for k, v in registry.items()})
    # By position: MAX's cache does not look at names, and gives back those it compiled first.
    models = list(started.items())
    compiled = {}
    for name, low in lowered.items():
        symbol, model = models[low.position]
        runner = runtime.Runner(program, symbol, model, bound[name][1])
        low.report.cache = program.origin
        compiled[name] = Compiled(low, runner, low.weights)
    return compiled


def bind(weights: Weights, lowered: Lowered, strict: bool) -> tuple[dict[str, torch.Tensor], list[Buffer]]:
    """(the weights registry, fresh state buffers); weights that are not finite are warned of."""
    registry = weights.bind(strict)
    brought = {n: v for n, v in weights.values.items() if weights.specs[n].in_state_dict}
    if broken := not_finite(brought):  # a causal mask, made by the module, holds -inf by design
        warnings.warn(f"NaN or infinity in {len(broken)} weights: {', '.join(broken)}", stacklevel=3)
    return registry, fresh_states(weights, lowered)


def fresh_states(weights: Weights, lowered: Lowered) -> list[Buffer]:
    """Copies of the module's mutated buffers, on the graph's device and in its dtypes."""
    states = []
    for spec in lowered.signature.states:
        value = weights.values[spec.name]
        copy = value.detach().to("cpu", TO_TORCH[compute_dtype(value.dtype, lowered.device)]).clone()
        states.append(Buffer.from_dlpack(copy.contiguous()).to(lowered.device.to_device()))
    return states


def _home(leaves: Sequence[Any]) -> str:
    """Where results go: `numpy` where all inputs are numpy's, else the inputs' torch device."""
    if leaves and all(isinstance(v, np.ndarray) for v in leaves):
        return "numpy"
    return next((v.device.type for v in leaves if isinstance(v, torch.Tensor)), "cpu")


_warned = threading.Event()


def _warn_no_gradients() -> None:
    if not _warned.is_set():
        _warned.set()
        warnings.warn(
            "an input requires gradients; fxmax is for inference and returns results without them",
            stacklevel=4,
        )
