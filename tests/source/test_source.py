"""`lowered.source()`: running the program builds the graph that fxmax builds of MAX's ops, to the letter."""

import numpy as np
import pytest
import torch
from max import engine
from max._mlir_context import in_default_mlir_context
from max.driver import CPU
from torch import nn
from whisper.model import AudioEncoder

import fxmax
from fxmax.lowering.walk import lower


class Cache(nn.Module):
    """State, a symbolic size, several results, slices and constants."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.GELU()) for _ in range(3))

    def forward(self, x):
        self.seen.add_(x.sum(0))
        for layer in self.layers:
            x = layer(x) + x
        a, b = x.chunk(2, -1)
        return torch.cat([b, a], -1)[:, 1:], self.seen * 0.5, x.masked_fill(x > 1, float("-inf"))


def transformer():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu")
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)


BATCH = ({0: torch.export.Dim("batch", min=1, max=8)},)
MODELS = {
    "encoder": lambda: (AudioEncoder(8, 24, 32, 4, 4), (torch.randn(1, 8, 48),), None),
    "encoder, any batch": lambda: (AudioEncoder(8, 24, 32, 4, 2), (torch.randn(2, 8, 48),), BATCH),
    "transformer": lambda: (transformer(), (torch.randn(2, 5, 16),), None),
    "state": lambda: (Cache(), (torch.randn(3, 4),), BATCH),
    "images": lambda: (
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten()),
        (torch.randn(2, 3, 6, 6),),
        BATCH,
    ),
}


def lowered_as(name, passes=None):
    torch.manual_seed(0)
    module, args, dynamic = MODELS[name]()
    return fxmax.lower(
        module.eval(),
        args,
        dynamic_shapes=dynamic,
        device="cpu",
        compile=False,
        passes=passes,
        quiet=True,
    ), args


@in_default_mlir_context
def built(text):
    space = {"__name__": "generated"}
    exec(compile(text, "generated.py", "exec"), space)
    return space["build"](), space["weights"]


@pytest.mark.parametrize("name", MODELS)
def test_the_program_builds_the_same_graph(name):
    lowered, _ = lowered_as(name, passes=("drop_asserts",))
    text = lowered.source()
    assert "import torch" not in text
    assert "fxmax." not in text
    plain = lower(lowered.captured, own_kernels=False)
    assert str(built(text)[0]) == str(plain.graph)


def test_our_own_kernels_are_left_out():
    lowered, _ = lowered_as("encoder")
    assert "fxmax.linear" in str(lowered.graph)
    text = lowered.source()
    assert "fxmax." not in text
    assert text == lowered_as("encoder", passes=("drop_asserts",))[0].source()


def test_a_module_that_repeats_is_one_function():
    text = lowered_as("encoder")[0].source()
    assert text.count("def residual_attention_block(prefix, x):") == 1
    assert 'for i in range(4):\n            x_2 = residual_attention_block(f"blocks.{i}", x_2)' in text
    assert 'weight(f"{prefix}.attn.query.weight", DType.float32, [32, 32])' in text
    assert "# whisper/model.py:" in text


@pytest.mark.slow
def test_the_program_runs_to_the_same_numbers():
    torch.manual_seed(0)
    module, (mel,), _ = MODELS["encoder"]()
    text = fxmax.lower(module.eval(), (mel,), device="cpu", compile=False, quiet=True).source()
    graph, weights = built(text)
    session = engine.InferenceSession(devices=[CPU()])
    arrays = {k: v.numpy() for k, v in module.state_dict().items()}
    arrays |= {"positional_embedding": module.positional_embedding.numpy()}
    registry = weights(arrays)
    model = session.init(session.compile(graph), weights_registry=registry)
    [y] = model(mel.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(y.to_numpy(), module(mel).numpy(), atol=1e-5)
