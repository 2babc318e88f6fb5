"""Torch tensors as MAX buffers and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from max.driver import CPU, Buffer
from max.dtype import DType

from fxmax.core.types import TO_TORCH
from fxmax.runtime.arrays import Inlet, NumpyArrays, Outlet, without_gradients
from fxmax.runtime.signature import OutputSpec, TensorSpec


class TorchArrays(NumpyArrays):
    """Torch tensors in and out beside numpy's; results are numpy's where every array given is."""

    def inlet(self, spec: TensorSpec, dtype: DType) -> Inlet:
        of_others, wanted = super().inlet(spec, dtype), TO_TORCH[dtype]

        def read(value: Any) -> Buffer:
            if not isinstance(value, torch.Tensor):
                return of_others(value)
            if value.requires_grad:
                value = without_gradients(value)
            return Buffer.from_dlpack(value.to(wanted).contiguous())

        return read

    def write_back(self, value: Any, buffer: Buffer) -> None:
        if not isinstance(value, torch.Tensor):
            super().write_back(value, buffer)
            return
        with torch.inference_mode(value.is_inference()):
            value.detach().copy_(torch.from_dlpack(buffer))

    def outlet(self, spec: OutputSpec) -> Outlet:
        to_numpy, dtype = super().outlet(spec), getattr(torch, spec.dtype, None)

        def write(buffer: Buffer, home: str) -> Any:
            if home == "numpy":
                return to_numpy(buffer, home)
            if home != "cuda" and not buffer.is_host:
                buffer = buffer.to(CPU())
            value = torch.from_dlpack(buffer)
            return value if value.dtype == dtype else value.to(dtype)

        return write

    def home(self, values: Sequence[Any]) -> str:
        """`numpy` where all inputs are numpy's, else the device of the first torch tensor."""
        if values and all(isinstance(v, np.ndarray) for v in values):
            return "numpy"
        return next((v.device.type for v in values if isinstance(v, torch.Tensor)), "cpu")
