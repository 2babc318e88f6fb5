"""Calls of Mojo custom ops: a graph has the packages of those that it calls, and nothing is declared."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from max.graph import Graph

import fxmax
from fxmax.core.kernel_calls import own_packages
from fxmax.kernels.build import ELEMENTWISE, FOLDERS, GEMM, ROWS, registered
from tests.support.parity import Fn

X = torch.ones(3, 3)


def graph_of(fn) -> Graph:
    return fxmax.lower(Fn(fn), (X,), device="cpu", compile=False, quiet=True).graph


def folders(graph: Graph) -> list[str]:
    return [path.name.partition("_")[0] for path in graph.kernel_libraries_paths]


def test_a_graph_has_the_packages_of_the_ops_that_it_calls() -> None:
    assert folders(graph_of(lambda x: x.relu())) == []
    assert folders(graph_of(lambda x: x @ x)) == ["gemm"]
    assert folders(graph_of(lambda x: x.long() @ x.long())) == []  # a product that MAX's own op makes


def test_their_order_is_not_that_of_the_calls() -> None:
    first, last = graph_of(lambda x: x.sort().values @ x), graph_of(lambda x: (x @ x).sort().values)
    assert folders(first) == folders(last) == ["gemm", "rows"]
    paths = ", ".join(f'"{path}"' for path in first.kernel_libraries_paths)
    assert f"_kernel_library_paths = [{paths}]" in str(first.module.mlir_module)


def test_packages_of_your_own_go_beside_fxmaxs(tmp_path: Path) -> None:
    (tmp_path / "__init__.mojo").touch()
    (tmp_path / "gcd.mojo").write_text((ELEMENTWISE / "integers.mojo").read_text().replace("fxmax", "mine"))
    table = fxmax.RuleTable(parent=fxmax.default_table())

    @table.rule(torch.ops.aten.gcd.default, override=True)
    def gcd(ctx, self, other):
        [y] = ctx.kernel(tmp_path, "mine.gcd", [self, other], [ctx.out])
        return y

    module = Fn(lambda x: torch.gcd(x, x).float() @ x.float())
    lowered = fxmax.lower(module, (X.long(),), device="cpu", table=table, compile=False, quiet=True)
    assert len(lowered.graph.kernel_libraries_paths) == 2
    assert set(lowered.graph.kernel_libraries_paths) - set(own_packages())


@pytest.mark.parametrize("name", ["fxmax.products", "fxmax.nonesuch"])
def test_what_the_folder_does_not_register_is_said(name: str) -> None:
    """Also where another folder of fxmax's does."""
    table = fxmax.RuleTable(parent=fxmax.default_table())
    rule = lambda ctx, self: ctx.kernel(ROWS, name, [self], [ctx.out])[0]
    table.rule(torch.ops.aten.relu.default, override=True)(rule)
    [gap] = fxmax.explain(Fn(lambda x: x.relu()), (X,), table=table, quiet=True).gaps
    assert gap.kind == "raised"
    assert f"no Mojo file in {ROWS} registers '{name}'; registered there: fxmax.cumprod, " in gap.detail


def test_no_two_folders_register_one_name() -> None:
    names = [name for folder in FOLDERS for name in registered(folder)]
    assert len(names) == len(set(names))
    assert "fxmax.products" in registered(GEMM)
