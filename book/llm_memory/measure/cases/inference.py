"""The cases of inference peaks: real models, and small ones at random."""

from .models import (
    PEAK_FAMILIES,
    PEAK_KERNELS,
    PEAK_SIZES,
    configs,
    random_config,
    random_gpt2,
    shallow,
    with_windows,
)

# (model, batch, tokens)
REAL = (("Qwen3-0.6B", 1, 512), ("Qwen3-0.6B", 8, 4096), ("LLaMA-13B", 2, 2048))
PHASES = ("prefill", "prefill", "decode")
MATH = ("math",)
BATCHES = (1, 1, 2, 3)


def inference_peaks(rng):
    """Give every case; new ones come last, so that those before stay as they are."""
    for name, b, tokens in REAL:
        for phase in ("prefill", "decode"):
            for attention in ("eager", "flash"):
                config = shallow(configs()[name], 3)
                yield _case(config, phase, attention, "last", b, tokens)
    for _ in range(240):
        yield _random(with_windows(random_config(rng, PEAK_FAMILIES), rng), rng)
    for _ in range(24):
        config = random_config(rng, ("llama", "qwen2", "qwen3"))
        phase = rng.choice(("prefill", "decode"))
        b, tokens = rng.choice((1, 2, 3)), rng.choice(PEAK_SIZES)
        case = _case(config, phase, "eager", "last", b, tokens)
        yield case | {"mask": "made"}
    for _ in range(60):
        case = _random(random_gpt2(rng), rng)
        made = case["attention"] == "eager" and rng.random() < 0.5
        yield case | ({"mask": "made"} if made else {})
    for _ in range(60):
        yield _random(with_windows(random_config(rng, PEAK_FAMILIES), rng), rng, MATH)
    for _ in range(20):
        yield _random(random_gpt2(rng), rng, MATH)
    for _ in range(100):
        yield _random(random_gemma(rng), rng)
    for _ in range(80):
        yield _random(random_moe(rng), rng)
    for _ in range(100):
        yield _random(random_latent(rng), rng)


def _random(config, rng, kernels=None) -> dict:
    return _case(
        config,
        rng.choice(PHASES),
        rng.choice(kernels or kernels_of(config)),
        rng.choice(("last", "all")),
        rng.choice(BATCHES),
        rng.choice(PEAK_SIZES),
    )


def kernels_of(config: dict) -> tuple[str, ...]:
    """Return the kernels that there are for a config."""
    if config.get("attn_logit_softcapping"):
        return ("eager",)
    if "kv_lora_rank" in config:  # the flash kernel takes one width of heads
        return ("eager", "efficient", "math")
    return PEAK_KERNELS


def _case(config, phase, attention, logits, b, tokens) -> dict:
    if phase == "decode":
        logits = "last"
    return {
        "config": config,
        "phase": phase,
        "attention": attention,
        "logits": logits,
        "b": b,
        "tokens": tokens,
    }


def random_gemma(rng) -> dict:
    """Return a small Gemma 2 or 3: windows here and there, scores capped or not."""
    kind = rng.choice(("gemma2", "gemma3_text"))
    config = random_config(rng, (kind,)) | {
        "head_dim": 2 * rng.randint(1, 12),
        "sliding_window": rng.choice((2, 3, 9, 40)),
        "attention_bias": rng.random() < 0.3,
        "hidden_activation": rng.choice(("gelu_pytorch_tanh", "gelu_new", "silu")),
        "final_logit_softcapping": rng.choice((None, 30.0)),
    }
    if kind == "gemma2":
        config["attn_logit_softcapping"] = rng.choice((None, 50.0))
    else:
        config["sliding_window_pattern"] = rng.choice((1, 2, 3, 6))
    if rng.random() < 0.3:
        config["layer_types"] = random_types(config, rng)
    return config


def random_types(config: dict, rng) -> list[str]:
    """Return whether each layer has a window, at random."""
    kinds = ("full_attention", "sliding_attention")
    return [rng.choice(kinds) for _ in range(config["num_hidden_layers"])]


def random_moe(rng, kind=None) -> dict:
    """Return a small Mixtral or Qwen3 MoE: grouped products need rows of 16 bytes."""
    kind = kind or rng.choice(("mixtral", "qwen3_moe"))
    number = rng.choice((1, 2, 5, 8))
    config = random_config(rng, (kind,)) | {
        "hidden_size": 8 * rng.randint(1, 20),
        "head_dim": 2 * rng.randint(1, 12),
        "num_experts_per_tok": rng.randint(1, min(number, 4)),
        "sliding_window": None,
    }
    width = 8 * rng.choice((1, 2, 7, 40))
    if kind == "mixtral":
        own = {"num_local_experts": number, "intermediate_size": width}
        return config | own | {"sliding_window": rng.choice((None, None, 3, 9))}
    layers = range(config["num_hidden_layers"])
    return config | {
        "num_experts": number,
        "moe_intermediate_size": width,
        "norm_topk_prob": rng.random() < 0.5,
        "decoder_sparse_step": rng.choice((1, 1, 2)),
        "mlp_only_layers": [i for i in layers if rng.random() < 0.2],
        "attention_bias": rng.random() < 0.3,
    }


def random_latent(rng) -> dict:
    """Return a small DeepSeek-V3 or Kimi K2: dense layers first, some or none."""
    layers, heads = rng.choice((1, 1, 2, 3, 5)), rng.choice((1, 1, 2, 3, 6))
    groups, members = rng.choice((1, 1, 2, 4)), rng.choice((2, 3, 5))
    kept = rng.randint(1, groups)
    return {
        "model_type": rng.choice(("deepseek_v3", "deepseek_v3", "kimi_k2")),
        "vocab_size": rng.choice((7, 50, 320, 5000)),
        "hidden_size": 8 * rng.randint(1, 20),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "intermediate_size": rng.choice((3, 20, 60, 300)),
        "tie_word_embeddings": rng.random() < 0.5,
        "attention_bias": rng.random() < 0.3,
        "q_lora_rank": rng.choice((None, None, rng.randint(1, 60))),
        "kv_lora_rank": rng.randint(1, 60),
        "qk_nope_head_dim": rng.randint(1, 24),
        "qk_rope_head_dim": 2 * rng.randint(1, 8),
        "v_head_dim": rng.randint(1, 24),
        "first_k_dense_replace": rng.choice((0, 0, 1, 2, layers)),
        "n_routed_experts": groups * members,
        "n_group": groups,
        "topk_group": kept,
        "num_experts_per_tok": rng.randint(1, kept * members),
        "n_shared_experts": rng.choice((0, 1, 1, 2)),
        "moe_intermediate_size": 8 * rng.choice((1, 2, 7, 40)),
        "norm_topk_prob": rng.random() < 0.7,
        "rope_interleave": rng.random() < 0.8,
    }
