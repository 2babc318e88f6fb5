"""numba is imported when words are timed, and then does what it did; each case in a process of its own."""

import subprocess
import sys

import pytest

UNTIL_NEEDED = """
import sys
from whisper_port.compat.lazy_numba import import_whisper
import_whisper()
assert "numba" not in sys.modules
import numpy as np
from whisper import timing
cost = np.random.default_rng(0).normal(size=(7, 12))
path = timing.dtw_cpu(cost)
assert "numba" in sys.modules and "Dispatcher" in type(timing.dtw_cpu).__name__
assert "Dispatcher" in type(timing.backtrace).__name__
cumulated = np.full((8, 13), np.inf)
cumulated[0, 0] = 0
for i in range(7):
    for j in range(12):
        cumulated[i + 1, j + 1] = cost[i, j] + min(cumulated[i, j], cumulated[i, j + 1], cumulated[i + 1, j])
along = sum(cost[i, j] for i, j in path.T)
assert abs(along - cumulated[-1, -1]) < 1e-5, (along, cumulated[-1, -1])
"""
ALREADY_THERE = """
import numba
from whisper_port.compat.lazy_numba import import_whisper
import_whisper()
from whisper import timing
import sys
assert sys.modules["numba"] is numba
assert "Dispatcher" in type(timing.dtw_cpu).__name__
"""
BROKEN = """
import sys
sys.modules["tiktoken"] = None  # whisper can't be imported
from whisper_port.compat.lazy_numba import import_whisper
try:
    import_whisper()
except ImportError:
    assert "numba" not in sys.modules
else:
    raise AssertionError("no error")
"""


@pytest.mark.parametrize(
    "code",
    [
        UNTIL_NEEDED,
        pytest.param(ALREADY_THERE, marks=pytest.mark.slow),
        pytest.param(BROKEN, marks=pytest.mark.slow),
    ],
    ids=["until needed", "already there", "no whisper"],
)
def test_numba_comes_when_it_is_needed(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
