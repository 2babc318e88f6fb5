"""fxmax: lower a PyTorch module to Modular's MAX engine through a table of rules.

`fxmax.lower(module, args)` returns a callable that runs on MAX; `fxmax.explain` says what would
be lowered and what can't be. Attributes load on first use: `import fxmax` imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fxmax._version import __version__

__all__ = [
    "ArtifactError",
    "CaptureError",
    "CompileError",
    "Compiled",
    "Context",
    "Declined",
    "DeviceError",
    "FxmaxError",
    "Gap",
    "HostOnly",
    "InputError",
    "Job",
    "Loaded",
    "Lowered",
    "LoweringError",
    "Profile",
    "Report",
    "Rule",
    "RuleError",
    "RuleTable",
    "Verification",
    "WeightError",
    "__version__",
    "default_table",
    "explain",
    "load",
    "load_all",
    "lower",
    "lower_many",
    "profile",
    "rule",
    "save",
    "verify",
]

if TYPE_CHECKING:
    from fxmax.api import Job, explain, lower, lower_many
    from fxmax.artifact import Loaded, load, load_all, save
    from fxmax.compiled import Compiled
    from fxmax.core.context import Context
    from fxmax.core.table import Rule, RuleTable
    from fxmax.errors import (
        ArtifactError,
        CaptureError,
        CompileError,
        DeviceError,
        FxmaxError,
        InputError,
        LoweringError,
        RuleError,
        WeightError,
    )
    from fxmax.lowering.walk import Lowered
    from fxmax.profiling import Profile, profile
    from fxmax.report import Gap, Report
    from fxmax.rules import default_table, rule
    from fxmax.support.signals import Declined, HostOnly
    from fxmax.verification import Verification, verify

_HOMES = {
    "fxmax.api": ("Job", "explain", "lower", "lower_many"),
    "fxmax.artifact": ("Loaded", "load", "load_all", "save"),
    "fxmax.compiled": ("Compiled",),
    "fxmax.core.context": ("Context",),
    "fxmax.lowering.walk": ("Lowered",),
    "fxmax.profiling": ("Profile", "profile"),
    "fxmax.report": ("Gap", "Report"),
    "fxmax.core.table": ("Rule", "RuleTable"),
    "fxmax.rules": ("default_table", "rule"),
    "fxmax.support.signals": ("Declined", "HostOnly"),
    "fxmax.verification": ("Verification", "verify"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in __all__:
        try:
            return getattr(import_module(_HOME.get(name, "fxmax.errors")), name)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            message = f"fxmax.{name} needs torch, which is not installed: pip install 'fxmax[torch]'"
            raise ModuleNotFoundError(message, name="torch") from None
    raise AttributeError(f"module 'fxmax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
