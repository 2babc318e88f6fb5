"""On a GPU, where there is one: graphs compiled for it compute what torch does."""

from __future__ import annotations

import pytest
import torch
from max.driver import accelerator_count
from torch import nn
from torch.nn import functional as F
from whisper.model import AudioEncoder

import fxmax
from fxmax import Job
from tests.support.parity import assert_same
from whisper_port.modules.encoder import Float32Ends, in_16_bits

pytestmark = pytest.mark.skipif(not accelerator_count(), reason="there is no GPU here")


class Attention(nn.Module):
    """Self-attention with a mask, in torch's own layout."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(32, 96)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.unflatten(-1, (4, 8)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class Plain(nn.Module):
    """Attention without a mask on heads of 64: in bfloat16 MAX's flash attention."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(128, 384)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.unflatten(-1, (2, 64)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Mixed(nn.Module):
    """Convolution, norms, softmax, indexing and integers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(8, 16, 3, padding=1), nn.LayerNorm(16)

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.norm(F.gelu(self.conv(x)).transpose(1, 2))
        return y.softmax(-1), y[:, ids], ids * 7 // 3, y.argmax(-1), (y * y).mean((0, 1))


class Cache(nn.Module):
    """Writes its input and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, cache: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        cache[:, 2:4] = row
        return cache.sum(1) + self.calls


class Large(nn.Module):
    """Products with factors that can't be cut in two parts."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a @ b


def seeded(module: type[nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return module().eval().requires_grad_(False)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


MASK = torch.ones(10, 10, dtype=torch.bool).tril()
A = noise(5, 40) * torch.logspace(-3, 3, 40)
A[0, 0], A[1, 1], A[2, 2] = float("inf"), 1e36, float("nan")
B = noise(40, 6).abs()
B[3] = 1
FLOAT32 = {
    "attention": (Attention, (noise(2, 10, 32), MASK)),
    "mixed": (Mixed, (noise(2, 8, 12), torch.tensor([3, 0, 7]))),
    "plain": (Plain, (noise(2, 33, 128),)),
    "large": (Large, (A, B)),
}
HALVES = {"float16": 2e-3, "bfloat16": 1.6e-2}  # of the output's scale: a few of its last bits


@pytest.fixture(scope="module")
def compiled():
    jobs = {name: Job(seeded(module), inputs) for name, (module, inputs) in FLOAT32.items()}
    jobs["cache"] = Job(seeded(Cache), (torch.zeros(3, 5), torch.ones(3, 2)))
    for dtype in HALVES:
        half = getattr(torch, dtype)
        jobs[f"plain_{dtype}"] = Job(seeded(Plain).to(half), (noise(2, 33, 128).to(half),))
        jobs[f"mixed_{dtype}"] = Job(
            seeded(Mixed).to(half), (noise(2, 8, 12).to(half), torch.tensor([3, 0, 7]))
        )
    return fxmax.lower_many(jobs, device="gpu", quiet=True)


@pytest.mark.parametrize("name", FLOAT32)
def test_float32_is_torchs_on_the_cpu(compiled, name):
    module, inputs = FLOAT32[name]
    assert_same(compiled[name](*inputs), seeded(module)(*inputs))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", ["plain", "mixed"])
def test_16_bits_are_near_float32(compiled, name, dtype):
    module, inputs = FLOAT32[name]
    half = getattr(torch, dtype)
    given = [x.to(half) if x.dtype == torch.float32 else x for x in inputs]
    rounded = seeded(module).to(half).float()
    expected = rounded(*[x.float() if x.dtype == half else x for x in given])
    results = compiled[f"{name}_{dtype}"](*given)
    if name == "plain":
        results, expected = [results], [expected]
    for ours, theirs in zip(results, expected, strict=True):
        if theirs.dtype == torch.float32:
            assert ours.dtype == half
            assert (ours.float() - theirs).abs().max() <= HALVES[dtype] * max(1, theirs.abs().max())


def test_an_input_on_the_host_that_is_written_has_what_was_written(compiled):
    theirs = seeded(Cache)
    for make in (lambda: torch.zeros(3, 5), lambda: torch.zeros(3, 5).numpy()):
        cache, expected = make(), torch.zeros(3, 5)
        row = torch.ones(3, 2)
        given = row if isinstance(cache, torch.Tensor) else row.numpy()
        result = compiled["cache"](cache, given)
        assert_same(torch.as_tensor(result), theirs(expected, row))
        assert_same(torch.as_tensor(cache), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this torch has no CUDA")
def test_cuda_tensors_stay_on_the_card_and_wait_for_torchs_work(compiled):
    module, inputs = FLOAT32["plain"]
    expected = seeded(module)(*inputs)
    [x] = inputs
    for _ in range(3):
        busy = torch.ones(4000, 4000, device="cuda")
        for _ in range(20):
            busy = busy @ busy / 4000
        result = compiled["plain"](x.cuda() * busy[0, 0])
        assert result.device.type == "cuda"
        assert_same(result.cpu(), expected)


def test_a_recording_runs_again_on_new_values(compiled):
    graph = compiled["plain"]
    module, inputs = FLOAT32["plain"]
    buffers = graph.buffers(inputs)
    replay = graph.record(*buffers)
    for seed in (1, 2):
        x = torch.randn(2, 33, 128, generator=torch.Generator().manual_seed(seed))
        replay.inputs[0].inplace_copy_from(graph.buffers([x])[0])
        [result] = replay()
        assert_same(torch.from_dlpack(result).cpu().clone(), seeded(module)(x))


@pytest.mark.slow
def test_attention_writes_nothing_behind_its_output():
    """Whisper's encoder: MAX's kernel overwrote the second layer's input, whole tiles of 1500 queries."""
    torch.manual_seed(0)
    encoder = AudioEncoder(80, 1500, 384, 6, 2).eval().requires_grad_(False)
    halved = Float32Ends(in_16_bits(encoder, torch.bfloat16))
    mel = noise(1, 80, 3000)
    compiled = fxmax.lower(halved, (mel,), device="gpu", quiet=True)
    expected = encoder(mel)
    assert (compiled(mel) - expected).abs().max() <= 2 * HALVES["bfloat16"] * expected.abs().max()
