"""Model families of Hugging Face's transformers, each in a small random configuration.

`ZOO` names a model, how to make its config, the class that runs it and what it takes. Sizes are
small so that a whole forward takes milliseconds; the structure is that of the real model.
"""

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
    features,
    image,
    image_and_text,
    left_padded,
    pairs,
    seq2seq,
    text,
    tokens,
    vision,
    waveform,
)
from tests.support.zoo.rarer import RARER

T5 = {
    "vocab_size": 99,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
CLIP = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
CLIP_TEXT = CLIP | {"vocab_size": 99, "max_position_embeddings": 16, "eos_token_id": 2, "pad_token_id": 1}
CLIP_VISION = CLIP | {"image_size": 32, "patch_size": 8}
STAGES = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 2]}
GPT2 = {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
SWIN = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}

ZOO: dict[str, Entry] = {
    # Text encoders
    "BERT": encoder("Bert"),
    "BERT, masked words": Entry("BertConfig", "BertForMaskedLM", TEXT, text),
    "RoBERTa": encoder("Roberta", pad_token_id=1),
    "XLM-RoBERTa": encoder("XLMRoberta", pad_token_id=1),
    "DistilBERT": Entry(
        "DistilBertConfig",
        "DistilBertForSequenceClassification",
        {
            "vocab_size": 99,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 48,
            "max_position_embeddings": 64,
        },
        text,
    ),
    "ALBERT": encoder("Albert", embedding_size=16),
    "ELECTRA": encoder("Electra", embedding_size=16),
    "MPNet": encoder("MPNet"),
    "DeBERTa v2": encoder("DebertaV2", relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "ModernBERT": encoder(
        "ModernBert", pad_token_id=0, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2
    ),
    "Funnel": Entry(
        "FunnelConfig",
        "FunnelBaseModel",
        {"vocab_size": 99, "block_sizes": [1, 1], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 48},
        text,
    ),
    # Text decoders
    "GPT-2": Entry("GPT2Config", "GPT2LMHeadModel", GPT2, text),
    "GPT-2, left padding": Entry("GPT2Config", "GPT2LMHeadModel", GPT2, left_padded),
    "GPT-Neo": Entry(
        "GPTNeoConfig",
        "GPTNeoForCausalLM",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "max_position_embeddings": 64,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 4,
        },
        text,
    ),
    "GPT-J": Entry("GPTJConfig", "GPTJForCausalLM", GPT2 | {"rotary_dim": 4}, text),
    "GPT-NeoX": causal("GPTNeoX", "GPTNeoX"),
    "OPT": Entry(
        "OPTConfig",
        "OPTForCausalLM",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 48,
            "max_position_embeddings": 64,
            "word_embed_proj_dim": 32,
        },
        text,
    ),
    "BLOOM": Entry(
        "BloomConfig",
        "BloomForCausalLM",
        {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4},
        text,
    ),
    "MPT": Entry(
        "MptConfig",
        "MptForCausalLM",
        {"vocab_size": 99, "d_model": 32, "n_layers": 2, "n_heads": 4},
        text,
    ),
    "CodeGen": Entry("CodeGenConfig", "CodeGenForCausalLM", GPT2 | {"rotary_dim": 4}, text),
    "Llama": causal("Llama", "Llama"),
    "Llama, tied": causal("Llama", "Llama", tokens, tie_word_embeddings=True),
    "Mistral": causal("Mistral", "Mistral", sliding_window=4),
    "Mixtral": causal("Mixtral", "Mixtral", **EXPERTS),
    "Qwen2": causal("Qwen2", "Qwen2"),
    "Qwen2 MoE": causal(
        "Qwen2Moe",
        "Qwen2Moe",
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
    ),
    "Qwen3": causal("Qwen3", "Qwen3", head_dim=8),
    "Gemma": causal("Gemma", "Gemma", head_dim=8),
    "Gemma 2": causal("Gemma2", "Gemma2", head_dim=8, sliding_window=4),
    "Gemma 3": causal("Gemma3Text", "Gemma3", head_dim=8, sliding_window=4),
    "Phi": causal("Phi", "Phi"),
    "Phi-3": causal("Phi3", "Phi3"),
    "StableLM": causal("StableLm", "StableLm"),
    "StarCoder2": causal("Starcoder2", "Starcoder2"),
    "OLMo": causal("Olmo", "Olmo"),
    "OLMo 2": causal("Olmo2", "Olmo2"),
    "Granite": causal("Granite", "Granite"),
    "Cohere": causal("Cohere", "Cohere"),
    "Falcon": Entry(
        "FalconConfig",
        "FalconForCausalLM",
        {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
        text,
    ),
    "SmolLM3": causal("SmolLM3", "SmolLM3"),
    # State space
    "Mamba": Entry(
        "MambaConfig",
        "MambaForCausalLM",
        {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
        tokens,
    ),
    "Mamba 2": Entry(
        "Mamba2Config",
        "Mamba2ForCausalLM",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "num_heads": 8,
            "head_dim": 8,
            "n_groups": 1,
            "chunk_size": 4,
        },
        tokens,
    ),
    # Encoder and decoder
    "T5": Entry("T5Config", "T5ForConditionalGeneration", T5, pairs),
    "T5, gated": Entry(
        "T5Config", "T5ForConditionalGeneration", T5 | {"feed_forward_proj": "gated-gelu"}, pairs
    ),
    "UMT5": Entry("UMT5Config", "UMT5ForConditionalGeneration", T5, pairs),
    "BART": seq2seq("Bart"),
    "mBART": seq2seq("MBart"),
    "Pegasus": seq2seq("Pegasus"),
    "Marian": seq2seq("Marian", "MTModel"),
    "Blenderbot": seq2seq("Blenderbot"),
    "M2M100": seq2seq("M2M100"),
    # Vision
    "ViT": vision("ViT", **VISION),
    "DeiT": vision("DeiT", **VISION),
    "BEiT": vision("Beit", **VISION),
    "DINOv2": vision("Dinov2", **VISION),
    "ResNet": vision("ResNet", **STAGES),
    "RegNet": vision("RegNet", **STAGES, groups_width=8),
    "ConvNeXt": vision("ConvNext", num_channels=3, hidden_sizes=[16, 32], depths=[1, 1], num_stages=2),
    "ConvNeXt v2": vision("ConvNextV2", num_channels=3, hidden_sizes=[16, 32], depths=[1, 1], num_stages=2),
    "Swin": vision("Swin", **SWIN),
    "Swin v2": vision("Swinv2", **SWIN),
    "SegFormer": vision(
        "Segformer",
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[16, 32],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
    ),
    "MobileNet v1": vision("MobileNetV1", depth_multiplier=0.25),
    "MobileNet v2": vision("MobileNetV2", depth_multiplier=0.25),
    "MobileViT": vision(
        "MobileViT",
        image_size=32,
        hidden_sizes=[16, 24, 32],
        neck_hidden_sizes=[8, 8, 16, 24, 24, 32, 64],
        num_attention_heads=2,
    ),
    "EfficientNet": vision(
        "EfficientNet", width_coefficient=0.25, depth_coefficient=0.25, image_size=32, hidden_dim=320
    ),
    "LeViT": vision(
        "Levit",
        64,
        image_size=64,
        hidden_sizes=[16, 32, 48],
        num_attention_heads=[2, 2, 2],
        depths=[1, 1, 1],
        key_dim=[8, 8, 8],
        down_ops=[["Subsample", 8, 2, 4, 2, 2], ["Subsample", 8, 4, 4, 2, 2]],
    ),
    "PoolFormer": vision(
        "PoolFormer",
        hidden_sizes=[16, 32],
        depths=[1, 1],
        num_encoder_blocks=2,
        patch_sizes=[7, 3],
        strides=[4, 2],
        padding=[2, 1],
    ),
    "PVT": vision(
        "Pvt",
        64,
        image_size=64,
        depths=[1, 1, 1, 1],
        hidden_sizes=[16, 16, 32, 32],
        num_attention_heads=[1, 1, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
    ),
    "DPT": Entry(
        "DPTConfig",
        "DPTForDepthEstimation",
        VISION
        | {
            "num_hidden_layers": 4,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [8, 8, 16, 16],
            "fusion_hidden_size": 16,
            "is_hybrid": False,
        },
        image(),
    ),
    "DETR": Entry(
        "DetrConfig",
        "DetrForObjectDetection",
        {
            "use_timm_backbone": False,
            "use_pretrained_backbone": False,
            "backbone": None,
            "backbone_config": {"model_type": "resnet", **STAGES, "out_features": ["stage2"]},
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "num_queries": 5,
            "init_std": 0.3,  # fresh ones let nothing of the image through to the boxes
        },
        image(),
    ),
    "YOLOS": Entry(
        "YolosConfig", "YolosModel", VISION | {"image_size": [32, 32], "num_detection_tokens": 5}, image()
    ),
    # Vision and language
    "CLIP": Entry(
        "CLIPConfig", "CLIPModel", {"text_config": CLIP_TEXT, "vision_config": CLIP_VISION}, image_and_text
    ),
    "SigLIP": Entry(
        "SiglipConfig",
        "SiglipModel",
        {"text_config": CLIP_TEXT, "vision_config": CLIP_VISION},
        image_and_text,
    ),
    "CLIPSeg": Entry(
        "CLIPSegConfig",
        "CLIPSegForImageSegmentation",
        {
            "text_config": CLIP_TEXT,
            "vision_config": CLIP_VISION | {"num_hidden_layers": 3},
            "extract_layers": [0, 1, 2],
            "projection_dim": 32,
            "reduce_dim": 16,
            "decoder_intermediate_size": 24,
        },
        image_and_text,
    ),
    # Audio
    "Whisper": Entry(
        "WhisperConfig",
        "WhisperForConditionalGeneration",
        SEQ2SEQ
        | {
            "max_position_embeddings": None,
            "num_mel_bins": 20,
            "max_source_positions": 30,
            "max_target_positions": 20,
            "suppress_tokens": None,
            "begin_suppress_tokens": None,
        },
        features,
    ),
    "Wav2Vec2": Entry("Wav2Vec2Config", "Wav2Vec2ForCTC", AUDIO, waveform),
    "HuBERT": Entry("HubertConfig", "HubertModel", AUDIO, waveform),
    "WavLM": Entry(
        "WavLMConfig", "WavLMModel", AUDIO | {"num_buckets": 16, "max_bucket_distance": 20}, waveform
    ),
    "SEW": Entry("SEWConfig", "SEWModel", AUDIO | {"squeeze_factor": 2}, waveform),
    "AST": Entry(
        "ASTConfig",
        "ASTModel",
        {k: v for k, v in VISION.items() if k != "image_size"} | {"max_length": 32, "num_mel_bins": 16},
        lambda: {"input_values": torch.randn(2, 32, 16)},
    ),
    # Time series
    "PatchTST": Entry(
        "PatchTSTConfig",
        "PatchTSTForPrediction",
        {
            "num_input_channels": 2,
            "context_length": 32,
            "patch_length": 4,
            "patch_stride": 4,
            "d_model": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 48,
            "prediction_length": 8,
        },
        lambda: {"past_values": torch.randn(2, 32, 2)},
    ),
}
ZOO |= RARER
