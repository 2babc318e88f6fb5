"""Random graphs against torch, many to one compile. A failure prints its seed and its program.

`FXMAX_FUZZ_SEED=123 pytest -m slow tests/fuzz` starts the slow run at another seed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from conftest import Batch, Case

from fuzz.programs import program


def failures(seeds: Sequence[int]) -> list[str]:
    programs = {seed: program(seed) for seed in seeds}
    # A chain adds its ops' errors up.
    batch = Batch([Case(str(seed), p, p.inputs, tolerance=1e-4) for seed, p in programs.items()])
    lines = []
    for seed in seeds:
        try:
            batch.check(str(seed))
        except Exception as error:  # noqa: BLE001 - collected, so that all seeds are tried
            lines.append(f"{type(error).__name__}: {str(error)[:600]}\n  {programs[seed]}")
    return lines


def test_a_seed_gives_one_program() -> None:
    assert str(program(7)) == str(program(7)) != str(program(8))
    assert 5 <= len(program(7).steps) <= 30


def test_some_programs() -> None:
    found = failures(range(2))
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_many_programs() -> None:
    start = int(os.environ.get("FXMAX_FUZZ_SEED", "1000"))
    print(f"seeds {start}..{start + 29}")
    found = failures(range(start, start + 30))
    assert not found, "\n".join(found)
