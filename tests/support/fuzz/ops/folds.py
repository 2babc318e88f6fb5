"""Ops along an axis: reductions, running sums, softmax; and what takes a kernel of its own, such as sorts."""

from __future__ import annotations

from tests.support.fuzz.drawing import Builder
from tests.support.fuzz.ops.table import table

REDUCTIONS: list[Builder] = [
    *table("number", """
        {a}.sum()
        {a}.sum({d})
        {a}.sum({d}, keepdim=True)
        {a}.sum(({d}, {e}))
        {a}.sum({d}, dtype=torch.float32)
        {a}.cumsum({d})
        {a}.cumsum({d}, dtype=torch.float32)
    """),
    *table("float", """
        {a}.mean()
        {a}.mean({d})
        {a}.mean(({d}, {e}), keepdim=True)
        {a}.prod({d})
        {a}.prod()
        {a}.var({d}, correction=0)
        {a}.var(({d},), correction=1, keepdim=True)
        {a}.std({d}, correction=0)
        torch.var_mean({a}, {d}, correction=0)[0]
        torch.var_mean({a}, {d}, correction=0)[1]
        torch.std_mean({a}, {d}, correction=0)[0]
        torch.linalg.vector_norm({a}, 2, {d})
        torch.linalg.vector_norm({a}, 1, {d}, True)
        torch.linalg.vector_norm({a}, float("inf"), {d})
        torch.linalg.vector_norm({a}, 3)
        torch.norm({a}, dim={d})
        torch.dist({a}, {b})
        torch.logsumexp({a}, {d})
        torch.logsumexp({a}, ({d}, {e}), keepdim=True)
        torch.softmax({a}, {d})
        torch.log_softmax({a}, {d})
        torch.softmax({a}, {d}, dtype=torch.float32)
        torch.ops.aten._softmax({a}, {d}, False)
        torch.ops.aten._log_softmax({a}, {d}, False)
        torch.nanmean({a}, {d})
        F.softmin({a}, {d})
    """),
    *table("number", """
        {a}.amax({d})
        {a}.amax(({d}, {e}), keepdim=True)
        {a}.amin({d}, keepdim=True)
        {a}.amax()
        {a}.amin()
        {a}.max()
        {a}.min()
    """, exact=True),
    *table("any", """
        {a}.any()
        {a}.any({d})
        {a}.any(({d}, {e}), keepdim=True)
        {a}.all()
        {a}.all({d})
        {a}.all(({d}, {e}))
        torch.count_nonzero({a}, {d})
    """, exact=True, decides=True),
    *table("integer", """
        {a}.prod({d})
        {a}.float().mean({d})
    """, exact=True),
]  # fmt: skip
SORTS: list[Builder] = [
    *table("number", """
        {a}.max({d}).values
        {a}.min({d}, keepdim=True).values
        {a}.cummax({d}).values
        {a}.cummin({d}).values
        {a}.sort({d}).values
        {a}.sort({d}, descending=True).values
        {a}.sort(stable=True, dim={d}).values
        {a}.topk(1, {d}).values
        {a}.topk(2, {d}, largest=False).values
        {a}.kthvalue(1, {d}).values
        {a}.kthvalue(1, {d}, keepdim=True).values
        {a}.median({d}).values
        {a}.median()
        {a}.msort()
    """, exact=True),
    *table("number", """
        {a}.argmax({d})
        {a}.argmin({d}, keepdim=True)
        {a}.argmax()
        {a}.max({d}).indices
        {a}.min({d}).indices
        {a}.cummax({d}).indices
        {a}.cummin({d}).indices
        {a}.sort(stable=True, dim={d}).indices
        torch.argsort({a}, dim={d}, stable=True, descending=True)
    """, exact=True, decides=True),
    *table("float", """
        {a}.cumprod({d})
        torch.logcumsumexp({a}, {d})
    """),
]  # fmt: skip
