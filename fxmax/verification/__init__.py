"""Where does a lowered graph first go wrong? Every node on MAX against torch, one by one.

`taps.py` makes the nodes extra outputs of the graph, `reference.py` runs torch next to them
(`torch_walk.py`: the run itself, and what rounding may do to it),
`tolerances/` derives how far apart they may be, `verifier.py` puts it together, `bisect.py` finds a
fault that hides while it is watched, and `api.py` has `verify`, which takes the one or the other way.
See docs/verify.md. `proof.py` compares a compiled graph's results with eager torch's before it is
handed over.
"""

from fxmax.verification.api import verify
from fxmax.verification.proof import prove
from fxmax.verification.result import Input, NodeCheck, Verification
from fxmax.verification.verifier import Verifier

__all__ = ["Input", "NodeCheck", "Verification", "Verifier", "prove", "verify"]
