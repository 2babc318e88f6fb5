"""Compiling for a GPU that is not here: MAX's virtual device. It shows that MAX takes our graphs for
one, not that they compute what torch does.

Every compile is in a process of its own, since the device that it pretends is the process's.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

H100 = """
from max import driver
driver.set_virtual_device_api("cuda")
driver.set_virtual_device_target_arch("sm_90a")
driver.set_virtual_device_count(1)
import torch, fxmax
"""
WALK = """
class Ordered(torch.nn.Module):
    def forward(self, x):
        return x.argmax(-1), torch.fmod(x.half(), 2), x.sort(-1), torch.atan2(x, x)

report = fxmax.explain(Ordered(), (torch.ones(2, 3),), device="gpu", quiet=True)
assert not report.gaps, str(report)
print(report)
"""
QUERIES = """
class Attention(torch.nn.Module):
    def forward(self, x):
        q, k, v = (t.unflatten(-1, (2, 64)).transpose(1, 2) for t in x.chunk(3, -1))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)

x = torch.zeros(1, 200, 384, dtype=torch.bfloat16)
lowered = fxmax.lower(Attention(), (x,), device="gpu", compile=False, quiet=True)
print(lowered.graph)
"""
ENCODER = """
from whisper.model import AudioEncoder
from whisper_port.modules.encoder import Float32Ends, in_16_bits

torch.manual_seed(0)
encoder = AudioEncoder(8, 96, 128, 2, 1).eval().requires_grad_(False)
dtype = torch.{dtype}
module = encoder if dtype == torch.float32 else Float32Ends(in_16_bits(encoder, dtype))
compiled = fxmax.lower(module, (torch.zeros(1, 8, 192),), device="gpu", quiet=True)
assert str(compiled.report.device).startswith("gpu"), compiled.report.device
from max.engine.api import CompileOnlyExecutionError
try:
    compiled(torch.zeros(1, 8, 192))
except CompileOnlyExecutionError:
    print("compiled, and not run")
"""


def on_an_h100(program: str) -> str:
    command = [sys.executable, "-c", H100 + program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_what_the_gpu_has_no_kernel_for_runs_on_the_host_and_is_named():
    [note] = [line for line in on_an_h100(WALK).splitlines() if "on the host" in line]
    for op in ("argmax", "fmod", "sort", "atan2"):
        assert f"aten.{op}" in note


def test_flash_attention_has_whole_tiles_of_queries():
    """It writes whole tiles: see `rules/fused_attention.py`."""
    [call] = [line for line in on_an_h100(QUERIES).splitlines() if "mo.mha.no_cache" in line]
    assert "[1, 256, 2, 64]" in call.split("->")[-1]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_an_encoder_compiles_for_an_h100(dtype):
    assert "compiled, and not run" in on_an_h100(ENCODER.format(dtype=dtype))
