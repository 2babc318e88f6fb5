"""A call's arguments against the signature: order, structure, dtypes, shapes, ranges. No torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from fxmax.errors import InputError
from fxmax.runtime.arrays import dtype_name
from fxmax.runtime.signature import ConstantSpec, Signature, TensorSpec

Flatten = Callable[[tuple[Any, ...], dict[str, Any]], list[Any]]

# The input's name, the axis, the size as text and as an expression, and, where it is
# factor · symbol + offset, those three.
Derived = tuple[str, int, str, Any, tuple[str, int, int] | None]


class Arguments:
    """Turns `(args, kwargs)` of a call into the flat tensors of the graph's inputs, checked.

    Args:
        parameters: names of the forward's parameters, in order.
        positional: how many of them were given by position when it was traced.
        named: those that were given by name.
        flatten: the leaves of arranged `(args, kwargs)`; it raises `InputError` where their
            structure is not the one that was traced.
    """

    def __init__(
        self,
        signature: Signature,
        parameters: Sequence[str],
        positional: int,
        named: Sequence[str],
        flatten: Flatten,
    ) -> None:
        self.signature = signature
        self.parameters, self.positional, self.named = list(parameters), positional, list(named)
        self._flatten = flatten
        self._checks = [self._check_for(spec) for spec in signature.inputs]
        self._derived = _derived_sizes(signature)
        self._plain = all(
            isinstance(spec, TensorSpec) and spec.name.isidentifier() for spec in signature.inputs
        )

    def flatten(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The tensors, in the graph's order.

        Raises:
            InputError: see `Compiled.__call__`.
        """
        if len(args) != self.positional or list(kwargs) != self.named:
            args, kwargs = self._arranged(args, kwargs)
        if self._plain and not any(isinstance(v, (list, tuple, dict)) for v in args):
            leaves = [*args, *kwargs.values()]
        else:
            leaves = self._flatten(args, kwargs)
        sizes: dict[str, int] = {}
        values = [v for v, check in zip(leaves, self._checks, strict=True) if check(v, sizes)]
        for index, derived in self._derived:
            self._check_derived(derived, values[index].shape, sizes)
        return values

    def _arranged(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call in the shape that was lowered: the same arguments by position and by name."""
        wanted = [*self.parameters[: self.positional], *self.named]
        if len(args) > len(self.parameters):
            raise InputError(
                f"{len(args)} positional arguments given; it was lowered for ({', '.join(wanted)})"
            )
        given = dict(zip(self.parameters, args, strict=False))
        if twice := sorted(set(given) & set(kwargs)):
            raise InputError(f"given twice, by position and by name: {', '.join(twice)}")
        given |= kwargs
        constants = {s.name: s.value for s in self.signature.inputs if isinstance(s, ConstantSpec)}
        missing = [n for n in wanted if n not in given and n not in constants]
        unknown = [n for n in given if n not in wanted and given[n] is not None]
        if missing or unknown:
            problem = [f"missing: {', '.join(missing)}"] if missing else []
            problem += [f"not lowered for: {', '.join(unknown)}"] if unknown else []
            raise InputError(f"{'; '.join(problem)}. It was lowered for ({', '.join(wanted)}).")
        values = [given.get(n, constants.get(n)) for n in wanted]
        return tuple(values[: self.positional]), dict(zip(self.named, values[self.positional :], strict=True))

    def _check_for(self, spec: TensorSpec | ConstantSpec) -> Callable[[Any, dict[str, int]], bool]:
        """A function that raises on a wrong value; it returns whether the value is a tensor."""
        if isinstance(spec, ConstantSpec):
            return lambda value, sizes: _check_constant(spec, value)
        shape, static = spec.shape, all(isinstance(s, int) for s in spec.shape)
        right: set[Any] = set()  # dtypes, torch's or numpy's, that were found to be the wanted one

        def check(value: Any, sizes: dict[str, int]) -> bool:
            if not hasattr(value, "__dlpack__"):
                raise InputError(
                    f"{spec.name} is a {type(value).__name__}; it must be a torch tensor or numpy array"
                )
            dtype = value.dtype
            if dtype not in right:
                name = dtype_name(value)
                if name != spec.dtype:
                    raise InputError(f"{spec.name} is {name}; {spec.dtype} was lowered.")
                right.add(dtype)
            if tuple(value.shape) != shape and (static or not self._fits(spec, value.shape, sizes)):
                raise InputError(f"{spec.name} has shape {list(value.shape)}; {_show(shape)} was lowered.")
            return True

        return check

    def _fits(self, spec: TensorSpec, shape: tuple[int, ...], sizes: dict[str, int]) -> bool:
        """Whether `shape` fits, given the sizes that earlier inputs fixed; ranges are checked."""
        if len(shape) != len(spec.shape):
            return False
        for axis, (size, wanted) in enumerate(zip(shape, spec.shape, strict=True)):
            if isinstance(wanted, int):
                if size != wanted:
                    return False
            elif wanted.isidentifier():
                if sizes.setdefault(wanted, size) != size:
                    raise InputError(
                        f"{spec.name} has size {size} on axis {axis}; {wanted} is {sizes[wanted]} elsewhere"
                    )
                self._check_range(spec.name, axis, size, wanted, size)
        return True

    def _check_range(self, label: str, axis: int, size: int, name: str, value: int) -> None:
        least, most = self.signature.ranges.get(name, (0, None))
        if value < least or (most is not None and value > most):
            top = "…" if most is None else most
            known = "" if value == size else f", which makes {name} {value}"
            raise InputError(
                f"{label} has size {size} on axis {axis}{known}; {name} was lowered for {least}..{top}"
            )

    def _check_derived(self, derived: Derived, shape: Sequence[int], sizes: dict[str, int]) -> None:
        """Check a size such as `2*half + 1`; where no other input tells `half`, this one does."""
        name, axis, text, expression, linear = derived
        size = shape[axis]
        if linear and linear[0] not in sizes:
            symbol, factor, offset = linear
            value, rest = divmod(size - offset, factor)
            if rest:
                raise InputError(f"{name} has size {size} on axis {axis}; {text} was lowered")
            sizes[symbol] = value
            self._check_range(name, axis, size, symbol, value)
            return
        known = {s: sizes[s.name] for s in expression.free_symbols if s.name in sizes}
        wanted = expression.subs(known)
        if wanted.is_Integer and int(wanted) != size:
            given = ", ".join(f"{s} is {n}" for s, n in known.items())
            raise InputError(f"{name} has size {size} on axis {axis}; {text} was lowered, and {given}")


def _derived_sizes(signature: Signature) -> list[tuple[int, Derived]]:
    """Every size that derives from others, with the index of its input among the tensors."""
    found = []
    for index, spec in enumerate(signature.tensors):
        for axis, size in enumerate(spec.shape):
            if isinstance(size, int) or size.isidentifier():
                continue
            import sympy  # only where a size derives from another: it takes a while to load
            from sympy.parsing.sympy_parser import parse_expr

            names = set(re.findall(r"[A-Za-z_]\w*", size)) - {"Mod"}
            expression = parse_expr(size, {n: sympy.Symbol(n, integer=True) for n in names})
            linear = None
            if len(names) == 1 and expression.is_polynomial() and sympy.degree(expression) == 1:
                factor, offset = sympy.Poly(expression).all_coeffs()
                linear = (names.pop(), int(factor), int(offset))
            found.append((index, (spec.name, axis, size, expression, linear)))
    return found


def _check_constant(spec: ConstantSpec, value: Any) -> bool:
    if type(value) is not type(spec.value) or value != spec.value:
        raise InputError(
            f"{spec.name} is {value!r}; the module was lowered with {spec.value!r}, which is part of "
            "the graph. Lower it again with the other value."
        )
    return False


def _show(shape: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
