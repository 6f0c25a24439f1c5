"""What the framework saves in a training forward: one layer, and the whole model.

Every tensor that autograd packs is listed by a hook. What is alive is counted by
`Live`, independent of hooks. Large kernels are called by their own names, since on the
meta device PyTorch would fall back to plain operations.
"""

import contextlib
import functools
import math
import sys
import weakref
from dataclasses import dataclass
from unittest import mock

import torch
import torch.nn.functional as F
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)
from transformers import AttentionInterface
from transformers.models.llama.modeling_llama import repeat_kv

from . import cases, framework
from .live import Live

ATEN = torch.ops.aten
PRODUCTS = (
    ATEN.mm.default,
    ATEN.addmm.default,
    ATEN._scaled_dot_product_flash_attention.default,
)


FUSED = [
    getattr(ATEN, f"_scaled_dot_product_{kernel}_attention{end}")
    for kernel in ("flash", "efficient")
    for end in ("", "_backward")
]
LIBRARY = torch.library.Library("aten", "IMPL")


def _on_cpu(operation):
    """Let a GPU's kernel make its outputs on the CPU, where nothing fills them."""

    def run(*args, **kwargs):
        given = tree_map_only(torch.Tensor, lambda x: x.to("meta"), (args, kwargs))
        made = operation(*given[0], **given[1])
        return tree_map_only(torch.Tensor, _empty, made)

    return run


def _empty(tensor):
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype)


for _operation in FUSED:
    LIBRARY.impl(_operation.default, _on_cpu(_operation), "CPU")


def _narrow(*inputs):
    """Cast the inputs of a fused kernel as autocast does, from the last to the first.

    PyTorch has that rule for the function above the kernels that are called here.
    """
    if not torch.is_autocast_enabled("cpu"):
        return inputs
    kind = torch.get_autocast_dtype("cpu")
    return [each.to(kind) for each in reversed(inputs)][::-1]


def _flash(module, query, key, value, mask, scaling, dropout=0.0, **kwargs):
    result = ATEN._scaled_dot_product_flash_attention(
        *_narrow(query, key, value), 0.0, True, scale=scaling
    )
    return result[0].transpose(1, 2), None


def _efficient(module, query, key, value, mask, scaling, dropout=0.0, **kwargs):
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    learns = any(each.requires_grad for each in (query, key, value))
    rows = learns and torch.is_grad_enabled()  # as scaled_dot_product_attention asks
    result = ATEN._scaled_dot_product_efficient_attention(
        *_narrow(query, key, value), None, rows, 0.0, True, scale=scaling
    )
    return result[0].transpose(1, 2), None


def _math(module, query, key, value, mask, scaling, dropout=0.0, **kwargs):
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    result = F.scaled_dot_product_attention(query, key, value, mask, scale=scaling)
    return result.transpose(1, 2).contiguous(), None


def _recomputed(module, *args, **kwargs):
    own = sys.modules[type(module).__module__].eager_attention_forward
    return checkpoint(own, module, *args, use_reentrant=False, **kwargs)


for _name, _kernel in (
    ("flash", _flash),
    ("efficient", _efficient),
    ("math", _math),
    ("recomputed", _recomputed),
):
    AttentionInterface.register(f"every_byte_{_name}", _kernel)


def measure() -> dict:
    """Return for each case its config, its choices and what each shape saved."""
    return _measured(cases.activation_cases())


def measure_adapters() -> dict:
    """Return the same for models whose linear modules have peft's adapters."""
    return _measured(cases.adapter_cases())


def _measured(every: dict) -> dict:
    result = {}
    for name, (config, choices, shapes) in every.items():
        saved = {f"{b},{s}": _one(config, choices, b, s) for b, s in shapes}
        result[name] = {"config": config, "choices": choices, "shapes": saved}
    return result


def _one(config: dict, choices: dict, b: int, s: int) -> dict:
    with native_dropout():
        model = build(config, choices)
        result = {"layer": layer_alive(model, choices, b, s)}
        result["model"] = model_alive(model, choices, b, s)
        if choices["recompute"] == "none":
            result["tensors"] = layer_tensors(model, choices, b, s)
    return result


def build(config: dict, choices: dict, device: str = "meta"):
    wide = choices["precision"] == "autocast"
    kind, device = (torch.float32, "cpu") if wide else (torch.bfloat16, device)
    model = framework.build(config, kind, device)
    kernel = choices["attention"]
    if choices["recompute"] == "core_attention":
        kernel = "recomputed"
    model.config._attn_implementation = kernel_name(kernel)
    model.config._experts_implementation = "grouped_mm"  # transformers' default
    if choices.get("frozen"):
        model.requires_grad_(False)
    if choices.get("lora"):
        _adapt(model, choices)
    if choices.get("frozen") or choices.get("lora"):
        model.enable_input_require_grads()
    return model.train()


def _adapt(model, choices: dict) -> None:
    """Put peft's adapters around linear modules, in fp32 as its models have them."""
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import cast_adapter_dtype

    config = LoraConfig(
        r=choices["lora"],
        target_modules=choices["targets"],
        lora_dropout=choices["lora_dropout"],
        fan_in_fan_out=model.config.model_type == "gpt2",
        task_type="CAUSAL_LM",
    )
    inject_adapter_in_model(config, model)
    wide = choices["adapters"] == "fp32"
    cast_adapter_dtype(model, "default", autocast_adapter_dtype=wide)


def kernel_name(kernel: str) -> str:
    """Return what transformers knows an attention kernel as, after this import."""
    return kernel if kernel == "eager" else f"every_byte_{kernel}"


