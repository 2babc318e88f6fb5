"""Ops that move elements and compute nothing: views, broadcasts, copies, joins."""

from __future__ import annotations

from tests.support.fuzz.drawing import Builder, Draw, Op
from tests.support.fuzz.ops.table import table
from tests.support.fuzz.worlds import together


def expanded(draw: Draw) -> Op | None:
    """A value broadcast to the shape of another."""
    a = draw.value()
    if a is None:
        return None
    mine = draw.worlds.signature(a)
    wider = [n for n in draw.names if _wider(mine, draw.worlds.signature(n))]
    if not wider:
        return None
    like = draw.rng.choice(wider)
    form = draw.rng.choice(
        ["{0}.expand_as({1})", "{0}.expand({1}.shape)", "torch.broadcast_to({0}, {1}.shape)"]
    )
    return Op(form.format(a, like), exact=True)


def _wider(mine: tuple, other: tuple) -> bool:  # type: ignore[type-arg]
    return mine != other and len(mine) > 0 and together(mine, other) == other


def along_another(draw: Draw) -> Op | None:
    """A value repeated along a new axis, of the size of another's."""
    a = draw.value(fits=lambda n: 0 < draw.worlds.rank(n) < 4)
    like = draw.value(fits=lambda n: draw.worlds.rank(n) > 0)
    if a is None or like is None:
        return None
    at, size = draw.rng.randint(0, draw.worlds.rank(a)), f"{like}.shape[{draw.axis(like)}]"
    axes = ["-1"] * draw.worlds.rank(a)
    axes.insert(at, draw.rng.choice([size, size, "3"]))
    return Op(f"{a}.unsqueeze({at}).expand({', '.join(axes)})", exact=True)


def reshaped(draw: Draw) -> Op | None:
    """A value with axes joined or split, or in another's shape."""
    a = draw.value(fits=lambda n: draw.worlds.rank(n) > 0)
    if a is None:
        return None
    rank = draw.worlds.rank(a)
    forms = [f"{a}.reshape(-1)", f"{a}.flatten()", f"{a}.unsqueeze(0).reshape(1, -1)"]
    if rank > 1:
        forms += [
            f"{a}.flatten(0, 1)",
            f"{a}.reshape({a}.shape[0], -1)",
            f"{a}.contiguous().view(-1, {a}.shape[-1])",
            f"torch.ops.aten._unsafe_view({a}.contiguous(), [{a}.shape[0], -1])",
        ]
    for axis in range(rank):
        size = draw.fixed(a, axis)
        if size is not None and size % 2 == 0 and size > 0:
            forms.append(f"{a}.unflatten({axis}, (2, -1))")
    return Op(draw.rng.choice(forms), exact=True)


def joined(draw: Draw) -> Op | None:
    """Values side by side, or on an axis of their own."""
    a = draw.value()
    if a is None:
        return None
    mine = draw.worlds.signature(a)
    alike = [
        n
        for n in draw.names
        if draw.worlds.signature(n) == mine and draw.worlds.dtype(n) is draw.worlds.dtype(a)
    ]
    others = ", ".join([a, *draw.rng.choices(alike, k=draw.rng.randint(1, 2))])
    axis = draw.axis(a)
    if axis is None or draw.rng.random() < 0.4:
        return Op(f"torch.stack([{others}], {draw.rng.randint(0, len(mine))})", exact=True)
    return Op(f"torch.cat([{others}], {axis})", exact=True)


def halves_joined(draw: Draw) -> Op | None:
    """A rotation as models have it: the halves of an axis, one negated."""
    a = draw.value(
        "float", lambda n: any(draw.fixed(n, i) in (2, 4, 6, 8) for i in range(draw.worlds.rank(n)))
    )
    if a is None:
        return None
    axis = next(i for i in range(draw.worlds.rank(a)) if draw.fixed(a, i) in (2, 4, 6, 8))
    half = (draw.fixed(a, axis) or 2) // 2
    first, second = f"{a}.narrow({axis}, 0, {half})", f"{a}.narrow({axis}, {half}, {half})"
    return Op(f"torch.cat([-{second}, {first}], {axis})", exact=True)


def permuted(draw: Draw) -> Op | None:
    """A value with its axes in another order."""
    a = draw.value(fits=lambda n: draw.worlds.rank(n) > 1)
    if a is None:
        return None
    axes = list(range(draw.worlds.rank(a)))
    draw.rng.shuffle(axes)
    return Op(f"{a}.permute({', '.join(map(str, axes))})", exact=True)


