"""The peaks of inference and of training, seen by the dispatch mode of `live`.

On the meta device, so that real sizes cost nothing. Under a dispatch mode the backward
sums gradients in new tensors; without one it can sum in place.
"""

import random

import torch
from transformers.cache_utils import DynamicCache

from . import activations, cases, framework, losses
from .cases import adapted, experts, mixed, relatives
from .cases import inference as inference_cases
from .live import Live


def measure_inference() -> dict:
    """Return for each case its config, its choices and the peak."""
    return {
        f"{number}: {case['config']['model_type']}, {case['phase']}": case
        | {"peak": inference(**case)}
        for number, case in enumerate(inference_cases.inference_peaks(random.Random(1)))
    }


def inference(config, phase, attention, logits, b, tokens, mask="given") -> int:
    """Return the peak of a prefill of `tokens`, or of a step after so many."""
    model = framework.build(config)
    name = attention if attention == "eager" else f"every_byte_{attention}"
    model.config._attn_implementation = name
    model.config._experts_implementation = "grouped_mm"  # transformers' default
    kept = 1 if logits == "last" else 0
    if phase == "prefill":
        with torch.no_grad(), Live() as live:
            read(model, b, tokens, 0, None, kept, mask)
        return live.peak
    window = getattr(model.config, "sliding_window", None) or tokens
    first = max(1, min(tokens - 1, window - 1))
    with torch.no_grad(), Live() as live:
        cache = DynamicCache(config=model.config)
        read(model, b, first, 0, cache, kept)
        for held in range(first, tokens):
            read(model, b, 1, held, cache, kept)
        live.peak = live.now
        read(model, b, 1, tokens, cache, kept, mask)
    return live.peak


def read(model, b, tokens, held, cache, kept, mask="given"):
    """Read tokens; their ids and masks are the caller's, so they are not counted."""
    with torch.utils._python_dispatch._disable_current_modes():
        ids = torch.zeros((b, tokens), dtype=torch.long, device="meta")
        given = mask == "given"
        masks = _masks(model.config, b, tokens, held) if given else None
    model(
        ids, attention_mask=masks, past_key_values=cache, use_cache=True,
        logits_to_keep=kept,
    )  # fmt: skip


def _masks(config, b, tokens, held):
    def mask(length):
        shape = (b, 1, tokens, length + tokens)
        return torch.zeros(shape, dtype=torch.bfloat16, device="meta")

    window = getattr(config, "sliding_window", None)
    if window is None:
        return mask(held)
    windowed = mask(min(held, window - 1))
    if config.model_type in ("mistral", "mixtral", "qwen3_moe"):
        return windowed
    return {"full_attention": mask(held), "sliding_attention": windowed}


def measure_training() -> dict:
    """Return for each case its config, its choices and both peaks of a first step."""
    every = [
        *cases.training_peaks(random.Random(2)),
        *experts.training_peaks(random.Random(4)),
        *mixed.training_peaks(random.Random(5)),
        *mixed.latent_peaks(random.Random(6)),
        *mixed.second_layer_peaks(),
        *relatives.training_peaks(random.Random(5)),
    ]
    return {
        f"{number}: {case['config']['model_type']}": case | training(**case)
        for number, case in enumerate(every)
    }


def measure_losses() -> dict:
    """Return the same for steps whose loss does not make all logits at once."""
    return {
        f"{number}: {case['config']['model_type']}": case | training(**case)
        for number, case in enumerate(cases.loss_peaks(random.Random(3)))
    }


def measure_moments() -> dict:
    """Return what is alive after every operation of a step of one layer."""
    every = cases.moments() | experts.moments() | mixed.moments() | relatives.moments()
    return {name: case | moments(**case) for name, case in every.items()}


def measure_adapters() -> dict:
    """Return both peaks of first and later steps with adapters."""
    every = adapted.peaks(random.Random(5))
    return {
        f"{number}: {case['config']['model_type']}": case | training(**case)
        for number, case in enumerate(every)
    }


def measure_adapter_moments() -> dict:
    """Return what is alive after every operation of a step with adapters."""
    return {name: case | moments(**case) for name, case in adapted.moments().items()}


def moments(**case) -> dict:
    """Return how many storages each operation made, and the bytes alive after it."""
    live = losses.Inside()
    _train(live, **case)
    made, alive = zip(*live.after, strict=True)
    return {"made": made, "alive": alive}


def training(**case) -> dict:
    """Return the peaks of forward with loss and of backward, in the last micro-step."""
    return _train(losses.Inside(), **case)


def _train(
    live, config, choices, b, s, micro_steps=1, loss="plain", chunks=None
) -> dict:
    with activations.trained(config, choices, b, s) as given:
        for _ in range(micro_steps):
            live.peak = live.now
            with live:
                with activations.precision(choices):
                    output = losses.LOSSES[loss](*given, chunks)
                forward, live.peak = live.peak, live.now
                getattr(output, "loss", output).backward()
                del output
    return {"forward": forward, "backward": live.peak}


def measure_optimizer() -> dict:
    """Return the peak of an AdamW step beside parameters and gradients, per size."""
    result = {}
    for implementation in ("foreach", "fused"):
        parameters = [
            torch.nn.Parameter(torch.zeros(size, dtype=torch.bfloat16))
            for size in (1000, 30, 1)
        ]
        for each in parameters:
            each.grad = torch.zeros_like(each)
        optimizer = torch.optim.AdamW(parameters, **{implementation: True})
        live, peaks = Live(), []
        for _ in range(2):
            live.peak = live.now
            with live:
                optimizer.step()
            peaks.append(live.peak)
        result[implementation] = {"sizes": [1000, 30, 1], "first, later": peaks}
    return result
