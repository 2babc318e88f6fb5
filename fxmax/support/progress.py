"""What is going on and for how long: a rich status line on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PLAIN_INTERVAL = 15.0  # seconds between two plain lines of one stage
QUIET_FOR = 2.0  # a stage shorter than this prints no plain line


class Progress:
    """Shows stages on stderr. `Progress(quiet=True)` shows nothing."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, hint: str = "") -> Iterator[None]:
        """Show `name` with the elapsed time until the block ends; its seconds are kept."""
        start = time.perf_counter()
        try:
            if self.quiet:
                yield
            elif sys.stderr.isatty():
                with _rich_status(name, hint):
                    yield
            else:
                with _plain_lines(name, hint):
                    yield
        finally:
            self.seconds[name] = time.perf_counter() - start


@contextmanager
def _rich_status(name: str, hint: str) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task(f"{name} [dim]{hint}[/dim]" if hint else name, total=None)
        yield


@contextmanager
def _plain_lines(name: str, hint: str) -> Iterator[None]:
    done, told = threading.Event(), threading.Event()
    start = time.perf_counter()

    def say(what: str) -> None:
        print(f"{name}: {what}".rstrip(), file=sys.stderr, flush=True)

    def tell() -> None:
        wait = QUIET_FOR
        while not done.wait(wait):
            say(f"{time.perf_counter() - start:.0f} s … {hint}")
            told.set()
            wait = PLAIN_INTERVAL

    thread = threading.Thread(target=tell, daemon=True, name="fxmax-progress")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    if told.is_set():
        say(f"done after {time.perf_counter() - start:.0f} s")
