"""Modules with what passes look for, for the tests of several."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Whisper's pattern: projections, heads, SDPA, heads back. For (batch, seq, 12)."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(12, 12) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (f(x).unflatten(-1, (3, 4)).permute(0, 2, 1, 3) for f in (self.q, self.k, self.v))
        return F.scaled_dot_product_attention(q, k, v).permute(0, 2, 1, 3).flatten(2)


class Residual(nn.Module):
    """A transformer's feed-forward part. For (…, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 24), nn.Linear(24, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(F.gelu(self.up(x)))


class Stem(nn.Module):
    """Whisper's two convolutions. For (batch, 5, length)."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(5, 8, 3, padding=1), nn.Conv1d(8, 8, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.two(F.gelu(self.one(x)))).permute(0, 2, 1)


class Residuals(nn.Module):
    """ResNet's two patterns: a plain block, and a sum of two branches with norms. For (batch, 3, h, w)."""

    def __init__(self, twice: bool = False) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(3)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(3) for _ in range(3)])
        self.twice = twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = F.relu(self.norms[0](self.convs[0](x))), self.convs[1](x)
        y = self.norms[1](b) + self.norms[2](self.convs[2](a))
        return F.hardswish(y) + b if self.twice else F.hardswish(y)


class Rotary(nn.Module):
    """Rotary embeddings as Meta's Llama has them, by a complex buffer or constant. For (b, seq, heads, 8)."""

    def __init__(self, is_buffer: bool) -> None:
        super().__init__()
        factors = torch.polar(torch.ones(16, 4), torch.outer(torch.arange(16.0), torch.rand(4)))
        if is_buffer:
            self.register_buffer("factors", factors)
        else:
            self.factors = factors

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        turned = pairs * self.factors[: x.shape[1]][None, :, None]
        return torch.view_as_real(turned).flatten(3)


class Cache(nn.Module):
    """A cache of 9 positions, of which 3 are written and then 5 attended to. For (1, 2, 3, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("held", torch.zeros(1, 2, 9, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.held[:, :, 2:5] = x
        return F.scaled_dot_product_attention(x, self.held[:, :, :5], self.held[:, :, :5])
