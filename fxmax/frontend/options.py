"""What `lower`, `explain`, `verify` and their like are asked for, as one value that goes through all stages.

The entry points take the keywords of a `TypedDict` below and make `Options` of them at once; from there on
the whole of it is handed on, so that no stage can forget what another one was told.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal, TypedDict

from max.graph import DeviceRef

from fxmax.core.table import RuleTable
from fxmax.errors import OptionError
from fxmax.passes import pass_names
from fxmax.rules import default_table
from fxmax.rules.quantized_linear import quantized
from fxmax.runtime import device as devices

Unsupported = Literal["error", "torch"]
UNSUPPORTED: tuple[Unsupported, ...] = ("error", "torch")
CheckMode = bool | Literal["warn"]
STRICTNESS: tuple[CheckMode, ...] = (False, "warn", True)
CHECK_MODES: dict[str, CheckMode] = {"1": True, "0": False, "warn": "warn"}


class WalkOptions(TypedDict, total=False):
    """Keywords of all entry points: how a module is captured and lowered. `fxmax.lower` explains them."""

    table: RuleTable | None
    device: str
    passes: Sequence[str] | None
    dtype: str | None
    quiet: bool


class CompileOptions(WalkOptions, total=False):
    """Keywords of `lower_many`: also how weights are bound, and whether results are compared with torch's."""

    strict: bool
    check: CheckMode


class BackendOptions(WalkOptions, total=False):
    """Keywords of `torch.compile(options=...)`: also what becomes of ops that can't be lowered."""

    unsupported: Unsupported
    check: CheckMode


class LowerOptions(CompileOptions, BackendOptions, total=False):
    """Keywords of `lower`: all there are."""


@dataclass(frozen=True)
class Options:
    """What was asked for, with defaults filled in and every name resolved and checked."""

    table: RuleTable  # the rules as they are now, overrides and those of `dtype` included
    device: DeviceRef
    passes: tuple[str, ...]  # in the order that they run in
    dtype: str | None
    strict: bool
    unsupported: Unsupported
    check: CheckMode
    quiet: bool

    @classmethod
    def resolve(
        cls,
        *,
        table: RuleTable | None = None,
        device: str = "auto",
        passes: Sequence[str] | None = None,
        dtype: str | None = None,
        strict: bool = True,
        unsupported: Unsupported = "error",
        check: CheckMode = True,
        quiet: bool = False,
    ) -> Options:
        """The options for what a user wrote; `fxmax.lower` explains each.

        Raises:
            OptionError: a value is not one of those that there are, or does not go with the others.
            DeviceError: there is no such device, or it can't do what is asked of it.
        """
        if unsupported not in UNSUPPORTED:
            raise OptionError(f"unsupported={unsupported!r}: it is 'error' or 'torch'")
        compared = _check_mode(check)
        where = devices.resolve(device)
        chosen = pass_names(passes)
        rules = quantized(default_table() if table is None else table, dtype, where, chosen)
        return cls(RuleTable(parent=rules), where, chosen, dtype, strict, unsupported, compared, quiet)

    def again(self, entry: str, given: Mapping[str, Any], free: Sequence[str] = ("quiet",)) -> Options:
        """These options, for a module that was lowered with them; `given` may change the `free` ones.

        Raises:
            OptionError: `given` has an option that was settled when the module was lowered.
        """
        if settled := sorted(set(given) - set(free)):
            raise OptionError(
                f"{entry} of a module that is lowered already: {', '.join(settled)} can't be changed; "
                f"give {entry} the module itself, or lower it anew"
            )
        named = {name: value for name, value in given.items() if value is not None}
        if "table" in named:
            named["table"] = RuleTable(parent=named["table"])
        return replace(self, **named)


def _check_mode(check: CheckMode) -> CheckMode:
    """`check`, as far as the environment's FXMAX_CHECK allows it: with 0 nothing, with warn no error."""
    if not isinstance(check, bool) and check != "warn":
        raise OptionError(f"check={check!r}: it is True, 'warn' or False")
    said = os.environ.get("FXMAX_CHECK", "1")
    if said not in CHECK_MODES:
        raise OptionError(f"FXMAX_CHECK={said!r} in the environment: it is 1, warn or 0")
    return min(check, CHECK_MODES[said], key=STRICTNESS.index)


def known(entry: str, keywords: type[Mapping[str, Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """`options`, if `keywords` (one of the TypedDicts above) has every name in it.

    Raises:
        OptionError: a name is not there; the text says which `entry` takes.
    """
    names: frozenset[str] = keywords.__optional_keys__  # type: ignore[attr-defined]
    for name in options:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(names))}"
            raise OptionError(f"{entry} has no option {name!r}; {hint}")
    return options
