"""The built-in rules, one family a file, and the table that they fill.

Every file here registers rules by importing `fxmax.core.table.rule`; what several share is in `lib/`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import entry_points

from fxmax.core.table import BUILTIN, Platform, RuleFn, RuleTable
from fxmax.fx.torch_private import OpOverload
from fxmax.rules import (  # noqa: F401
    activation,
    arithmetic,
    arrange,
    attention,
    compare,
    concat_split,
    conv,
    conv1d_channels_last,
    copy_cast,
    creation,
    data_dependent,
    distance,
    embedding_bag,
    fused_attention,
    fused_linear,
    gather,
    grouped_mm,
    histogram,
    kv_cache,
    matmul,
    norm,
    pad,
    pool,
    reduce,
    resize,
    scatter,
    search,
    slices,
    softmax,
    sort,
    unary,
    views,
)
from fxmax.rules.grouped_mm import register_loaded


def default_table() -> RuleTable:
    """The built-in rules, then those of installed packages (entry-point group `fxmax.rules`)."""
    _load_plugins()
    register_loaded(BUILTIN)
    return BUILTIN


@functools.cache
def _load_plugins() -> None:
    for plugin in entry_points(group="fxmax.rules"):
        plugin.load()


def rule(
    *targets: OpOverload,
    platform: Platform | None = None,
    override: bool = False,
    prepack: tuple[str, ...] = (),
) -> Callable[[RuleFn], RuleFn]:
    """Register a rule of your own in the default table; see `RuleTable.rule`."""
    return BUILTIN.rule(*targets, platform=platform, override=override, prepack=prepack)
