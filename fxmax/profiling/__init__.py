"""Where does the time go? Every node of a lowered graph, compiled and run alone.

`extract.py` cuts one node out of a captured program, `graphs.py` lowers the distinct ones together,
`profiler.py` compiles and times them, `result.py` is what comes of it.
"""

from fxmax.profiling.profiler import profile
from fxmax.profiling.result import NodeTime, Profile

__all__ = ["NodeTime", "Profile", "profile"]
