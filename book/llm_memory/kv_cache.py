"""The KV cache: what each layer keeps of every token for the steps to come."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sympy import Expr, Max, Min, S, ceiling, floor, sympify

from . import units
from .errors import ConfigError, choose
from .families import forward
from .ledger import Ledger, Tensor
from .operations import Cached, State
from .symbols import b, check_size, t
from .units import DType
from .weights import heads_on_rank


@dataclass(frozen=True)
class CacheLayers:
    """`count` layers that keep the same things.

    Attributes:
        count: layers of this type.
        tokens: what is kept of each token; () for layers that keep only a state.
        states: what is kept of each sequence.
        readers: layers that read each of these caches; more than one where layers
            share. Only the cache itself takes memory.
    """

    count: Expr
    tokens: tuple[Cached, ...] = ()
    states: tuple[State, ...] = ()
    readers: int = 1


@dataclass(frozen=True)
class CacheFormat:
    """How a cached element is stored, and what it needs beside it.

    Attributes:
        values: data type of an element.
        scale: data type of a scale, or None for plain numbers.
        group: elements of one token and head that share a scale; None: all of them.
        zero_point: data type of a zero point, or None.
        source: the reference that describes it.
    """

    values: DType
    scale: DType | None = None
    group: int | None = None
    zero_point: DType | None = None
    source: str = ""


PLAIN = {name: CacheFormat(units.dtype(name)) for name in ("fp32", "fp16", "bf16")}
SCALED = {"scale": units.dtype("fp16"), "zero_point": units.dtype("fp16")}
FORMATS = PLAIN | {
    "fp8": CacheFormat(units.dtype("fp8"), source="VLLMCache"),
    "int8": CacheFormat(units.dtype("int8"), **SCALED, source="LMDeploy"),
    "int4": CacheFormat(units.dtype("int4"), **SCALED, source="LMDeploy"),
}
LAYOUTS = ("latent", "expanded")


def kv_cache(
    model,
    dtype: "str | CacheFormat" = "bf16",
    layout: str = "latent",
    block: int | None = None,
    tp: int = 1,
    per: str = "all",
) -> Ledger:
    """Return what is cached after t tokens of each of b sequences.

    Args:
        model: a `Model`. t may exceed the longest context that it was made for.
        dtype: a name in `FORMATS`, or a `CacheFormat`. A quantised format adds a row
            of scales (and of zero points) per tensor. Of linear attention's two
            states, the recurrent one stays fp32 whatever `dtype` is, and the
            convolution's is not quantised: it is bf16 then.
        layout: for latent attention (MLA): "latent" keeps the latent and the rotary
            key, "expanded" the keys and values of all heads. Falcon's newer decoder:
            transformers repeats keys and values for all query heads and keeps that;
            "grouped" keeps the heads that differ, as serving engines do. Others have
            one layout.
        block: tokens in a block of a paged cache; slots that hold no token are rows
            of their own. None: no paging.
        tp: tensor-parallel ranks. Heads are divided, and replicate once `tp` exceeds
            them; a latent has no heads and is whole on every rank. States of linear
            attention are divided by their heads, as serving engines do.
        per: "all" ranks together, or one "rank".

    Returns:
        A ledger with the free symbols b and t.

    Raises:
        ConfigError: an unknown data type, layout or `per`; a block or `tp` below 1; a
            `tp` that does not divide the heads.

    >>> from llm_memory import load_model
    >>> kv_cache(load_model("Qwen3-0.6B")).evaluate(b=1, t=1)
    114688
    """
    return cache_ledger(cache_layers(model, layout), dtype, block, tp, per)


def cache_layers(model, layout: str = "latent") -> list[CacheLayers]:
    """Return a model's layers by what they keep, read from its tape.

    >>> from llm_memory import load_model
    >>> [layers.count for layers in cache_layers(load_model("Gemma-2-9B"))]
    [21, 21]
    """
    tape = forward(model)
    layout = _layout(tape, layout)
    layers = []
    for group in range(1, tape.groups + 1):
        inside = [each for each in tape.operations if each.group == group]
        kept = [
            cached
            for operation in inside
            for cached in operation.cached
            if cached.layout in (None, layout)
        ]
        states = tuple(each for operation in inside for each in operation.states)
        layers.append(CacheLayers(inside[0].count, tuple(kept), states))
    return layers


def _layout(tape, layout: str) -> str:
    """Return the layout that is meant; "latent" is all heads where no latent is."""
    known = {each.layout for operation in tape.operations for each in operation.cached}
    grouped = "grouped" in known
    choose("layout", layout, dict.fromkeys((*LAYOUTS, *["grouped"] * grouped)))
    return "expanded" if grouped and layout == "latent" else layout


def cache_ledger(
    layers: Iterable[CacheLayers],
    dtype: "str | CacheFormat" = "bf16",
    block: int | None = None,
    tp: int = 1,
    per: str = "all",
) -> Ledger:
    """Return the ledger of any list of layer types, hybrids included.

    Arguments and errors are those of `kv_cache`.

    >>> from sympy import S
    >>> state = State("recurrent", (S(4), S(4)), units.dtype("fp32"))
    >>> cache_ledger([CacheLayers(S(2), states=(state,))]).bytes
    128*b
    """
    stored = (
        dtype if isinstance(dtype, CacheFormat) else choose("dtype", dtype, FORMATS)
    )
    copies = choose("per", per, {"all": tp, "rank": 1})
    if block is not None:
        check_size("B", block, "block")
    check_size("T", tp, "tp")
    rows = [
        replace(row, count=row.count * copies)
        for group in layers
        for row in _rows(group, stored, block, tp)
    ]
    return Ledger(rows, symbols=(b, t))


def _rows(
    group: CacheLayers, stored: CacheFormat, block: int | None, tp: int
) -> Iterator[Tensor]:
    for cached in group.tokens:
        heads = (
            heads_on_rank(cached.heads, tp) if tp > 1 and cached.split else cached.heads
        )
        held = t if cached.window is None else Min(t, cached.window)
        name = f"layers.{{i}}.{cached.slot}"
        for ending, part, width, kind in _stored(cached, stored):
            shape = (b, heads, held, width)
            yield Tensor(name + ending, shape, kind, group.count, part)
            if block:
                empty = (b, heads, slots(block, cached.window) - held, width)
                yield Tensor(
                    f"{name}{ending} (empty slots)",
                    empty,
                    kind,
                    group.count,
                    "empty slots",
                )
    for state in group.states:
        name = f"layers.{{i}}.{state.name}"
        plain = stored.values if stored in PLAIN.values() else units.dtype("bf16")
        shape = (b, *_state_on_rank(state, tp))
        yield Tensor(name, shape, state.dtype or plain, group.count, "state")


def _state_on_rank(state: State, tp: int) -> tuple[Expr, ...]:
    """Return the shape of a rank's equal share of a state."""
    if tp == 1 or not state.heads:
        return state.shape
    if any(not sympify(heads / tp).is_integer for heads in state.heads):
        listed = ", ".join(map(str, dict.fromkeys(state.heads)))
        raise ConfigError("tp", tp, f"must divide {listed} heads of linear attention")
    return (state.shape[0] / tp, *state.shape[1:])


def _stored(cached: Cached, stored: CacheFormat):
    """Give ending, part, width and data type of each tensor that one thing needs."""
    width = sympify(cached.width)
    yield "", cached.name, width, stored.values
    groups = ceiling(width / stored.group) if stored.group else S.One
    if stored.scale:
        yield "_scale", "scales", groups, stored.scale
    if stored.zero_point:
        yield "_zero_point", "scales", groups, stored.zero_point


def slots(block: int, window: "Expr | None" = None) -> Expr:
    """Return the slots of a sequence's blocks: blocks in use × tokens in a block.

    A block is in use while one of its tokens can still be attended to, so a window
    that starts inside a block holds the whole block.

    >>> slots(16).subs(t, 17), slots(16, 8).subs(t, 17)
    (32, 32)
    """
    blocks = ceiling(t / block)
    if window is not None:
        blocks -= floor(Max(t - window, 0) / block)
    return block * blocks
