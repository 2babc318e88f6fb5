"""Numbers that a tensor holds: used as tensors, and reported by name where they can't be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import fxmax
from fxmax.frontend.capture import Captured, capture
from fxmax.frontend.options import Options
from tests.support.parity import Fn
from tests.support.rewritten import reasons
from tests.support.torch_versions import needs_number_as_index

ITEM = torch.ops.aten._local_scalar_dense.default
X, AT = torch.randn(3, 4), torch.tensor([2, 1])


def captured(fn: Callable[[Tensor, Tensor], Tensor], x: Tensor = X) -> Captured:
    return capture(Fn(fn), (x, AT), options=Options.resolve())


@pytest.mark.parametrize(
    "fn",
    [
        pytest.param(lambda x, i: x[..., i[0]], marks=needs_number_as_index),
        pytest.param(lambda x, i: x[i[1]] * i[:1].item(), marks=needs_number_as_index),
        lambda x, i: x * i[0].item() + i[1].item() - x / i[0].item(),
    ],
)
def test_the_tensor_stands_for_the_number(fn: Callable[[Tensor, Tensor], Tensor]) -> None:
    program = captured(fn).program
    assert ITEM not in [n.target for n in program.graph.nodes]
    for at in (AT, torch.tensor([-1, -3])):
        torch.testing.assert_close(program.module()(X, at), fn(X, at), rtol=0, atol=0)


def test_a_number_that_a_tensor_would_promote_stays() -> None:
    """int32 without axes times a number is int32; times an int64 tensor it is int64."""
    program = captured(lambda x, i: x * i[0].item(), torch.tensor(3, dtype=torch.int32)).program
    assert ITEM in [n.target for n in program.graph.nodes]
    why = "it takes a number that the data decides; a tensor in its place would promote the result"
    number = torch.tensor(3, dtype=torch.int32)
    assert reasons(lambda x, i: x * i[0].item(), number, AT, by="items_as_tensors") == {why}


def test_a_size_that_a_number_decides_is_a_gap() -> None:
    report = fxmax.explain(Fn(lambda x, i: x[: i[1].item()].sum()), (X, AT), device="cpu", quiet=True)
    [gap] = report.gaps
    assert (gap.target, gap.kind) == (str(ITEM), "declined")
    assert {n.fate for n in report.nodes if n.op.startswith(("aten.slice", "aten.sum"))} == {"blocked"}
    [skipped] = [s for s in report.skipped if s.by == "items_as_tensors"]
    assert skipped.reason == "it takes a number that the data decides, and can't take a tensor in its place"
