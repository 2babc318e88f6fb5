"""How a run is laid out: what compiles together, which process runs what, and what compiling took."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.compile_log import CompileLog, summary

LOG = pytest.StashKey[CompileLog]()
PROCESSES = 4  # at most: each holds torch, MAX and its compiler, 2 GB
SLOW_FIXTURES = {
    "test_dynamo.py": "compiled",
    "test_profile.py": "profile",
    "test_proof.py": "compiled",
    "test_torch_fallback.py": "both",
    "whisper_port": "model",
}
"""File or folder → its fixture that compiles for half a minute and more: the tests that take it are slow."""


@pytest.fixture(scope="module")
def parity(request: pytest.FixtureRequest) -> Any:
    """The test module's `PARITY`: its cases on MAX, to compare with torch."""
    return request.module.PARITY


# -- which tests compile together, and in which process -------------------------------------------------


def group_of(file: Path) -> str:
    """The files of a group run in one process: those that share a compile, else a file by itself."""
    text = file.read_text()
    if "PARITY = " in text:
        half = ord(file.stem.removeprefix("test_")[0]) % 2  # two about alike, for a machine of two cores
        return f"parity {half}"
    if file.parent.name == "compiled":
        return "compiled"
    if "whisper_port" in file.parts and re.search(r"^def test_\w+\([^)]*\bmodel\b", text, re.M):
        return "whisper"
    return f"compiles {file}" if "pytest.mark.compiles" in text else str(file)


def _begins(group: str) -> int:
    """Longest first: whole models, then the cases of many files, then files that compile by themselves."""
    order = ("whisper", "parity", "compile")
    return next((i for i, start in enumerate(order) if group.startswith(start)), len(order))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Mark what is slow, plan the compiles of what is selected, and let the longest begin first."""
    for item in items:
        slow = {SLOW_FIXTURES[part] for part in item.path.parts if part in SLOW_FIXTURES}
        if slow & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.slow)
    result = yield  # to what deselects
    groups = {path: group_of(path) for path in dict.fromkeys(item.path for item in items)}
    items.sort(key=lambda item: _begins(groups[item.path]))
    cases: dict[str, dict[Any, None]] = {}
    for item in items:
        if (module := _of_a_batch(item)) is not None:
            cases.setdefault(groups[item.path], {}).update(dict.fromkeys(_wanted(item, module.PARITY)))
    if cases:
        from tests.support import together

        for wanted in cases.values():
            together.plan(list(wanted))
    return result


def _of_a_batch(item: pytest.Item) -> Any:
    """The test's module, where it takes `parity`."""
    return getattr(item, "module", None) if "parity" in getattr(item, "fixturenames", ()) else None


def _wanted(item: Any, batch: Any) -> list[Any]:
    """The case that its parameter `id` names, or all of its module's; the slow ones if it is slow itself."""
    id = item.callspec.params.get("id") if hasattr(item, "callspec") else None
    if id is not None:
        return [batch.cases[id]]
    slow = item.get_closest_marker("slow") is not None
    return [case for case in batch.cases.values() if case.slow <= slow]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """For the whole suite a process for each core, as MAX's compiler uses one; none beside this for less."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, PROCESSES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out groups of files, in their order. (xdist's own groups are lost with pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return groups(nodeid.partition("::")[0])

    groups = functools.cache(lambda file: group_of(config.rootpath / file))
    config.option.loadscopereorder = False
    return Groups(config, log)


def _take_cores(worker: dict[str, Any]) -> None:
    """A share of the cores: threads of MAX and torch that wait spin, and would take them from each other."""
    if worker and hasattr(os, "sched_setaffinity"):
        cores, number = sorted(os.sched_getaffinity(0)), int(worker["workerid"].removeprefix("gw"))
        os.sched_setaffinity(0, cores[number % len(cores) :: worker["workercount"]])


# -- what compiling took ------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Give each process cores of its own; count its compiles, to which those of others are added."""
    _take_cores(getattr(config, "workerinput", {}))
    config.stash[LOG] = log = CompileLog([])
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        from max.engine import InferenceSession

        log.watch(InferenceSession)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Say whose compile it is."""
    item.config.stash[LOG].where = item.path.relative_to(item.config.rootpath).as_posix()
    return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's compiles over."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["compiles"] = session.config.stash[LOG].records


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take a worker's compiles over."""
    node.config.stash[LOG].records += map(tuple, getattr(node, "workeroutput", {}).get("compiles", []))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Most of what the suite takes, in a line."""
    if records := config.stash[LOG].records:
        terminalreporter.write_line(summary(records))
