"""The examples run, each in a process of its own; what they assert is in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_it_runs(example: Path, tmp_path: Path) -> None:
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, example], cwd=tmp_path, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(tmp_path.iterdir()), "it leaves files where it was started"


def test_the_page_lists_each() -> None:
    page = (ROOT / "examples" / "README.md").read_text()
    assert [p.name for p in EXAMPLES if f"`{p.name}`" not in page] == []
