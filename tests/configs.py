"""Configs for the tests: random ones, and what must be in one of each family."""

from hypothesis import strategies as st

SMALL = st.integers(1, 5)
WIDTH = st.integers(1, 40)
FLAG = st.booleans()

BASE = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size",
)  # fmt: skip
LATENT = (
    *BASE, "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
    "moe_intermediate_size", "n_routed_experts", "num_experts_per_tok",
)  # fmt: skip
SIZES = {
    "gpt2": ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"),
    "opt": (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "ffn_dim", "max_position_embeddings",
    ),
    "gptj": ("vocab_size", "n_embd", "n_layer", "n_head"),
    "falcon": (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    ),
    "llama": BASE,
    "mistral": BASE,
    "qwen2": BASE,
    "qwen3": BASE,
    "qwen3_moe": (*BASE, "moe_intermediate_size", "num_experts", "num_experts_per_tok"),
    "qwen3_next": (
        *BASE, "moe_intermediate_size", "num_experts", "num_experts_per_tok",
        "shared_expert_intermediate_size", "linear_num_key_heads",
        "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim",
        "linear_conv_kernel_dim",
    ),
    "mixtral": (*BASE, "num_local_experts", "num_experts_per_tok"),
    "phi3": BASE,
    "gemma2": BASE,
    "gemma3_text": BASE,
    "glm4": BASE,
    "gpt_oss": (*BASE, "num_local_experts", "num_experts_per_tok"),
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "kimi_k2": LATENT,
}  # fmt: skip
WINDOWED = (
    "mistral", "qwen2", "qwen3", "qwen3_moe", "mixtral", "phi3", "gemma2",
    "gemma3_text", "gpt_oss",
)  # fmt: skip
GROUPED = ("llama", "glm4", *WINDOWED)
# Where the cache is keys and values alone.
STATELESS = tuple(each for each in SIZES if each != "qwen3_next")
BIASED = (
    "llama", "qwen3", "qwen3_moe", "qwen3_next", "gemma2", "gemma3_text", "glm4",
    "gpt_oss",
)  # fmt: skip
SPARSE = (
    "qwen3_moe", "qwen3_next", "mixtral", "gpt_oss", "deepseek_v2", "deepseek_v3",
    "kimi_k2",
)  # fmt: skip
LATENT_FAMILIES = ("deepseek_v2", "deepseek_v3", "kimi_k2")


@st.composite
def configs(draw, families=tuple(SIZES), window=None):
    """Draw a config with every field given; `window`: True, False or either."""
    kind = draw(st.sampled_from(families))
    heads = draw(SMALL) * 2
    width, layers = heads * draw(SMALL), draw(SMALL)
    if kind in ("gpt2", "gptj"):
        config = {
            "n_embd": 2 * width, "n_layer": layers, "n_head": heads,
            "n_positions": draw(WIDTH), "n_inner": draw(WIDTH),
        }  # fmt: skip
        config |= {"rotary_dim": 2} if kind == "gptj" else {}
    else:
        config = {
            "hidden_size": width, "num_hidden_layers": layers,
            "num_attention_heads": heads, "max_position_embeddings": draw(WIDTH),
        }  # fmt: skip
        config |= draw(_family(kind, width, heads, layers, window))
    return config | {
        "model_type": kind,
        "vocab_size": draw(st.integers(1, 300)),
        "tie_word_embeddings": draw(FLAG),
    }


@st.composite
def _family(draw, kind, width, heads, layers, window):
    if kind == "opt":
        before = draw(FLAG)
        return {
            "ffn_dim": draw(WIDTH), "enable_bias": draw(FLAG),
            "layer_norm_elementwise_affine": draw(FLAG), "do_layer_norm_before": before,
            "_remove_final_layer_norm": draw(FLAG),
            "word_embed_proj_dim": draw(st.sampled_from([width, draw(WIDTH)])),
        }  # fmt: skip
    if kind == "falcon":
        return draw(_falcon(heads))
    config = {"intermediate_size": draw(st.integers(1, 300))}
    if kind in (*GROUPED, "qwen3_next"):
        divisors = [n for n in range(1, heads + 1) if heads % n == 0]
        config |= {
            "num_key_value_heads": draw(st.sampled_from(divisors)),
            "head_dim": draw(SMALL) * 2,
        }
    if kind in WINDOWED:
        config |= draw(_windows(kind, window, layers))
    if kind in SPARSE:
        config |= draw(_experts(kind))
    if kind == "qwen3_next":
        config |= draw(_linear(layers))
    if kind in LATENT_FAMILIES:
        config |= draw(_latent(kind, heads))
    if kind in (*BIASED, *LATENT_FAMILIES):
        config["attention_bias"] = draw(FLAG)
    if kind in ("llama", "deepseek_v2"):
        config["mlp_bias"] = draw(FLAG)
    return config


