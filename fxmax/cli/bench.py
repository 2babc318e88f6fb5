"""`fxmax bench`: a module on MAX beside torch, in turn."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import click

WARM_UP = 2


@click.command()
@click.argument("target")
@click.option("--runs", default=20, show_default=True, help="Timed calls of each side.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, gpu or gpu:N.")
@click.option("--dtype", type=click.Choice(["int8", "int8_dynamic"]), help="As fxmax.lower's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def bench(target: str, runs: int, device: str, dtype: str | None, as_json: bool, quiet: bool) -> int:
    """Time a module on MAX and in torch (eager, on the CPU), call by call in turn.

    Prints medians, minima, the median of the ratios, and the error: no speed without its accuracy.
    """
    import torch

    import fxmax
    from fxmax.cli.target import given

    module, args, kwargs = given(target).call
    module.eval()
    compiled = fxmax.lower(module, args, kwargs, device=device, dtype=dtype, quiet=quiet)

    def theirs() -> Any:
        with torch.inference_mode():
            return module(*args, **kwargs)

    def ours() -> Any:
        return compiled(*args, **kwargs)

    for _ in range(WARM_UP):
        ours(), theirs()
    pairs = [(_milliseconds(ours), _milliseconds(theirs)) for _ in range(runs)]
    mine, other = (list(side) for side in zip(*pairs, strict=True))
    result = {
        "model": compiled.report.model,
        "device": compiled.report.device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "runs": runs,
        "max_ms": {"median": statistics.median(mine), "minimum": min(mine)},
        "torch_ms": {"median": statistics.median(other), "minimum": min(other)},
        "ratio": statistics.median(a / b for a, b in pairs),
        "max_abs_error": _error(ours(), theirs()),
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return 0
    click.echo(f"{result['model']} on {result['device']}, {runs} runs each, in turn:")
    for name, side in (("MAX", mine), ("torch", other)):
        click.echo(f"  {name:<6} median {statistics.median(side):9.3f} ms   minimum {min(side):9.3f} ms")
    click.echo(f"  ratio  {result['ratio']:.2f} (below 1, MAX is faster)")
    click.echo(f"  max abs error against torch {result['max_abs_error']:.3g}")
    return 0


def _milliseconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def _error(ours: Any, theirs: Any) -> float:
    import torch

    from fxmax.fx.torch_private import pytree

    pairs = zip(pytree.tree_leaves(ours), pytree.tree_leaves(theirs), strict=True)
    errors = [
        float((a.double() - b.double()).abs().max())
        for a, b in pairs
        if isinstance(b, torch.Tensor) and b.numel()
    ]
    return max(errors, default=0.0)
