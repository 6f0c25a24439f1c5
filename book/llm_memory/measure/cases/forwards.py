"""Training forwards: what they save, with adapters and losses, and their FLOPs."""

from ...functions import FUNCTIONS
from ...model import names
from .models import configs
from .switches import SWITCHES
from .trained import DESCRIBED, LATENT_KINDS, TRAINED

# (batch, tokens): odd sizes, one sequence, one token, longer than a block of 32.
ACTIVATION_SHAPES = ((1, 1), (1, 5), (2, 7), (3, 33))

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
        if is_described(config, choices)
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
            if is_described(config, choices):
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


def is_described(config: dict, choices: dict) -> bool:
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
        and is_described(config, CHOICES[choice])
    }
    real = {
        f"{name}, eager": (configs()[name], CHOICES["eager"], (FLOP_SHAPE_FOR_REAL,))
        for name in names()
    }
    return switched | trained | real
