"""The nesting of a module's inputs and outputs: torch's pytree, and the plain tree of an artifact."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from fxmax.errors import ArtifactError, InputError
from fxmax.fx.torch_private import pytree
from fxmax.lowered import Lowered
from fxmax.runtime import tree as trees
from fxmax.runtime.call_arguments import Arguments
from fxmax.runtime.tree import Tree


def arguments_of(lowered: Lowered) -> Arguments:
    """How the module is called, by torch's own pytree of the inputs that it was traced with."""
    captured = lowered.captured
    in_spec = captured.program.call_spec.in_spec
    examples: Any = captured.program.example_inputs or ((), {})

    def flatten(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        leaves, spec = pytree.tree_flatten((args, kwargs))
        if spec == in_spec:
            return leaves
        if _is_plain(in_spec):  # as an artifact takes them, and with what it says of a wrong call
            return trees.flatten_call(tree_of(in_spec), captured.parameters, args, kwargs)
        raise InputError(
            f"the arguments' structure differs from the one that was lowered.\n"
            f"  given: {spec}\n  lowered: {in_spec}"
        )

    return Arguments(lowered.signature, captured.parameters, len(examples[0]), list(examples[1]), flatten)


def tree_of(spec: Any) -> Tree:
    """A torch pytree spec as plain data.

    Raises:
        ArtifactError: a key of a dict in it is no string or number.
    """
    if spec.is_leaf():
        return {"type": "leaf"}
    items = [tree_of(child) for child in spec.children()]
    if spec.type in (list, tuple):
        return {"type": spec.type.__name__, "items": items}
    example = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    entries, _ = pytree.tree_flatten_with_path(example, is_leaf=lambda x: x is not example)
    keys = [getattr(path[0], "key", getattr(path[0], "name", None)) for path, _ in entries]
    if bad := [k for k in keys if not isinstance(k, (str, int))]:
        raise ArtifactError(f"an output of {spec.type.__name__} with key {bad[0]!r} can't be kept as JSON")
    if issubclass(spec.type, dict) and spec.type.__module__ in ("builtins", "collections"):
        return {"type": "dict", "keys": keys, "items": items}
    named = issubclass(spec.type, tuple) or hasattr(spec.context, "_fields")
    cls = spec.context if hasattr(spec.context, "_fields") else spec.type
    return {"type": "namedtuple" if named else "object", "name": cls.__name__, "keys": keys, "items": items}


def _is_plain(spec: Any) -> bool:
    """Whether the members of all that is nested are found by index, by key or by the field's name."""
    if spec.is_leaf():
        return True
    if spec.type is dict:
        members = all(isinstance(key, (str, int)) for key in spec.context)
    else:
        members = issubclass(spec.type, (list, tuple)) or is_dataclass(spec.type)
    return members and all(map(_is_plain, spec.children()))