def layer_alive(model, choices: dict, b: int, s: int) -> int:
    """Return the bytes that a layer's forward leaves alive, its output left out."""
    run, leaf = _layer(model, choices, b, s)
    with Live() as live, precision(choices):
        output = run(leaf * 1)
        node = output.grad_fn
        del output
    alive = live.now
    del node
    return alive


def layer_tensors(model, choices: dict, b: int, s: int) -> list:
    """Return (data type, bytes) of each tensor that autograd holds, parameters not.

    What a part of the graph packed that nothing leads back to is not held.
    """
    run, leaf = _layer(model, choices, b, s)
    foreign = {each.untyped_storage() for each in _outside(model, run)}
    packed = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage not in foreign:
            size = min(_reach(tensor), storage.nbytes())
            key = (storage, tensor.storage_offset())
            held = Held(tensor)
            packed[weakref.ref(held)] = key, (framework.short_name(tensor.dtype), size)
            return held
        return Held(tensor)

    with (
        precision(choices),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor),
    ):
        output = run(leaf * 1)
    found: dict = {}
    for key, row in (row for held, row in packed.items() if held() is not None):
        found[key] = max(row, found.get(key, row), key=lambda each: each[1])
    del output
    return sorted(found.values())


def _reach(tensor) -> int:
    """Return the bytes of a tensor, those once that are read again and again."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, step in sizes if step) * tensor.element_size()


@dataclass(eq=False)
class Held:
    """A saved tensor, alive for as long as autograd keeps it."""

    tensor: torch.Tensor


def model_alive(model, choices: dict, b: int, s: int) -> int:
    """Return the bytes alive after the whole forward with labels."""
    ids = torch.zeros((b, s), dtype=torch.long, device=model.device)
    labels, mask = ids.clone(), additive_mask(model, b, s)
    with (
        recomputing(model, choices),
        _masked(model, mask) as given,
        Live() as live,
        precision(choices),
    ):
        output = model(ids, labels=labels, attention_mask=given, use_cache=False)
    alive = live.now
    del output
    return alive


def _layer(model, choices: dict, b: int, s: int):
    """Return a function that runs the first layer, and the leaf that it starts from."""
    body = model.base_model
    body = getattr(body, "decoder", body)
    layer = (body.h if hasattr(body, "h") else body.layers)[0]
    kind = next(model.parameters()).dtype
    shape = (b, s, model.config.hidden_size)
    leaf = torch.empty(shape, dtype=kind, device=model.device, requires_grad=True)
    options = {"attention_mask": additive_mask(model, b, s)}
    if hasattr(body, "rotary_emb"):
        positions = torch.arange(s, device=model.device)[None]
        types = getattr(body.rotary_emb, "layer_types", None)
        own = [model.config.layer_types[0]] if types else []
        tables = body.rotary_emb(leaf, positions, *own)
        one = isinstance(tables, torch.Tensor)  # of complex numbers
        options["position_embeddings"] = tables if one else tuple(tables)
    run = functools.partial(layer, **options)
    settings = _checkpointing(choices)
    if settings:
        run = functools.partial(checkpoint, run, **settings)
    return run, leaf


def _outside(model, run) -> list:
    """Return tensors that the layer is given: parameters, mask and tables."""
    given = [*model.parameters(), run.keywords["attention_mask"]]
    tables = run.keywords.get("position_embeddings", ())
    return [*given, *((tables,) if isinstance(tables, torch.Tensor) else tables)]


@contextlib.contextmanager
def _masked(model, mask):
    """Give the mask that a model is called with so that its layers get this one.

    OPT numbers its tokens by a mask of one number each, and makes the layers' of it.
    """
    module = sys.modules[type(model).__module__]
    if model.config.model_type != "opt":
        yield mask
        return
    with mock.patch.object(module, "create_causal_mask", lambda **_: mask):
        yield None


def additive_mask(model, b: int, s: int):
    kind = next(model.parameters()).dtype
    return torch.zeros((b, 1, s, s), dtype=kind, device=model.device)


def _checkpointing(choices: dict) -> dict:
    if choices["recompute"] not in ("full", "matmuls"):
        return {}
    if choices["recompute"] == "full":
        return {"use_reentrant": False}
    keep = functools.partial(create_selective_checkpoint_contexts, _policy)
    return {"use_reentrant": False, "context_fn": keep}


def _policy(context, operation, *args, **kwargs):
    kept = operation in PRODUCTS
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def precision(choices: dict):
    """Return the context that a forward runs in."""
    if choices["precision"] == "autocast":  # which the meta device does not have
        return torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def native_dropout():
    """Let dropout keep a mask of bytes, as on CUDA; on meta it keeps a product."""

    def dropout(x, p=0.5, training=True, inplace=False):
        return torch.native_dropout(x, p, training)[0] if training and p else x

    own, F.dropout = F.dropout, dropout
    try:
        yield
    finally:
        F.dropout = own


@contextlib.contextmanager
def trained(config: dict, choices: dict, b: int, s: int, device: str = "meta"):
    """Give a model that recomputes as chosen, token ids, labels and a mask."""
    with native_dropout():
        model = build(config, choices, device)
        with recomputing(model, choices):
            ids = torch.zeros((b, s), dtype=torch.long, device=model.device)
            with _masked(model, additive_mask(model, b, s)) as mask:
                yield model, ids, ids.clone(), mask


@contextlib.contextmanager
def recomputing(model, choices: dict):
    """Let a model checkpoint its layers as chosen, inside the `with` block."""
    options = _checkpointing(choices)
    if options:
        model.activation_checkpointing_enable(options)
    yield
    model.activation_checkpointing_disable()
