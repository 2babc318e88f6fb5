"""Where rules are: every file of rules/ registers some, and none of rules/lib does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fxmax.rules
from fxmax.core.table import BUILTIN

FOLDER = Path(fxmax.rules.__file__).parent
OF_A_TABLE_OF_ITS_OWN = "quantized_linear"  # `lower(dtype=)` asks for it
WITH_ANOTHER_LIBRARY = "grouped_mm"  # once transformers is imported


def test_every_file_of_rules_registers_rules() -> None:
    homes = {Path(rule.where.rpartition(":")[0]).stem for op in BUILTIN for rule in BUILTIN.rules_of(op)}
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert files - homes <= {OF_A_TABLE_OF_ITS_OWN, WITH_ANOTHER_LIBRARY}
    for name in (OF_A_TABLE_OF_ITS_OWN, WITH_ANOTHER_LIBRARY):
        assert ".rule(target" in (FOLDER / f"{name}.py").read_text()


def test_no_file_of_lib_registers_a_rule() -> None:
    """Each is executed anew over a table that counts: what it imports may register, it must not."""
    program = f"""
import fxmax.rules, runpy
from pathlib import Path
from fxmax.core import table
made = []
table.BUILTIN.rule = lambda *targets, **_: made.append(targets) or (lambda fn: fn)
for path in sorted(Path({str(FOLDER / "lib")!r}).glob("*.py")):
    runpy.run_path(str(path))
    assert not made, (path.name, made)
print("none")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "none\n", done.stderr[-2000:]
