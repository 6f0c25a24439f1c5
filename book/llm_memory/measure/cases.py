"""What is measured: the bundled models, and small configs that turn every switch."""

import json

from ..functions import FUNCTIONS
from ..model import MODELS, names

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


# (batch, tokens): odd sizes, one sequence, one token, longer than a block of 32.
ACTIVATION_SHAPES = ((1, 1), (1, 5), (2, 7), (3, 33))

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
PLAIN = {"attention": "eager", "recompute": "none", "precision": "bf16"}
CHOICES = {
    "eager": PLAIN,
    "flash": PLAIN | {"attention": "flash"},
    "efficient": PLAIN | {"attention": "efficient"},
    "math": PLAIN | {"attention": "math"},
    "full": PLAIN | {"recompute": "full"},
    "core": PLAIN | {"recompute": "core_attention"},
    "matmuls": PLAIN | {"attention": "flash", "recompute": "matmuls"},
    "autocast": PLAIN | {"precision": "autocast"},
    "autocast full": PLAIN | {"precision": "autocast", "recompute": "full"},
    "frozen": PLAIN | {"frozen": True},
    "frozen flash": PLAIN | {"frozen": True, "attention": "flash"},
    "frozen core": PLAIN | {"frozen": True, "recompute": "core_attention"},
}


# Real models and shapes: (model, choice, batch, tokens).
TRAINED_FOR_REAL = (
    ("LLaMA-13B", "eager", 1, 2048),
    ("LLaMA-13B", "flash", 1, 2048),
    ("LLaMA-13B", "full", 8, 2048),
    ("Qwen3-0.6B", "flash", 8, 2048),
    ("Qwen3-8B", "matmuls", 4, 4096),
    ("Mistral-7B", "core", 2, 1024),
    ("GPT-2-xl", "eager", 8, 1024),
    ("Gemma-2-9B", "full", 1, 4096),
    ("Mixtral-8x7B", "eager", 1, 2048),
    ("Qwen3-30B-A3B", "flash", 1, 4096),
    ("DeepSeek-V3", "efficient", 1, 4096),
)


def activation_cases() -> dict[str, tuple[dict, dict, tuple]]:
    """Return (config, choices, shapes) of every training forward that is measured."""
    small = {
        f"{model}, {choice}": (config, choices, ACTIVATION_SHAPES)
        for model, config in (TRAINED | DESCRIBED).items()
        for choice, choices in CHOICES.items()
        if _is_described(config, choices)
    }
    real = {
        f"{model}, {choice}": (configs()[model], CHOICES[choice], ((b, s),))
        for model, choice, b, s in TRAINED_FOR_REAL
    }
    functions = {
        f"{model} {name}, eager": (
            config | {field: name},
            PLAIN,
            ACTIVATION_SHAPES[2:3],
        )
        for model, field in (("llama", "hidden_act"), ("opt", "activation_function"))
        for name in FUNCTIONS
        for config in [(TRAINED | DESCRIBED)[model]]
    }
    return small | functions | real


ADAPTED = PLAIN | {
    "lora": 8,
    "targets": "all-linear",
    "lora_dropout": 0.0,
    "adapters": "fp32",
}
ADAPTERS = {
    "fp32": ADAPTED,
    "fp32 dropout": ADAPTED | {"lora_dropout": 0.1},
    "fp32 flash": ADAPTED | {"lora": 3, "lora_dropout": 0.1, "attention": "flash"},
    "bf16": ADAPTED | {"adapters": "bf16"},
    "bf16 dropout": ADAPTED | {"adapters": "bf16", "lora_dropout": 0.1, "lora": 1},
    "bf16 flash": ADAPTED | {"adapters": "bf16", "attention": "flash"},
    "full": ADAPTED | {"recompute": "full"},
    "core": ADAPTED | {"recompute": "core_attention"},
}
# Modules that are adapted alone, where they are not q_proj and v_proj.
SOME = {"gpt2": ["c_attn"], "phi3": ["o_proj", "down_proj"]}


