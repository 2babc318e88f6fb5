"""What eager torch makes of one call: outputs, written inputs and buffers.

The program is run as torch exported it, before any decomposition or pass of ours. 16-bit floats are
computed in float32, as MAX computes them on a CPU, and all else in its own dtype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node

import fxmax.fx.custom_ops  # noqa: F401 - defines fxmax.linear
from fxmax.core.types import WIDENED_ON_CPU
from fxmax.kernels.packing import GROUP, rounded, scales
from fxmax.passes.drop_asserts import CHECKS
from fxmax.verification.reference import placeholders
from fxmax.verification.torch_walk import TorchWalk

LINEAR = torch.ops.fxmax.linear.default
REFUSES = torch.ops.aten._assert_scalar.default


@dataclass(frozen=True)
class Outcome:
    """One call's results: the flat outputs, written inputs by position, written buffers by FQN."""

    outputs: list[Any]
    inputs: dict[int, torch.Tensor]
    buffers: dict[str, torch.Tensor]


class Eager(TorchWalk):
    """torch's own run, with 16-bit floats widened to float32; inputs that the program refuses are refused.

    Args:
        int8: placeholders of weights that `fxmax.linear` reads as int8 → whether its input is rounded too:
            what is compared with is then the module with these roundings, which are no error of MAX.
    """

    def __init__(self, program: ExportedProgram, int8: Mapping[str, bool] | None = None) -> None:
        super().__init__(program, _widened_dtype, [check for check in CHECKS if check != REFUSES])
        self.int8 = int8 or {}

    def run_node(self, n: Node) -> Any:
        name = getattr(n.args[1], "name", "") if n.target is LINEAR else ""
        if name not in self.int8:
            return super().run_node(n)
        (x, weight, *rest), kwargs = self.fetch_args_kwargs_from_env(n)
        weight = rounded(weight).float() * scales(weight).unsqueeze(1)
        return LINEAR(rounded_rows(x) if self.int8[name] else x, weight, *rest, **kwargs)


def rounded_rows(x: torch.Tensor) -> torch.Tensor:
    """(…, k) with each `GROUP` features of a row as int8 times a scale: dtype `int8_dynamic`."""
    k = x.shape[-1]
    groups: torch.Tensor = torch.nn.functional.pad(x, (0, -k % GROUP)).unflatten(-1, (-1, GROUP))
    unit = groups.abs().amax(-1, keepdim=True) / 127
    unit = unit.masked_fill(unit == 0, 1)
    return ((groups / unit).round() * unit).flatten(-2)[..., :k]


def _widened_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in WIDENED_ON_CPU else dtype


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
