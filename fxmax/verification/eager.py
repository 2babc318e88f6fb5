"""What eager torch makes of one call: outputs, written inputs and buffers, and how far rounding may go.

The program is run as torch exported it, before any decomposition or pass of ours. 16-bit floats are
computed in float32, as MAX computes them on a CPU, and all else in its own dtype.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

import fxmax.fx.custom_ops  # noqa: F401 - defines fxmax.linear
from fxmax.core.types import WIDENED_ON_CPU
from fxmax.fx.schema import bind
from fxmax.fx.torch_private import OpOverload, pytree
from fxmax.kernels.packing import GROUP, rounded, scales
from fxmax.passes.drop_asserts import CHECKS
from fxmax.verification.reference import placeholders
from fxmax.verification.tolerances.derive import tolerance

LINEAR = torch.ops.fxmax.linear.default


@dataclass(frozen=True)
class Outcome:
    """One call's results: the flat outputs, written inputs by position, written buffers by FQN."""

    outputs: list[Any]
    inputs: dict[int, torch.Tensor]
    buffers: dict[str, torch.Tensor]


class Eager(torch.fx.Interpreter):
    """Runs an exported graph with 16-bit floats widened to float32, on the CPU.

    `int8` names the placeholders of weights that `fxmax.linear` reads as int8, and whether its input is
    rounded too: what is compared with is then the module with these roundings, which are no error of MAX.
    """

    def __init__(self, program: ExportedProgram, int8: Mapping[str, bool] | None = None) -> None:
        super().__init__(program.graph_module)
        self.int8 = int8 or {}

    def run_node(self, n: torch.fx.Node) -> Any:
        name = getattr(n.args[1], "name", "") if n.target is LINEAR else ""
        if name not in self.int8:
            return super().run_node(n)
        (x, weight, *rest), kwargs = self.fetch_args_kwargs_from_env(n)
        weight = rounded(weight).float() * scales(weight).unsqueeze(1)
        return LINEAR(rounded_rows(x) if self.int8[name] else x, weight, *rest, **kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in CHECKS and target is not torch.ops.aten._assert_scalar.default:
            return None
        args, kwargs = pytree.tree_map(_widened_option, (args, kwargs))
        return super().call_function(target, args, kwargs)


class Rounded(Eager):
    """The same with every float moved at random within its op's tolerance.

    `roundoff` gives the unit roundoff of what MAX computes a torch dtype in.
    """

    def __init__(
        self,
        program: ExportedProgram,
        roundoff: Callable[[torch.dtype], float],
        int8: Mapping[str, bool] | None = None,
    ) -> None:
        super().__init__(program, int8)
        self.roundoff = roundoff
        self.generator = torch.Generator().manual_seed(0)
        self._bound: dict[str, tuple[Any, Any]] = {}  # of ops with several results

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if n.op != "call_function":
            return value
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        args, kwargs = pytree.tree_map(_widened_option, (args, kwargs))
        if not isinstance(value, torch.Tensor):
            self._bound[n.name] = (args, kwargs)
            return value
        target, index = n.target, 0
        if target is operator.getitem:
            origin: Any = n.args[0]
            target, index = origin.target, n.args[1]  # type: ignore[assignment]
            args, kwargs = self._bound.get(origin.name, ((), {}))
        if not isinstance(target, OpOverload) or not value.is_floating_point():
            return value
        u = self.roundoff(n.meta["val"].dtype) + torch.finfo(value.dtype).eps / 2
        return self._moved(value, tolerance(target, bind(target, args, kwargs), value, u, index))

    def _moved(self, value: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        if not bool(allowed.any()):
            return value
        noise = torch.rand(value.shape, generator=self.generator, dtype=torch.float64) * 2 - 1
        return value + torch.nan_to_num(noise * allowed, posinf=0.0, neginf=0.0).to(value.dtype)


def rounded_rows(x: torch.Tensor) -> torch.Tensor:
    """(…, k) with each `GROUP` features of a row as int8 times a scale: dtype `int8_dynamic`."""
    k = x.shape[-1]
    groups = torch.nn.functional.pad(x, (0, -k % GROUP)).unflatten(-1, (-1, GROUP))
    unit = groups.abs().amax(-1, keepdim=True) / 127
    unit = unit.masked_fill(unit == 0, 1)
    return ((groups / unit).round() * unit).flatten(-2)[..., :k]


def _widened_option(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return torch.float32 if value in WIDENED_ON_CPU else value
    return torch.device("cpu") if isinstance(value, torch.device) else value


def widened(value: Any) -> Any:
    """A 16-bit float tensor as float32, anything else as it is."""
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in WIDENED_ON_CPU else value


def run_eager(
    program: ExportedProgram,
    values: Mapping[str, torch.Tensor],
    leaves: Sequence[Any],
    interpreter: Eager | None = None,
) -> Outcome:
    """Run `program` on the flat inputs `leaves` with the weights `values` (by FQN).

    Raises:
        Exception: whatever torch raises: the inputs don't suit the program.
    """
    inputs = [widened(x) for x in placeholders(program, values, leaves)]
    interpreter = interpreter or Eager(program)
    with torch.no_grad():
        results = list(interpreter.run(*inputs))
    return _outcome(program, inputs, results)


def _outcome(program: ExportedProgram, inputs: list[Any], results: list[Any]) -> Outcome:
    """Sort results by the signature. What torch exports may write its inputs in place, too."""
    outputs, written = [], dict[str, Any]()
    for spec, value in zip(program.graph_signature.output_specs, results, strict=True):
        if spec.kind is OutputKind.USER_OUTPUT:
            outputs.append(value)
        elif spec.target is not None:
            written[spec.target] = value
    by_position, buffers = dict[int, torch.Tensor](), dict[str, torch.Tensor]()
    position = 0
    for spec, value in zip(program.graph_signature.input_specs, inputs, strict=True):
        name = getattr(spec.arg, "name", "")
        if spec.kind is InputKind.USER_INPUT:
            if isinstance(value, torch.Tensor):
                by_position[position] = written.get(name, value)
            position += 1
        elif spec.kind is InputKind.BUFFER and spec.target is not None:
            buffers[spec.target] = written.get(spec.target, value)
    return Outcome(outputs, by_position, buffers)
