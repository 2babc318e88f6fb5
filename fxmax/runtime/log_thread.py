"""MAX's log thread, given the lowest priority, since it wakes up thousands of times a second.

MAX 26.7 starts it with its first execution. It then waits 0.1 ms at a time for records to write, of
which there are next to none, and each time takes a core from whoever computes there: on two cores,
9 % of an encoder's time. Under SCHED_IDLE it runs where a core is free. Linux only; elsewhere, and
where the thread can't be told from others, nothing is changed.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

TASKS = Path("/proc/self/task")
WATCHED_SECONDS = 0.004
WAKES = 8  # in that time: it is some 20, other threads that wait have 0


def lower_priority() -> bool:
    """Find the thread and lower its priority; whether that was done."""
    threads = []
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError, ValueError):
            threads = find()
            for thread in threads:
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
    return bool(threads)


def find() -> list[int]:
    """The ids of threads (none or one) that keep waking up to wait again for something in MAX's library."""
    before = _wakes()
    time.sleep(WATCHED_SECONDS)
    restless = [thread for thread, n in _wakes().items() if n - before.get(thread, n) >= WAKES]
    library = _library() if restless else range(0)
    return [thread for thread in restless if _waits_in(thread, library)]


def _wakes() -> dict[int, int]:
    """Thread → how often it has gone to sleep so far."""
    counts = {}
    for task in TASKS.iterdir():
        lines = (task / "status").read_text().splitlines()
        counts[int(task.name)] = sum(int(x.split()[1]) for x in lines if x.startswith("voluntary"))
    return counts


def _waits_in(thread: int, addresses: range) -> bool:
    """Whether the thread waits for something that lies at one of `addresses`; it is awake at times."""
    for _ in range(20):
        call = (TASKS / str(thread) / "syscall").read_text().split()
        if len(call) > 1:
            return int(call[1], 16) in addresses
        time.sleep(0.0001)
    return False


def _library() -> range:
    """Where libmax.so and its static variables are."""
    start = end = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, *rest = line.split(maxsplit=5)
        low, high = (int(x, 16) for x in where.split("-"))
        if rest[-1].endswith("/libmax.so"):
            start, end = start or low, high
        elif low == end and len(rest) == 4:  # static variables without a value follow, with no file
            end = high
    return range(start, end)
