"""`torch.compile(model, backend="fxmax")`: every graph that Dynamo captures runs on MAX.

Dynamo hands over a graph whose parameters, buffers and symbolic sizes are inputs. Here they become
what they were: weights by FQN, which stay on MAX between calls, and sizes of tensors.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export.graph_signature import OutputKind

from fxmax.api import Job, capture_job, lower_job
from fxmax.errors import OverlapError
from fxmax.frontend.options import BackendOptions, Options, known
from fxmax.fx.dynamo_names import weight_names
from fxmax.fx.no_backward import refusing_backward
from fxmax.fx.seen import Seen
from fxmax.fx.size_inputs import dynamic_dims, read_sizes_from_tensors
from fxmax.fx.torch_private import is_static_input, tracing


def backend(
    graph_module: torch.fx.GraphModule,
    example_inputs: Sequence[Any],
    *,
    options: Mapping[str, Any] | None = None,
    mode: str | None = None,
) -> Callable[..., Any]:
    """Compile one of Dynamo's graphs; found by torch through the entry point `fxmax`.

    Args:
        options: as `torch.compile(..., options=...)`; the keyword arguments of `fxmax.lower`
            (`table`, `device`, `passes`, `dtype`, `unsupported`, `check`, `quiet`), but for `strict`: what is
            bound is what Dynamo hands over.
        mode: torch.compile's; MAX has one, so it changes nothing.

    Returns:
        The graph's outputs for its inputs. fxmax is for inference: where an input or weight requires
        gradients and they are on, `backward()` through an output raises.

    Raises:
        fxmax.LoweringError: ops without a rule, all at once (`options={"unsupported": "torch"}`
            runs those in torch).
        fxmax.OptionError: `options` has a name or a value that there is not.
    """
    del mode
    asked = known("torch.compile(..., backend='fxmax')", BackendOptions, options or {})
    return _Call(graph_module, example_inputs, Options.resolve(**asked, strict=False))


@dataclass
class Rebuilt:
    """A Dynamo graph with its weights inside: `kept` are the positions that are still inputs."""

    module: torch.fx.GraphModule
    kept: list[int]
    examples: list[Any]
    dynamic_shapes: tuple[Any, ...]
    weights: dict[str, tuple[int, torch.Tensor]]  # FQN → its position in a call, its tensor

    @property
    def job(self) -> Job:
        """What to lower."""
        return Job(self.module, tuple(self.examples), dynamic_shapes=self.dynamic_shapes)


class _Call:
    """What Dynamo calls: one program, or one for each value of the numbers that Dynamo left open."""

    def __init__(self, original: torch.fx.GraphModule, examples: Sequence[Any], options: Options) -> None:
        self.original = torch.fx.GraphModule(original, copy.deepcopy(original.graph))
        self.options = options
        placeholders = [n for n in self.original.graph.nodes if n.op == "placeholder"]
        self.numbers = [i for i, n in enumerate(placeholders) if _is_number(n)]
        self.programs: dict[tuple[float, ...], _Program] = {}
        self._add(self._key(examples), examples)

    def __call__(self, *args: Any) -> Any:
        key = self._key(args)
        if key not in self.programs:
            warnings.warn(
                f"a Python float that the model reads changed to {key}: fxmax compiles the graph again. "
                "Make it a tensor if it changes often.",
                stacklevel=2,
            )
            self._add(key, args)
        try:
            return self.programs[key](*args)
        except OverlapError as error:
            warnings.warn(f"{error} Until then torch computes this call.", stacklevel=2)
            with torch.no_grad():
                results = self.original(*args)
            return refusing_backward(results, args)

    def _key(self, args: Sequence[Any]) -> tuple[float, ...]:
        return tuple(float(args[i]) for i in self.numbers)

    def _add(self, key: tuple[float, ...], examples: Sequence[Any]) -> None:
        with tracing(None), torch.no_grad():  # export traces anew, outside of Dynamo's own tracing
            graph = rebuilt(self.original, examples, self.options)
            compiled = lower_job(graph.job, self.options)
        self.programs[key] = _Program(compiled, graph)


class _Program:
    """Passes the inputs on, and binds weights again that have changed."""

    def __init__(self, compiled: Any, graph: Rebuilt) -> None:
        self.compiled, self._kept = compiled, graph.kept
        self._weights = {fqn: i for fqn, (i, _) in graph.weights.items()}  # their positions in a call
        self._seen = Seen([tensor for _, tensor in graph.weights.values()])

    def __call__(self, *args: Any) -> Any:
        weights = [args[i] for i in self._weights.values()]
        if not self._seen.still(weights):
            self.compiled.load_state_dict(dict(zip(self._weights, weights, strict=True)), strict=False)
            self._seen = Seen(weights)
        return refusing_backward(self.compiled(*[args[i] for i in self._kept]), args)


def _is_number(node: torch.fx.Node) -> bool:
    """Whether Dynamo passes a Python float here, as a 0-d float64 tensor that the graph reads."""
    argument = node.meta.get("grapharg")
    reads = all(user.op == "call_method" and user.target == "item" for user in node.users)
    return argument is not None and argument.pass_arg_as_tensor and reads


def rebuilt(original: torch.fx.GraphModule, examples: Sequence[Any], options: Options) -> Rebuilt:
    """Dynamo's graph as a module that has its weights inside."""
    graph = _as_module(original, examples)
    if mutated := _mutated(graph, options):
        # A buffer that the graph writes must stay the user's own tensor: it becomes an input.
        graph = _as_module(original, examples, as_inputs=mutated)
    return graph