def adapter_cases() -> dict[str, tuple[dict, dict, tuple]]:
    """Return (config, choices, shapes) of training forwards with adapters."""
    models = (
        "llama", "llama one head", "mistral", "qwen2", "qwen3", "gpt2",
        "gpt2 no dropout", "gemma2", "gemma3_text", "phi3", "glm4", "opt", "opt narrow",
    )  # fmt: skip
    result = {}
    for model in models:
        config = (TRAINED | DESCRIBED)[model]
        some = SOME.get(config["model_type"], ["q_proj", "v_proj"])
        for name, choices in ADAPTERS.items():
            if _is_described(config, choices):
                key = f"{model}, {name}"
                result[key] = config, choices, ACTIVATION_SHAPES
                if name in ("fp32 dropout", "bf16"):
                    few = choices | {"targets": some}
                    result[f"{key}, some"] = config, few, ACTIVATION_SHAPES
    return result


# A vocabulary that is no multiple of anything; heads tied and untied.
LOSS_HEADS = {
    "llama": TRAINED["llama"] | {"vocab_size": 323},
    "llama tied": TRAINED["llama multi-head"],
    "qwen3 tied": TRAINED["qwen3"] | {"vocab_size": 331, "tie_word_embeddings": True},
    "mistral": TRAINED["mistral"],
    "qwen2": TRAINED["qwen2"],
    "gpt2": TRAINED["gpt2"],
    "gemma3_text": DESCRIBED["gemma3_text"],
}
# (loss, chunks); None: as many as the framework takes by itself.
LOSSES = (
    ("plain", None),
    *(("chunked", n) for n in (1, 3, 8)),
    ("fused", None),
    ("fused", 3),
)


def loss_cases():
    """Give config, choices, loss, chunks and shapes of forwards that end in a loss."""
    for name, config in LOSS_HEADS.items():
        for choice in ("eager", "flash", "full", "core", "frozen"):
            for loss, chunks in LOSSES:
                key = f"{name}, {choice}, {loss}" + (f", {chunks}" if chunks else "")
                yield key, config, CHOICES[choice], loss, chunks, ACTIVATION_SHAPES
    for loss in ("plain", "chunked", "fused"):
        chunks = 8 if loss == "chunked" else None
        config, choices = configs()["Qwen3-0.6B"], CHOICES["flash"]
        yield f"Qwen3-0.6B, {loss}", config, choices, loss, chunks, ((8, 2048),)


def _is_described(config: dict, choices: dict) -> bool:
    """Say whether these choices are described for this family."""
    kind, autocast = config["model_type"], choices["precision"] == "autocast"
    if kind == "gpt2":
        return not autocast
    if kind == "gemma2":  # capped scores, which PyTorch's kernels do not have
        capped = config.get("attn_logit_softcapping", True) is not None
        return choices["attention"] == "eager" or not capped
    if kind in LATENT_KINDS and choices["attention"] == "flash":
        return False  # keys are wider than values
    if kind == "gpt_oss" and choices["attention"] != "eager":
        return False  # whose sinks are in no kernel of PyTorch
    if kind in ("mixtral", "qwen3_moe", "gpt_oss", *LATENT_KINDS):
        return not autocast and choices["recompute"] != "matmuls"
    return True


# (batch, tokens) of counted FLOPs: each switch by one shape, what is trained by three.
FLOP_SHAPES = ((1, 1), (1, 10), (3, 9))
FLOP_SHAPE_FOR_REAL = (2, 1024)
# Families whose attention transformers does not look up by the kernel's name.
OWN_ATTENTION = ("falcon", "gptj")
# Values narrower than keys, which the flash kernel does not take.
UNEVEN = SWITCHES["deepseek_v3"] | {"v_head_dim": 12}


def flop_cases() -> dict[str, tuple[dict, dict, tuple]]:
    """Return (config, choices, shapes) of every step whose FLOPs are counted."""
    switched = {
        f"{model}, {choice}": (config, CHOICES[choice], FLOP_SHAPES[2:])
        for model, config in (SWITCHES | {"deepseek_v3 uneven": UNEVEN}).items()
        if not config.get("alibi")  # which is made of a mask of tokens alone
        and config["model_type"] != "qwen3_next"
        for choice in ("eager", "efficient" if config is UNEVEN else "flash")
        if choice == "eager" or config["model_type"] not in OWN_ATTENTION
    }
    described = {model: each for model, each in DESCRIBED.items() if " " not in model}
    trained = {
        f"{model}, {choice}": (config, CHOICES[choice], FLOP_SHAPES)
        for model, config in (TRAINED | described).items()
        for choice in CHOICES
        if not choice.startswith(("autocast", "frozen"))
        and _is_described(config, CHOICES[choice])
    }
    real = {
        f"{name}, eager": (configs()[name], CHOICES["eager"], (FLOP_SHAPE_FOR_REAL,))
        for name in names()
    }
    return switched | trained | real


