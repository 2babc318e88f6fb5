"""torch.compile with MAX as the backend: torch's own guards, fxmax's rules."""

import torch


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = torch.nn.Linear(16, 64), torch.nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer(torch.relu(self.inner(x)))


def main() -> None:
    torch.manual_seed(0)
    model = Model().eval()
    compiled = torch.compile(model, backend="fxmax")
    x = torch.randn(8, 16)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-5, atol=1e-5)
        model.outer.bias.add_(1)  # weights that change are bound again at the next call
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-5, atol=1e-5)
    print("as eager torch, before and after a change of a weight")


if __name__ == "__main__":
    main()
