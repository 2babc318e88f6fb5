"""Ops of models: products, attention, norms, convolutions, pools. MAX has a kernel of its own for most."""

from __future__ import annotations

import torch

from tests.support.fuzz.drawing import Builder, Draw, Op
from tests.support.fuzz.ops.table import table

PLAIN = (torch.float32,)


def of_rank(draw: Draw, low: int, high: int, last: bool = False) -> str | None:
    """A float value of so many axes; `last`: whose last axis is of a fixed size."""

    def fits(name: str) -> bool:
        rank = draw.worlds.rank(name)
        return low <= rank <= high and (not last or (draw.fixed(name, -1) or 0) > 0)

    return draw.value("float", fits)


def linear(draw: Draw) -> Op | None:
    """A layer of weights, with a bias or without."""
    a = of_rank(draw, 1, 4, last=True)
    if a is None:
        return None
    k, n, dtype = draw.fixed(a, -1) or 1, draw.rng.choice([1, 3, 4, 8]), draw.worlds.dtype(a)
    n = k if draw.tie and draw.rng.random() < 0.7 else n
    w, bias = draw.weight((n, k), dtype), draw.weight((n,), dtype)
    forms = [
        f"F.linear({a}, {w}, {bias})",
        f"F.linear({a}, {w})",
        f"{a} @ {w}.T",
        f"F.relu(F.linear({a}, {w}, {bias}))",
    ]
    if draw.worlds.rank(a) == 2:
        forms += [f"torch.addmm({bias}, {a}, {w}.T)", f"torch.mm({a}, {w}.T)"]
    return Op(draw.rng.choice(forms))


def tied(draw: Draw) -> Op | None:
    """A table that tokens are looked up in, and that logits are made with."""
    i = draw.value("index", lambda n: draw.worlds.rank(n) in (1, 2))
    if i is None:
        return None
    w, v = draw.weight((7, 4)), draw.weight((7, 4))
    return Op(f"F.linear(torch.tanh(F.embedding({i} % 7, {w})), {v})")


def product(draw: Draw) -> Op | None:
    """Products of values with themselves, or with a weight."""
    a = of_rank(draw, 1, 4)
    if a is None:
        return None
    rank = draw.worlds.rank(a)
    if rank == 1:
        return Op(draw.rng.choice([f"torch.dot({a}, {a})", f"torch.outer({a}, {a})", f"{a} @ {a}"]))
    forms = [f"{a} @ {a}.mT", f"torch.matmul({a}.mT, {a})", f"torch.matmul({a}, {a}.mT) * 0.5 + 1"]
    if rank == 2:
        forms += [
            f"torch.mv({a}, {a}[0])",
            f"torch.addmv({a}[:, 0], {a}, {a}[0], beta=0.5)",
            f"torch.mm({a}.T, {a})",
            f"torch.addmm({a}[:, :1], {a}, {a}.T, alpha=0.5)",
            f"torch.cdist({a}, {a}[:1])",
        ]
    if rank == 3:
        forms += [
            f"torch.bmm({a}, {a}.mT)",
            f"torch.baddbmm({a}[:, :, :1], {a}, {a}.mT)",
            f'torch.einsum("bij,bkj->bik", {a}, {a})',
        ]
    return Op(draw.rng.choice(forms))


def attention(draw: Draw) -> Op | None:
    """Attention of a value with itself."""
    a = of_rank(draw, 2, 4, last=True)
    if a is None:
        return None
    x = f"{a}.unsqueeze(0).unsqueeze(0)" if draw.worlds.rank(a) == 2 else a
    forms = [
        f"F.scaled_dot_product_attention({x}, {x}, {x})",
        f"F.scaled_dot_product_attention({x}, {x}, {x}, is_causal=True)",
        f"F.scaled_dot_product_attention({x}, {x} * 0.5, {x}, scale=0.3)",
        f"torch.softmax({x} @ {x}.mT * 0.5, -1) @ {x}",
    ]
    return Op(draw.rng.choice(forms))


def normed(draw: Draw) -> Op | None:
    """A norm of the last axes, with weights or without."""
    a = of_rank(draw, 2, 4, last=True)
    if a is None or (draw.fixed(a, -1) or 0) < 2:
        return None
    k, dtype = draw.fixed(a, -1) or 1, draw.worlds.dtype(a)
    w, bias = draw.weight((k,), dtype), draw.weight((k,), dtype)
    forms = [
        f"F.layer_norm({a}, ({k},), {w}, {bias})",
        f"F.layer_norm({a}, ({k},))",
        f"F.rms_norm({a}, ({k},), {w})",
        f"torch.native_layer_norm({a}, ({k},), {w}, {bias}, 1e-5)[0]",
        f"F.layer_norm({a}, ({k},), {w})",
    ]
    return Op(draw.rng.choice(forms))


