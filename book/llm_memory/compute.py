"""Compute: the floating-point operations (FLOPs) of a step, read from the tape."""

from collections.abc import Iterator
from dataclasses import replace

from sympy import Expr, Min, S

from . import fields
from .activations import RECOMPUTE
from .count import Count, Product
from .errors import ConfigError, choose
from .families import forward
from .kernels import CORE, KERNELS
from .operations import Operation, Run
from .symbols import b, s, t
from .tape import Tape


def flops(
    model, phase: str = "forward", attention: str = "eager", recompute: str = "none"
) -> Count:
    """Return the matrix products of one step, a multiply and an add being two FLOPs.

    What PyTorch's `torch.utils.flop_counter.FlopCounterMode` counts. Attention is
    counted for all pairs of tokens: neither causality nor a window makes it less. All
    positions get logits. Norms, activation functions and softmax are left out.

    Args:
        model: a `Model`.
        phase: "forward" of s tokens per sequence; its "backward" alone, where every
            parameter, the embedding included, is trained; or "decode", the forward of
            one token per sequence after t cached ones.
        attention: the kernel, "eager", "flash", "efficient" or "math". The backward of
            flash and efficient attention computes the scores once more.
        recompute: what a backward computes once more: "none"; "full", each layer up to
            the last tensor that it needs; "core_attention", with eager attention;
            "matmuls", with flash attention: nothing of what is counted.

    Returns:
        A count with the free symbols b and s, or for "decode" b and t.

    Raises:
        ConfigError: an unknown choice, a combination that does not exist (flash takes
            keys and values of one width), a family whose saved tensors, and so its
            recomputation, are not described, or one with linear attention.

    >>> from llm_memory import load_model
    >>> flops(load_model("Qwen3-0.6B")).evaluate(b=1, s=1)
    1192198144
    """
    choose("attention", attention, KERNELS)
    read = choose("phase", phase, READINGS)
    _check_recompute(model, phase, attention, recompute)
    tape = _tape(model, Run(attention))
    _check_widths(tape, attention)
    again = RECOMPUTED[recompute](tape)
    return Count((*again, *read(tape)), (b, t) if phase == "decode" else (b, s))


def necessary_flops(model, phase: str) -> Count:
    """Return the products of a step that computes nothing in vain.

    As `flops`, with every layer run on every token, but masked pairs of tokens are not
    computed, and only the last token of a prompt gets logits. In a decoding step of
    latent attention (MLA) the heads multiply by the cached latent itself; its expansion
    is applied to the new token's queries and output instead, which takes as many
    multiplications as expanding that token.

    Args:
        model: a `Model`.
        phase: "prefill" of s tokens per sequence, or "decode" after t cached ones.

    Raises:
        ConfigError: an unknown phase.

    >>> from llm_memory import load_model
    >>> model = load_model("LLaMA-7B")
    >>> core = necessary_flops(model, "prefill").parts["attention core"]
    >>> all_pairs = flops(model).parts["attention core"]
    >>> core.evaluate(b=1, s=512) / all_pairs.evaluate(b=1, s=512)
    0.5009765625
    """
    choose("phase", phase, dict.fromkeys(("prefill", "decode")))
    tape = _tape(model)
    if phase == "decode":
        return Count((_absorbed(model, each) for each in _decode(tape)), (b, t))
    return Count(_causal(tape), (b, s))


def _forward(tape: Tape) -> Iterator[Product]:
    for operation in tape.operations:
        for product in operation.products:
            yield product.substitute({t: S.Zero})


def _backward(tape: Tape) -> Iterator[Product]:
    """Give each factor's gradient: a product of the same sizes."""
    for product in _forward(tape):
        if product.again:
            yield _renamed(product, "once more")
        for factor in product.factors:
            yield _renamed(product, f"gradient of {factor}")


def _decode(tape: Tape) -> Iterator[Product]:
    """Give one token's products; an expansion of the cache is one of t + 1 tokens."""
    cached = {each.output for each in tape.operations if each.kind == "cache"}
    for operation in tape.operations:
        expands = operation.kind == "linear" and operation.inputs[0] in cached
        tokens = t + 1 if expands else S.One
        window = _window(tape, operation)
        held = t if window is None else Min(t, window - 1)
        for product in operation.products:
            yield product.substitute({s: tokens, t: held})


