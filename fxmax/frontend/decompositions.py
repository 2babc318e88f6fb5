"""Ops decomposed before the table sees them: by torch's decompositions, and ours where torch has none.

Ours are torch code, and end in ops that have rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, TypeVar

import torch
from torch import Tensor

from fxmax.core.table import RuleTable
from fxmax.fx.torch_private import OpOverload, decomposition_table

aten = torch.ops.aten
Decomposition = Callable[..., Any]
D = TypeVar("D", bound=Decomposition)
OURS: dict[OpOverload, Decomposition] = {}

# torch.export leaves these whole, though torch has decompositions of them that end in ops of the table.
# The rest of its registry ends in prims without a rule, which would be reported in the op's place.
ALSO_DECOMPOSED: tuple[OpOverload, ...] = (
    aten._addmm_activation.default,
    aten._batch_norm_no_update.default,
    aten._batch_norm_with_update_functional.default,
    aten._native_batch_norm_legit_functional.default,
    aten.native_batch_norm.default,
    aten.bucketize.Scalar,
    aten.conj_physical.default,
    aten.grid_sampler_2d.default,
    aten.ldexp.Tensor,
    aten.lift.default,
    aten.lift_fresh.default,
    aten.narrow_copy.default,
    aten.permute_copy.default,
    aten.tril_indices.default,
    aten.triu_indices.default,
    aten.unbind_copy.int,
    aten.upsample_bicubic2d.default,
    aten.upsample_bilinear2d.default,
    aten.upsample_bilinear2d.vec,
    aten.upsample_nearest2d.vec,
    aten.upsample_trilinear3d.default,
    aten.view_copy.default,
)


def decompositions() -> dict[OpOverload, Decomposition]:
    """Overload → decomposition: torch.export's defaults, `ALSO_DECOMPOSED`, and ours."""
    table: Any = torch.export.default_decompositions()
    for target in ALSO_DECOMPOSED:
        if target in decomposition_table:  # else torch.export takes it apart: ldexp in torch 2.10
            table[target] = decomposition_table[target]
    for target, function in OURS.items():
        table[target] = function
    return table  # type: ignore[no-any-return]


def decompositions_for(table: RuleTable) -> dict[OpOverload, Decomposition]:
    """Every decomposition that is known, less those of ops that `table` has a rule for.

    Adding a rule therefore raises the level of the graph; removing one falls back to torch's own
    decomposition.
    """
    return {target: parts for target, parts in decompositions().items() if target not in table}


def _ours(target: OpOverload) -> Callable[[D], D]:
    def register(function: D) -> D:
        OURS[target] = function
        return function

    return register


