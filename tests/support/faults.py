"""Rules with one fault, at one node: what `fxmax.verify` has to find."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from max.graph import Module, ops

import fxmax
from fxmax.compiled import compile_module
from fxmax.frontend.capture import capture
from fxmax.frontend.options import Options
from fxmax.lowering.lowered_graph import Shared
from fxmax.verification import Verification, Verifier

aten = torch.ops.aten
Wrong = Callable[..., Any]  # (ctx, the right rule, **arguments) -> a wrong result


@dataclass
class Fault:
    """The `nth` node of `target` (from 0) is lowered by `wrong`."""

    id: str
    target: Any
    nth: int
    wrong: Wrong


def table_with(fault: Fault, node: str) -> fxmax.RuleTable:
    """The default rules, with the fault at `node`."""
    table = fxmax.RuleTable(parent=fxmax.default_table())
    right = table[fault.target]

    @functools.wraps(right.fn)
    def rule(ctx, **arguments):
        if ctx.node.name == node:
            return fault.wrong(ctx, functools.partial(right.fn, ctx), **arguments)
        return right.fn(ctx, **arguments)

    table.rule(fault.target, override=True, prepack=right.prepack)(rule)
    return table


class Suite:
    """One model, clean and with each fault, compiled together on first use."""

    def __init__(
        self,
        module: torch.nn.Module,
        draw: Callable[[], tuple[Any, ...]],
        faults: Sequence[Fault],
        passes: Sequence[str] | None = ("drop_asserts",),  # without them, all ops are aten's
    ) -> None:
        self.passes = passes
        self.module, self.draw, self.faults = module.eval(), draw, {f.id: f for f in faults}
        self._verifiers: Mapping[str, Verifier] | None = None
        self.planted: dict[str, str] = {}

    @property
    def verifiers(self) -> Mapping[str, Verifier]:
        if self._verifiers is None:
            self._verifiers = self._compile()
        return self._verifiers

    def _compile(self) -> dict[str, Verifier]:
        torch.manual_seed(0)
        inputs, shared = self.draw(), Shared(Module())
        options = Options.resolve(device="cpu", passes=self.passes)
        verifiers = {}
        for i, fault in enumerate([None, *self.faults.values()]):
            captured = capture(self.module, inputs, options=options)
            captured.name = f"graph{i}"
            if fault is not None:
                nodes = [n.name for n in captured.program.graph.nodes if n.target == fault.target]
                self.planted[fault.id] = nodes[fault.nth]
                captured.options = replace(options, table=table_with(fault, nodes[fault.nth]))
            verifiers[fault.id if fault else "clean"] = Verifier(captured, shared=shared)
        lowered = {v.captured.name: v.lowered for v in verifiers.values()}
        compiled = compile_module(shared.module, lowered, strict=False)
        for v in verifiers.values():
            v.compiled = compiled[v.captured.name]
        return verifiers

    def verify(self, id: str, seed: int = 0, reference: str = "float32") -> Verification:
        torch.manual_seed(seed)
        return self.verifiers[id](self.draw(), reference=reference)

    def check_found(self, id: str) -> None:
        """The first divergent node is the planted one, and only what it fed is off."""
        for reference in ("float32", "float64"):
            found = self.verify(id, reference=reference).first_divergent
            assert found is not None, f"{id} at {self.planted[id]} was not found"
            assert found.name == self.planted[id], f"planted at {self.planted[id]}:\n{found}"

    def check_clean(self, seed: int) -> None:
        for reference in ("float32", "float64"):
            result = self.verify("clean", seed, reference)
            assert result.ok, str(result)
            assert result.outputs


# -- faults ---------------------------------------------------------------------------------------


def no_bias(ctx, right, bias, **arguments):
    assert bias is not None
    return right(bias=None, **arguments)


def transposed_weight(ctx, right, input, weight, bias):
    y = input @ weight
    return y if bias is None else y + bias


def tanh_gelu(ctx, right, self, approximate):
    return right(self=self, approximate="tanh")


def small_eps(ctx, right, eps, **arguments):
    assert eps == 1e-5
    return right(eps=1e-6, **arguments)


def skipped(ctx, right, input, **arguments):
    return input


def wrong_scale(ctx, right, query, scale, **arguments):
    return right(query=query, scale=1 / int(query.shape[-1]), **arguments)


def swapped_query_axes(ctx, right, query, **arguments):
    """Head and position axes swapped in memory: the shape is right."""
    mixed = ops.reshape(ops.permute(query, [0, 2, 1, 3]), query.shape)
    return right(query=mixed, **arguments)


def reshaped(ctx, right, self, **arguments):
    """A reshape where the axes should be permuted."""
    return ops.reshape(self, ctx.out.shape)


def bfloat16_rounded(ctx, right, **arguments):
    """8 bits of mantissa are kept, by Veltkamp's splitting: MAX has no bfloat16 on the CPU."""
    y = right(**arguments)
    high = y * ctx.constant(2.0**16 + 1, y.dtype)
    return high - (high - y)


def tanh_act(ctx, right, act, **arguments):
    assert act == "gelu"
    return right(act="gelu_tanh", **arguments)


def no_residual(ctx, right, residual, **arguments):
    assert residual is not None
    return right(residual=None, **arguments)


def halved(ctx, right, **arguments):
    return right(**arguments) * ctx.constant(0.5, ctx.out.dtype)


def wrong_padding(ctx, right, padding, **arguments):
    """One row more before and one fewer after."""
    y = right(padding=padding, **arguments)
    axis = y.rank - 1
    last = [slice(None)] * axis + [slice(-1, None)]
    rest = [slice(None)] * axis + [slice(0, -1)]
    return ops.concat([y[tuple(last)], y[tuple(rest)]], axis)
