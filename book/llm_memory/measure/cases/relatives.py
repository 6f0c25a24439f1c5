"""The cases of training steps of Phi-3, GLM-4 and OPT."""

from .forwards import CHOICES, is_described
from .models import random_config
from .steps import STEPS, small_step, step_case
from .trained import DESCRIBED

MOMENTS = (
    "phi3", "phi3 multi-head", "glm4", "glm4 multi-head", "opt", "opt narrow",
)  # fmt: skip
PARTS = (0.5, 0.5, 0.75, 1.0)


def training_peaks(rng):
    """Give small models at random."""
    for make, number in ((random_partial, 60), (random_opt, 40)):
        for _ in range(number):
            case = step_case(make(rng), rng)
            if rng.random() < 0.3:
                case["choices"] = case["choices"] | {"precision": "autocast"}
            yield case
    for make in (random_partial, random_opt):
        for choice in ("math", "matmuls"):
            for _ in range(8):
                yield step_case(make(rng), rng, CHOICES[choice])


def moments() -> dict[str, dict]:
    """Return steps of one layer, of which every operation is recorded."""
    return {
        f"{name}, {choice}": small_step(DESCRIBED[name], choices)
        for name in MOMENTS
        for choice, choices in STEPS.items()
        if is_described(DESCRIBED[name], choices)
    }


def random_partial(rng) -> dict:
    """Return a small Phi-3 or GLM-4: some or all elements of a head turn."""
    kind, part = rng.choice(("phi3", "glm4")), rng.choice(PARTS)
    config = random_config(rng, (kind,)) | {
        "pad_token_id": 0,
        "rope_parameters": {"rope_type": "default", "partial_rotary_factor": part},
        "attention_dropout": rng.choice((0.0, 0.0, 0.1)),
    }
    if kind == "phi3":
        return config | {"resid_pdrop": rng.choice((0.0, 0.1)), "sliding_window": None}
    return config | {
        "head_dim": 2 * rng.randint(1, 12),
        "attention_bias": rng.random() < 0.5,
    }


def random_opt(rng) -> dict:
    """Return a small OPT with corners: norms after, no biases, a narrow embedding."""
    heads, dropout = rng.choice((1, 1, 2, 3)), rng.choice((0.0, 0.1))
    width = heads * rng.randint(1, 24)
    return {
        "model_type": "opt",
        "vocab_size": rng.choice((7, 50, 320, 5000)),
        "hidden_size": width,
        "num_hidden_layers": rng.choice((1, 1, 2, 3)),
        "num_attention_heads": heads,
        "ffn_dim": rng.choice((3, 20, 60, 300)),
        "max_position_embeddings": rng.choice((100, 300)),
        "pad_token_id": 0,
        "word_embed_proj_dim": rng.choice((width, width, 5)),
        "do_layer_norm_before": rng.random() < 0.7,
        "dropout": dropout,
        "attention_dropout": rng.choice((0.0, dropout)),
        "enable_bias": rng.random() < 0.7,
        "layer_norm_elementwise_affine": rng.random() < 0.7,
        "tie_word_embeddings": rng.random() < 0.6,
        "activation_function": rng.choice(("relu", "gelu")),
    }