@st.composite
def _linear(draw, layers):
    heads = draw(SMALL)
    config = {
        "linear_num_key_heads": heads, "linear_num_value_heads": heads * draw(SMALL),
        "linear_key_head_dim": draw(SMALL), "linear_value_head_dim": draw(SMALL),
        "linear_conv_kernel_dim": draw(SMALL),
        "shared_expert_intermediate_size": draw(WIDTH),
    }  # fmt: skip
    if draw(FLAG):
        return config | {"full_attention_interval": draw(SMALL)}
    kinds = st.sampled_from(["full_attention", "linear_attention"])
    types = st.lists(kinds, min_size=layers, max_size=layers)
    return config | {"layer_types": draw(types)}


@st.composite
def _falcon(draw, heads):
    new = draw(FLAG)
    divisors = [n for n in range(1, heads + 1) if heads % n == 0]
    return {
        "new_decoder_architecture": new, "multi_query": draw(FLAG),
        "num_kv_heads": draw(st.sampled_from(divisors)) if new else heads,
        "parallel_attn": new or draw(FLAG), "ffn_hidden_size": draw(WIDTH),
        "num_ln_in_parallel_attn": draw(st.integers(1, 1 + new)),
        "bias": draw(FLAG), "alibi": draw(FLAG),
    }  # fmt: skip


@st.composite
def _windows(draw, kind, window, layers):
    on = draw(FLAG) if window is None else window
    size = draw(st.integers(1, 20))
    if kind in ("qwen2", "qwen3"):
        return {
            "use_sliding_window": on,
            "sliding_window": size,
            "max_window_layers": draw(st.integers(0, layers - 1)),
        }
    if kind == "qwen3_moe":
        return {"use_sliding_window": on, "sliding_window": size}
    if kind in ("gemma3_text", "gpt_oss"):
        if not on:
            return {"sliding_window": size, "layer_types": ["full_attention"] * layers}
        length = {"sliding_window_pattern": draw(st.integers(2, 4))}
        return {"sliding_window": size} | (length if kind == "gemma3_text" else {})
    return {"sliding_window": size if on else None}


@st.composite
def _experts(draw, kind):
    count = draw(SMALL)
    used = draw(st.integers(1, count))
    name = {
        "qwen3_next": "num_experts",
        "mixtral": "num_local_experts", "gpt_oss": "num_local_experts",
        "qwen3_moe": "num_experts",
    }  # fmt: skip
    config = {
        name.get(kind, "n_routed_experts"): count, "num_experts_per_tok": used,
    }  # fmt: skip
    if kind not in ("mixtral", "gpt_oss"):
        config["moe_intermediate_size"] = draw(st.integers(1, 300))
    if kind in ("qwen3_moe", "qwen3_next"):
        config["decoder_sparse_step"] = draw(st.integers(1, 3))
        config["mlp_only_layers"] = draw(st.lists(st.integers(0, 6), max_size=3))
    return config


@st.composite
def _latent(draw, kind, heads):
    return {
        "num_key_value_heads": heads,
        "q_lora_rank": draw(st.none() | WIDTH),
        "kv_lora_rank": draw(WIDTH),
        "qk_nope_head_dim": draw(WIDTH),
        "qk_rope_head_dim": draw(WIDTH),
        "v_head_dim": draw(WIDTH),
        "n_shared_experts": draw(st.integers(0, 3)),
        "first_k_dense_replace": draw(st.integers(0, 6)),
    }
