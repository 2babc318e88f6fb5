"""An older torch is refused, a newer one gets one warning, and all pages say the same range of versions."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import fxmax
from fxmax.fx.torch_version import NEWEST, OLDEST, check_torch

ROOT = Path(__file__).parents[2]

# A program that has a torch of another version, and uses fxmax of it in several ways.
PROGRAM = """
import torch
torch.__version__ = {version!r}
import fxmax
print("imported", flush=True)
for _ in range(2):
    report = fxmax.explain(torch.nn.Linear(4, 4), (torch.randn(2, 4),), quiet=True)
fxmax.verify, fxmax.profile, fxmax.rule
print(report.ok)
"""


def with_torch(version: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(version=version)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("version", ["1.13.1", "2.9.1+cu128", "2.0.0a0+git1234567"])
def test_an_older_torch_is_refused(version: str) -> None:
    with pytest.raises(fxmax.VersionError, match=rf"needs torch 2.10 .* torch {re.escape(version)} is"):
        check_torch(version)


@pytest.mark.parametrize("version", ["2.10.0", "2.13.0+cpu", "2.15.3", "2.11.0a0+git1234567"])
def test_a_torch_in_the_range_says_nothing(version: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_torch(version)


@pytest.mark.parametrize("version", ["2.16.0", "3.0.0.dev20270101", "2.100.0+cu140"])
def test_a_newer_torch_is_warned_of(version: str) -> None:
    with pytest.warns(UserWarning, match=rf"torch {re.escape(version)} is newer .* \(2.10 to 2.15\)"):
        check_torch(version)


def test_a_newer_torch_is_warned_of_once_and_then_used() -> None:
    done = with_torch("2.16.0")
    assert done.stdout == "imported\nTrue\n"
    assert done.stderr.count("newer than what fxmax was tested with") == 1


def test_an_older_torch_is_refused_at_the_first_use() -> None:
    done = with_torch("2.9.1")
    assert done.stdout == "imported\n"
    assert done.stderr.splitlines()[-1].startswith("fxmax.errors.VersionError: fxmax needs torch 2.10")


def test_the_readme_says_the_range() -> None:
    oldest, newest = (f"{major}.{minor}" for major, minor in (OLDEST, NEWEST))
    assert f"torch {oldest} to {newest}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["pyproject.toml", "pixi.toml"])
def test_what_is_installed_with_an_extra_is_in_the_range(name: str) -> None:
    """The upper end is exclusive: `<2.14` takes 2.13 at most."""
    [(oldest, beyond)] = re.findall(r"\btorch\b.*?>=2\.(\d+),<2\.(\d+)", (ROOT / name).read_text())
    assert OLDEST <= (2, int(oldest)) < (2, int(beyond)) <= (2, NEWEST[1] + 1)
