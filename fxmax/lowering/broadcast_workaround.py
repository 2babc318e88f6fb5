"""What has to be in memory before it is broadcast or sliced: MAX 26.7 reads wrong elements of it otherwise.

MAX fuses a broadcast with what reads it. Where sizes vary it goes wrong with two kinds of readers:

- An elementwise op with an operand that is broadcast, and its result broadcast again, as in
  ((n, k) + (k)) + (b, n, k): all positions read the inner broadcast's first element. MAX also moves a
  broadcast that all operands share behind the op, which makes an outer one. Seen on the CPU and on an H200.
- A slice of a broadcast, or of a result with a broadcast operand, that does not start at 0: it reads from
  position 0. So do all views that are slices: select, split, unbind, roll, what a negative pad cuts off.

Where no size varies, or nothing but sizes of 1 and fixed ones is broadcast first, it is right; so are
gathers (flip, diagonal, an index), slices with a step that start at 0, and what is reshaped before.

A rule's arguments are seen to here, and what rules slice (`sizes.take`); what a rule broadcasts by itself,
and broadcasts again, it passes through `Context.viewable`. A slice that was made otherwise is found when the
graph is whole.

`tests/max_repros/broadcasts.py` shows it on `max.graph` alone and fails once MAX is mended: then this file
goes, with `Context.viewable`, and its rows in docs/max-workarounds.md, which say where it is reported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from max.graph import Dim, Graph, StaticDim, TensorType, TensorValue

from fxmax.core import kernel_calls
from fxmax.core.mlir_access import BROADCASTS, comes_from, op_kind, tensor_operands
from fxmax.errors import RuleError
from fxmax.fx.torch_private import pytree
from fxmax.kernels.build import BUFFERS
from fxmax.runtime.labels import label_of
from fxmax.runtime.max_private import operations, typed

# Arguments that a rule broadcasts to another shape than its result's.
MASKS = frozenset({"attn_mask", "indices"})
# Ops (see `op_kind`) that write memory, or have no operand that could be broadcast. `rmo.concat` is not among
# them: it has no class of its own, and what is joined is looked through.
REDUCTIONS = ("Add", "ArgMax", "ArgMin", "Max", "Mean", "Min", "Mul", "ReduceMinAndMax")
NORMS = ("GroupNorm", "LayerNorm", "Logsoftmax", "RmsNorm", "Softmax")
SCATTERS = tuple(f"{nd}{fn}" for nd in ("", "Nd") for fn in ("", "Add", "Max", "Min", "Mul"))
STORED = frozenset(
    {
        *("Constant", "ConstantExternal", "ConstantScalar", "MutableLoad", "Range", "ShapeToTensor"),
        *("Custom", "Cumsum", "Gather", "GatherNd", "PadConstant", "ArgNonzero", "TopK"),
        *("BatchMatmul", "Matmul", "Conv", "ConvTranspose"),
        *("AvgPool", "AvgPoolCeilModeTrue", "MaxPool", "MaxPoolCeilModeTrue"),
        *(f"Reduce{name}" for name in (*REDUCTIONS, *NORMS)),
        *(f"Scatter{name}" for name in SCATTERS),
    }
)
RESHAPES = frozenset({"Reshape", "StaticReshape"})


_FROM_FIRST = re.compile(r"#mosh<ape\[0(, 0)*\]>")  # the starts of a slice


class Broadcasts:
    """What of a graph needs memory of its own; each value is copied once."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[TensorValue, TensorValue]] = {}

    def arguments(self, given: dict[str, Any], out: Any) -> dict[str, Any]:
        """`given`, a rule's arguments by name, for a result of the type `out`."""
        if not isinstance(out, TensorType):
            return given
        made = dict(given)
        for name, value in given.items():
            if name in MASKS:
                made[name] = pytree.tree_map_only(TensorValue, self.value, value)
            elif isinstance(value, TensorValue) and _wider(value.shape, out.shape):
                made[name] = self.value(value)
        # With every operand broadcast, MAX would compute them smaller and broadcast the result.
        tensors = {n: v for n, v in made.items() if isinstance(v, TensorValue)}
        whole = {n: v for n, v in tensors.items() if _varies(v) and list(v.shape) == list(out.shape)}
        if whole and len(tensors) > 1 and all(_is_spread(v) for v in whole.values()):
            name, value = next(iter(whole.items()))
            made[name] = self._dense(value)
        return made

    def value(self, value: TensorValue) -> TensorValue:
        """`value`, in memory of its own if it can't be broadcast or sliced as it is."""
        return self._dense(value) if _is_misread(value) else value

    def _dense(self, value: TensorValue) -> TensorValue:
        if id(value) not in self._made:
            [copy] = kernel_calls.call(BUFFERS, "fxmax.dense", value.device, [value], [value.type])
            self._made[id(value)] = (value, copy)  # the value too: its id must stay its own
        return self._made[id(value)][1]


def check_slices(graph: Graph) -> None:
    """Look for slices that MAX would read at other positions.

    Raises:
        RuleError: a rule made one, without `take` and `Context.viewable`.
    """
    for found in operations(graph):
        op = typed(found)
        if _starts_inside(op) and any(_is_misread(x) for x in tensor_operands(op)[:1]):
            raise RuleError(
                f"the rule of {label_of(found) or 'a node'} slices a broadcast whose sizes vary, which MAX "
                "reads at other positions: let it slice ctx.viewable(x) in place of x"
            )


def _starts_inside(op: Any) -> bool:
    """Whether an op slices, and may start at another position than 0."""
    kind = op_kind(op)
    return kind in ("MOSlice", "Split") or (kind == "Slice" and not _FROM_FIRST.search(str(op.starts)))


def _is_misread(value: TensorValue) -> bool:
    return _varies(value) and _grows(value)


def _varies(value: TensorValue) -> bool:
    return any(not isinstance(d, StaticDim) for d in value.shape)


def _wider(shape: Sequence[Dim], result: Sequence[Dim]) -> bool:
    """Whether `shape` broadcasts to `result`, by more than axes of size 1."""
    missing = len(result) - len(shape)
    if missing < 0 or any(d not in (1, r) for d, r in zip(shape, result[missing:], strict=True)):
        return False
    return [d for d in shape if d != 1] != [d for d in result if d != 1]


def _grows(value: TensorValue) -> bool:
    """Whether MAX may fuse, into what reads `value`, a broadcast of something whose sizes vary."""

    def look(op: Any, result: TensorValue) -> bool | list[TensorValue]:
        if op_kind(op) in STORED:
            return False
        sources = [x for x in tensor_operands(op) if _varies(x)]
        if isinstance(op, BROADCASTS):
            return bool(sources)
        wider = op_kind(op) not in RESHAPES and any(_wider(x.shape, result.shape) for x in sources)
        return wider or sources

    return comes_from(value, look, too_deep=True)


def _is_spread(value: TensorValue) -> bool:
    """Whether a value is a broadcast, or made by ops all of whose operands are."""

    def is_whole(op: Any, result: TensorValue) -> bool | list[TensorValue]:
        if isinstance(op, BROADCASTS):
            return False
        rank, shape = result.rank, result.shape
        alike = [x for x in tensor_operands(op) if x.rank == rank and not _wider(x.shape, shape)]
        return True if op_kind(op) in STORED or not alike else alike

    return not comes_from(value, is_whole, too_deep=False)