def configs() -> dict[str, dict]:
    """Return every config that is measured, by name."""
    bundled = {
        name: json.loads((MODELS / f"{name}.json").read_text(encoding="utf-8"))
        for name in names()
    }
    return bundled | SWITCHES


def shallow(config: dict, layers: int = 6) -> dict:
    """Return the config with at most that many layers: a cache repeats per layer."""
    field = "n_layer" if "n_layer" in config else "num_hidden_layers"
    config = config | {field: min(config[field], layers)}
    types = config.get("layer_types")
    return config | ({"layer_types": types[: config[field]]} if types else {})


def random_config(rng, families) -> dict:
    """Return a small config with corners: one head, one layer, wide or narrow parts."""
    kind = rng.choice(families)
    kv_heads, width = rng.choice((1, 1, 2, 3)), 2 * rng.randint(1, 12)
    heads = kv_heads * rng.choice((1, 2, 3))
    config = {
        "model_type": kind,
        "vocab_size": rng.choice((7, 50, 320, 5000)),
        "hidden_size": heads * width,
        "num_hidden_layers": rng.choice((1, 1, 2, 3, 5)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": rng.choice((3, 20, 60, 300)),
        "tie_word_embeddings": rng.random() < 0.5,
    }
    if kind in ("mistral", "qwen3"):
        config["head_dim"] = width
        config["hidden_size"] = rng.choice((heads * width, 2 * rng.randint(1, 80)))
        config["sliding_window"] = None
    if kind == "llama" and rng.random() < 0.3:
        config |= {"attention_bias": True, "mlp_bias": True}
    return config


def random_gemma(rng) -> dict:
    """Return a small Gemma with corners; its windows do not bear on training."""
    config = random_config(rng, ("gemma2", "gemma3_text"))
    config |= {"head_dim": 2 * rng.randint(1, 12), "sliding_window": 9}
    if config["model_type"] == "gemma2":
        config["attn_logit_softcapping"] = rng.choice((None, 50.0))
    config["final_logit_softcapping"] = rng.choice((None, 30.0))
    kinds = ("sliding_attention", "full_attention")
    types = [rng.choice(kinds) for _ in range(config["num_hidden_layers"])]
    return config | {"layer_types": types, "attention_bias": rng.random() < 0.3}


def random_gpt2(rng) -> dict:
    """Return a small GPT-2 with corners: one head, one layer, a head of one element."""
    heads, dropout = rng.choice((1, 1, 2, 3)), rng.choice((0.0, 0.1))
    return {
        "model_type": "gpt2",
        "vocab_size": rng.choice((7, 50, 320, 5000)),
        "n_embd": heads * rng.randint(1, 24),
        "n_layer": rng.choice((1, 1, 2, 3)),
        "n_head": heads,
        "n_inner": rng.choice((None, 3, 20, 300)),
        "n_positions": rng.choice((100, 300)),
        "activation_function": rng.choice(GPT2_ACTIVATIONS),
        "attn_pdrop": rng.choice((dropout, dropout, 0.0)),
        "resid_pdrop": dropout,
        "embd_pdrop": rng.choice((dropout, dropout, 0.0)),
        "tie_word_embeddings": rng.random() < 0.7,
    }


def with_windows(config: dict, rng) -> dict:
    """Return the config with windows on all layers, on some, or on none."""
    window = rng.choice((None, None, 2, 3, 9, 40))
    if window is None or config["model_type"] == "llama":
        return config
    windowed = config | {"sliding_window": window}
    if config["model_type"] == "mistral":
        return windowed
    kinds = ("full_attention", "sliding_attention")
    types = [rng.choice(kinds) for _ in range(config["num_hidden_layers"])]
    return windowed | {"use_sliding_window": True, "layer_types": types}


GPT2_ACTIVATIONS = ("gelu_new", "gelu_new", "gelu", "gelu_pytorch_tanh", "relu")
PEAK_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
PEAK_SIZES = (1, 1, 2, 3, 9, 33, 64, 100)
PEAK_KERNELS = ("eager", "flash", "efficient")


def rank_steps(rng):
    """Give the cases of a tensor-parallel rank's step: real models, and small ones."""
    for name, tp, tokens, logits in (
        ("Qwen3-0.6B", 4, 512, 1), ("Qwen3-0.6B", 16, 512, 512),
        ("LLaMA-13B", 8, 2048, 1), ("Llama-3.1-70B", 16, 8192, 256),
    ):  # fmt: skip
        case = {"tp": tp, "tokens": tokens, "logits": logits, "cache": "static"}
        yield {"config": shallow(configs()[name], 3)} | case
    for _ in range(120):
        tp, tokens = rng.choice((2, 3, 4)), rng.choice(PEAK_SIZES)
        config = random_config(rng, PEAK_FAMILIES)
        kv_heads = rng.choice((tp, tp, 2 * tp, 1, 2 if tp == 4 else 1))
        per_head = tp // kv_heads if kv_heads < tp else 1
        heads = kv_heads * per_head * rng.choice((1, 2, 3))
        width = config["hidden_size"] // config["num_attention_heads"]
        config = without_biases(with_windows(config, rng)) | {
            "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "intermediate_size": tp * config["intermediate_size"],
            "hidden_size": heads * max(2, width // 2 * 2),
        }  # fmt: skip
        yield {
            "config": config,
            "tp": tp,
            "tokens": tokens,
            "logits": rng.choice((1, tokens, rng.randint(1, tokens))),
            "cache": "dynamic" if config.get("sliding_window") else "static",
        }


def without_biases(config: dict) -> dict:
    """Return the config without the biases that are added after the ranks' sum."""
    return {name: each for name, each in config.items() if not name.endswith("_bias")}


def training_peaks(rng):
    """Give the cases of training peaks: real models, and small ones at random."""
    flash_full = PLAIN | {"attention": "flash", "recompute": "full"}
    flash = PLAIN | {"attention": "flash"}
    for name, choices, b, s in (
        ("Qwen3-0.6B", flash, 1, 64),
        ("Qwen3-0.6B", flash, 8, 2048),
        ("LLaMA-13B", flash_full, 8, 2048),
    ):
        yield {"config": configs()[name], "choices": choices, "b": b, "s": s}
    for _ in range(120):
        yield _random_step(rng)
    for _ in range(80):
        yield step_case(random_gpt2(rng), rng)
    for _ in range(40):
        yield _random_step(rng, CHOICES["matmuls"])
    for _ in range(20):
        yield step_case(random_gpt2(rng), rng, CHOICES["matmuls"])
    for _ in range(60):
        yield _random_step(rng, _random_choices(rng) | {"precision": "autocast"})
    for _ in range(20):
        yield _random_step(rng, STEPS["autocast matmuls"])
    for _ in range(40):
        yield _gemma_step(rng)


def _random_step(rng, choices=None) -> dict:
    config = random_config(rng, PEAK_FAMILIES)
    if rng.random() < 0.15:
        config["attention_dropout"] = 0.1
    return step_case(config, rng, choices)


def step_case(config: dict, rng, choices=None) -> dict:
    """Give a step of a config; None: choices at random."""
    return {
        "config": config,
        "choices": choices or _random_choices(rng),
        "b": rng.choice((1, 1, 2, 3)),
        "s": rng.choice(PEAK_SIZES),
        "micro_steps": rng.choice((1, 1, 2)),
    }


def _gemma_step(rng) -> dict:
    config, choices = random_gemma(rng), _random_choices(rng)
    if config.get("attn_logit_softcapping"):
        choices["attention"] = "eager"
    return step_case(
        config, rng, choices | {"precision": rng.choice(("bf16", "autocast"))}
    )


def _random_choices(rng) -> dict:
    recompute = rng.choice(("none", "none", "full", "core_attention"))
    kernels = ("eager",) if recompute == "core_attention" else PEAK_KERNELS
    return PLAIN | {"attention": rng.choice(kernels), "recompute": recompute}


def loss_peaks(rng):
    """Give the cases of training peaks with a chunked loss, real and at random."""
    config, flash = configs()["Qwen3-0.6B"], PLAIN | {"attention": "flash"}
    for b, s, chunks in ((8, 2048, 8), (8, 2048, 1), (1, 64, 8), (3, 33, 5)):
        case = {"config": config, "choices": flash, "b": b, "s": s}
        yield case | {"loss": "chunked", "chunks": chunks}
    for _ in range(48):
        chunks = rng.choice((1, 2, 3, 5))
        yield _random_step(rng) | {"loss": "chunked", "chunks": chunks}
    alone = GROUPED | {"model_type": "qwen3", "head_dim": 10, "num_key_value_heads": 1}
    full = {"choices": PLAIN | {"recompute": "full"}, "b": 1, "s": 100}
    for loss, chunks in (("plain", None), ("chunked", 2)):
        yield {"config": alone, "loss": loss, "chunks": chunks} | full


STEPS = {
    f"autocast {name}".removesuffix(" eager") if wide else name: CHOICES[name] | wide
    for wide in ({}, {"precision": "autocast"})
    for name in ("eager", "flash", "efficient", "full", "core", "matmuls")
}
STEPS |= {
    "math": CHOICES["math"],
    "math full": CHOICES["math"] | {"recompute": "full"},
}
MOMENTS = ("llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt2 no dropout")
MOMENTS += ("gemma2", "gemma2 uncapped", "gemma3_text")


def moments() -> dict[str, dict]:
    """Return training steps of one layer, of which every operation is recorded."""
    plain = {
        f"{model}, {choice}": {
            "config": shallow((TRAINED | DESCRIBED)[model], 1),
            "choices": choices,
            "b": 2,
            "s": 5,
        }
        for model in MOMENTS
        for choice, choices in STEPS.items()
        if _is_described((TRAINED | DESCRIBED)[model], choices)
    }
    chunked = {
        f"{name}, {chunks} chunks": plain[name] | {"loss": "chunked", "chunks": chunks}
        for name in (
            "llama, eager",
            "llama, full",
            "qwen3, flash",
            "qwen2, core",
            "qwen3, matmuls",
            "llama, autocast",
            "qwen3, autocast full",
        )
        for chunks in (1, 3, 4)
    }
    tied = plain["llama, flash"]["config"] | {"tie_word_embeddings": True}
    chunked["llama, flash, tied, 2 chunks"] = plain["llama, flash"] | {
        "config": tied,
        "loss": "chunked",
        "chunks": 2,
    }
    return plain | chunked


IN_MEMORY = ("llama", "qwen3", "gpt2", "gpt2 no dropout")


def profiled() -> dict[str, dict]:
    """Return tiny steps that run in real memory, with eager attention.

    The CPU's flash attention is another kernel, and it has no efficient one. GPT-2's
    recomputation stops in a dropout, whose output is gone when that is seen to end.
    """
    result = {}
    for model in ("llama one head", *IN_MEMORY):
        config = TRAINED[model]
        for b, tokens in ((1, 5), (3, 9)):
            for phase in ("prefill", "decode"):
                case = {"phase": phase, "config": config, "b": b, "tokens": tokens}
                result[f"{model}, {phase}, {b},{tokens}"] = case
            for choice in ("eager", "full", "core", "autocast", "frozen"):
                if _is_described(config, CHOICES[choice]):
                    case = _in_memory("forward", config, choice, b, tokens)
                    result[f"{model}, forward, {choice}, {b},{tokens}"] = case
    tied = TRAINED["llama"] | {"tie_word_embeddings": True}
    for model in ("llama tied", *IN_MEMORY):
        config = shallow(TRAINED.get(model, tied), 1)
        for choice in ("eager", "core", *(("full",) if model != "gpt2" else ())):
            case = _in_memory("training", config, choice, 2, 5)
            result[f"{model}, training, {choice}"] = case
    return result


def _in_memory(phase, config, choice, b, s) -> dict:
    choices = CHOICES[choice]
    return {"phase": phase, "config": config, "choices": choices, "b": b, "s": s}
