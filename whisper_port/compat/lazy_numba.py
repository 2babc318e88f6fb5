"""openai-whisper without numba, until words are timed: importing numba takes as long as encoding a window.

openai-whisper imports numba for two functions (`whisper.timing`'s `dtw_cpu` and `backtrace`), and its
package imports that module whatever it is wanted for.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

Function = Callable[..., Any]


def import_whisper() -> None:
    """Import openai-whisper, and numba only where something has imported it already."""
    if "numba" in sys.modules or "whisper" in sys.modules:
        import_module("whisper")
        return
    import_module("torch")  # first, so that only whisper's own modules meet the stand-in
    later = _Later("numba")
    sys.modules["numba"] = later
    try:
        import_module("whisper")
    finally:
        if sys.modules.get("numba") is later:
            del sys.modules["numba"]


class _Later(ModuleType):
    """Stands in for numba: what `jit` decorates is compiled by the real one, all of it at the first call."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.waiting: list[tuple[Function, dict[str, Any]]] = []

    def jit(self, **options: Any) -> Callable[[Function], Function]:
        def decorate(function: Function) -> Function:
            self.waiting.append((function, options))

            @functools.wraps(function)
            def first_call(*args: Any, **kwargs: Any) -> Any:
                self.compile_all()
                return function.__globals__[function.__name__](*args, **kwargs)

            return first_call

        return decorate

    def compile_all(self) -> None:
        """Put numba's functions in the places of the waiting ones, which call each other by name."""
        import numba

        for function, options in self.waiting:
            function.__globals__[function.__name__] = numba.jit(**options)(function)
        self.waiting.clear()
