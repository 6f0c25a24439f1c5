"""The cases of training steps with dense layers and sparse ones in one model."""

from .forwards import CHOICES
from .inference import random_moe
from .models import configs, shallow
from .steps import step_case
from .trained import QWEN3_MOE

TWO = QWEN3_MOE | {"num_hidden_layers": 2}
MOMENTS = {
    "qwen3_moe dense first": TWO | {"mlp_only_layers": [0]},
    "qwen3_moe sparse first": TWO | {"mlp_only_layers": [1], "norm_topk_prob": True},
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


def moments() -> dict[str, dict]:
    """Return steps of a layer of each kind, of which every operation is recorded."""
    return {
        f"{name}, {choice}": {
            "config": config,
            "choices": CHOICES[choice],
            "b": 2,
            "s": 5,
        }
        for name, config in MOMENTS.items()
        for choice in ("eager", "flash", "efficient", "full", "core")
    }
