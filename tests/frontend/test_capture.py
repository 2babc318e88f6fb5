"""What a caller gives for a module and its inputs, taken as meant or refused in words; no compile."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import fxmax
from fxmax.errors import CaptureError

X = torch.ones(2, 3)


def explain(module: nn.Module, *args: Any) -> fxmax.Report:
    return fxmax.explain(module, *args, device="cpu", quiet=True)


@pytest.mark.parametrize("args", [X, (X,), [X]], ids=["tensor", "tuple", "list"])
def test_one_tensor_is_the_only_input(args: Any) -> None:
    lowered = fxmax.lower(nn.Linear(3, 4), args, compile=False, device="cpu", quiet=True)
    assert [spec.shape for spec in lowered.signature.tensors] == [(2, 3)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (({"input": X},), "args is of type dict; give a tuple of the inputs by position, or kwargs=inputs"),
        ((3,), "args is of type int; give a tuple of the inputs by position, or args=(x,)"),
        (("x",), "args is of type str"),
        ((X, X), "kwargs is of type Tensor; give several inputs as one tuple, fxmax.lower(module, (x, y))"),
        (((X,), [X]), "kwargs is of type list"),
    ],
)
def test_inputs_in_another_form_are_refused_with_the_right_one(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(CaptureError, match=re.escape(message)):
        explain(nn.Linear(3, 4), *given)


def test_an_exported_program_has_its_inputs_already() -> None:
    with pytest.raises(CaptureError, match="has its inputs already"):
        explain(torch.export.export(nn.Linear(3, 4), (X,)), X)


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("make", [lambda m: torch.jit.trace(m, X), torch.jit.script], ids=["trace", "script"])
def test_torchscript_is_named(make: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(CaptureError, match=r"is TorchScript.*Lower the Python module"):
        explain(make(nn.Linear(3, 4)), X)
