"""Whole steps: their peaks, every operation, in real memory, and of one rank."""

from .forwards import CHOICES, PLAIN, is_described
from .models import (
    PEAK_FAMILIES,
    PEAK_KERNELS,
    PEAK_SIZES,
    configs,
    random_config,
    random_gemma,
    random_gpt2,
    shallow,
    with_windows,
)
from .switches import GROUPED
from .trained import DESCRIBED, TRAINED


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
        yield _random_step(rng, random_choices(rng) | {"precision": "autocast"})
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
        "choices": choices or random_choices(rng),
        "b": rng.choice((1, 1, 2, 3)),
        "s": rng.choice(PEAK_SIZES),
        "micro_steps": rng.choice((1, 1, 2)),
    }


def _gemma_step(rng) -> dict:
    config, choices = random_gemma(rng), random_choices(rng)
    if config.get("attn_logit_softcapping"):
        choices["attention"] = "eager"
    return step_case(
        config, rng, choices | {"precision": rng.choice(("bf16", "autocast"))}
    )


def random_choices(rng) -> dict:
    recompute = rng.choice(("none", "none", "full", "core_attention"))
    kernels = ("eager",) if recompute == "core_attention" else PEAK_KERNELS
    return PLAIN | {"attention": rng.choice(kernels), "recompute": recompute}


def loss_peaks(rng):
    """Give the cases of training peaks with other losses, real and at random."""
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
    for b, s, chunks in ((8, 2048, None), (1, 64, None), (8, 2048, 8), (3, 33, 5)):
        case = {"config": config, "choices": flash, "b": b, "s": s}
        yield case | {"loss": "fused", "chunks": chunks}
    for _ in range(48):
        chunks = rng.choice((None, None, 1, 2, 3, 5))
        yield _random_step(rng) | {"loss": "fused", "chunks": chunks}
    for _ in range(12):
        yield step_case(random_gpt2(rng), rng) | {"loss": "fused", "chunks": None}


STEPS = {
    f"autocast {name}".removesuffix(" eager") if wide else name: CHOICES[name] | wide
    for wide in ({}, {"precision": "autocast"})
    for name in ("eager", "flash", "efficient", "full", "core", "matmuls")
}
STEPS |= {
    "math": CHOICES["math"],
    "math full": CHOICES["math"] | {"recompute": "full"},
}


def small_step(config: dict, choices: dict, layers: int = 1) -> dict:
    """Return a step of few layers and tokens, of which every operation is recorded."""
    return {"config": shallow(config, layers), "choices": choices, "b": 2, "s": 5}


MOMENTS = ("llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt2 no dropout")
MOMENTS += ("gemma2", "gemma2 uncapped", "gemma3_text")


def moments() -> dict[str, dict]:
    """Return training steps of one layer, of which every operation is recorded."""
    plain = {
        f"{model}, {choice}": small_step((TRAINED | DESCRIBED)[model], choices)
        for model in MOMENTS
        for choice, choices in STEPS.items()
        if is_described((TRAINED | DESCRIBED)[model], choices)
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
    fused = {
        f"{name}, fused in {chunks}": plain[name] | {"loss": "fused", "chunks": chunks}
        for name in ("llama, eager", "llama, full", "qwen3, flash", "gpt2, core")
        for chunks in (1, 2)
    }
    few = plain["llama, flash"]["config"] | {"vocab_size": 7}
    fused["llama, flash, few words, fused in 2"] = plain["llama, flash"] | {
        "config": few | {"tie_word_embeddings": True},
        "loss": "fused",
        "chunks": 2,
    }
    return plain | chunked | fused


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
                if is_described(config, CHOICES[choice]):
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
