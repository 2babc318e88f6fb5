"""The rule table: how each ATen overload is lowered, and nothing else decides it.

A rule is a plain function `(ctx, *schema arguments) -> TensorValue | sequence`, registered for
one or more `OpOverload`s. Its parameter names are checked against the overload's schema when it
is registered, so a misspelt or forgotten argument fails at import and never in a user's hands.

The key is the overload and, for a rule of one platform alone, the platform: `@rule(op)` is for any,
`@rule(op, platform="cpu")` beside it for the CPU, and the more specific one wins.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fxmax.errors import RuleError
from fxmax.fx.torch_private import OpOverload, op_parts, schema_of

RuleFn = Callable[..., Any]
Platform: TypeAlias = Literal["cpu", "gpu"]

# Platform → the keys that a rule for it may have, the first found being taken; None is that of a rule for
# any. A GPU's graph has the host beside it, where a rule of the CPU's can run.
SEARCHED: dict[Platform | None, tuple[Platform | None, ...]] = {
    "cpu": ("cpu", None),
    "gpu": ("gpu", None, "cpu"),
    None: (None, "cpu"),
}

# Tensor options that never change a value in MAX: the dtype is in `ctx.out`, the device is the
# graph's, and MAX has one layout. A rule may leave them out of its parameters.
IGNORABLE = frozenset({"dtype", "layout", "device", "pin_memory", "memory_format"})


@dataclass(frozen=True)
class Rule:
    """One lowering: `fn(ctx, *arguments)` for `target`, written at `where` (file:line).

    `platform` is the only one that it is for (None: it is for any).

    `arguments` are the schema arguments that `fn` takes, in order. An argument in `prepack` comes
    unread where it is a weight, for `ctx.prepacked` to store in another layout. `builtin` marks fxmax's
    own rules: passes that replace several ops by one run only where those ops are lowered by them.
    """

    target: OpOverload
    fn: RuleFn
    where: str
    arguments: tuple[str, ...]
    platform: Platform | None = None
    prepack: tuple[str, ...] = ()
    builtin: bool = False


def parameter_name(argument: str) -> str:
    """The Python parameter for a schema argument: its own name, or `from_` for a keyword."""
    return f"{argument}_" if keyword.iskeyword(argument) else argument


def arguments_of(target: OpOverload, fn: RuleFn) -> tuple[str, ...]:
    """The schema arguments that `fn` takes: all of them, in order, less ignorable ones.

    Raises:
        RuleError: `fn`'s parameters after `ctx` are anything else.
    """
    names = [a.name for a in schema_of(target).arguments]
    wanted = [parameter_name(name) for name in names]
    given = list(inspect.signature(fn).parameters)[1:]
    taken = [name for name in names if parameter_name(name) in given or name not in IGNORABLE]
    if given != [parameter_name(name) for name in taken]:
        raise RuleError(
            f"rule {fn.__qualname__} does not fit {target}: its parameters after ctx are "
            f"({', '.join(given)}), the schema's are ({', '.join(wanted)}).\n"
            f"  schema: {schema_of(target)}\n  {', '.join(sorted(IGNORABLE))} may be left out."
        )
    return tuple(taken)


def stub(target: OpOverload) -> str:
    """A rule for `target`, ready to paste and fill in."""
    schema = schema_of(target)
    namespace, name, overload = op_parts(target)
    parameters = ", ".join(parameter_name(a.name) for a in schema.arguments if a.name not in IGNORABLE)
    return (
        f"@fxmax.rule(torch.ops.{namespace}.{name}.{overload})\n"
        f"def {name.strip('_')}(ctx, {parameters}):\n"
        f"    # {schema}\n"
        f"    # ctx.out is the type to return\n"
        f"    return ..."
    )


class RuleTable(Mapping[OpOverload, Rule]):
    """A mapping from `OpOverload` to `Rule`, with scoped overrides.

    `parent` supplies the rules that this table does not have: `RuleTable(parent=default_table())`
    is a private table that starts from the built-in one.

    An overload may have several rules, one a platform beside the general one. `table[op]` is what
    lowers it on the CPU, `lookup` asks for a platform, and `rules_of` has all of them.
    """

    def __init__(self, *, parent: RuleTable | None = None) -> None:
        self._rules: dict[OpOverload, dict[Platform | None, Rule]] = parent._copied() if parent else {}

    def __getitem__(self, target: OpOverload) -> Rule:
        rules = self._rules[target]
        return self.lookup(target, "cpu") or rules["gpu"]

    def __iter__(self) -> Iterator[OpOverload]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def lookup(self, target: OpOverload, platform: Platform | None) -> Rule | None:
        """The rule that lowers `target` on a platform: its own if there is one, else the general one.

        For a GPU it may be the CPU's, which runs on the host. None asks for the general rule, and for the
        CPU's where there is no other.
        """
        rules = self._rules.get(target, {})
        return next((rules[p] for p in SEARCHED[platform] if p in rules), None)

    def rules_of(self, target: OpOverload) -> tuple[Rule, ...]:
        """Every rule of `target`, the general one first."""
        return tuple(self._rules.get(target, {}).values())

    def rule(
        self,
        *targets: OpOverload,
        platform: Platform | None = None,
        override: bool = False,
        prepack: tuple[str, ...] = (),
        builtin: bool = False,
    ) -> Callable[[RuleFn], RuleFn]:
        """Decorator: register a function for each target.

        Args:
            platform: `cpu` or `gpu`, the only one that it is for; it is taken there before the general
                rule, which comes first. An op that has none but the CPU's runs on the host in a GPU's
                graph.
            override: replace the rule that a target has: for the platform, or, without one, all of its
                rules.
            prepack: arguments that the function passes to `ctx.prepacked` and nowhere else.
            builtin: whether it is one of fxmax's own (`Rule.builtin`).

        Raises:
            RuleError: a target is not an overload, has a rule already (and `override` is false),
                or its schema does not fit the function's parameters; no such platform.
        """
        if platform not in SEARCHED:
            raise RuleError(f"platform={platform!r}: a rule is for 'cpu' or 'gpu', or for any (None)")

        def register(fn: RuleFn) -> RuleFn:
            for target in targets:
                if not isinstance(target, OpOverload):
                    raise RuleError(f"{target} is not an overload; write for example {target}.default")
                if not override:
                    self._check_free(target, platform)
                arguments = arguments_of(target, fn)
                new = Rule(target, fn, _where(fn), arguments, platform, prepack, builtin)
                others = {} if platform is None else self._rules.get(target, {})
                self._rules[target] = {**others, platform: new}
            return fn

        return register

    @contextmanager
    def override(
        self, target: OpOverload, fn: RuleFn | None, platform: Platform | None = None
    ) -> Iterator[RuleTable]:
        """Within the `with` block, `target` is lowered by `fn` (None: it has no rule).

        With a `platform` that is so there alone, and the other rules stay.
        """
        before = self._copied()
        try:
            rules = self._rules.pop(target, {})
            if platform is not None and (others := {p: r for p, r in rules.items() if p != platform}):
                self._rules[target] = others
            if fn is not None:
                self.rule(target, platform=platform, override=True)(fn)
            yield self
        finally:
            self._rules = before

    def _copied(self) -> dict[OpOverload, dict[Platform | None, Rule]]:
        return {target: dict(rules) for target, rules in self._rules.items()}

    def _check_free(self, target: OpOverload, platform: Platform | None) -> None:
        """A general rule is for every platform: beside one that is there already it would not be taken."""
        rules = self._rules.get(target, {})
        there = next(iter(rules.values()), None) if platform is None else rules.get(platform)
        if there is not None:
            where = f"{there.where}{f' [{there.platform}]' if there.platform else ''}"
            raise RuleError(f"{target} has a rule already, at {where}; pass override=True to replace it")


def _where(fn: RuleFn) -> str:
    """file:line of a rule: where it says so itself (a rule made by a helper), else its code's."""
    if said := getattr(fn, "where", None):
        return str(said)
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else getattr(fn, "__name__", "?")


BUILTIN = RuleTable()
"""fxmax's own rules, filled by importing `fxmax.rules`; ask for it by `fxmax.rules.default_table`."""


def rule(
    *targets: OpOverload,
    platform: Platform | None = None,
    prepack: tuple[str, ...] = (),
) -> Callable[[RuleFn], RuleFn]:
    """Register one of fxmax's own rules; see `RuleTable.rule`. A user's `fxmax.rule` is another."""
    return BUILTIN.rule(*targets, platform=platform, prepack=prepack, builtin=True)
