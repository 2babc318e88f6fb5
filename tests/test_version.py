"""The version is written in `fxmax/_version.py`, and everything else reads it there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fxmax._version import __version__
from fxmax.cli import cli

ROOT = Path(__file__).parents[1]


def test_the_changelog_dates_it() -> None:
    dated = re.findall(r"^## (\d\S*) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert dated[0] == __version__


@pytest.mark.parametrize("name", ["pyproject.toml", "pixi.toml"])
def test_no_other_file_sets_it(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"^version\s*=", text, re.M)
    assert f'"{__version__}"' not in text


def test_the_command_says_it() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"fxmax, version {__version__}\n"
