"""What fxmax raises. Every message says what is wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class GapReport(Protocol):
    """What a `LoweringError` needs of a `fxmax.Report`."""

    @property
    def gaps(self) -> Sequence[Any]: ...

    def gaps_text(self) -> str: ...


class FxmaxError(Exception):
    """Base of every error that fxmax raises on purpose."""


class CaptureError(FxmaxError):
    """torch.export could not trace the module, or its inputs are not known."""


class OptionError(FxmaxError, TypeError, ValueError):
    """An option of `fxmax.lower` or its like has a name or a value that there is not."""


class RuleError(FxmaxError):
    """A rule does not fit the schema of the overload that it is registered for."""


class LoweringError(FxmaxError):
    """Some nodes can't be lowered; `report.gaps` lists every one of them."""

    def __init__(self, report: GapReport) -> None:
        super().__init__(report.gaps_text())
        self.report = report


class WeightError(FxmaxError):
    """A weight is missing, unused, or has the wrong name, shape or dtype."""


class InputError(FxmaxError, TypeError):
    """A call's arguments do not fit the compiled signature."""


class OverlapError(InputError):
    """A call writes memory that two of its arguments share, or an argument and the module."""


class DeviceError(FxmaxError):
    """The device that was asked for is not there."""


class CompileError(FxmaxError):
    """MAX refused or failed to compile a lowered graph.

    `nodes` are the names of the fx nodes whose ops MAX failed on, where that could be found out.
    """

    def __init__(self, message: str, nodes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.nodes = tuple(nodes)


class ArtifactError(FxmaxError):
    """An artifact is damaged, of another version, not for this machine, or can't be written."""


class VersionError(FxmaxError, ImportError):
    """The installed torch is older than fxmax works with."""


class MismatchError(FxmaxError):
    """A compiled graph's results are not torch's.

    `verification` has every node's numbers, if it ran; `inputs` are those of the call, flat.
    """

    def __init__(self, message: str, verification: Any = None, inputs: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.verification = verification
        self.inputs = tuple(inputs)
