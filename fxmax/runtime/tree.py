"""Nested inputs and outputs as plain data, without torch: what an artifact keeps of a pytree.

A tree is `{"type": "leaf"}` or `{"type": T, "items": [trees]}`, with `keys` for a dict, a namedtuple
or an object (a dataclass, a Hugging Face output), and `name`, the class, for the last two.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Sequence
from typing import Any

from fxmax.errors import InputError

Tree = dict[str, Any]


class Record(dict[str, Any]):
    """An object of a class that is not needed here: its fields by name, as items and attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def flatten(tree: Tree, value: Any, where: str = "") -> list[Any]:
    """The leaves of `value`, which must have the structure of `tree`.

    Raises:
        InputError: it has another structure; `where` and the path to the place are told.
    """
    kind, items = tree["type"], tree.get("items", ())
    if kind == "leaf":
        return [value]
    if kind in ("list", "tuple"):
        if not isinstance(value, (list, tuple)) or len(value) != len(items):
            raise InputError(
                f"{where or 'the arguments'}: {_show(value)} given; {_describe(tree)} was lowered"
            )
        parts = [(item, v, f"{where}[{i}]") for i, (item, v) in enumerate(zip(items, value, strict=True))]
    else:
        parts = [
            (i, _member(value, k, tree, where), f"{where}.{k}")
            for i, k in zip(items, tree["keys"], strict=True)
        ]
        if isinstance(value, dict) and (extra := [k for k in value if k not in tree["keys"]]):
            raise InputError(f"{where or 'the arguments'}: {', '.join(map(str, extra))} not lowered for")
    return [leaf for item, v, place in parts for leaf in flatten(item, v, place.lstrip("."))]


def flatten_call(
    tree: Tree, parameters: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Any]:
    """The leaves of a call whose arguments are as many, and of the names, that `tree` has.

    Raises:
        InputError: as `flatten`; the parameter's name is told.
    """
    positional, named = tree["items"]
    labels = [*parameters, *(f"argument {i}" for i in range(len(parameters), len(args)))]
    parts = list(zip(positional["items"], args, labels[: len(args)], strict=True))
    parts += [(item, kwargs[name], name) for item, name in zip(named["items"], named["keys"], strict=True)]
    return [leaf for item, value, label in parts for leaf in flatten(item, value, label)]


def unflatten(tree: Tree, leaves: Iterator[Any]) -> Any:
    """A value of the structure of `tree`, made of `leaves`."""
    kind = tree["type"]
    if kind == "leaf":
        return next(leaves)
    values = [unflatten(item, leaves) for item in tree["items"]]
    if kind in ("list", "tuple"):
        return values if kind == "list" else tuple(values)
    if kind == "dict":
        return dict(zip(tree["keys"], values, strict=True))
    if kind == "namedtuple":
        return namedtuple(tree["name"], tree["keys"])(*values)
    return Record(zip(tree["keys"], values, strict=True))


def _member(value: Any, key: Any, tree: Tree, where: str) -> Any:
    if isinstance(value, dict) and key in value:
        return value[key]
    if isinstance(key, str) and not isinstance(value, dict) and hasattr(value, key):
        return getattr(value, key)
    raise InputError(f"{where or 'the arguments'}: {key!r} is missing; {_describe(tree)} was lowered")


def _describe(tree: Tree) -> str:
    if "keys" in tree:
        return f"{tree.get('name', 'a dict')} of ({', '.join(map(str, tree['keys']))})"
    return f"a {tree['type']} of {len(tree['items'])}"


def _show(value: Any) -> str:
    size = f" of {len(value)}" if isinstance(value, (list, tuple, dict)) else ""
    return f"a {type(value).__name__}{size}"
