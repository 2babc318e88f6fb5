"""Every file of rules is compared with torch by the plain run: computed from the graphs of its cases."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import fxmax.rules
from tests.support.parity import Batch, Case
from whisper_port.checkpoints import meta_checkpoint
from whisper_port.modules.encoder import lower_encoder_dry

TESTS = Path(__file__).parents[1]
FOLDERS = (".", "rules", "passes", "kernels", "lowering", "opinfo", "gpu")


def rule_files() -> set[str]:
    """Those that register rules."""
    folder = Path(fxmax.rules.__file__).parent
    files = {Path(str(rule.where).rpartition(":")[0]) for rule in fxmax.default_table().values()}
    return {file.name for file in files if file.parent == folder}


def plain_cases() -> Iterator[Case]:
    """The cases that run without `-m slow`."""
    for path in sorted(file for folder in FOLDERS for file in (TESTS / folder).glob("test_*.py")):
        module: Any = import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))
        slow = getattr(module, "pytestmark", None) == pytest.mark.slow
        batch: Batch | None = getattr(module, "PARITY", None)
        if batch is not None and not slow:
            yield from (case for case in batch.cases.values() if isinstance(case, Case) and not case.slow)


def files_of(case: Case) -> set[str]:
    """The rule files that the case's graph goes through."""
    targets = {node.target for node in case.captured.program.graph.nodes if node.op == "call_function"}
    table = case.captured.options.table
    return {Path(str(table[t].where).rpartition(":")[0]).name for t in targets if t in table}


def files_of_the_encoder() -> set[str]:
    """Whisper's, which is compared with torch with real weights."""
    report = lower_encoder_dry(meta_checkpoint("tiny.en").dims, quiet=True).report
    return {Path(node.rule.partition(":")[0]).name for node in report.nodes if node.rule}


def test_every_file_of_rules_has_a_plain_case() -> None:
    left = rule_files() - files_of_the_encoder()
    for case in plain_cases():
        left -= files_of(case)
    assert not left, f"give one case of each a plain run, without slow=True: {sorted(left)}"
