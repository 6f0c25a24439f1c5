"""Small configs of the families whose training is derived."""

from .switches import EXPERTS, GPT2, GROUPED, LATENT, SMALL, SWITCHES

TRAINED = {
    "gpt2": GPT2 | {"model_type": "gpt2"},
    "gpt2 tanh": GPT2
    | {"model_type": "gpt2", "activation_function": "gelu_pytorch_tanh"},
    "gpt2 no dropout": GPT2
    | {
        "model_type": "gpt2",
        "activation_function": "gelu",
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
    },
    "llama": GROUPED | {"model_type": "llama", "num_hidden_layers": 2},
    "llama one head": SMALL
    | {"model_type": "llama", "num_key_value_heads": 1, "num_hidden_layers": 1},
    "llama multi-head": SMALL | {"model_type": "llama", "tie_word_embeddings": True},
    "mistral": GROUPED | {"model_type": "mistral", "head_dim": 16},
    "qwen2": GROUPED | {"model_type": "qwen2", "num_hidden_layers": 3},
    "qwen3": GROUPED | {"model_type": "qwen3", "head_dim": 24},
    "qwen3 one head": SMALL
    | {"model_type": "qwen3", "num_key_value_heads": 1, "head_dim": 8},
    "qwen3 dropout": GROUPED
    | {"model_type": "qwen3", "head_dim": 8, "attention_dropout": 0.2},
}
GEMMA2 = GROUPED | {"model_type": "gemma2", "sliding_window": 9, "head_dim": 12}
UNCAPPED = {"attn_logit_softcapping": None, "final_logit_softcapping": None}
GEMMA3 = GROUPED | {"model_type": "gemma3_text", "sliding_window": 9, "head_dim": 12}
# Rows of experts are multiples of 16 bytes, as grouped products need.
MIXTRAL = GROUPED | {
    "model_type": "mixtral",
    "num_local_experts": 5,
    "num_experts_per_tok": 2,
    "intermediate_size": 24,
}
QWEN3_MOE = GROUPED | EXPERTS | {"model_type": "qwen3_moe", "head_dim": 20}
QWEN3_MOE |= {"moe_intermediate_size": 40}
PHI3 = SWITCHES["phi3"] | {"num_hidden_layers": 2}
GLM4 = SWITCHES["glm4"] | {"num_hidden_layers": 2}
GPT_OSS = SWITCHES["gpt_oss"] | {
    "pad_token_id": 0,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
}
DEEPSEEK2 = LATENT | {
    "model_type": "deepseek_v2",
    "moe_intermediate_size": 24,
    "num_hidden_layers": 2,
    "first_k_dense_replace": 1,
}
OPT_TRAINED = SWITCHES["opt"] | {"num_hidden_layers": 2}
DEEPSEEK = LATENT | {"model_type": "deepseek_v3", "moe_intermediate_size": 24}
LATENT_KINDS = ("deepseek_v2", "deepseek_v3")
# Layers that are described for training; a name of one word is counted in FLOPs, too.
DESCRIBED = {
    "gemma2": GEMMA2,
    "gemma2 one head": GEMMA2 | {"num_key_value_heads": 1, "num_hidden_layers": 1},
    "gemma2 uncapped": GEMMA2
    | UNCAPPED
    | {"num_key_value_heads": 6, "tie_word_embeddings": False, "attention_bias": True},
    "gemma2 capped logits": GEMMA2
    | {"attn_logit_softcapping": None, "attention_dropout": 0.2},
    "gemma3_text": GEMMA3 | {"num_hidden_layers": 7},
    "gemma3_text one head": GEMMA3
    | {"num_key_value_heads": 1, "num_hidden_layers": 1, "head_dim": 8},
    "mixtral": MIXTRAL | {"num_hidden_layers": 3},
    "mixtral one of one": MIXTRAL
    | {
        "num_key_value_heads": 1,
        "num_hidden_layers": 1,
        "num_local_experts": 1,
        "num_experts_per_tok": 1,
        "attention_dropout": 0.1,
    },
    "qwen3_moe": QWEN3_MOE,
    "qwen3_moe normalised": QWEN3_MOE
    | {"norm_topk_prob": True, "num_experts_per_tok": 7, "hidden_act": "gelu_new"},
    "qwen3_moe mixed": QWEN3_MOE
    | {
        "decoder_sparse_step": 2,
        "num_experts_per_tok": 1,
        "num_key_value_heads": 1,
        "attention_bias": True,
    },
    "qwen3_moe first sparse": QWEN3_MOE
    | {"mlp_only_layers": [1], "num_hidden_layers": 2, "tie_word_embeddings": True},
    "deepseek_v3": DEEPSEEK | {"first_k_dense_replace": 2},
    "deepseek_v3 all sparse": DEEPSEEK
    | {
        "first_k_dense_replace": 0,
        "num_hidden_layers": 1,
        "q_lora_rank": None,
        "attention_bias": True,
        "attention_dropout": 0.1,
        "norm_topk_prob": False,
        "num_experts_per_tok": 3,
    },
    "deepseek_v3 all dense": DEEPSEEK
    | {"first_k_dense_replace": 3, "num_hidden_layers": 3},
    "deepseek_v3 one head": DEEPSEEK
    | {
        "first_k_dense_replace": 1,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "hidden_act": "relu",
    },
    "gemma3_text capped": GEMMA3
    | {"sliding_window_pattern": 2, "final_logit_softcapping": 30.0},
    "gpt_oss": GPT_OSS,
    "gpt_oss one of one": GPT_OSS
    | {
        "num_key_value_heads": 1,
        "num_local_experts": 1,
        "num_experts_per_tok": 1,
        "attention_dropout": 0.1,
        "attention_bias": False,
        "tie_word_embeddings": True,
    },
    "gpt_oss all of five": GPT_OSS
    | {"num_key_value_heads": 6, "num_experts_per_tok": 5},
    "deepseek_v2": DEEPSEEK2,
    "deepseek_v2 limited": DEEPSEEK2
    | {
        "topk_method": "group_limited_greedy",
        "q_lora_rank": None,
        "attention_bias": True,
        "mlp_bias": True,
        "attention_dropout": 0.1,
        "first_k_dense_replace": 0,
        "num_hidden_layers": 1,
    },
    "opt": OPT_TRAINED,
    "opt narrow": OPT_TRAINED
    | {
        "word_embed_proj_dim": 16,
        "do_layer_norm_before": False,
        "attention_dropout": 0.1,
    },
    "opt bare": OPT_TRAINED
    | {
        "num_attention_heads": 1,
        "enable_bias": False,
        "layer_norm_elementwise_affine": False,
        "_remove_final_layer_norm": True,
        "tie_word_embeddings": False,
        "dropout": 0.0,
        "activation_function": "gelu",
    },
    "phi3": PHI3,
    "phi3 multi-head": PHI3
    | {
        "num_key_value_heads": 6,
        "partial_rotary_factor": 0.4,
        "resid_pdrop": 0.1,
        "attention_dropout": 0.2,
        "hidden_act": "relu",
        "tie_word_embeddings": True,
    },
    "phi3 one head": PHI3
    | {
        "num_key_value_heads": 1,
        "rope_scaling": {"rope_type": "default", "partial_rotary_factor": 0.75},
    },
    "glm4": GLM4,
    "glm4 multi-head": GLM4
    | {
        "num_key_value_heads": 6,
        "attention_bias": False,
        "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.3},
    },
    "glm4 one head": GLM4
    | {"num_key_value_heads": 1, "head_dim": 7, "attention_dropout": 0.1},
}
