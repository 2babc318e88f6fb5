"""Settings that a kernel reads by position: it has the places of the fields that rules pack."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fxmax.kernels.build import GEMM, WINDOWS
from fxmax.rules.lib.conv_kernel import KernelSettings
from fxmax.rules.pool import PoolSettings, Window

AXIS = Window(2, 3, 1, 1)


def constants(source: Path) -> dict[str, int]:
    """`comptime NAME = 3` of a Mojo file."""
    return {
        name: int(at) for name, at in re.findall(r"^comptime ([A-Z_]+) = (\d+)", source.read_text(), re.M)
    }


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        (GEMM / "conv.mojo", KernelSettings([1] * 3, [2] * 3, [3] * 3, 4, *[True] * 5)),
        (WINDOWS / "pool.mojo", PoolSettings(AXIS, AXIS, AXIS, True, 5)),
        (WINDOWS / "pool.mojo", AXIS),
    ],
)
def test_a_kernel_reads_each_field_where_it_is(source: Path, settings: tuple[object, ...]) -> None:
    known, at = constants(source), 0
    for name, value in settings._asdict().items():  # type: ignore[attr-defined]
        assert known[name.upper()] == at, name
        at += np.size(value)


def test_settings_are_packed_in_the_order_of_their_fields() -> None:
    conv = KernelSettings([1, 2, 3], [4, 5, 6], [7, 8, 9], 10, True, False, True, False, True)
    assert conv.pack().tolist() == [*range(1, 11), 1, 0, 1, 0, 1]
    pool = PoolSettings(Window(1, 2, 3, 4), Window(5, 6, 7, 8), Window(9, 10, 11, 12), True, 14)
    assert pool.pack().tolist() == [*range(1, 13), 1, 14]
    assert conv.pack().dtype == pool.pack().dtype == np.int64
