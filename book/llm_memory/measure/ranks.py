"""What one rank has alive during a step of transformers' own tensor parallelism.

The process group is PyTorch's fake one: it runs the first of the ranks and sends
nothing. All is on the meta device.
"""

import random
import re

import torch
from transformers.cache_utils import DynamicCache, StaticCache
from transformers.distributed.tensor_parallel import apply_tensor_parallelism

from . import cases, framework, sharding
from .live import Live
from .peaks import read


def measure() -> dict:
    """Return for each case its config, its choices and the peak of the first rank.

    A static cache was made before, so it is not in; a dynamic one is.
    """
    named = {
        f"{number}: {case['config']['model_type']}, {case['tp']} ranks": case
        for number, case in enumerate(cases.rank_steps(random.Random(5)))
    }
    for tp in sorted({case["tp"] for case in named.values()}):
        sharding.start(tp)
        for name, case in named.items():
            if case["tp"] == tp:
                named[name] = case | {"peak": step(**case)}
        torch.distributed.destroy_process_group()
    return named


def step(config: dict, tp: int, tokens: int, logits: int, cache: str) -> int:
    """Return the peak of a step over so many tokens, from an empty cache.

    transformers divides KV heads alone. Where ranks outnumber them, the model has one
    for each rank: an engine's copies.
    """
    heads = config["num_key_value_heads"]
    model = framework.build(config | {"num_key_value_heads": max(heads, tp)})
    divide(model, tp)
    model.config._attn_implementation = "every_byte_flash"
    held = _room(model.config, tp, tokens) if cache == "static" else None
    with torch.no_grad(), Rank() as live:
        held = held or DynamicCache(config=model.config)
        read(model, 1, tokens, 0, held, logits)
    return live.peak


def divide(model, tp: int) -> None:
    """Let the first rank hold its share, by transformers' plan for the model."""
    names = [name for name, _ in model.named_modules()]
    names += [name for name, _ in model.named_parameters()]
    chosen = {}
    for name in names:
        kind = re.sub(r"\.\d+\.", ".*.", re.sub(r"\.(weight|bias)$", "", name))
        if kind in model.tp_plan:
            chosen[name] = model.tp_plan[kind]
    mesh = torch.distributed.init_device_mesh("cpu", (tp,))
    apply_tensor_parallelism(model, mesh, chosen)
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight


def _room(config, tp: int, tokens: int) -> StaticCache:
    """Return a cache that has room for the tokens of one sequence."""
    usual = config.hidden_size // config.num_attention_heads
    width = getattr(config, "head_dim", None) or usual
    cache = StaticCache(config=config, max_cache_len=tokens)
    heads = config.num_key_value_heads // tp
    kind, device = torch.bfloat16, torch.device("meta")
    cache.early_initialization(1, heads, width, kind, device)
    return cache


class Rank(Live):
    """As `Live`, but what is no memory on a real device is none on the meta device.

    There a tensor that waits for the other ranks wraps what they send; here it would be
    a copy. An empty tensor on the meta device is only asked for its strides.
    """

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops._c10d_functional._wrap_tensor_autograd.default:
            return args[0]
        if function is torch.ops.aten.empty.memory_format:
            return function(*args, **(kwargs or {}))
        return super().__torch_dispatch__(function, types, args, kwargs)
