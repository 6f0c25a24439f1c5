"""The cases of training steps with routed experts in every layer."""

from .forwards import CHOICES
from .inference import random_moe
from .models import configs, shallow
from .steps import small_step, step_case
from .trained import MIXTRAL, QWEN3_MOE

# (model, choice, batch, tokens)
REAL = (("Mixtral-8x7B", "eager", 1, 512), ("Qwen3-30B-A3B", "flash", 2, 1024))
MOMENTS = {
    "mixtral": MIXTRAL,
    "mixtral all": MIXTRAL | {"num_experts_per_tok": 5, "attention_dropout": 0.1},
    "qwen3_moe": QWEN3_MOE,
    "qwen3_moe normalised": QWEN3_MOE | {"norm_topk_prob": True},
}


def training_peaks(rng):
    """Give the cases of training peaks: real models, and small ones at random."""
    for name, choice, b, s in REAL:
        config = shallow(configs()[name], 4)
        yield {"config": config, "choices": CHOICES[choice], "b": b, "s": s}
    for _ in range(60):
        config = random_moe(rng)
        if config["model_type"] == "qwen3_moe":
            config |= {"decoder_sparse_step": 1, "mlp_only_layers": []}
        yield step_case(config, rng)


def moments() -> dict[str, dict]:
    """Return steps of one layer, of which every operation is recorded."""
    return {
        f"{name}, {choice}": small_step(config, CHOICES[choice])
        for name, config in MOMENTS.items()
        for choice in ("eager", "flash", "efficient", "full", "core")
    }
