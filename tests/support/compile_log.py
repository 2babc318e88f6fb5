"""How often MAX compiled in a run, where, and for how long: most of what the suite takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Record = tuple[str, float]  # the file of the test that it was in, seconds


@dataclass
class CompileLog:
    """Every compile of this process."""

    records: list[Record]
    where: str = ""  # the file of the running test

    def watch(self, session_class: Any) -> None:
        """Time each `compile` of MAX's session class."""
        original: Callable[..., Any] = session_class.compile

        def timed(session: Any, *args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(session, *args, **kwargs)
            finally:
                self.records.append((self.where, time.perf_counter() - start))

        session_class.compile = timed


def summary(records: Iterable[Record], most: int = 12) -> str:
    """One line: how many, their seconds, and the files that had the longest."""
    by_file = defaultdict[str, list[float]](list)
    for where, seconds in records:
        by_file[where].append(seconds)
    longest = sorted(by_file.items(), key=lambda item: -sum(item[1]))
    files = ", ".join(f"{where} {len(s)} in {sum(s):.0f} s" for where, s in longest[:most])
    more = f", {len(longest) - most} more files" if len(longest) > most else ""
    every = [s for times in by_file.values() for s in times]
    return f"MAX compiled {len(every)} modules in {sum(every):.0f} s: {files}{more}"
