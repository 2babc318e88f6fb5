"""A tensor that was written is told from one that was not, whichever way it was written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fxmax.fx.seen import Seen

WRITES: dict[str, Callable[[torch.Tensor], object]] = {
    "in place": lambda t: t.add_(1),
    "through data": lambda t: t.data.add_(1),
    "another layout": lambda t: setattr(t, "data", t.data[..., None]),
    "other memory": lambda t: setattr(t, "data", t.data.clone()),
    "a copy into data": lambda t: t.data.copy_(torch.full_like(t, 7)),
    "its last row, through data": lambda t: t.data[-1:].fill_(9),
}
KINDS = {
    "matrix": lambda: torch.randn(300, 5),
    "filter": lambda: torch.randn(8, 4, 3, 3),
    "transposed": lambda: torch.randn(30, 50).T,
    "bfloat16": lambda: torch.randn(64).bfloat16(),
    "float64": lambda: torch.randn(2, 2).double(),
    "int8": lambda: torch.ones(7, dtype=torch.int8),
    "one": lambda: torch.randn(1),
    "parameter": lambda: torch.nn.Parameter(torch.randn(6, 6)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", WRITES)
@torch.no_grad()
def test_a_write_is_seen(kind: str, how: str) -> None:
    tensor, other = KINDS[kind](), KINDS[kind]()
    seen = Seen([tensor])
    assert seen.still([tensor])
    assert not seen.still([other])
    WRITES[how](tensor)
    assert not seen.still([tensor])
    assert Seen([tensor]).still([tensor])


def test_of_inference_mode_empty_and_without_axes() -> None:
    with torch.inference_mode():
        tensor = torch.zeros(3)
        seen = Seen([tensor])
        assert seen.still([tensor])
        tensor.add_(1)
        assert not seen.still([tensor])
    for still in (torch.zeros(0, 3), torch.tensor(3.0), torch.randn(2, device="meta")):
        assert Seen([still]).still([still])


@torch.no_grad()
def test_a_write_to_one_of_many_is_seen() -> None:
    tensors = [torch.randn(3, 4) for _ in range(5)]
    seen = Seen(tensors)
    assert seen.still(tensors)
    assert not seen.still([*tensors[:2], tensors[2].clone(), *tensors[3:]])
    tensors[3].data.mul_(2)
    assert not seen.still(tensors)
    assert Seen([]).still([])
