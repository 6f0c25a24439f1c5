"""What the framework's dynamic cache holds after t tokens of b sequences.

t - 1 tokens are prefilled and one is decoded. What is counted is the storage of the
tensors that the layer hands to attention: a slice would count less than is held.
"""

import torch
from transformers.cache_utils import DynamicCache
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention

from . import cases, framework


def measure() -> dict:
    """Return for each case its config and, per (b, t), the tensors held."""
    result = {}
    for name, config in cases.configs().items():
        config = cases.shallow(config)
        model = framework.build(config)
        shapes = {f"{b},{t}": held(model, b, t) for b, t in cases.CACHE_SHAPES}
        result[name] = {"config": config, "shapes": shapes}
    return result


def held(model, b: int, t: int) -> list[dict]:
    """Return the tensors cached after t tokens, alike ones counted."""
    cache = _Recorded(config=model.config)
    ids = torch.zeros((b, t), dtype=torch.long, device="meta")
    with torch.no_grad():
        if t > 1:
            model(ids[:, :-1], past_key_values=cache, use_cache=True, logits_to_keep=1)
        model(ids[:, :1], past_key_values=cache, use_cache=True, logits_to_keep=1)
    return framework.grouped(cache.tensors())


def measure_prefill() -> dict:
    """Return for models with windows what the cache holds right after a prompt.

    Per (b, s): the bytes of the tensors, and of the storages behind them. A layer with
    a window keeps a slice of its last tokens, and a slice keeps its whole storage.
    """
    result = {}
    for name, config in cases.configs().items():
        model = framework.build(cases.shallow(config))
        cache = DynamicCache(config=model.config)
        if not any(getattr(layer, "is_sliding", False) for layer in cache.layers):
            continue
        b, s = 2, 2 * model.config.sliding_window
        ids = torch.zeros((b, s), dtype=torch.long, device="meta")
        with torch.no_grad():
            model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        kept = [each for layer in cache.layers for each in (layer.keys, layer.values)]
        result[name] = {
            "config": cases.shallow(config),
            "b": b,
            "s": s,
            "tensors": sum(each.numel() * each.element_size() for each in kept),
            "storages": sum(each.untyped_storage().nbytes() for each in kept),
        }
    return result


class _Recorded(DynamicCache):
    """A dynamic cache that remembers what its layers last handed to attention."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.handed = {}

    def update(self, keys, values, layer_idx, *args, **kwargs):
        handed = super().update(keys, values, layer_idx, *args, **kwargs)
        self.handed[layer_idx] = handed
        return handed

    def kept(self):
        for index, pair in sorted(self.handed.items()):
            for slot, tensor in zip(("keys", "values"), pair, strict=True):
                yield index, slot, tensor
        for index, layer in enumerate(self.layers):
            for slot in ("conv_states", "recurrent_states"):
                for state in getattr(layer, slot, {}).values():
                    yield index, slot, state

    def tensors(self):
        for index, slot, tensor in self.kept():
            whole = tensor.untyped_storage().nbytes() // tensor.element_size()
            if whole != tensor.numel():
                raise RuntimeError(f"layer {index}: {slot} are a slice")
            yield f"layers.{index}.{slot}", tensor


def measure_expansion() -> dict:
    """Return what latent attention expands in one layer before it attends.

    The storages of the keys and values that `expand_kv` makes from the latent.
    """
    result = {}
    for name, config in cases.configs().items():
        if not config["model_type"].startswith("deepseek"):
            continue
        model = framework.build(cases.shallow(config, 1))
        attention = model.model.layers[0].self_attn
        shapes = {f"{b},{t}": expanded(attention, b, t) for b, t in cases.CACHE_SHAPES}
        result[name] = {"config": config, "shapes": shapes}
    return result


def expanded(attention: DeepseekV3Attention, b: int, t: int) -> dict:
    """Return shapes of keys and values, and the bytes of the storages behind them."""
    kinds = {"dtype": torch.bfloat16, "device": "meta"}
    latent = torch.empty((b, 1, t, attention.kv_lora_rank), **kinds)
    rotated = torch.empty((b, 1, t, attention.qk_rope_head_dim), **kinds)
    with torch.no_grad():
        keys, values = attention.expand_kv(latent, rotated)
    return {
        "rows": framework.grouped(
            [("layers.0.keys", keys), ("layers.0.values", values)]
        ),
        "bytes": sum(each.untyped_storage().nbytes() for each in (keys, values)),
    }
