"""All configs that are measured, and small ones at random."""

import json

from ...model import MODELS, names
from .switches import SWITCHES


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
