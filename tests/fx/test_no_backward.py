"""Gradients do not stop in silence: backward() through a result of a compiled graph is an error."""

from __future__ import annotations

import pytest
import torch

from fxmax.fx.no_backward import refusing_backward

W = torch.nn.Parameter(torch.ones(3))


def test_backward_is_refused_and_the_values_stay() -> None:
    y, count = torch.arange(3.0), torch.tensor([1, 2])
    (a, [b]), other, number = refusing_backward(((y, [count]), W, 3), [torch.ones(2), W])
    assert torch.equal(a, y)
    assert a.data_ptr() == y.data_ptr()
    assert b is count
    assert other is W
    assert number == 3
    with pytest.raises(RuntimeError, match=r"no gradient goes back.*torch\.no_grad"):
        (a * 2).sum().backward()
    twice = refusing_backward([y, y], [W])
    assert twice[0] is twice[1]
    twice[0].add_(1)  # as after any module of torch's
    twice[0][:1] = 5
    with pytest.raises(RuntimeError, match="no gradient goes back"):
        twice[1].sum().backward()
    (W * 2).sum().backward()  # beside it gradients go on
    assert W.grad is not None


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_inference_is_left_alone(guard: type) -> None:
    y = torch.ones(3)
    with guard():
        assert refusing_backward(y, [W]) is y
    assert refusing_backward([W, 2], [W]) == [W, 2]  # nothing of its own
    assert refusing_backward(y, [torch.ones(3), 2]) is y  # nothing requires gradients
