"""What PyTorch's own counter counts: a forward, its backward, a decoding step.

`FlopCounterMode` knows the matrix products and the attention kernels of ATen. It counts
on the meta device, where no product is computed.
"""

import re

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers.cache_utils import DynamicCache

from . import cases
from .activations import additive_mask, build, native_dropout, recomputing


def measure() -> dict:
    """Return for each case its config, its choices, and FLOPs per shape.

    "steps" has [forward, backward] per (b, s); "decode" one step per (b, t); "modules"
    the forward's FLOPs at the last (b, s), those of each module without its children.
    """
    result = {}
    for name, (config, choices, shapes) in cases.flop_cases().items():
        with native_dropout():
            model = build(config, choices)
            model.config._experts_implementation = "batched_mm"  # takes any width
            steps = {f"{b},{s}": step(model, choices, b, s) for b, s in shapes}
            plain = shapes if choices["recompute"] == "none" else ()
            decode = {f"{b},{t}": decoding(model, b, t) for b, t in plain}
        last, (*_, modules) = list(steps.items())[-1]
        result[name] = {
            "config": config,
            "choices": choices,
            "steps": {shape: list(each[:2]) for shape, each in steps.items()},
            "decode": decode,
            "modules": {"shape": last, "flops": modules},
        }
    return result


def step(model, choices: dict, b: int, s: int) -> tuple[int, int, dict]:
    """Return the FLOPs of a forward and of its backward, and those by module."""
    ids = torch.zeros((b, s), dtype=torch.long, device="meta")
    given = {"attention_mask": additive_mask(model, b, s), "use_cache": False}
    if model.config.model_type == "opt":  # which else makes them of a mask per token
        given["position_ids"] = ids
    model.train()
    with recomputing(model, choices):
        with FlopCounterMode(display=False) as forward:
            loss = model(ids, labels=ids.clone(), **given).loss
        with FlopCounterMode(display=False) as backward:
            loss.backward()
    return (
        forward.get_total_flops(),
        backward.get_total_flops(),
        by_module(forward.get_flop_counts()),
    )


def decoding(model, b: int, t: int) -> int:
    """Return the FLOPs of one token per sequence after t cached ones."""
    ids = torch.zeros((b, t), dtype=torch.long, device="meta")
    cache = DynamicCache(config=model.config)
    model.eval()
    with torch.no_grad():
        model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        with FlopCounterMode(display=False) as counter:
            model(ids[:, :1], past_key_values=cache, use_cache=True)
    return counter.get_total_flops()


def by_module(counts: dict) -> dict[str, int]:
    """Return the FLOPs of each module without its children's, layers added up."""
    totals = {name: sum(each.values()) for name, each in counts.items()}
    own = dict(totals)
    for name, total in totals.items():
        parent = name
        while parent not in ("", "Global"):
            parent = parent.rpartition(".")[0]
            if parent in own:
                own[parent] -= total
                break
    result = {}
    for name, flops in own.items():
        module = re.sub(r"\b(layers|h)\.\d+\.", r"\1.{i}.", name.partition(".")[2])
        if flops and name != "Global":
            result[module] = result.get(module, 0) + flops
    return result
