"""`unsupported="torch"`: what has a rule runs on MAX, the rest in torch, and the report says which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import OperatorSupportBase

from fxmax.compiled import Compiled
from fxmax.frontend.example_data import each_tensor, with_data
from fxmax.fx.size_inputs import dynamic_dims, read_sizes_from_tensors
from fxmax.fx.torch_private import OpOverload, pytree, schema_of
from fxmax.report import Report
from fxmax.runtime.call_arguments import Arguments
from fxmax.runtime.overlap import Held, refuse_overlap

PREFIX = "max_"


class Partitioned:
    """A module whose supported parts run on MAX and whose other nodes run in torch.

    Called like the module that was lowered. `parts` holds the compiled parts by name, `report`
    says where every node runs and why.
    """

    def __init__(
        self,
        module: torch.fx.GraphModule,
        parts: Mapping[str, Compiled],
        report: Report,
        arguments: Arguments,
    ) -> None:
        self.parts, self.report = dict(parts), report
        self._module, self._arguments = module, arguments
        written = {spec.name for spec in arguments.signature.states}
        held = {True: dict[str, torch.Tensor](), False: dict[str, torch.Tensor]()}
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            held[name in written][name] = tensor
        self._states, self._weights = Held(held[True]), Held(held[False])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on MAX and in torch.

        Raises:
            OverlapError: an argument shares memory with what the call writes: writes come last here.
        """
        signature = self._arguments.signature
        if signature.writes:
            values = self._arguments.flatten(args, kwargs)
            refuse_overlap(signature.tensors, values, [self._states], self._weights)
        with torch.no_grad():
            return self._module(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor], strict: bool = True) -> None:
        """Swap the checkpoint in torch's nodes and on MAX, with no recompile.

        Raises:
            RuntimeError, WeightError: a name is missing or unknown (strict), or a shape is wrong.
        """
        self._module.load_state_dict(state_dict, strict=strict)
        for part in self.parts.values():
            names = part.weights.checkpoint_names()
            part.load_state_dict({k: v for k, v in state_dict.items() if k in names}, strict=False)


class _HasRule(OperatorSupportBase):
    def __init__(self, without: set[str]) -> None:
        self.without = without

    def is_node_supported(self, submodules: Mapping[str, torch.nn.Module], node: torch.fx.Node) -> bool:
        if node.op == "get_attr":  # a weight belongs to MAX where only MAX reads it
            return bool(node.users) and all(self.is_node_supported(submodules, u) for u in node.users)
        mutates = isinstance(node.target, OpOverload) and schema_of(node.target).is_mutable
        return node.op == "call_function" and node.name not in self.without and not mutates


def split(program: ExportedProgram, report: Report) -> tuple[torch.fx.GraphModule, list[torch.fx.Node]]:
    """The program as a module whose supported parts are submodules: (module, the calls of those).

    Args:
        report: of a walk over `program`; its gaps are the nodes that stay in torch.
    """
    module = program.module()
    assert isinstance(module, torch.fx.GraphModule)
    without = {n.name for n in report.nodes if n.fate in ("gap", "blocked")}
    partitioner = CapabilityBasedPartitioner(module, _HasRule(without))
    fused = partitioner.fuse_partitions(partitioner.propose_partitions(), prefix=PREFIX)
    calls = [n for n in fused.graph.nodes if n.op == "call_module" and str(n.target).startswith(PREFIX)]
    return fused, calls


