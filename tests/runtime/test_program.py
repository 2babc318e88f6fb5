"""Before and during a compile: the cache folder, the disk, Ctrl-C. Nothing here compiles."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections import namedtuple

import pytest

from fxmax import CompileError
from fxmax.runtime import program as runtime


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("MODULAR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_usable_cache_folder_passes_and_is_left_empty(cache) -> None:
    runtime.check_cache_folder()
    assert list((cache / "modular").iterdir()) == []


def test_a_cache_folder_that_cannot_be_written_is_named(cache) -> None:
    (cache / "modular").write_text("a file where the folder should be")
    with pytest.raises(CompileError, match=r"modular can't be written .*set XDG_CACHE_HOME"):
        runtime.check_cache_folder()


def test_a_full_disk_is_told_before_the_compile(cache, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 2**20))
    with pytest.raises(CompileError, match="has 1 MB left; a compile needs 200"):
        runtime.check_cache_folder()


def test_ctrl_c_is_heard_while_max_works() -> None:
    """MAX's compiler holds its thread for minutes; the one that waits must not."""
    release = threading.Event()
    killer = threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT))
    killer.start()
    start = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            runtime._interruptible(lambda: release.wait(30))
        assert time.perf_counter() - start < 5
    finally:
        release.set()
        killer.join()


def test_what_the_compiler_raises_reaches_the_caller() -> None:
    def fail() -> None:
        raise ValueError("no such kernel")

    with pytest.raises(ValueError, match="no such kernel"):
        runtime._interruptible(fail)
    assert runtime._interruptible(lambda: 7) == 7
