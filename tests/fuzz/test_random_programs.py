"""Random programs on MAX against torch, many to one compile: `python scripts/fuzz.py` runs more.

`FXMAX_FUZZ_SEED=123 pytest -m slow tests/fuzz` draws others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from tests.support import together
from tests.support.fuzz.isolated import run_isolated
from tests.support.fuzz.kinds import program
from tests.support.fuzz.program import Program
from tests.support.fuzz.reporting import Tally, repro
from tests.support.fuzz.running import Candidate, judged

QUICK = (("broadcasts", 3), ("broadcasts", 6), ("written", 1))
SEED = int(os.environ.get("FXMAX_FUZZ_SEED", "20"))


class Programs:
    """Programs by id, which compile with the cases of other test modules."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.cases = {f"{one.kind}-{one.number}": Candidate(one) for one in programs}

    def check(self, id: str) -> None:
        """Run it on MAX, and compare with torch."""
        case = self.cases[id]
        try:
            made = together.compiled(case, or_with=list(self.cases.values()))
        except Exception as error:  # noqa: BLE001 - what it is worth is judged
            result = judged(case, error)
        else:
            result = judged(case, made)
            assert any(check.inputs.startswith("draw 2 at") for check in made.report.checks)
        assert result.status == "compared", f"{result.error}: {result.text}\n{repro(result)}"


PARITY = Programs([program(1, number, kind) for kind, number in QUICK])


@pytest.mark.parametrize("id", PARITY.cases)
def test_a_program_equals_torch(parity: Programs, id: str) -> None:
    parity.check(id)


@pytest.mark.slow
def test_many_programs() -> None:
    tally = Tally()
    results = run_isolated([program(SEED, number) for number in range(14)])
    tally.add(results)
    print(tally.text())
    assert not tally.found, "\n\n".join(repro(result) for result in results if result.status == "found")
    assert tally.total["compared"] >= 10
