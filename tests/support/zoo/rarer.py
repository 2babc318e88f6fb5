"""Rarer families of the zoo, most of them added after they had lowered at the first try."""

from __future__ import annotations

import torch

from tests.support.zoo.entry import (
    AUDIO,
    SEQ2SEQ,
    TEXT,
    VISION,
    Entry,
    causal,
    encoder,
    ids,
    text,
    tokens,
    vision,
    waveform,
)

EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
LATENT = {
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "topk_group": 1,
    "num_key_value_heads": 4,
    "first_k_dense_replace": 1,
}
SMALL = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2}
VIDEO = VISION | {"num_frames": 4}


def frames() -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.randn(2, 4, 3, 32, 32)}


def episode() -> dict[str, torch.Tensor]:
    sizes = {"states": 5, "actions": 3, "rewards": 1, "returns_to_go": 1}
    made = {name: torch.randn(2, 6, size) for name, size in sizes.items()}
    return {**made, "timesteps": torch.arange(6).repeat(2, 1), "attention_mask": torch.ones(2, 6)}


RARER: dict[str, Entry] = {
    # Text encoders
    "XLNet": Entry(
        "XLNetConfig",
        "XLNetModel",
        {"vocab_size": 99, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48},
        tokens,
    ),
    "BigBird": encoder("BigBird", attention_type="original_full"),
    "ConvBERT": encoder("ConvBert", embedding_size=32),
    "RoFormer": encoder("RoFormer", embedding_size=32),
    "ESM": encoder("Esm", pad_token_id=1, mask_token_id=3, position_embedding_type="rotary"),
    # Text decoders
    "DeepSeek-V2": causal("DeepseekV2", "DeepseekV2", **LATENT, n_group=1),  # complex rotary embeddings
    "DeepSeek-V3": causal("DeepseekV3", "DeepseekV3", **LATENT, n_group=2, n_shared_experts=1),
    "GPT-OSS": causal("GptOss", "GptOss", num_local_experts=4, num_experts_per_tok=2, head_dim=8),
    "OLMoE": causal("Olmoe", "Olmoe", **EXPERTS),
    "Qwen3 MoE": causal("Qwen3Moe", "Qwen3Moe", **EXPERTS, moe_intermediate_size=16, head_dim=8),
    "GLM-4": causal("Glm4", "Glm4", head_dim=8),
    "Nemotron": causal("Nemotron", "Nemotron"),
    # State space and recurrence
    "Falcon Mamba": Entry(
        "FalconMambaConfig",
        "FalconMambaForCausalLM",
        SMALL | {"state_size": 4},
        tokens,
    ),
    "Jamba": causal(
        "Jamba",
        "Jamba",
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        num_experts=4,
        mamba_d_state=4,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
    ),
    "RecurrentGemma": causal(
        "RecurrentGemma", "RecurrentGemma", lru_width=32, attention_window_size=8, num_hidden_layers=3
    ),
    "RWKV": Entry(
        "RwkvConfig",
        "RwkvForCausalLM",
        # 0: its first forward does not rescale the weights, which export sees as training
        SMALL | {"attention_hidden_size": 32, "rescale_every": 0},
        tokens,
    ),
    # Vision
    "BiT": vision("Bit", 64, embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], num_groups=8),
    "FocalNet": vision(
        "FocalNet",
        image_size=32,
        patch_size=4,
        embed_dim=16,
        depths=[1, 1],
        hidden_sizes=[16, 32],
        focal_levels=[2, 2],
        focal_windows=[3, 3],
    ),
    "Swin2SR": vision("Swin2SR", image_size=32, embed_dim=24, depths=[1, 1], num_heads=[2, 2], window_size=4),
    "Hiera": vision(
        "Hiera",
        64,
        image_size=[64, 64],
        embed_dim=16,
        depths=[1, 1],
        num_heads=[1, 2],
        patch_stride=[4, 4],
        query_stride=[2, 2],
        mlp_ratio=2.0,
        num_query_pool=1,
    ),
    "SwiftFormer": vision("SwiftFormer", 64, depths=[1, 1, 1, 1], embed_dims=[16, 24, 32, 48]),
    "VideoMAE": Entry("VideoMAEConfig", "VideoMAEModel", VIDEO | {"tubelet_size": 2}, frames),
    "TimeSformer": Entry("TimesformerConfig", "TimesformerModel", VIDEO, frames),
    # Audio
    "Speech2Text": Entry(
        "Speech2TextConfig",
        "Speech2TextModel",
        SEQ2SEQ
        | {
            "input_feat_per_channel": 20,
            "input_channels": 1,
            "conv_channels": 32,
            "max_source_positions": 64,
            "max_target_positions": 64,
        },
        lambda: {"input_features": torch.randn(2, 40, 20), "decoder_input_ids": ids(2, 5)},
    ),
    "Moonshine": Entry(
        "MoonshineConfig",
        "MoonshineModel",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "intermediate_size": 48,
            "encoder_num_hidden_layers": 2,
            "decoder_num_hidden_layers": 2,
            "encoder_num_attention_heads": 4,
            "decoder_num_attention_heads": 4,
        },
        lambda: {"input_values": torch.randn(1, 4000), "decoder_input_ids": ids(1, 5)},
    ),
    "Wav2Vec2 Conformer": Entry("Wav2Vec2ConformerConfig", "Wav2Vec2ConformerModel", AUDIO, waveform),
    "SEW-D": Entry(
        "SEWDConfig",
        "SEWDModel",
        AUDIO | {"squeeze_factor": 2, "max_position_embeddings": 64, "position_buckets": 16},
        waveform,
    ),
    # Others
    "Perceiver": Entry(
        "PerceiverConfig",
        "PerceiverModel",
        {
            "d_model": 32,
            "num_latents": 8,
            "d_latents": 16,
            "num_blocks": 1,
            "num_self_attends_per_block": 2,
            "num_self_attention_heads": 4,
            "num_cross_attention_heads": 4,
        },
        lambda: {"inputs": torch.randn(2, 9, 32)},
    ),
    "LayoutLM": Entry("LayoutLMConfig", "LayoutLMModel", TEXT, text),
    "Decision Transformer": Entry(
        "DecisionTransformerConfig",
        "DecisionTransformerModel",
        {"state_dim": 5, "act_dim": 3, "hidden_size": 32, "n_layer": 1, "n_head": 2, "max_ep_len": 20},
        episode,
    ),
}
