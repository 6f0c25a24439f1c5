"""Small configs that turn every switch of a family."""

SMALL = {
    "vocab_size": 320,
    "hidden_size": 48,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "intermediate_size": 112,
}
GROUPED = SMALL | {"num_key_value_heads": 2}
EXPERTS = {"num_experts": 7, "num_experts_per_tok": 3, "moe_intermediate_size": 20}
LINEAR = {
    "model_type": "qwen3_next",
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 6,
    "linear_conv_kernel_dim": 4,
    "shared_expert_intermediate_size": 24,
}
LATENT = SMALL | {
    "num_key_value_heads": 6,
    "q_lora_rank": 18,
    "kv_lora_rank": 22,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 4,
    "v_head_dim": 14,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 26,
    "n_group": 4,
    "topk_group": 2,
}
GPT2 = {"vocab_size": 320, "n_embd": 48, "n_layer": 3, "n_head": 6, "n_positions": 64}
GPTJ = GPT2 | {"rotary_dim": 4}
FALCON = {
    "vocab_size": 320,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
}
OPT = {
    "vocab_size": 320,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "ffn_dim": 112,
    "max_position_embeddings": 64,
}

SWITCHES = {
    "gpt2 wide": GPT2 | {"model_type": "gpt2", "n_inner": 100},
    "gpt2 untied": GPT2 | {"model_type": "gpt2", "tie_word_embeddings": False},
    "opt": OPT | {"model_type": "opt"},
    "opt narrow": OPT
    | {
        "model_type": "opt",
        "word_embed_proj_dim": 16,
        "do_layer_norm_before": False,
    },
    "opt bare": OPT
    | {
        "model_type": "opt",
        "enable_bias": False,
        "layer_norm_elementwise_affine": False,
        "_remove_final_layer_norm": True,
        "tie_word_embeddings": False,
    },
    "llama multi-head": SMALL | {"model_type": "llama"},
    "llama multi-query": SMALL
    | {"model_type": "llama", "num_key_value_heads": 1, "tie_word_embeddings": True},
    "llama biased": GROUPED
    | {
        "model_type": "llama",
        "attention_bias": True,
        "mlp_bias": True,
        "head_dim": 10,
    },
    "mistral": GROUPED | {"model_type": "mistral", "sliding_window": 9},
    "mistral full": GROUPED
    | {"model_type": "mistral", "sliding_window": None, "head_dim": 12},
    "qwen2": GROUPED | {"model_type": "qwen2"},
    "qwen2 windowed": GROUPED
    | {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 9,
        "max_window_layers": 2,
        "tie_word_embeddings": True,
    },
    "qwen3": GROUPED | {"model_type": "qwen3", "head_dim": 20},
    "qwen3 biased": GROUPED
    | {
        "model_type": "qwen3",
        "attention_bias": True,
        "use_sliding_window": True,
        "sliding_window": 9,
        "layer_types": ["sliding_attention", "full_attention"] * 2
        + ["sliding_attention"],
        "head_dim": 8,
    },
    "qwen3_moe": GROUPED | EXPERTS | {"model_type": "qwen3_moe", "head_dim": 12},
    "qwen3_moe mixed": GROUPED
    | EXPERTS
    | {
        "model_type": "qwen3_moe",
        "decoder_sparse_step": 2,
        "mlp_only_layers": [1, 2],
        "attention_bias": True,
        "use_sliding_window": True,
        "sliding_window": 9,
    },
    "qwen3_next": GROUPED | EXPERTS | LINEAR | {"head_dim": 12, "num_hidden_layers": 9},
    "qwen3_next mixed": GROUPED
    | EXPERTS
    | LINEAR
    | {
        "head_dim": 8,
        "decoder_sparse_step": 2,
        "mlp_only_layers": [1, 7],
        "full_attention_interval": 3,
        "linear_conv_kernel_dim": 2,
        "attention_bias": True,
        "tie_word_embeddings": True,
        "num_hidden_layers": 11,
    },
    "qwen3_next listed": GROUPED
    | EXPERTS
    | LINEAR
    | {
        "head_dim": 8,
        "decoder_sparse_step": 2,
        "mlp_only_layers": [3],
        "layer_types": ["full_attention"] * 2
        + ["linear_attention"] * 2
        + ["full_attention"],
    },
    "mixtral": GROUPED
    | {
        "model_type": "mixtral",
        "num_local_experts": 5,
        "num_experts_per_tok": 2,
        "sliding_window": 9,
        "head_dim": 10,
    },
    "phi3": GROUPED | {"model_type": "phi3", "pad_token_id": 0},
    "phi3 windowed": SMALL
    | {"model_type": "phi3", "pad_token_id": 0, "sliding_window": 9},
    "gemma2": GROUPED | {"model_type": "gemma2", "head_dim": 12, "sliding_window": 9},
    "gemma2 biased": GROUPED
    | {
        "model_type": "gemma2",
        "head_dim": 8,
        "attention_bias": True,
        "tie_word_embeddings": False,
        "layer_types": ["full_attention"] * 4 + ["sliding_attention"],
        "sliding_window": 9,
    },
    "gemma3_text": GROUPED
    | {
        "model_type": "gemma3_text",
        "num_hidden_layers": 8,
        "head_dim": 12,
        "sliding_window": 9,
    },
    "gemma3_text biased": GROUPED
    | {
        "model_type": "gemma3_text",
        "head_dim": 10,
        "attention_bias": True,
        "tie_word_embeddings": False,
        "sliding_window": 9,
        "sliding_window_pattern": 2,
    },
    "glm4": GROUPED | {"model_type": "glm4", "head_dim": 12, "pad_token_id": 0},
    "glm4 unbiased": GROUPED
    | {
        "model_type": "glm4",
        "head_dim": 8,
        "pad_token_id": 0,
        "attention_bias": False,
        "tie_word_embeddings": True,
    },
    "gptj": GPTJ | {"model_type": "gptj"},
    "gptj tied": GPTJ
    | {"model_type": "gptj", "tie_word_embeddings": True, "n_inner": 100},
    "falcon": FALCON | {"model_type": "falcon", "num_kv_heads": 6},
    "falcon in series": FALCON
    | {
        "model_type": "falcon",
        "parallel_attn": False,
        "multi_query": False,
        "alibi": True,
        "bias": True,
        "tie_word_embeddings": False,
    },
    "falcon series, one head": FALCON
    | {
        "model_type": "falcon",
        "parallel_attn": False,
        "num_ln_in_parallel_attn": 2,
        "ffn_hidden_size": 100,
    },
    "falcon new": FALCON
    | {
        "model_type": "falcon",
        "new_decoder_architecture": True,
        "num_kv_heads": 2,
        "bias": True,
    },
    "falcon new, one norm": FALCON
    | {
        "model_type": "falcon",
        "new_decoder_architecture": True,
        "multi_query": False,
        "num_kv_heads": 3,
        "num_ln_in_parallel_attn": 1,
    },
    "gpt_oss": GROUPED
    | {
        "model_type": "gpt_oss",
        "head_dim": 12,
        "num_local_experts": 5,
        "num_experts_per_tok": 2,
        "sliding_window": 9,
    },
    "gpt_oss unbiased": GROUPED
    | {
        "model_type": "gpt_oss",
        "head_dim": 8,
        "num_local_experts": 3,
        "num_experts_per_tok": 1,
        "attention_bias": False,
        "tie_word_embeddings": True,
        "layer_types": ["full_attention"] * 4 + ["sliding_attention"],
        "sliding_window": 9,
    },
    "deepseek_v2": LATENT
    | {
        "model_type": "deepseek_v2",
        "first_k_dense_replace": 1,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "deepseek_v2 lite": LATENT
    | {"model_type": "deepseek_v2", "q_lora_rank": None, "n_group": 1, "topk_group": 1},
    "kimi_k2": LATENT
    | {
        "model_type": "kimi_k2",
        "first_k_dense_replace": 1,
        "n_group": 1,
        "topk_group": 1,
    },
    "deepseek_v3": LATENT | {"model_type": "deepseek_v3", "first_k_dense_replace": 2},
    "deepseek_v3 lite": LATENT
    | {
        "model_type": "deepseek_v3",
        "q_lora_rank": None,
        "attention_bias": True,
        "first_k_dense_replace": 9,
        "tie_word_embeddings": True,
    },
}

# (batch, tokens): one token, inside a window of 9, at its edge, beyond it.
CACHE_SHAPES = ((1, 1), (3, 8), (2, 9), (1, 10), (2, 33))
