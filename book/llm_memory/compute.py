"""Compute: the floating-point operations of a step, read from the tape."""

from collections.abc import Iterator
from dataclasses import replace

from sympy import Min, S

from .count import Count, Product
from .errors import choose
from .families import forward
from .kernels import KERNELS
from .operations import Operation, Run
from .symbols import b, s, t
from .tape import Tape

PHASES = ("forward", "backward", "decode")


def flops(model, phase: str = "forward", attention: str = "eager") -> Count:
    """Return the matrix products of one step, a multiply and an add being two FLOPs.

    Equal to what `torch.utils.flop_counter.FlopCounterMode` counts. Attention is
    counted for all pairs of tokens: neither causality nor a window halves it. All
    positions get logits. Norms, activation functions and softmax are left out.

    Args:
        model: a `Model`.
        phase: "forward" of s tokens per sequence; its "backward" alone, all parameters
            being trained; or "decode", the forward of one token per sequence after t
            cached ones.
        attention: the kernel, "eager", "flash", "efficient" or "math". The backward of
            flash and efficient attention computes the scores once more.

    Returns:
        A count with the free symbols b and s, or for "decode" b and t.

    Raises:
        ConfigError: an unknown phase or kernel.

    >>> from llm_memory import load_model
    >>> flops(load_model("Qwen3-0.6B")).evaluate(b=1, s=1)
    1192198144
    """
    choose("attention", attention, KERNELS)
    read = choose("phase", phase, READINGS)
    tape = forward(model, run=Run(attention))
    sizes = (b, t) if phase == "decode" else (b, s)
    return Count(read(tape), sizes)


def _forward(tape: Tape) -> Iterator[Product]:
    for operation in tape.operations:
        for product in operation.products:
            yield product.substitute({t: S.Zero})


def _backward(tape: Tape) -> Iterator[Product]:
    """Give each factor's gradient: a product of the same sizes."""
    for product in _forward(tape):
        if product.again:
            yield replace(product, name=f"{product.name}, once more", again=False)
        for factor in product.factors:
            name = f"{product.name}: gradient of {factor}"
            yield replace(product, name=name, again=False)


def _decode(tape: Tape) -> Iterator[Product]:
    """Give one token's products; what is read from the cache is t + 1 tokens long."""
    cached = {op.output for op in tape.operations if op.kind == "cache"}
    for operation in tape.operations:
        expands = operation.kind == "linear" and operation.inputs[0] in cached
        tokens = t + 1 if expands else S.One
        for product in operation.products:
            held = _held(tape, operation)
            yield product.substitute({s: tokens, t: held})


def _held(tape: Tape, operation: Operation):
    windows = {
        kept.window
        for each in tape.operations
        if each.group == operation.group
        for kept in each.cached
    }
    window = windows.pop() if windows else None
    return t if window is None else Min(t, window - 1)


READINGS = {"forward": _forward, "backward": _backward, "decode": _decode}
