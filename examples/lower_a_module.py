"""Lower a module to MAX, call it at two batch sizes, bind another checkpoint, and compare with torch."""

import torch

import fxmax


def classifier() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.GELU(), torch.nn.Linear(32, 4)).eval()


def main() -> None:
    torch.manual_seed(0)
    module, x = classifier(), torch.randn(3, 16)
    batch = torch.export.Dim("batch", min=1, max=64)
    compiled = fxmax.lower(module, (x,), dynamic_shapes=({0: batch},))
    print(compiled.report)

    with torch.no_grad():
        for size in (1, 17):
            inputs = torch.randn(size, 16)
            torch.testing.assert_close(compiled(inputs), module(inputs), rtol=1e-5, atol=1e-5)

        other = classifier()
        compiled.load_state_dict(other.state_dict())  # no recompile; a name that does not fit is refused
        torch.testing.assert_close(compiled(x), other(x), rtol=1e-5, atol=1e-5)
    print("both checkpoints give torch's numbers")


if __name__ == "__main__":
    main()