def _as_module(
    original: torch.fx.GraphModule, examples: Sequence[Any], as_inputs: frozenset[str] = frozenset()
) -> Rebuilt:
    module = torch.fx.GraphModule(original, copy.deepcopy(original.graph))
    graph = module.graph
    placeholders = [n for n in graph.nodes if n.op == "placeholder"]
    made = Rebuilt(module, [], [], (), {})
    specs, numbers = [], []
    first = next(n for n in graph.nodes if n.op != "placeholder")
    names = weight_names(placeholders)
    for i, (node, example) in enumerate(zip(placeholders, examples, strict=True)):
        fqn = names[node]
        if not isinstance(example, torch.Tensor):
            numbers.append(node)
        elif _is_number(node):
            for read in list(node.users):  # `.item()`: the value becomes part of the graph
                read.replace_all_uses_with(float(example))
                graph.erase_node(read)
            graph.erase_node(node)
        elif is_static_input(example) and fqn not in as_inputs:
            _register(module, fqn, example)
            with graph.inserting_before(first):
                node.replace_all_uses_with(graph.get_attr(fqn))
            graph.erase_node(node)
            made.weights[fqn] = (i, example)
        else:
            made.kept.append(i)
            made.examples.append(example.detach())
            specs.append(dynamic_dims(node.meta["example_value"]))
    read_sizes_from_tensors(graph, lambda n: n.meta.get("example_value"), numbers)
    made.dynamic_shapes = tuple(specs)
    graph.lint()
    module.recompile()
    return made


def _register(module: torch.nn.Module, fqn: str, value: torch.Tensor) -> None:
    *path, name = fqn.split(".")
    for part in path:
        if part not in dict(module.named_children()):
            module.add_module(part, torch.nn.Module())
        module = getattr(module, part)
    if isinstance(value, torch.nn.Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _mutated(graph: Rebuilt, options: Options) -> frozenset[str]:
    """FQNs of the buffers that the graph writes to."""
    if not any(not isinstance(t, torch.nn.Parameter) for _, t in graph.weights.values()):
        return frozenset()
    captured = capture_job(graph.job, options)
    outputs = captured.program.graph_signature.output_specs
    return frozenset(
        o.target for o in outputs if o.kind is OutputKind.BUFFER_MUTATION and o.target is not None
    )
