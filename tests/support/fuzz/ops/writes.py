"""Ops that write in place: to values, views of them, inputs, and buffers."""

from __future__ import annotations

from tests.support.fuzz.drawing import Builder, Draw, Op
from tests.support.fuzz.ops.table import table


def to_buffer(draw: Draw) -> Op | None:
    """A buffer that counts, keeps a value, or is read as it was."""
    form = draw.rng.choice(["count", "keep", "row", "read"])
    if form == "count":
        return Op(f"{draw.weight((1,), parameter=False)}.add_(1)", exact=True, writes=True)
    a = draw.value(
        "float", lambda n: str(draw.worlds.dtype(n)) == "torch.float32" and draw.worlds.rank(n) > 0
    )
    if a is None:
        return None
    if form == "keep":
        return Op(f"{draw.weight((), parameter=False)}.copy_({a}.amax())", exact=True, writes=True)
    buffer = draw.weight((3,), parameter=False)
    if form == "row":
        return Op(f"{buffer}[1:2].mul_({a}.flatten()[:1])", writes=True)
    return Op(f"{a}.unsqueeze(-1) + {buffer}")


WRITES: list[Builder] = [
    to_buffer, to_buffer,
    *table("number", """
        {a}.add_({b})
        {a}.mul_({s})
        {a}.sub_(1)
        {a}[1:].add_(1)
        {a}[..., 0].mul_(2)
        {a}.select({d}, -1).add_({s})
        {a}.transpose({d}, {e}).mul_({b})
        {a}.narrow({d}, 0, 1).sub_({s})
        {a}.unsqueeze(0).add_(1)
    """, writes=True),
    *table("number", """
        {a}.zero_()
        {a}.fill_({s})
        {a}.clamp_(-1, 1)
        {a}.copy_({b})
        {a}.neg_()
        {a}[..., :1].copy_({b}[..., :1])
        {a}[..., 1:].copy_({a}[..., :-1].clone())
        {a}[:1].zero_()
        {a}.masked_fill_({m}, {s})
        {a}.index_fill_({d}, torch.tensor([0]), {s})
        {a}.index_copy_({d}, torch.tensor([0]), {a}.narrow({d}, {a}.shape[{d}] - 1, 1).clone())
        {a}.reshape(-1)[:1].fill_({s})
        {a}.flatten()[-1:].fill_({s})
        {a}.maximum({b}).clamp_(max={s})
    """, exact=True, writes=True),
    *table("float", """
        {a}.exp_().clamp_(max=3)
        {a}.tanh_()
        {a}.div_({p})
        {a}[..., 1:].sigmoid_()
    """, writes=True),
]  # fmt: skip