def recorded_inputs(
    module: torch.fx.GraphModule, calls: list[torch.fx.Node], example: tuple[Any, Any] | None
) -> dict[str, tuple[Any, ...]]:
    """What each part is given in a run of the whole on the example's inputs, by the part's name.

    The run is torch's; buffers that it writes get their values back.
    """
    if example is None:
        return {}
    seen: dict[str, tuple[Any, ...]] = {}

    def record(name: str) -> Any:
        return lambda _, given: seen.setdefault(name, pytree.tree_map_only(torch.Tensor, torch.clone, given))

    hooks = [
        module.get_submodule(str(call.target)).register_forward_pre_hook(record(str(call.target)))
        for call in calls
    ]
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    leaves, spec = pytree.tree_flatten(example)
    args, kwargs = pytree.tree_unflatten(each_tensor(with_data(leaves), torch.clone), spec)
    try:
        with torch.no_grad():
            module(*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
        for name, buffer in module.named_buffers():
            buffer.copy_(before[name])
    return seen


def part_inputs(
    part: torch.fx.GraphModule, call: torch.fx.Node, recorded: tuple[Any, ...] | None
) -> tuple[tuple[torch.Tensor, ...], tuple[Any, ...]]:
    """(example inputs, dynamic_shapes) of one part; inputs that are numbers become tensors' sizes.

    Args:
        recorded: what the part was given in a run; without one, the example is zeros.
    """
    meta = {n: _meta(a) for n, a in zip(_placeholders(part), call.args, strict=True)}
    numbers = [n for n, value in meta.items() if not isinstance(value, torch.Tensor)]
    call.args = tuple(a for a in call.args if isinstance(_meta(a), torch.Tensor))
    read_sizes_from_tensors(part.graph, lambda n: meta.get(n), numbers)
    part.recompile()
    tensors = [v for v in meta.values() if isinstance(v, torch.Tensor)]
    given = map(_example, tensors) if recorded is None else recorded
    examples = [x for x in given if isinstance(x, torch.Tensor)]
    return tuple(examples), tuple(dynamic_dims(v) for v in tensors)


def _placeholders(part: torch.fx.GraphModule) -> list[torch.fx.Node]:
    return [n for n in part.graph.nodes if n.op == "placeholder"]


def _meta(argument: Any) -> Any:
    return argument.meta.get("val") if isinstance(argument, torch.fx.Node) else argument


def _example(value: torch.Tensor) -> torch.Tensor:
    sizes = [s.node.hint if isinstance(s, torch.SymInt) else int(s) for s in value.shape]
    return torch.zeros(sizes, dtype=value.dtype)


class _OnMax(torch.nn.Module):
    def __init__(self, compiled: Compiled) -> None:
        super().__init__()
        self.compiled = compiled

    def forward(self, *args: Any) -> Any:
        return self.compiled(*args)


def joined(
    module: torch.fx.GraphModule,
    calls: list[torch.fx.Node],
    parts: Mapping[str, Compiled],
    report: Report,
    arguments: Arguments,
) -> Partitioned:
    """The whole again, with the compiled parts in their places, and the report of it.

    Args:
        arguments: how the whole is called.
    """
    _describe(module, calls, report)
    for call in calls:
        name, part = str(call.target), parts[str(call.target)].report
        report.checks += [replace(check, inputs=f"{name}, {check.inputs}") for check in part.checks]
        report.unchecked, report.proven = part.unchecked or report.unchecked, part.proven
        setattr(module, name, _OnMax(parts[name]))
    module.graph.eliminate_dead_code()
    module.recompile()
    return Partitioned(module, parts, report, arguments)


def _describe(module: torch.fx.GraphModule, calls: list[torch.fx.Node], report: Report) -> None:
    """Where each node runs, why, and how much crosses between MAX and torch in a call."""
    parts = [module.get_submodule(str(c.target)) for c in calls]
    on_max = {n.name for p in parts for n in p.graph.nodes if n.op == "call_function"}  # type: ignore[union-attr]
    report.nodes = [
        n if n.name in on_max or n.fate == "structural" else replace(n, fate="torch") for n in report.nodes
    ]
    ops = Counter(n.op for n in report.nodes if n.fate == "torch")
    reasons = {
        g.target: f"{g.kind}: {g.detail}; first at {g.source or g.path or 'the module itself'}"
        for g in report.gaps
    }
    report.gaps = []  # they are answered: each is a note
    for op, count in ops.most_common():
        why = reasons.get(op, "has a rule, but its neighbours have none: too little to cross for")
        report.notes.append(f"in torch: {op} ×{count} ({why})")
    tensors = [v for c in calls for v in (*map(_meta, c.args), *pytree.tree_leaves(c.meta.get("val")))]
    sizes = [_example(v).numel() * v.element_size() for v in tensors if isinstance(v, torch.Tensor)]
    report.notes.append(
        f"{len(calls)} part{'s' if len(calls) != 1 else ''} on MAX; {len(sizes)} tensors "
        f"({sum(sizes) / 1e6:.2f} MB) cross between MAX and torch in a call"
    )
