"""`fxmax.profile`: it times the right graphs, and says of every node what it costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn
from torch.export.graph_signature import OutputKind

import fxmax
from fxmax.compiled import compile_module
from fxmax.frontend.capture import capture
from fxmax.frontend.options import Options
from fxmax.profiling import Profile
from fxmax.profiling.graphs import Graphs
from fxmax.verification.reference import given_inputs, placeholders, reference_walk

pytestmark = pytest.mark.compiles


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(64), nn.Linear(64, 128), nn.Linear(128, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.norm(x).chunk(2, -1)
        return x + self.down(nn.functional.gelu(self.up(torch.cat([right, left], -1))))


class Model(nn.Module):
    """Alike blocks, one costly layer, a tied weight, state, a view, a tuple, an input that is written."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 64)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.wide = nn.Linear(64, 1024)
        self.costly = nn.Linear(1024, 1024)
        self.logits = nn.Linear(64, 50, bias=False)
        self.logits.weight = self.embed.weight
        self.register_buffer("seen", torch.zeros(4, 64))

    def forward(self, ids: torch.Tensor, log: torch.Tensor) -> Any:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        self.seen[1:3] = x[:2]
        log[0] = x[0, 0]
        x = x + self.seen.sum(0) + log.mean()
        wide = self.costly(self.wide(x)).t().reshape(1024, -1)
        return (*torch.topk(self.logits(x), 3), wide)


IDS = torch.arange(64) % 50
INPUTS = (IDS, torch.zeros(5))


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model().eval()


@pytest.fixture(scope="module")
def profile(model: Model) -> Profile:
    return fxmax.profile(model, INPUTS, device="cpu", quiet=True)


def test_what_is_timed_is_the_node(model: Model, profile: Profile) -> None:
    """Each graph that was cut out gives torch's own result of that node, and writes what it writes."""
    captured = capture(model, INPUTS, options=Options.resolve(device="cpu"))
    graphs = Graphs(captured, None, given_inputs(captured, INPUTS, None))
    compiled = compile_module(graphs.shared.module, graphs.lowered, strict=False)  # the fixture's: a hit
    checked = 0
    for name in graphs.measured.values():
        program, one, inputs = graphs.lowered[name].captured.program, compiled[name], graphs.inputs[name]
        weights = graphs.lowered[name].weights.by_fqn()
        wanted = reference_walk(program, torch.float32).run(*placeholders(program, weights, inputs))
        results = list(one(*inputs))
        signature = program.graph_signature
        written = dict(zip(signature.user_inputs, inputs, strict=True))  # in place
        written |= {name: torch.from_dlpack(state) for name, state in one.states.items()}
        for spec, theirs in zip(signature.output_specs, wanted, strict=True):
            ours = results.pop(0) if spec.kind is OutputKind.USER_OUTPUT else written[spec.target]
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            scale = theirs.double().abs().max() + 1e-30
            assert ((ours.double() - theirs.double()).abs().max() / scale) < 1e-5, name
            checked += 1
        assert not results
    assert checked > len(graphs.measured)  # topk has two


def test_every_node_has_a_time_or_is_a_view(profile: Profile) -> None:
    assert profile.report is not None
    times = {n.name: n for n in profile.nodes}
    assert set(times) == {n.name for n in profile.report.nodes if n.fate != "structural"}
    untimed = {n.op for n in profile.nodes if n.ms is None}
    assert untimed <= {f"aten.{op}" for op in VIEWS}, untimed
    assert untimed
    assert all(n.ms is None or n.ms >= 0 for n in profile.nodes)


VIEWS = (
    "t.default",
    "transpose.int",
    "permute.default",
    "select.int",
    "slice.Tensor",
    "split.Tensor",
    "chunk.default",
    "reshape.default",
    "view.default",
    "unsqueeze.default",
)


def test_nodes_alike_are_timed_once(profile: Profile) -> None:
    ups = [n for n in profile.nodes if n.path.endswith(".up")]
    assert len(ups) == 3
    assert len({n.measured for n in ups}) == 1
    assert len({n.ms for n in ups}) == 1


def test_the_costly_layer_is_the_costliest(profile: Profile) -> None:
    """2 · 64 · 1024² operations: 16 times those of any other node."""
    timed = [n for n in profile.nodes if n.ms is not None]
    assert max(timed, key=lambda n: n.ms or 0.0).path == "costly"
    assert profile.whole_ms > 0
    assert profile.by_module()[0][0] == "costly"


def test_it_says_so_in_every_form(profile: Profile) -> None:
    text = profile.text(top=3)
    assert "ms a call" in text
    assert "compiled and run alone" in text
    assert text.count("costly") == 1
    data = json.loads(profile.json())
    assert len(data["nodes"]) == len(profile.nodes)
    assert sum(op["ms"] for op in data["ops"]) == pytest.approx(data["total_ms"])
    assert "ms a call" in profile._repr_html_()


def test_the_page_is_coloured_by_time(profile: Profile, tmp_path: Any) -> None:
    text = profile.html(tmp_path / "page.html").read_text()
    timed = [n for n in profile.nodes if n.ms is not None]
    assert text.count("data-time=") == len(timed)
    assert "<option>time</option>" in text


def test_the_module_and_the_inputs_are_left_as_they_were(model: Model, profile: Profile) -> None:
    assert not model.seen.any()
    assert not INPUTS[1].any()


def test_a_lowered_module_with_its_weights(model: Model, profile: Profile) -> None:
    lowered = fxmax.lower(model, INPUTS, device="cpu", compile=False, quiet=True)
    again = fxmax.profile(lowered, INPUTS, runs=1, quiet=True)
    assert [n.name for n in again.nodes] == [n.name for n in profile.nodes]


def test_sizes_that_vary_are_refused() -> None:
    dims = {"input": {0: torch.export.Dim("batch", min=1, max=8)}}
    program = torch.export.export(nn.Linear(4, 4), (torch.zeros(2, 4),), dynamic_shapes=dims)
    with pytest.raises(fxmax.FxmaxError, match="sizes that vary"):
        fxmax.profile(program, device="cpu", quiet=True)


@pytest.mark.parametrize(
    ("options", "message"), [({"runs": 0}, "at least one run"), ({"dtype": "int3"}, "int3")]
)
def test_bad_options_are_errors(options: Any, message: str) -> None:
    with pytest.raises(fxmax.FxmaxError, match=message):
        fxmax.profile(nn.Linear(4, 4), torch.zeros(2, 4), quiet=True, **options)
