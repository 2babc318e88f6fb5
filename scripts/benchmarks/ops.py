"""Where the time goes: each op of encoder and decoder alone, at its own shapes, beside torch's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from whisper.model import ModelDimensions

import fxmax
from benchmarks.environment import environment
from benchmarks.measure import in_turn
from benchmarks.table import Benchmark, Row


class Mlp(nn.Module):
    """Linear with gelu, or with a residual sum."""

    def __init__(self, k: int, n: int, gelu: bool = False, residual: bool = False) -> None:
        super().__init__()
        self.layer, self.gelu, self.residual = nn.Linear(k, n), gelu, residual

    def forward(self, x: torch.Tensor, *residual: torch.Tensor) -> torch.Tensor:
        y = F.gelu(self.layer(x)) if self.gelu else self.layer(x)
        return y + residual[0] if self.residual else y


class Conv(nn.Module):
    """A convolution of the stem and its gelu."""

    def __init__(self, c: int, f: int, stride: int) -> None:
        super().__init__()
        self.layer = nn.Conv1d(c, f, 3, stride, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.layer(x))


class Attention(nn.Module):
    """SDPA between projections: (1, seq, state) thrice."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q, k, v = (x.unflatten(-1, (self.heads, -1)).permute(0, 2, 1, 3) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).permute(0, 2, 1, 3).flatten(2)


Case = tuple[nn.Module, tuple[torch.Tensor, ...], float]


def encoder_cases(dims: ModelDimensions) -> dict[str, Case]:
    """Label → (module, inputs, floating-point operations), for one 30 s window."""
    d, t, mels = dims.n_audio_state, dims.n_audio_ctx, dims.n_mels
    x, wide = torch.randn(1, t, d), torch.randn(1, t, 4 * d)
    return {
        "conv1 + gelu": (Conv(mels, d, 1), (torch.randn(1, mels, 2 * t),), 12 * t * mels * d),
        "conv2 + gelu": (Conv(d, d, 2), (torch.randn(1, d, 2 * t),), 6 * t * d * d),
        f"linear {d}→{d}": (Mlp(d, d), (x,), 2 * t * d * d),
        f"linear {d}→{d} + sum": (Mlp(d, d, residual=True), (x, x), 2 * t * d * d),
        f"linear {d}→{4 * d} + gelu": (Mlp(d, 4 * d, gelu=True), (x,), 8 * t * d * d),
        f"linear {4 * d}→{d} + sum": (Mlp(4 * d, d, residual=True), (wide, x), 8 * t * d * d),
        "attention": (Attention(dims.n_audio_head), (x, x, x), 4 * t * t * d),
        "layer_norm": (nn.LayerNorm(d), (x,), 0),
    }


def decoder_cases(dims: ModelDimensions) -> dict[str, Case]:
    """The products of a decoder's step: one row, bound by memory; and a few rows."""
    d, v = dims.n_text_state, dims.n_vocab
    return {
        f"logits {d}→{v}, 1 row": (nn.Linear(d, v, bias=False), (torch.randn(1, d),), 2 * d * v),
        f"logits {d}→{v}, 8 rows": (nn.Linear(d, v, bias=False), (torch.randn(8, d),), 16 * d * v),
        f"linear {d}→{4 * d} + gelu, 1 row": (Mlp(d, 4 * d, gelu=True), (torch.randn(1, d),), 8 * d * d),
        f"linear {4 * d}→{d}, 1 row": (Mlp(4 * d, d), (torch.randn(1, 4 * d),), 8 * d * d),
        f"linear {d}→{d}, 1 row": (Mlp(d, d), (torch.randn(1, d),), 2 * d * d),
    }


def bench_ops(
    name: str, dims: ModelDimensions, *, rounds: int = 15, threads: int, quiet: bool = False
) -> Benchmark:
    """Each op: ours, ours in int8 (the decoder's), torch eager; GFLOP/s at the minimum."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    encoder, decoder = encoder_cases(dims), decoder_cases(dims)
    cases = encoder | decoder
    ours = _compiled(cases, None, quiet)
    int8 = _compiled(decoder, "int8", quiet)
    rows = []
    with torch.inference_mode():
        for label, (module, inputs, flop) in cases.items():
            runs: dict[str, Callable[..., torch.Tensor]] = {"ours": ours[label], "torch": module}
            if label in int8:
                runs["ours, int8"] = int8[label]
            sides = {side: partial(run, *inputs) for side, run in runs.items()}
            expected = module(*inputs)
            times = in_turn(sides, rounds if label in encoder else 10 * rounds)
            for side, its in times.items():
                error = float((sides[side]() - expected).abs().max())
                rate = f"{flop / its.minimum / 1e9:.0f} GFLOP/s" if flop else ""
                rows.append(Row.of(f"{label}: {side}", its, times["ours"], error, rate))
    return Benchmark(f"Whisper {name}: ops alone", rows, environment(threads))


def _compiled(cases: dict[str, Case], dtype: str | None, quiet: bool) -> dict[str, fxmax.Compiled]:
    jobs = {
        f"op{i}": fxmax.Job(module.eval(), inputs) for i, (module, inputs, _) in enumerate(cases.values())
    }
    compiled = fxmax.lower_many(jobs, dtype=dtype, device="cpu", quiet=quiet)
    return dict(zip(cases, compiled.values(), strict=True))
