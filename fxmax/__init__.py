"""fxmax: lower a PyTorch module to Modular's MAX engine through a table of rules.

`fxmax.lower(module, args)` returns a callable that runs on MAX; `fxmax.explain` says what would
be lowered and what can't be. Attributes load on first use: `import fxmax` imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fxmax._version import __version__ as __version__

_NAMES = {
    "fxmax.api": ("Job", "explain", "lower", "lower_many"),
    "fxmax.artifact": ("Loaded", "load", "load_all"),
    "fxmax.compiled": ("Compiled", "save"),
    "fxmax.core.context": ("Context",),
    "fxmax.core.table": ("Rule", "RuleTable"),
    "fxmax.errors": (
        "ArtifactError",
        "CaptureError",
        "CompileError",
        "DeviceError",
        "FxmaxError",
        "InputError",
        "OverlapError",
        "LoweringError",
        "MismatchError",
        "OptionError",
        "RuleError",
        "VersionError",
        "WeightError",
    ),
    "fxmax.lowered": ("Lowered",),
    "fxmax.profiling": ("Profile", "profile"),
    "fxmax.records": ("Check", "Gap"),
    "fxmax.report": ("Report",),
    "fxmax.rules": ("default_table", "rule"),
    "fxmax.support.signals": ("Declined", "HostOnly"),
    "fxmax.verification": ("Verification", "prove", "verify"),
}
_HOME = {name: home for home, names in _NAMES.items() for name in names}

__all__ = sorted([*_HOME, "__version__"])

if TYPE_CHECKING:  # the same once more for type checkers; tests/test_public_names.py compares the two
    from fxmax.api import Job as Job
    from fxmax.api import explain as explain
    from fxmax.api import lower as lower
    from fxmax.api import lower_many as lower_many
    from fxmax.artifact import Loaded as Loaded
    from fxmax.artifact import load as load
    from fxmax.artifact import load_all as load_all
    from fxmax.compiled import Compiled as Compiled
    from fxmax.compiled import save as save
    from fxmax.core.context import Context as Context
    from fxmax.core.table import Rule as Rule
    from fxmax.core.table import RuleTable as RuleTable
    from fxmax.errors import ArtifactError as ArtifactError
    from fxmax.errors import CaptureError as CaptureError
    from fxmax.errors import CompileError as CompileError
    from fxmax.errors import DeviceError as DeviceError
    from fxmax.errors import FxmaxError as FxmaxError
    from fxmax.errors import InputError as InputError
    from fxmax.errors import LoweringError as LoweringError
    from fxmax.errors import MismatchError as MismatchError
    from fxmax.errors import OptionError as OptionError
    from fxmax.errors import OverlapError as OverlapError
    from fxmax.errors import RuleError as RuleError
    from fxmax.errors import VersionError as VersionError
    from fxmax.errors import WeightError as WeightError
    from fxmax.lowered import Lowered as Lowered
    from fxmax.profiling import Profile as Profile
    from fxmax.profiling import profile as profile
    from fxmax.records import Check as Check
    from fxmax.records import Gap as Gap
    from fxmax.report import Report as Report
    from fxmax.rules import default_table as default_table
    from fxmax.rules import rule as rule
    from fxmax.support.signals import Declined as Declined
    from fxmax.support.signals import HostOnly as HostOnly
    from fxmax.verification import Verification as Verification
    from fxmax.verification import prove as prove
    from fxmax.verification import verify as verify


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fxmax' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        message = f"fxmax.{name} needs torch, which is not installed: pip install 'fxmax[torch]'"
        raise ModuleNotFoundError(message, name="torch") from None


def __dir__() -> list[str]:
    return __all__
