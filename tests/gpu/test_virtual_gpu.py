"""Compiling for a GPU that is not here: MAX's virtual device. It shows that MAX takes our graphs for
one, not that they compute what torch does.

Every compile is in a process of its own, since the device that it pretends is the process's.
"""

from __future__ import annotations

import json
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
EACH = """
import json

class Ops(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.conv = torch.nn.LayerNorm(4), torch.nn.Conv2d(1, 2, 3)

    def forward(self, x):
        n = self.norm(x)
        y = self.conv(n[None, None]).relu()
        return n, y, x.cos(), x @ x, x.sort(-1), x.pow(0.3), torch.atan2(x, x), torch.fmod(x, x)

taken = {}
aten = torch.ops.aten
table = fxmax.RuleTable(parent=fxmax.default_table())
with table.override(aten.cos.default, lambda ctx, self: self, platform="gpu"):
    for device in ("cpu", "gpu"):
        report = fxmax.explain(Ops().eval(), (torch.ones(4, 4),), device=device, table=table, quiet=True)
        assert not report.gaps, str(report)
        taken[device] = {n.op: n.rule for n in report.nodes if n.rule}
print(json.dumps(taken))
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


@pytest.fixture(scope="module")
def walked():
    """What the walks print, both in one process."""
    return on_an_h100(WALK + QUERIES)


@pytest.mark.slow
def test_what_the_gpu_has_no_kernel_for_runs_on_the_host_and_is_named(walked):
    [note] = [line for line in walked.splitlines() if "on the host" in line]
    for op in ("argmax", "fmod", "sort", "atan2"):
        assert f"aten.{op}" in note


def test_each_platform_has_its_own_rules():
    """One walk for each: a platform's rule, the general one, or the CPU's on a GPU's host."""
    taken = json.loads(on_an_h100(EACH))
    kinds = {op: [_kind(taken[device][op]) for device in ("cpu", "gpu")] for op in taken["cpu"]}
    kinds = {op.split(".")[1]: kind for op, kind in kinds.items()}
    assert {op: kinds[op] for op in EXPECTED} == EXPECTED


EXPECTED = {
    "layer_norm": ["cpu", "any"],
    "conv": ["cpu", "any"],
    "cos": ["any", "gpu"],
    "matmul": ["any", "any"],  # `rules/lib/matmul.py` chooses
    "sort": ["cpu", "cpu"],
    "pow": ["any", "gpu"],
    "atan2": ["cpu", "cpu"],
    "fmod": ["any", "any"],  # floats, that the GPU's rule leaves to the host
}


def _kind(rule: str) -> str:
    """`cpu` of `rules/sort.py:20 [cpu]`."""
    return rule.partition("[")[2].rstrip("]") or "any"


@pytest.mark.slow
def test_flash_attention_has_whole_tiles_of_queries(walked):
    """It writes whole tiles: see `rules/fused_attention.py`."""
    [call] = [line for line in walked.splitlines() if "mo.mha.no_cache" in line]
    assert "[1, 256, 2, 64]" in call.split("->")[-1]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_an_encoder_compiles_for_an_h100(dtype):
    assert "compiled, and not run" in on_an_h100(ENCODER.format(dtype=dtype))
