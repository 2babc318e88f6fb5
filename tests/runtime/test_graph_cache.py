"""The cache of compiled graphs: what is found, what is not and why, damage, and several processes."""

from __future__ import annotations

import os
import re
import time

import pytest
from click.testing import CliRunner

from fxmax.cli import cli
from fxmax.runtime import graph_cache as cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("MODULAR_CACHE_DIR", raising=False)
    monkeypatch.delenv("FXMAX_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache.graphs_folder()


def key(graph="graph", kernels=(), version="26.7", target="here"):
    return cache.key_of(graph, kernels, version, target)


def keep(k, content=b"program"):
    return cache.keep(k, "a model", 12.0, lambda path: path.write_bytes(content))


def test_what_was_kept_is_found(folder):
    assert cache.find(key()) == (None, "no earlier compile of this graph")
    assert keep(key())
    path, why = cache.find(key())
    assert path.read_bytes() == b"program"
    assert "in 12 s" in why
    assert [e.title for e in cache.entries()] == ["a model"]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (key("another graph"), "no earlier compile of this graph"),
        (key(version="26.8"), r"was for MAX 26\.7$"),
        (key(target="there"), "for another device or CPU"),
        (key(version="26.8", target="there"), r"for MAX 26\.7 and it was for another device"),
    ],
)
def test_a_miss_says_why(folder, other, why):
    keep(key())
    path, said = cache.find(other)
    assert path is None
    assert re.search(why, said)


def test_kernels_count_by_their_bytes(folder, tmp_path):
    first, copy, changed = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    for path, text in ((first, "fn"), (copy, "fn"), (changed, "fn2")):
        path.write_text(text)
    keep(key(kernels=[first]))
    assert cache.find(key(kernels=[copy]))[0]
    assert "Mojo kernels have changed" in cache.find(key(kernels=[changed]))[1]


@pytest.mark.parametrize("damage", ["flip", "cut", "entry", "gone"])
def test_damage_is_a_miss_and_is_removed(folder, damage):
    keep(key(), b"x" * 1000)
    entry = folder / key().name
    program = entry / cache.PROGRAM
    if damage == "flip":
        program.write_bytes(b"x" * 500 + b"y" + b"x" * 499)
    elif damage == "cut":
        program.write_bytes(b"x" * 999)
    elif damage == "entry":
        (entry / cache.ENTRY).write_text("{")
    else:
        program.unlink()
    path, why = cache.find(key())
    assert path is None
    assert "damaged" in why
    assert not entry.exists()
    assert keep(key())


def test_another_process_may_keep_the_same_first(folder):
    """Two that compile one graph at once: the second finds the entry there, and leaves it."""

    def export(path):
        keep(key(), b"theirs")
        path.write_bytes(b"ours")

    assert cache.keep(key(), "a model", 1.0, export)
    assert cache.find(key())[0].read_bytes() == b"theirs"
    assert not list(folder.glob(".part-*"))


def test_a_disk_that_is_full_loses_nothing(folder):
    def fail(path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    assert not cache.keep(key(), "a model", 1.0, fail)
    assert list(folder.iterdir()) == []


def test_what_a_dead_process_left_is_swept_once_it_is_old(folder):
    keep(key())
    young, old = folder / ".part-young", folder / ".part-old"
    for part in (young, old):
        part.mkdir()
    os.utime(old, (0, time.time() - 2 * cache.STALE))
    keep(key("another"))
    assert young.exists()
    assert not old.exists()


def test_the_command_lists_and_clears(folder):
    keep(key())
    run = CliRunner().invoke
    assert "1 graphs" in run(cli, ["cache", "list"]).output
    assert '"title": "a model"' in run(cli, ["cache", "list", "--json"]).output
    kept = cache.artifacts_folder() / "whole.fxmax"
    kept.mkdir(parents=True)
    (kept / "program.mef").write_bytes(b"x" * 2_000_000)
    assert "1 artifacts to start from, 2.0 MB" in run(cli, ["cache", "list"]).output
    assert "removed 0 graphs" in run(cli, ["cache", "clear", "--older-than", "1"]).output
    assert "removed 2 graphs and artifacts, 2.0 MB" in run(cli, ["cache", "clear"]).output
    assert not kept.exists()
    assert list(cache.entries()) == []


def test_what_is_damaged_is_told_of_and_cleared_whatever_its_age(folder):
    keep(key(), b"x" * 1000)
    keep(key("another"))
    (folder / key().name / cache.PROGRAM).write_bytes(b"x")
    run = CliRunner().invoke
    assert "1 more are damaged" in run(cli, ["cache", "list"]).output
    assert "removed 1 graphs" in run(cli, ["cache", "clear", "--older-than", "1"]).output
    assert [f.name for f in folder.iterdir()] == [key("another").name]
