"""Faults planted in three models: each is found at its node; clean runs of 20 seeds claim none."""

import functools

import pytest
import torch
from torch import nn
from whisper.model import AudioEncoder

import fxmax.fx.custom_ops  # noqa: F401 - defines its ops
from tests.support import faults as wrong
from tests.support.faults import Fault, Suite

aten = torch.ops.aten
pytestmark = pytest.mark.slow
SEEDS = range(20)

LINEAR, NORM = aten.linear.default, aten.layer_norm.default
GELU, ATTENTION = aten.gelu.default, aten.scaled_dot_product_attention.default
FUSED_LINEAR, FUSED_CONV = torch.ops.fxmax.linear.default, torch.ops.fxmax.conv1d.default
FUSED_ATTENTION = torch.ops.fxmax.attention.default
PERMUTE, CONV1D, CONV2D, ADD = aten.permute.default, aten.conv1d.default, aten.conv2d.default, aten.add.Tensor


def with_life(module: nn.Module, seed: int = 0) -> nn.Module:
    """Biases and scales that are not 0 and 1, as a trained module has them."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.ndim == 1:
                p += torch.randn_like(p) * (0.02 if "bias" in name else 0.1)
    return module


# Linears of a block, in order: query, key, value, out, mlp.0, mlp.2.
ENCODER = [
    Fault("a dropped bias in conv1", CONV1D, 0, wrong.no_bias),
    Fault("a dropped bias in conv2", CONV1D, 1, wrong.no_bias),
    Fault("a dropped bias in blocks.0.attn.query", LINEAR, 0, wrong.no_bias),
    Fault("a dropped bias in blocks.0.mlp.0", LINEAR, 4, wrong.no_bias),
    Fault("a dropped bias in blocks.1.mlp.2", LINEAR, 11, wrong.no_bias),
    Fault("tanh for erf after conv1", GELU, 0, wrong.tanh_gelu),
    Fault("tanh for erf in blocks.0.mlp", GELU, 2, wrong.tanh_gelu),
    Fault("tanh for erf in blocks.1.mlp", GELU, 3, wrong.tanh_gelu),
    Fault("eps 1e-6 in blocks.0.attn_ln", NORM, 0, wrong.small_eps),
    Fault("eps 1e-6 in blocks.1.mlp_ln", NORM, 3, wrong.small_eps),
    Fault("eps 1e-6 in ln_post", NORM, 4, wrong.small_eps),
    Fault("a wrong scale in blocks.0.attn", ATTENTION, 0, wrong.wrong_scale),
    Fault("a wrong scale in blocks.1.attn", ATTENTION, 1, wrong.wrong_scale),
    Fault("a transposed blocks.0.attn.query.weight", LINEAR, 0, wrong.transposed_weight),
    Fault("a transposed blocks.0.attn.out.weight", LINEAR, 3, wrong.transposed_weight),
    Fault("a transposed blocks.1.attn.value.weight", LINEAR, 8, wrong.transposed_weight),
    Fault("a missing ln_post", NORM, 4, wrong.skipped),
    Fault("bfloat16 in blocks.0.attn.key", LINEAR, 1, wrong.bfloat16_rounded),
    Fault("bfloat16 in blocks.1.mlp.0", LINEAR, 10, wrong.bfloat16_rounded),
    Fault("bfloat16 in conv2", CONV1D, 1, wrong.bfloat16_rounded),
    Fault("swapped axes of blocks.0's query", PERMUTE, 1, wrong.reshaped),
    Fault("swapped axes of blocks.1's heads", PERMUTE, 8, wrong.reshaped),
    Fault("swapped axes inside blocks.1's attention", ATTENTION, 1, wrong.swapped_query_axes),
]

# Linears of a layer, in order: in_proj, out_proj, linear1, linear2.
TRANSFORMER = [
    Fault("a dropped bias in layers.0.self_attn", LINEAR, 0, wrong.no_bias),
    Fault("a dropped bias in layers.1.linear2", LINEAR, 7, wrong.no_bias),
    Fault("tanh for erf in layers.1", GELU, 1, wrong.tanh_gelu),
    Fault("eps 1e-6 in layers.0.norm1", NORM, 0, wrong.small_eps),
    Fault("eps 1e-6 in layers.1.norm2", NORM, 3, wrong.small_eps),
    Fault("a wrong scale in layers.1", ATTENTION, 1, wrong.wrong_scale),
    Fault("a transposed layers.0.self_attn.out_proj.weight", LINEAR, 1, wrong.transposed_weight),
    Fault("bfloat16 in layers.1.linear1", LINEAR, 6, wrong.bfloat16_rounded),
    Fault("swapped axes in layers.0's attention", ATTENTION, 0, wrong.swapped_query_axes),
]

# The same encoder with all passes: linears, convolutions and attention are fxmax's own kernels.
# Linears of a block, in order: query, key, value, out + sum, mlp.0 + gelu, mlp.2 + sum.
FUSED = [
    Fault("a dropped bias in conv2", FUSED_CONV, 1, wrong.no_bias),
    Fault("tanh for erf after conv1", FUSED_CONV, 0, wrong.tanh_act),
    Fault("a dropped bias in blocks.0.attn.value", FUSED_LINEAR, 2, wrong.no_bias),
    Fault("a dropped bias in blocks.1.mlp.2", FUSED_LINEAR, 11, wrong.no_bias),
    Fault("a dropped sum after blocks.0.attn", FUSED_LINEAR, 3, wrong.no_residual),
    Fault("tanh for erf in blocks.0.mlp", FUSED_LINEAR, 4, wrong.tanh_act),
    Fault("bfloat16 in blocks.1.attn.key", FUSED_LINEAR, 7, wrong.bfloat16_rounded),
    Fault("a wrong scale in blocks.1.attn", FUSED_ATTENTION, 1, wrong.wrong_scale),
    Fault("swapped axes inside blocks.0's attention", FUSED_ATTENTION, 0, wrong.swapped_query_axes),
    Fault("a missing ln_post", NORM, 4, wrong.skipped),
]

CONVOLUTIONAL = [
    Fault("a dropped bias in 0", CONV2D, 0, wrong.no_bias),
    Fault("tanh for erf in 1", GELU, 0, wrong.tanh_gelu),
    Fault("a padding of one side in 2", CONV2D, 1, wrong.wrong_padding),
    Fault("bfloat16 in 2", CONV2D, 1, wrong.bfloat16_rounded),
    Fault("a dropped bias in 5", LINEAR, 0, wrong.no_bias),
    Fault("eps 1e-6 in 6", NORM, 0, wrong.small_eps),
    Fault("a missing 6", NORM, 0, wrong.skipped),
    Fault("a transposed 7.weight", LINEAR, 1, wrong.transposed_weight),
]


def suite_of(name: str) -> Suite:
    torch.manual_seed(0)
    if name == "encoder":
        module = with_life(AudioEncoder(8, 24, 32, 4, 2))
        return Suite(module, lambda: (torch.randn(1, 8, 48),), ENCODER)
    if name == "fused encoder":
        module = with_life(AudioEncoder(8, 24, 32, 4, 2))
        return Suite(module, lambda: (torch.randn(1, 8, 48),), FUSED, passes=None)
    if name == "transformer":
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu", norm_first=True)
        module = with_life(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
        return Suite(module, lambda: (torch.randn(1, 24, 32),), TRANSFORMER)
    module = with_life(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(8 * 16, 16),
            nn.LayerNorm(16),
            nn.Linear(16, 16),
        )
    )
    return Suite(module, lambda: (torch.randn(1, 3, 8, 8),), CONVOLUTIONAL)


SUITES = {
    "encoder": ENCODER,
    "fused encoder": FUSED,
    "transformer": TRANSFORMER,
    "convolutional": CONVOLUTIONAL,
}
assert sum(map(len, SUITES.values())) >= 30
suite = functools.cache(suite_of)


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("seed", SEEDS)
def test_clean_runs_claim_nothing(name, seed):
    suite(name).check_clean(seed)


@pytest.mark.parametrize(("name", "id"), [(name, f.id) for name, faults in SUITES.items() for f in faults])
def test_a_planted_fault_is_found_at_its_node(name, id):
    suite(name).check_found(id)
