"""Training steps with dense layers and sparse ones, and with latent attention."""

from .forwards import CHOICES
from .inference import kernels_of, random_latent, random_moe
from .models import configs, shallow
from .steps import small_step, step_case
from .switches import SMALL
from .trained import DEEPSEEK, QWEN3_MOE

TWO = QWEN3_MOE | {"num_hidden_layers": 2}
MOMENTS = {
    "qwen3_moe dense first": TWO | {"mlp_only_layers": [0]},
    "qwen3_moe sparse first": TWO | {"mlp_only_layers": [1], "norm_topk_prob": True},
}
LATENT = DEEPSEEK | {"num_hidden_layers": 2, "first_k_dense_replace": 1}
LATENT_MOMENTS = {
    "deepseek_v3": LATENT,
    "deepseek_v3 halves": LATENT
    | {
        "q_lora_rank": None,
        "rope_interleave": False,
        "norm_topk_prob": False,
        "attention_bias": True,
        "attention_dropout": 0.1,
    },
    "kimi_k2 one head": LATENT
    | {
        "model_type": "kimi_k2",
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "n_group": 1,
        "topk_group": 1,
    },
    "deepseek_v2": LATENT | {"model_type": "deepseek_v2", "mlp_bias": True},
}


def training_peaks(rng):
    """Give the cases of training peaks: a real model, and small ones at random."""
    real = shallow(configs()["Qwen3-30B-A3B"], 6) | {"mlp_only_layers": [0, 1, 4]}
    yield {"config": real, "choices": CHOICES["flash"], "b": 1, "s": 1024}
    for _ in range(40):
        config = random_mixed(rng)
        yield step_case(config, rng)


def random_mixed(rng) -> dict:
    """Return a small Qwen3 MoE of which some layers are dense, here and there."""
    layers = rng.choice((2, 2, 3, 5, 6))
    config = random_moe(rng, "qwen3_moe") | {"num_hidden_layers": layers}
    step = rng.choice((1, 1, 1, 2, 3))
    some = rng.sample(range(layers), rng.randint(1, layers - 1))
    return config | {
        "decoder_sparse_step": step if step <= layers else 1,
        "mlp_only_layers": sorted(some) if step == 1 else some[:1],
    }


def latent_peaks(rng):
    """Give the same for latent attention: dense layers first, then sparse ones."""
    real = shallow(configs()["DeepSeek-V3"], 5)
    for choice, b, s in (("efficient", 1, 4096), ("full", 1, 512)):
        yield {"config": real, "choices": CHOICES[choice], "b": b, "s": s}
    for number in range(120):
        config = random_latent(rng)
        if number >= 80:
            config |= {"model_type": "deepseek_v2", "mlp_bias": rng.random() < 0.3}
            config["hidden_size"] = (
                8 * config["num_attention_heads"] * rng.randint(1, 4)
            )
        case = step_case(config, rng)
        kernels = kernels_of(config)
        if case["choices"]["attention"] not in kernels:
            case["choices"] |= {"attention": rng.choice(kernels[1:])}
        yield case


def second_layer_peaks():
    """Give steps that peak in the second layer: it lets go of no rotary tables.

    What a layer has saved is a little less than its gradients.
    """
    narrow = SMALL | {"model_type": "llama", "vocab_size": 7, "hidden_size": 64}
    narrow |= {"num_attention_heads": 1, "num_key_value_heads": 1}
    for width, s in ((3, 21), (64, 27)):
        config = narrow | {"intermediate_size": width}
        yield {"config": config, "choices": CHOICES["flash"], "b": 1, "s": s}


def moments() -> dict[str, dict]:
    """Return steps of a layer of each kind, of which every operation is recorded."""
    return {
        f"{name}, {choice}": small_step(config, CHOICES[choice], layers=2)
        for every, kernel in ((MOMENTS, "flash"), (LATENT_MOMENTS, "math"))
        for name, config in every.items()
        for choice in ("eager", kernel, "efficient", "full", "core")
    }
