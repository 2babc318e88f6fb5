"""Before, during and after a compile: the cache folder, the disk, Ctrl-C, copies. Nothing here compiles."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections import namedtuple

import numpy as np
import pytest
from max.driver import Buffer

from fxmax import CompileError
from fxmax.runtime import program
from fxmax.runtime.copying import copy_all
from fxmax.runtime.graph_cache import check_cache_folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("MODULAR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_usable_cache_folder_passes_and_is_left_empty(cache) -> None:
    check_cache_folder()
    assert list((cache / "modular").iterdir()) == []


def test_a_cache_folder_that_cannot_be_written_is_named(cache) -> None:
    (cache / "modular").write_text("a file where the folder should be")
    with pytest.raises(CompileError, match=r"modular can't be written .*set XDG_CACHE_HOME"):
        check_cache_folder()


def test_a_full_disk_is_told_before_the_compile(cache, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 2**20))
    with pytest.raises(CompileError, match="has 1 MB left; a compile needs 200"):
        check_cache_folder()


def test_ctrl_c_is_heard_while_max_works() -> None:
    """MAX's compiler holds its thread for minutes; the one that waits must not."""
    release = threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    killer = threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT))
    killer.start()
    start = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            program._interruptible(lambda: release.wait(30))
        assert time.perf_counter() - start < 5
    finally:
        release.set()
        killer.join()
        signal.signal(signal.SIGINT, before)


def test_what_the_compiler_raises_reaches_the_caller() -> None:
    def fail() -> None:
        raise ValueError("no such kernel")

    with pytest.raises(ValueError, match="no such kernel"):
        program._interruptible(fail)
    assert program._interruptible(lambda: 7) == 7


def test_what_is_copied_is_there_when_the_call_returns() -> None:
    """MAX itself copies later, from and to memory that may be freed by then."""
    for shape in ((), (3,), (0,)):
        for _ in range(300):
            array = np.ones(shape)
            copy_all([(Buffer.from_numpy(array), Buffer.from_numpy(np.full(shape, 2.0)))])
            np.testing.assert_array_equal(array, np.full(shape, 2.0))
