"""Plant a wrong rule, and have `fxmax.verify` find it by name."""

import torch
from max.graph import TensorValue, ops

import fxmax


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(16, 16), torch.nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.sigmoid(self.first(x)))


def nearly_sigmoid(ctx: fxmax.Context, self: TensorValue) -> TensorValue:
    """Half a percent off: nothing that a look at the output would show."""
    return ops.sigmoid(self) * 1.005


def main() -> None:
    torch.manual_seed(0)
    module, x = Model().eval(), torch.randn(8, 16)
    table = fxmax.RuleTable(parent=fxmax.default_table())
    with table.override(torch.ops.aten.sigmoid.default, nearly_sigmoid):
        result = fxmax.verify(module, (x,), table=table)
    print(result)
    assert result.first_divergent is not None
    assert result.first_divergent.op == "aten.sigmoid.default"


if __name__ == "__main__":
    main()