def by_channel(draw: Draw) -> Op | None:
    """A norm of channels."""

    def fits(name: str) -> bool:
        return draw.worlds.rank(name) in (3, 4) and (draw.fixed(name, 1) or 0) > 1

    a = draw.value("float", fits)
    if a is None:
        return None
    c, dtype = draw.fixed(a, 1) or 1, draw.worlds.dtype(a)
    w, bias = draw.weight((c,), dtype), draw.weight((c,), dtype)
    groups = 2 if c % 2 == 0 else 1
    forms = [
        f"F.group_norm({a}, {groups}, {w}, {bias})",
        f"F.group_norm({a}, {groups})",
        f"F.instance_norm({a})",
        f"F.batch_norm({a}, {w}, {bias}.abs() + 1)",
        f"F.batch_norm({a}, {w}, {bias}.abs() + 1, {bias}, {w})",
        f"F.batch_norm({a}, None, None, {w}, {bias}, True)",
        f"torch.ops.aten._native_batch_norm_legit_no_training("
        f"{a}, {w}, {bias}, {w}, {bias}.abs() + 1, 0.1, 1e-5)[0]",
        f"torch.ops.aten._native_batch_norm_legit.no_stats({a}, {w}, {bias}, True, 0.1, 1e-5)[0]",
        f"torch.ops.aten.native_group_norm({a}.contiguous(), {w}, {bias}, {a}.shape[0], {c}, "
        f"{a}[0, 0].numel(), {groups}, 1e-5)[0]",
    ]
    return Op(draw.rng.choice(forms))


def convolved(draw: Draw) -> Op | None:
    """A convolution over one, two or three axes."""

    def fits(name: str) -> bool:
        return draw.worlds.rank(name) in (3, 4, 5) and (draw.fixed(name, 1) or 0) > 0

    a = draw.value("float", fits)
    if a is None:
        return None
    c, axes, dtype = draw.fixed(a, 1) or 1, draw.worlds.rank(a) - 2, draw.worlds.dtype(a)
    taps, out = draw.rng.choice([1, 2, 3]), draw.rng.choice([2, 3, 4])
    groups = draw.rng.choice([1, c])
    out = out * groups if groups > 1 else out
    bias = draw.weight((out,), dtype)
    w = draw.weight((out, c // groups, *[taps] * axes), dtype)
    padding, stride = draw.rng.choice([0, 1, 2]), draw.rng.choice([1, 1, 2])
    dilation = draw.rng.choice([1, 1, 2])
    if draw.rng.random() < 0.25 and groups == 1:
        w = draw.weight((c, out, *[taps] * axes), dtype)
        return Op(f"F.conv_transpose{axes}d({a}, {w}, {bias}, {stride})")
    return Op(f"F.conv{axes}d({a}, {w}, {bias}, {stride}, {padding}, {dilation}, {groups})")


def pooled(draw: Draw) -> Op | None:
    """A pool over one, two or three axes."""
    a = of_rank(draw, 3, 5)
    if a is None:
        return None
    axes = draw.worlds.rank(a) - 2
    forms = [
        (f"F.max_pool{axes}d({a}, 2, 1)", True),
        (f"F.avg_pool{axes}d({a}, 2)", False),
        (f"F.avg_pool{axes}d({a}, 3, 1, 1, count_include_pad=False)", False),
        (f"F.adaptive_avg_pool{axes}d({a}, 2)", False),
        (f"F.adaptive_max_pool{axes}d({a}, 2)", True),
        (f"F.max_pool{axes}d({a}, 3, 2, 1)", True),
    ]
    code, exact = draw.rng.choice(forms)
    return Op(code, exact=exact)


def resized(draw: Draw) -> Op | None:
    """An image in another size."""
    a = of_rank(draw, 4, 4)
    if a is None:
        return None
    mode = draw.rng.choice(["nearest", "bilinear", "bicubic", "aa", "cubic aa"])
    if mode.endswith("aa"):
        kind = "bilinear" if mode == "aa" else "bicubic"
        return Op(f'F.interpolate({a}, size=(3, 5), mode="{kind}", antialias=True)')
    return Op(f'F.interpolate({a}, size=(3, 5), mode="{mode}")')


LAYERS: list[Builder] = [
    linear,
    linear,
    linear,
    tied,
    tied,
    product,
    product,
    attention,
    attention,
    normed,
    normed,
    by_channel,
    by_channel,
    convolved,
    convolved,
    pooled,
    resized,
    *table("float", "torch.pdist({a})"),
]
