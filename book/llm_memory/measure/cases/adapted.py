"""The cases of training steps with adapters around frozen weights."""

from itertools import product

from .forwards import ADAPTED, CHOICES, is_described
from .models import PEAK_FAMILIES, configs, random_config, random_gemma, random_gpt2
from .steps import random_choices, small_step, step_case
from .trained import DESCRIBED, TRAINED

FEW = ["q_proj", "v_proj"]
# (model, choices, batch, tokens)
REAL = (
    ("Llama-3.1-8B", {"attention": "flash", "recompute": "full"}, 1, 4096),
    ("Qwen3-0.6B", {"attention": "flash", "targets": FEW, "lora": 16}, 2, 1024),
)
MOMENTS = ("llama", "mistral", "qwen2", "qwen3")
OTHERS = ("gpt2", "gemma2", "gemma2 uncapped", "gemma3_text")
WAYS = {
    "fp32": ADAPTED,
    "fp32 dropout": ADAPTED | {"lora_dropout": 0.1, "lora": 3},
    "bf16": ADAPTED | {"adapters": "bf16"},
    "bf16 dropout": ADAPTED | {"adapters": "bf16", "lora_dropout": 0.1, "lora": 1},
    "few": ADAPTED | {"targets": FEW, "lora_dropout": 0.1},
    "few bf16": ADAPTED | {"targets": FEW, "adapters": "bf16"},
    "frozen": {"frozen": True},
}
KERNELS = ("eager", "flash", "efficient", "full", "core", "math")


def moments() -> dict[str, dict]:
    """Return steps of one layer, of which every operation is recorded.

    Of kernel, way and model there is every third combination.
    """
    every = tuple(product(KERNELS, WAYS, MOMENTS))
    cases = {
        f"{model}, {kernel}, {way}": small_step(
            TRAINED[model], WAYS[way] | CHOICES[kernel]
        )
        for kernel, way, model in every[::3]
    }
    chunked = {
        f"{name}, {chunks} chunks": cases[name] | {"loss": "chunked", "chunks": chunks}
        for name in (
            "llama, full, bf16 dropout",
            "qwen2, flash, fp32",
            "qwen3, core, few bf16",
            "mistral, efficient, frozen",
        )
        for chunks in (1, 3)
    }
    described = TRAINED | DESCRIBED
    others = {
        f"{model}, {kernel}, {way}": small_step(
            described[model], _of_model(model, WAYS[way]) | CHOICES[kernel]
        )
        for model in OTHERS
        for kernel, way in tuple(product(KERNELS, WAYS))[::5]
        if is_described(described[model], CHOICES[kernel])
    }
    return cases | chunked | others


def _of_model(model: str, way: dict) -> dict:
    """Return a way with the names that a model's modules have."""
    if model.startswith("gpt2") and way.get("targets") == FEW:
        return way | {"targets": ["c_attn"]}
    return way


def peaks(rng):
    """Give the cases of training peaks: real models, and small ones at random."""
    for name, choices, b, s in REAL:
        config, choices = configs()[name], ADAPTED | choices
        yield {"config": config, "choices": choices, "b": b, "s": s}
    for number in range(80):
        case = step_case(random_config(rng, PEAK_FAMILIES), rng, random_choices(rng))
        if rng.random() < 0.15:
            case["config"]["attention_dropout"] = 0.1
        way = _random_way(rng) if number % 10 else WAYS["frozen"]
        case["choices"] = case["choices"] | way
        if number % 6 == 0:
            case |= {"loss": "chunked", "chunks": rng.choice((1, 2, 3, 5))}
        yield case
    for number in range(40):
        config = random_gemma(rng) if number % 2 else random_gpt2(rng)
        case = step_case(config, rng, random_choices(rng))
        if config.get("attn_logit_softcapping"):
            case["choices"]["attention"] = "eager"
        few = FEW if number % 2 else ["c_attn"]
        yield case | {"choices": case["choices"] | _random_way(rng, few)}


def _random_way(rng, *few) -> dict:
    """Give adapters of linear modules: of all, or of few."""
    targets = ("all-linear", *(few or (FEW, ["o_proj", "down_proj"])))
    return {
        "lora": rng.choice((1, 2, 3, 8, 40)),
        "targets": rng.choice(targets),
        "lora_dropout": rng.choice((0.0, 0.1)),
        "adapters": rng.choice(("fp32", "fp32", "bf16")),
    }