def _causal(tape: Tape) -> Iterator[Product]:
    """Give a prompt's products: no masked pairs, logits of the last token."""
    last = max(i for i, each in enumerate(tape.operations) if each.group)
    for i, operation in enumerate(tape.operations):
        window = _window(tape, operation)
        for product in operation.products:
            if operation.kind == "attention":
                batch, heads, *_, width = product.shape
                yield replace(product, shape=(batch, heads, _pairs(window), width))
            else:
                yield product.substitute({s: S.One} if i > last else {})


def _pairs(window: Expr | None) -> Expr:
    """Return Σ min(i, W) over i = 1 … s: each token attends to W, itself included."""
    if window is None:
        return s * (s + 1) / 2
    full = Min(s, window)
    return full * (full + 1) / 2 + (s - full) * window


def _absorbed(model, product: Product) -> Product:
    """Return a decoding product of latent attention as one with the latent itself."""
    if model.c_kv is None:
        return product
    if product.part != CORE:
        return product.substitute({t: S.Zero})
    rotated = model.d_r if "keys" in product.factors else 0
    return replace(product, shape=(*product.shape[:-1], model.c_kv + rotated))


def _window(tape: Tape, operation: Operation) -> Expr | None:
    """Return the window of the layers that an operation is in."""
    inside = [each for each in tape.operations if each.group == operation.group]
    windows = {kept.window for each in inside for kept in each.cached}
    return windows.pop() if windows else None


def _layers_again(tape: Tape) -> Iterator[Product]:
    """Give what full recomputation repeats.

    It stops as soon as it has all that the backward needs. What a linear layer needs is
    its input, so if nothing after the last one is kept, that one is not repeated. Of
    experts the result is needed too, to weight it.
    """
    for group in range(1, tape.groups + 1):
        inside = [each for each in tape.operations if each.group == group]
        last = max(i for i, each in enumerate(inside) if each.saved)
        for operation in inside[: last + (inside[last].kind == "experts")]:
            for product in operation.products:
                yield _renamed(product.substitute({t: S.Zero}), "recomputed")


def _scores_again(tape: Tape) -> Iterator[Product]:
    """Give what recomputing the core repeats: its output is a product's last result."""
    for product in _forward(tape):
        if "keys" in product.factors:
            yield _renamed(product, "recomputed")


def _renamed(product: Product, what: str) -> Product:
    return replace(product, name=f"{product.name}: {what}", again=False)


def _tape(model, run: Run | None = None) -> Tape:
    tape = forward(model, run=run)
    if any(operation.states for operation in tape.operations):
        rule = "the FLOPs of its linear attention are not derived yet"
        raise ConfigError("model_type", model.model_type, rule)
    return tape


def _check_widths(tape: Tape, attention: str) -> None:
    products = (each for operation in tape.operations for each in operation.products)
    widths = {each.shape[-1] for each in products if each.part == CORE}
    if attention == "flash" and len(widths) > 1:
        rule = "needs keys and values of one width; here they are "
        raise ConfigError("attention", attention, rule + ", ".join(map(str, widths)))


def _check_recompute(model, phase: str, attention: str, recompute: str) -> None:
    choose("recompute", recompute, dict.fromkeys(RECOMPUTE))
    if recompute == "none":
        return
    needed = {"core_attention": "eager", "matmuls": "flash"}.get(recompute, attention)
    if attention != needed:
        rule = f"is described with attention={needed!r} only"
        raise ConfigError("recompute", recompute, rule)
    if phase != "backward":
        raise ConfigError("recompute", recompute, "belongs to phase='backward'")
    if not fields.family(model.model_type).get("activations"):
        rule = f"what {model.model_type} saves is not derived yet"
        raise ConfigError("recompute", recompute, rule)
    if recompute == "matmuls" and any(layers.sparse for layers in model.layers):
        rule = "is not derived yet for routed experts"
        raise ConfigError("recompute", recompute, rule)


READINGS = {"forward": _forward, "backward": _backward, "decode": _decode}
RECOMPUTED = {
    "none": lambda tape: (),
    "full": _layers_again,
    "core_attention": _scores_again,
    "matmuls": lambda tape: (),
}
