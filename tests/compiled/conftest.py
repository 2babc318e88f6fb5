"""What the tests of this folder call, in one compile."""

from __future__ import annotations

import pytest

import fxmax
from fxmax.compiled import Compiled
from tests.support.callables import jobs


@pytest.fixture(scope="package")
def compiled() -> dict[str, Compiled]:
    return fxmax.lower_many(jobs(), device="cpu", quiet=True)
