"""From lowered graphs to compiled modules."""

from __future__ import annotations

from collections.abc import Mapping

from max.graph import Module

from fxmax.compiled.binding import bind
from fxmax.compiled.module import Compiled
from fxmax.core.weights import Weights
from fxmax.lowered import Lowered
from fxmax.runtime import device as devices
from fxmax.runtime.program import Runner, compile_graph


def compile_lowered(lowered: Lowered, weights: Weights, strict: bool = True) -> Compiled:
    """Compile one graph with MAX and bind `weights`."""
    devices.warn_of_gpu(lowered.device)
    registry, states = bind(weights, lowered, strict)
    kernels = sorted(lowered.graph.kernel_libraries_paths)
    report = lowered.report
    program = compile_graph(lowered.graph, lowered.device, kernels, report.model, [report.describe])
    report.cache = program.origin
    [(name, model)] = program.start(registry).items()
    return Compiled(lowered, Runner(program, name, model, states), weights)


def compile_module(
    module: Module, lowered: Mapping[str, Lowered], strict: bool = True
) -> dict[str, Compiled]:
    """Compile several graphs of one MAX module together; each keeps its own weights and state."""
    bound = {name: bind(low.weights, low, strict) for name, low in lowered.items()}
    first = next(iter(lowered.values()))
    devices.warn_of_gpu(first.device)
    kernels = sorted({path for low in lowered.values() for path in low.graph.kernel_libraries_paths})
    describe = [low.report.describe for low in sorted(lowered.values(), key=lambda low: low.position)]
    program = compile_graph(module, first.device, kernels, " + ".join(lowered), describe)
    started = program.start({k: v for registry, _ in bound.values() for k, v in registry.items()})
    # By position: MAX's cache does not look at names, and gives back those it compiled first.
    models = list(started.items())
    compiled = {}
    for name, low in lowered.items():
        symbol, model = models[low.position]
        low.report.cache = program.origin
        compiled[name] = Compiled(low, Runner(program, symbol, model, bound[name][1]), low.weights)
    return compiled
