"""Random graphs against torch, many to one compile. A failure prints its seed and its program.

`FXMAX_FUZZ_SEED=123 pytest -m slow tests/fuzz` starts the slow run at another seed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count, islice

import pytest
from torch.export import Dim

import fxmax
from tests.support.fuzz import broadcasts
from tests.support.fuzz.programs import program
from tests.support.parity import Batch, Case, assert_same


def case(seed: int) -> Case:
    """Its tolerance is wide, since a chain adds its ops' errors up."""
    drawn = program(seed)
    return Case(str(seed), drawn, drawn.inputs, tolerance=1e-4)


PARITY = Batch([case(seed) for seed in range(2)])


def failures(seeds: Sequence[int]) -> list[str]:
    batch = Batch([case(seed) for seed in seeds])
    lines = []
    for id, drawn in batch.cases.items():
        try:
            batch.check(id)
        except Exception as error:  # noqa: BLE001 - collected, so that all seeds are tried
            lines.append(f"{type(error).__name__}: {str(error)[:600]}\n  {drawn.fn}")
    return lines


def test_a_seed_gives_one_program() -> None:
    assert str(program(7)) == str(program(7)) != str(program(8))
    assert 5 <= len(program(7).steps) <= 30


@pytest.mark.slow
@pytest.mark.parametrize("id", PARITY.cases)
def test_a_program_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)


@pytest.mark.slow
def test_many_programs() -> None:
    start = int(os.environ.get("FXMAX_FUZZ_SEED", "1000"))
    print(f"seeds {start}..{start + 29}")
    found = failures(range(start, start + 30))
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_programs_on_sizes_that_vary() -> None:
    start = int(os.environ.get("FXMAX_FUZZ_SEED", "0"))
    drawn = ((seed, broadcasts.program(seed)) for seed in count(start))
    programs = {str(seed): p for seed, p in islice(((s, p) for s, p in drawn if p is not None), 24)}
    print(f"seeds {', '.join(programs)}")
    b, n, k = (Dim(name, min=2, max=16) for name in "bnk")
    sizes = ({0: b, 1: n, 2: k}, {0: n, 1: k}, {0: n}, {0: k}, {0: b, 1: k}, {0: b, 1: n})
    jobs = {s: fxmax.Job(p, broadcasts.inputs(3, 4, 5), None, sizes) for s, p in programs.items()}
    wrong = []
    for seed, compiled in fxmax.lower_many(jobs, device="cpu", check=False, quiet=True).items():
        for given in ((2, 3, 4), (3, 4, 5), (6, 2, 6)):
            values = broadcasts.inputs(*given)
            try:
                assert_same(compiled(*values), programs[seed](*values))
            except AssertionError as error:
                wrong.append(f"seed {seed}, sizes {given}: {error}\n  {programs[seed].steps}")
    assert not wrong, "\n".join(wrong)
