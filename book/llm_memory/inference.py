"""Peaks of inference: the most that is alive while a prompt is read or a token made."""

from dataclasses import replace

from sympy import Expr, S

from . import fields
from .errors import ConfigError, check_flag, choose
from .families import forward
from .kernels import check_kernel
from .ledger import Ledger, Tensor
from .operations import Run
from .peak import Peak
from .symbols import b, s, t
from .timeline import Timeline, ordered
from .weights import weights

KEPT = {"last": S.One, "all": None}
CACHES = {"dynamic": False, "static": True}
MASKS = {"given": False, "made": True}
SOFTMAXES = {"after a cast": False, "with the cast": True}


def prefill_peak(
    model,
    attention: str = "eager",
    logits: str = "last",
    cache: str = "dynamic",
    softmax: str = "after a cast",
    chunked: bool = False,
    mask: str = "given",
) -> Peak:
    """Return the peak of a forward without gradients, over s tokens of b sequences.

    In are the KV cache and all that the forward makes; out is what the caller passes
    in: weights, token ids, the attention mask. Routed experts run as grouped products,
    which is the framework's default: to which expert a token goes changes nothing.

    Args:
        model: a `Model` of GPT-2, LLaMA, Mistral, Qwen2, Qwen3, Gemma 2, Gemma 3,
            Mixtral, Qwen3 MoE, DeepSeek-V3 or Kimi K2.
        attention: the kernel, "eager", "flash", "efficient" or "math"; "eager" alone
            caps scores, and "flash" takes no latent attention.
        logits: of the "last" token of each sequence, or of "all".
        cache: "dynamic" joins old and new tokens in a new tensor, as transformers
            does; "static" has room for all of them before, as the pages of a serving
            engine have, and is written in place.
        softmax: the eager one reads fp32 "after a cast", a tensor of its own; PyTorch's
            kernel for fp16 on CUDA computes in fp32 "with the cast", without one.
        chunked: t tokens of each sequence were read before, s are read now.
        mask: "given" by the caller, who counts it; "made" by the model, which only
            the eager kernel needs. "math" is given one.

    Returns:
        A peak with the free symbols b and s, chunked b, s and t, in bytes.

    Raises:
        ConfigError: an unknown choice, or a family or combination not derived yet.

    >>> from llm_memory import load_model
    >>> prefill_peak(load_model("Qwen3-0.6B"), "flash").evaluate(b=1, s=2048)
    290471936
    """
    run = Run(
        attention,
        cached=t if chunked else S.Zero,
        kept=choose("logits", logits, KEPT),
        fused_cast=choose("softmax", softmax, SOFTMAXES),
        in_place=choose("cache", cache, CACHES),
        makes_mask=_makes_mask(model, attention, mask),
    )
    windowed = any(layers.window is not None for layers in model.layers)
    if check_flag("chunked", chunked) and windowed:
        rule = f"is not derived for a sliding window, which {model.name} has"
        raise ConfigError("chunked", chunked, rule)
    return Peak(live_moments(model, run, (b, s, t) if chunked else (b, s)))


def decode_peak(
    model,
    attention: str = "eager",
    cache: str = "dynamic",
    softmax: str = "after a cast",
    mask: str = "given",
) -> Peak:
    """Return the peak of one decoding step: a token of b sequences, after t cached.

    What is in and out, the arguments and errors are those of `prefill_peak`. A layer
    with a window holds what a decoding step before left: min(t, W) tokens.

    A window of one token is refused: the slice of a dynamic cache then keeps all.

    Returns:
        A peak with the free symbols b and t, in bytes.

    >>> from llm_memory import load_model
    >>> decode_peak(load_model("Qwen3-0.6B"), "flash").evaluate(b=1, t=2048)
    239204872
    """
    if cache == "dynamic" and any(each.window == 1 for each in model.layers):
        rule = "is not derived for decoding: a dynamic cache then keeps every token"
        raise ConfigError("sliding_window", 1, rule)
    run = Run(
        attention,
        tokens=S.One,
        cached=t,
        kept=S.One,
        fused_cast=choose("softmax", softmax, SOFTMAXES),
        in_place=choose("cache", cache, CACHES),
        makes_mask=_makes_mask(model, attention, mask),
    )
    return Peak(live_moments(model, run, (b, t)))


