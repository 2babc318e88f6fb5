"""Programs as modules of a function for torch.compile: the road of `fxmax.dynamo`, up to the lowering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from fxmax.api import Job
from fxmax.dynamo import Rebuilt, rebuilt
from fxmax.errors import CaptureError, MismatchError
from fxmax.frontend.options import Options
from fxmax.fx.torch_private import pytree, tracing
from tests.support.fuzz.program import Program


def function_job(program: Program, options: Options) -> Job:
    """What the backend lowers of the program's function.

    Raises:
        CaptureError: Dynamo makes no graph of it, or several.
        MismatchError: the graph that the backend makes computes something else in torch, too.
    """
    function, graphs = program.function(), list[tuple[torch.fx.GraphModule, Rebuilt]]()

    def backend(graph: torch.fx.GraphModule, examples: Sequence[Any]) -> Callable[..., Any]:
        with tracing(None), torch.no_grad():
            graphs.append((graph, rebuilt(graph, examples, options)))
        kept = graphs[-1][1]
        return lambda *args: kept.module(*[args[i] for i in kept.kept])

    torch.compiler.reset()
    with torch.no_grad():
        wanted = pytree.tree_leaves(program.function()(*program.data()))
        try:
            compiled: Callable[..., Any] = torch.compile(function, backend=backend)
            actual = pytree.tree_leaves(compiled(*program.data()))
        except torch._dynamo.exc.TorchDynamoException as error:
            raise CaptureError(f"Dynamo: {error}") from error
    if len(graphs) != 1:
        raise CaptureError(f"Dynamo makes {len(graphs)} graphs of it")
    for i, (mine, theirs) in enumerate(zip(actual, wanted, strict=True)):
        if not torch.allclose(mine, theirs, rtol=0, atol=0, equal_nan=True):
            raise MismatchError(f"output {i} of the graph with its weights inside is not the function's")
    return graphs[0][1].job
