"""What an NVIDIA GPU shows; nothing of it can be run without one."""

from __future__ import annotations

import numpy as np
from max.driver import CPU, Accelerator, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, TensorType

from tests.max_repros.repro import random


def error_of_a_float32_product() -> float:
    """Over the result's scale: 5e-4 on an H100, of products in TF32; float32's would be 1e-6."""
    a, b = random(256, 512), random(512, 256)
    types = [TensorType(DType.float32, x.shape, DeviceRef.GPU()) for x in (a, b)]
    with Graph("product", input_types=types) as graph:
        graph.output(graph.inputs[0].tensor @ graph.inputs[1].tensor)
    card = Accelerator()
    session = InferenceSession(devices=[CPU(), card])
    model = session.init(session.compile(graph))
    y = model.execute(*(Buffer.from_numpy(x).to(card) for x in (a, b)))[0].to(CPU()).to_numpy()
    right = a.astype(np.float64) @ b
    return float(np.abs(y - right).max() / np.abs(right).max())
