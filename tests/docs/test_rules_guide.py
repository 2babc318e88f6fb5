"""docs/rules.md: its code runs, in order, as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import fxmax

GUIDE = Path(__file__).parents[2] / "docs" / "rules.md"


def blocks(language: str) -> list[str]:
    """The guide's code blocks of a language; those marked `no-run` are of another language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.M | re.S)


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["rules", "whole"])
def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """What comes before its first compile, or all of it."""
    monkeypatch.chdir(tmp_path)
    Path("kernels").mkdir()
    Path("kernels", "__init__.mojo").touch()
    [kernel] = blocks("mojo")
    Path("kernels", "bessel.mojo").write_text(kernel)
    scope: dict[str, Any] = {"__name__": "antenna"}
    table = fxmax.default_table()
    python = blocks("python")
    assert len(python) == 5
    before = len(table)
    with table.override(
        torch.ops.aten.special_spherical_bessel_j0.default, None
    ):  # whatever is added goes at the end
        for code in python if whole else python[:3]:
            exec(compile(code, str(GUIDE), "exec"), scope)
        assert len(table) == before + 2
        assert not fxmax.explain(scope["Antenna"](), (scope["x"],), quiet=True).gaps
    assert "special_bessel_j0" in scope["report"].gaps_text()
    assert "def special_spherical_bessel_j0(ctx, x):" in scope["report"].gaps_text()
