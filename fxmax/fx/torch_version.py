"""Which torch fxmax works with: an older one is refused, a newer one gets a warning."""

from __future__ import annotations

import warnings

import torch

from fxmax.errors import VersionError

# The first and the last minor version that fxmax was tried with. The extras of pyproject.toml ask for less: a
# version that has a wheel for the CPU.
OLDEST, NEWEST = (2, 10), (2, 15)


def check_torch(version: str = torch.__version__) -> None:
    """Refuse or warn, by `major.minor`.

    Raises:
        VersionError: torch lacks what fxmax uses of it.
    """
    major, minor = (int(number) for number in version.split(".")[:2])
    if (major, minor) < OLDEST:
        raise VersionError(
            f"fxmax needs torch {_text(OLDEST)} or newer, and torch {version} is installed: "
            "pip install 'fxmax[torch]' replaces it"
        )
    if (major, minor) > NEWEST:
        warnings.warn(
            f"torch {version} is newer than what fxmax was tested with ({_text(OLDEST)} to {_text(NEWEST)}); "
            "fxmax.verify compares a module's results with torch's",
            stacklevel=2,
        )


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
