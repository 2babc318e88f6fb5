"""The last stage: MAX compiles a lowered graph, and the result is called as the module was."""

from __future__ import annotations

from fxmax.compiled.compiling import compile_lowered, compile_module
from fxmax.compiled.module import Compiled, save
from fxmax.compiled.structure import arguments_of

__all__ = ["Compiled", "arguments_of", "compile_lowered", "compile_module", "save"]
