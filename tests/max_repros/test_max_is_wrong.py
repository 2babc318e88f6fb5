"""MAX still gets wrong what fxmax works around. A failure here is good news: the workaround can go.

All that MAX compiles is one module, whose compile takes minutes; what it does not compile or start is run
in a process of its own, since MAX may abort it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from max.driver import accelerator_count
from max.engine import Model

from tests.max_repros import broadcasts, gpu, kernels, special_values  # noqa: F401 - they register
from tests.max_repros.repro import REPROS, started

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "max-workarounds.md"
RUN = [each for each in REPROS.values() if each.runs]
DO_NOT_RUN = [each for each in REPROS.values() if not each.runs]
# Those that are not compiled with the others.
OTHERS = ["error_of_a_float32_product"]


def mended(name: str, by: str) -> str:
    what = f"take out {by}" if by else "nothing has to be worked around"
    return f"MAX {version('max')} gets {name} right now: {what}, this repro, and its row in {PAGE.name}"


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    running = started(RUN).values()  # in order, whatever their names
    return dict(zip((each.name for each in RUN), running, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", [each.name for each in RUN])
def test_max_gets_wrong(models: dict[str, Model], name: str) -> None:
    assert REPROS[name].is_wrong(models[name]), mended(name, REPROS[name].mended_by)


@pytest.mark.slow
@pytest.mark.parametrize("name", [each.name for each in DO_NOT_RUN])
def test_max_does_not_run(name: str) -> None:
    command, here = [sys.executable, "-m", "tests.max_repros", name], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=here, capture_output=True, text=True)
    assert done.returncode, mended(name, REPROS[name].mended_by)
    assert "max/engine" in done.stderr, done.stderr  # it was MAX that raised, not the repro


@pytest.mark.slow
@pytest.mark.skipif(accelerator_count() == 0, reason="needs a GPU")
def test_float32_products_are_not_in_float32_on_a_gpu() -> None:
    assert gpu.error_of_a_float32_product() > 1e-5, mended(OTHERS[0], "parts in fxmax/rules/lib/matmul.py")


def test_every_repro_has_its_row() -> None:
    page = PAGE.read_text()
    assert [name for name in [*REPROS, *OTHERS] if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", [each.name for each in REPROS.values() if each.mended_by])
def test_its_workaround_is_there(name: str) -> None:
    path, _, symbol = REPROS[name].mended_by.partition(", ")
    assert symbol in (ROOT / path).read_text()
    assert f"`{path}`" in PAGE.read_text()