def total_inference(
    model,
    phase: str = "prefill",
    dtype: str = "bf16",
    quantization: str | None = None,
    context: int = 0,
    allocator: int = 0,
    graphs: int = 0,
    **choices,
) -> Peak:
    """Return all that inference needs: weights, cache, activations and no tensors.

    Args:
        model: as in `prefill_peak`.
        phase: "prefill" of s tokens, or "decode" after t cached ones.
        dtype, quantization: of the weights, as in `weights`.
        context: bytes of the CUDA context, kernels and libraries included.
        allocator: bytes that the allocator holds and no tensor uses.
        graphs: bytes of captured CUDA graphs.
        choices: arguments of `prefill_peak` or `decode_peak`.

    Returns:
        A peak whose moments hold the weights and the three other things too.

    Raises:
        ConfigError: as in `weights` and the peaks; bytes that are no integer >= 0.

    >>> from llm_memory import load_model
    >>> total = total_inference(load_model("Qwen3-0.6B"), attention="flash")
    >>> total.evaluate(b=1, s=2048)
    1482571776
    """
    peak = choose("phase", phase, PHASES)(model, **choices)
    others = {
        "CUDA context": ("context", context),
        "held by the allocator": ("allocator", allocator),
        "CUDA graphs": ("graphs", graphs),
    }
    for argument, size in others.values():
        if type(size) is not int or size < 0:
            raise ConfigError(argument, size, "must be an integer >= 0, in bytes")
    beside = weights(model, dtype, quantization).as_part("weights") + Ledger(
        Tensor(name, (size,), "int8", part="no tensor")
        for name, (_, size) in others.items()
    )
    return Peak({name: beside + each for name, each in peak.moments.items()})


PHASES = {"prefill": prefill_peak, "decode": decode_peak}


def prefill_moments(model, attention: str = "eager") -> dict[str, Ledger]:
    """Return what is alive after every kernel of a prefill, in order.

    Of layers that are alike the last one is shown. Free symbols are b and s.

    >>> from llm_memory import load_model
    >>> moments = prefill_moments(load_model("Qwen3-0.6B"))
    >>> list(moments)[0], moments["model.embed_tokens"].bytes
    ('model.embed_tokens', 2048*b*s)
    """
    run = Run(
        attention,
        cached=S.Zero,
        kept=S.One,
    )
    return live_moments(model, run, (b, s))


def _makes_mask(model, attention: str, mask: str) -> bool:
    made = choose("mask", mask, MASKS)
    if made and attention == "math":
        raise ConfigError("mask", mask, "is not derived for attention='math'")
    makes = made and attention == "eager"
    if makes and any(layers.window is not None for layers in model.layers):
        rule = f"is not derived for a sliding window, which {model.name} has"
        raise ConfigError("mask", mask, rule)
    return makes


def live_moments(model, run: Run, sizes: tuple[Expr, ...]) -> dict[str, Ledger]:
    """Return what is alive after every kernel of a run, in order.

    Args:
        model: a `Model` of a family whose peak is derived.
        run: a forward without gradients.
        sizes: the free symbols of the ledgers.

    Raises:
        ConfigError: a family or a kernel that is not derived.

    >>> from llm_memory import load_model
    >>> run = Run("flash", cached=S.Zero, kept=S.One)
    >>> len(live_moments(load_model("Qwen3-0.6B"), run, (b, s)))
    80
    """
    fields.check_derived(model.model_type, "inference", "its peak is")
    check_kernel(model, run.attention)
    if model.router_loss:
        rule = "its peak is not derived yet: the scores of all routers are kept"
        raise ConfigError("output_router_logits", True, rule)
    layers, groups = ordered(model.layers)
    timeline = Timeline(groups)
    forward(replace(model, layers=tuple(layers)), run=run, timeline=timeline)
    return timeline.ledgers(sizes)