@_ours(aten.addbmm.default)
def addbmm(self: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta · self + alpha · Σ batch1 @ batch2; `self` is not read where beta is 0."""
    added = torch.bmm(batch1, batch2).sum(0) * alpha
    scaled: Tensor = added if beta == 0 else self * beta + added
    return scaled


@_ours(aten.lcm.default)
def lcm(self: Tensor, other: Tensor) -> Tensor:
    """The least common multiple; 0 where either is 0."""
    divisor = torch.gcd(self, other)
    return (self // torch.where(divisor == 0, 1, divisor) * other).abs()


@_ours(aten._trilinear.default)
def trilinear(
    i1: Tensor,
    i2: Tensor,
    i3: Tensor,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> Tensor:
    """The product of three tensors, each given new axes, summed over some (nn.Bilinear)."""
    result = torch.ones((), dtype=i1.dtype, device=i1.device)
    for factor, new in ((i1, expand1), (i2, expand2), (i3, expand3)):
        for dim in sorted(new):
            factor = factor.unsqueeze(dim)
        result = result * factor
    return result.sum(list(sumdim)) if sumdim else result


@_ours(aten.index_reduce.default)
def index_reduce(
    self: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """scatter_reduce with one index for each slice of `source`."""
    if self.dim() == 0:
        return torch.scatter_reduce(self, 0, index.reshape(()), source, reduce, include_self=include_self)
    shape = [1] * self.dim()
    shape[dim] = -1
    wide = index.reshape(shape).expand_as(source)
    return torch.scatter_reduce(self, dim, wide, source, reduce, include_self=include_self)


@_ours(aten.put.default)
def put(self: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Write at places counted over the whole of `self`."""
    flat = torch.index_put(self.reshape(-1), [index.reshape(-1)], source.reshape(-1), accumulate)
    return flat.reshape(self.shape)


@_ours(aten.nanmedian.dim)
def nanmedian_dim(self: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower of the two middle values that are no NaN; NaN where there is none."""
    values, places = torch.sort(self, stable=True, dim=dim)  # NaN comes last
    count = (~torch.isnan(self)).sum(dim, keepdim=True)
    middle = torch.clamp(count - 1, min=0) // 2
    found = values.gather(dim, middle), places.gather(dim, middle)
    return found if keepdim else (found[0].squeeze(dim), found[1].squeeze(dim))


@_ours(aten.nanmedian.default)
def nanmedian(self: Tensor) -> Tensor:
    """`nanmedian_dim` of all values."""
    return nanmedian_dim(self.reshape(-1), 0)[0]


@_ours(aten.grid_sampler_3d.default)
def grid_sampler_3d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """(N, C, D, H, W) read at (N, d, h, w, 3) places, x first; see torch's GridSampler.h."""
    batch, channels, *sizes = input.shape
    flat = input.reshape(batch, channels, -1)
    places = [
        _place(grid[..., axis], size, padding_mode, align_corners)
        for axis, size in enumerate(reversed(sizes))
    ]

    def read(corner: Sequence[Tensor]) -> Tensor:
        """Values (N, C, d, h, w) at whole places, zero outside the image."""
        inside = torch.ones_like(corner[0], dtype=torch.bool)
        index = torch.zeros_like(corner[0], dtype=torch.int64)
        for place, size in zip(reversed(corner), sizes, strict=True):
            inside = inside & (place >= 0) & (place < size)
            index = index * size + place.clamp(0, size - 1).to(torch.int64)
        wide = index.reshape(batch, 1, -1).expand(batch, channels, -1)
        values = flat.gather(2, wide).reshape(batch, channels, *index.shape[1:])
        return torch.where(inside.unsqueeze(1), values, 0)

    if interpolation_mode == NEAREST:
        return read([place.round() for place in places])
    low = [place.floor() for place in places]
    result = torch.zeros((), dtype=input.dtype, device=input.device)
    for steps in product((0, 1), repeat=3):
        weight = torch.ones((), dtype=input.dtype, device=input.device)
        for place, floor, step in zip(places, low, steps, strict=True):
            weight = weight * (place - floor if step else floor + 1 - place)
        corner = [floor + step for floor, step in zip(low, steps, strict=True)]
        result = result + read(corner) * weight.unsqueeze(1)
    return result


NEAREST = 1  # of torch's interpolation modes
BORDER, REFLECTION = 1, 2  # of its padding modes


def _place(x: Tensor, size: int, padding_mode: int, align_corners: bool) -> Tensor:
    """-1..1 as a place in 0..size - 1, brought back inside where the padding says so."""
    place = (x + 1) / 2 * (size - 1) if align_corners else ((x + 1) * size - 1) / 2
    if padding_mode == REFLECTION:
        least, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
        if span == 0:
            return torch.zeros_like(place)
        distance = (place - least).abs()
        rest = torch.fmod(distance, span)
        even = torch.fmod(torch.floor(distance / span), 2) == 0
        place = torch.where(even, rest, span - rest) + least
    return place.clamp(0, size - 1) if padding_mode in (BORDER, REFLECTION) else place


@_ours(aten.diagonal_scatter.default)
def diagonal_scatter(self: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """`self` with `src` on the diagonal of two axes."""
    steps = torch.arange(src.shape[-1], device=self.device)
    places: list[Tensor | None] = [steps + max(-offset, 0), steps + max(offset, 0)]
    front = torch.index_put(self.movedim((dim1, dim2), (0, 1)), places, src.movedim(-1, 0))
    return front.movedim((0, 1), (dim1, dim2))
