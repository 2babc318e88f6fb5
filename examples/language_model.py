"""A small language model whose key/value cache MAX writes in place: a prefill, then one token at a time."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fxmax

VOCABULARY, WIDTH, HEADS, LAYERS, LENGTH = 97, 64, 4, 2, 64


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor, cache: Tensor, position: Tensor) -> Tensor:
        """x (1, tokens, width); cache (2, 1, heads, length, dim) is written at `position` (tokens,)."""
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        cache.index_copy_(3, position, torch.stack([k, v]))
        past = torch.arange(LENGTH) <= position[:, None]
        y = F.scaled_dot_product_attention(q, cache[0], cache[1], attn_mask=past)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.mlp(x)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks, self.norm = nn.ModuleList(Block() for _ in range(LAYERS)), nn.LayerNorm(WIDTH)

    def forward(self, ids: Tensor, position: Tensor, caches: list[Tensor]) -> Tensor:
        """The logits (1, vocabulary) after the last of `ids` (1, tokens); the caches are written."""
        x = self.tokens(ids) + self.positions(position)
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, cache, position)
        return self.norm(x[:, -1]) @ self.tokens.weight.T


def caches() -> list[Tensor]:
    return [torch.zeros(2, 1, HEADS, LENGTH, WIDTH // HEADS) for _ in range(LAYERS)]


def generate(model, prompt: list[int], count: int) -> list[int]:  # noqa: ANN001 - torch's, or ours
    """Greedy tokens after `prompt`, by a model called like `Model`."""
    held, ids, made = caches(), torch.tensor([prompt]), list[int]()
    position = torch.arange(len(prompt))
    for _ in range(count):
        made.append(int(model(ids, position, held).argmax()))
        ids, position = torch.tensor([made[-1:]]), position[-1:] + 1
    return made


def main() -> None:
    torch.manual_seed(0)
    model, prompt = Model().eval(), [5, 17, 3, 42]
    tokens = torch.export.Dim("tokens", min=1, max=LENGTH)  # one compile serves prefill and step
    compiled = fxmax.lower(
        model,
        (torch.tensor([prompt]), torch.arange(len(prompt)), caches()),
        dynamic_shapes=({1: tokens}, {0: tokens}, [None] * LAYERS),
    )
    with torch.no_grad():
        expected = generate(model, prompt, 24)
    assert generate(compiled, prompt, 24) == expected
    print("24 tokens as torch's:", expected)


if __name__ == "__main__":
    main()