def strided(draw: Draw) -> Op | None:
    """Elements of a fixed shape, by their distance in memory."""
    a = draw.value(fits=lambda n: all(len(set(x)) == 1 for x in draw.worlds.signature(n)))
    if a is None or draw.worlds.of(a)[0].numel() < 6:
        return None
    return Op(f"torch.as_strided({a}.contiguous(), (2, 3), (1, {draw.rng.choice([1, 2])}), 0)", exact=True)


VIEWS: list[Builder] = [
    *[expanded, along_another, reshaped, joined] * 2, halves_joined, permuted, strided,
    *table("any", """
        {a}.transpose({d}, {e})
        {a}.unsqueeze({u})
        {a}.unsqueeze({u}).squeeze({u})
        {a}.squeeze()
        {a}.squeeze({d})
        {a}.squeeze(({d},))
        {a}.narrow({d}, 0, 1)
        {a}.narrow({d}, {a}.shape[{d}] - 1, 1)
        {a}.select({d}, 0)
        {a}.select({d}, -1)
        torch.ops.aten.slice({a}, {d}, {k})
        torch.ops.aten.slice({a}, {d}, 0, -{k})
        torch.ops.aten.slice({a}, {d}, -{k})
        torch.ops.aten.slice({a}, {d}, 1, None, 2)
        {a}[..., 1:]
        {a}[..., :-1]
        {a}[1:]
        {a}[::2]
        {a}[..., None]
        {a}[None]
        {a}[-1]
        {a}.flip({d})
        {a}.flip(({d},))
        {a}.roll({k}, {d})
        {a}.roll(-1)
        {a}.unfold({d}, 2, 1)
        {a}.diagonal(0, 0, 1)
        {a}.diagonal(1, -2, -1)
        {a}.movedim({d}, {e})
        {a}.split(2, {d})[0]
        {a}.split([1, {a}.shape[{d}] - 1], {d})[1]
        {a}.chunk(2, {d})[-1]
        torch.stack({a}.unbind({d})[::-1], 0)
        {a}.repeat(2, *[1] * ({a}.dim() - 1))
        {a}.tile(2)
        {a}.repeat_interleave(2, {d})
        F.pad({a}, (1, 0))
        F.pad({a}, (-1, 2))
        F.pad({a}, (1, 1), value={s})
        {a}.tril()
        {a}.triu(1)
        {a}.T if {a}.dim() == 2 else {a}.mT
        torch.t({a})
        torch.ops.aten.contiguous({a})
        torch.ops.aten.reshape({a}, [-1])
        torch.ops.aten.copy({a}, {b}.expand_as({a}))
    """, exact=True),
    *table("float", """
        torch.view_as_real(torch.view_as_complex({a}.reshape(-1, 2).contiguous()))
        F.pad({a}.unsqueeze(0).flatten(0, -2), (1, 1), mode="replicate")
    """, exact=True),
]  # fmt: skip
CREATIONS: list[Builder] = [
    *table("any", """
        torch.zeros_like({a})
        torch.ones_like({a})
        torch.full_like({a}, {s})
        {a}.new_zeros({a}.shape[{d}], 2)
        {a}.new_full(({a}.shape[{d}],), {s})
        torch.full(({a}.shape[{d}],), 1.5)
        torch.zeros({a}.shape[{d}], 3)
        torch.ones(3, {a}.shape[{d}], dtype=torch.int64)
        torch.zeros({a}.shape[{d}], dtype=torch.bool)
        torch.arange({a}.shape[{d}])
        torch.arange(1, {a}.shape[{d}] + 1, dtype=torch.float32)
        torch.arange({a}.shape[{d}])[:, None] >= torch.arange({a}.shape[{e}])
        torch.eye({a}.shape[{d}])
        torch.scalar_tensor({p})
        torch.tensor({p})
        torch.tensor([1.0, -2.0, 0.5])
        torch.ops.aten.fill({a}, {s})
        torch.ops.aten.fill({a}, torch.tensor({k}, dtype={a}.dtype))
        torch.ops.prims.iota({k} + 2, start=1, step=2, dtype=torch.int64, device="cpu", requires_grad=False)
        torch.empty({a}.shape[{d}], 2).fill_({p})
        torch.empty_permuted(({k}, 2), (1, 0)).fill_({p})
        torch.empty_strided(({k}, 2), (2, 1)).fill_({p})
        torch.linspace(0, 1, 5)
    """, exact=True),
]  # fmt: skip
