"""Serving: how many tokens and sequences fit beside the weights, and on what."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from .errors import ConfigError, choose
from .expression import evaluate_tree, to_tree
from .hardware import Hardware, load_hardware
from .kv_cache import FORMATS, CacheFormat
from .ledger import Ledger, Tensor, largest_fitting
from .placement import Held, Placement, stage_caches, stage_weights
from .symbols import b, check_size, t
from .units import DTYPES, UNITS, DType
from .weights import QUANTIZED


@dataclass(frozen=True)
class Capacity:
    """What fits on a deployment.

    Attributes:
        tokens: tokens of cache that fit, over the whole deployment.
        sequences: sequences of `context` tokens that fit, over the whole deployment.
        ledger: what fills the fullest rank once these sequences are there, under the
            parts "weights", "activations", "reserve" and "KV cache".
        stages: the same for a rank of each pipeline stage.
        budget: bytes of a rank.
        missing: bytes that the fullest rank lacks for weights, activations and
            reserve; 0 if these fit. Where it is not 0, no token fits.
        copies: row of the ledger → how often the ranks of its stage hold each element,
            for rows that they hold more than once.
        groups: groups of ranks that each serve sequences of their own; every one holds
            the same number.
        context: tokens of a sequence.
    """

    tokens: int
    sequences: int
    ledger: Ledger
    stages: tuple[Ledger, ...]
    budget: int
    missing: int
    copies: Mapping[str, int | Fraction]
    groups: int
    context: int

    @property
    def unused(self) -> int:
        """Bytes that stay free on the fullest rank; 0 if the model does not fit."""
        return max(self.budget - int(self.ledger.bytes), 0)

    def __repr__(self) -> str:
        held = f"{self.sequences:,} sequences of {self.context:,} tokens"
        lacks = f"; {self.missing:,} bytes missing per rank" if self.missing else ""
        return f"{self.tokens:,} tokens, {held}{lacks}"


def capacity(
    model,
    hardware: "str | Hardware",
    count: int = 1,
    context: int = 2048,
    weights_dtype: str = "bf16",
    cache_dtype: "str | CacheFormat" = "bf16",
    tp: int = 1,
    pp: int = 1,
    attention_dp: int = 1,
    reserve: int = 0,
    capacity: str = "driver",
    activations: int | Ledger = 0,
    block: int | None = None,
    prefix: int = 0,
    layout: str = "latent",
    stages: tuple[int, ...] | None = None,
    divided: tuple[str, ...] = ("routed experts",),
    expert_parallel: bool = False,
) -> Capacity:
    """Return how many tokens and sequences fit, and what fills each rank.

    On every rank: weights + activations + reserve + cache <= capacity. By default
    activations and reserve are 0, so on one rank and for layers without a window,
    tokens = (capacity - weights) // cache of one token. In are the parameters as loaded
    and the cache; out is all that `activations` and `reserve` do not name: buffers,
    workspaces, communication, the allocator's rounding, the CUDA context.

    A sequence holds what `kv_cache` holds after `context` tokens. Tokens are counted
    in sequences of `context` tokens, and of the bytes left one more sequence grows,
    token by token (block by block, if paged), while it fits. So where layers have no
    window `context` changes `tokens` by rounding only.

    Args:
        model: a `Model` from a config.
        hardware: an accelerator's name, or a `Hardware`.
        count: accelerators, a multiple of the ranks of an engine, tp × pp ×
            attention_dp. A larger multiple is that many engines alike, each with
            weights of its own; none serves another's sequences.
        context: tokens of a sequence. Beyond the model's positions: a warning.
        weights_dtype: a data type, or a format: "int8", "fp8", "int4" (see `weights`).
        cache_dtype, layout, block: as in `kv_cache`.
        tp, pp, attention_dp, stages, divided, expert_parallel: as in `Placement`.
        reserve: bytes of every rank that are kept free.
        capacity: the bytes of a rank. "label": as labelled, GB of 10^9; "binary": the
            label read as GiB; "driver": what the driver reports.
        activations: bytes of every rank for the tensors of a step, or a ledger of them
            without free symbols, such as `rank_activations` gives.
        prefix: tokens at the start that are the same in all sequences. A group holds
            them once; with `block`, only whole blocks of them. `tokens` counts them
            once, too.

    Raises:
        ConfigError: an unknown name, a size that is no integer or too small, a `count`
            that is no multiple, sizes that do not divide, a shared prefix with windows.

    >>> from llm_memory import load_model
    >>> capacity(load_model("Qwen3-0.6B"), "RTX 4090")
    214,190 tokens, 104 sequences of 2,048 tokens
    """
    _check_names(weights_dtype, cache_dtype)
    placement = Placement(tp, pp, attention_dp, stages, divided, expert_parallel)
    engines = _engines(count, placement)
    budget = rank_bytes(hardware, capacity)
    _check_context(model, context)
    fixed = [*_fixed("activations", activations), *_fixed("reserve", reserve)]
    loaded = [
        [*held, *fixed] for held in stage_weights(model, placement, weights_dtype)
    ]
    caches = stage_caches(model, placement, cache_dtype, layout, block)
    shared = _shared(model, prefix, context, block)
    used = [_bytes(held) for held in loaded]
    costs = [
        _cost(held, budget - size) for held, size in zip(caches, used, strict=True)
    ]
    missing = max(0, max(used) - budget)
    sequences, tokens = (0, 0) if missing else _fill(costs, context, shared, block)
    ranks = [
        [*mine, *_filled(cache, sequences, context, shared)]
        for mine, cache in zip(loaded, caches, strict=True)
    ]
    ledgers = tuple(Ledger(held.row for held in rank) for rank in ranks)
    fullest = max(range(placement.pp), key=lambda stage: ledgers[stage].bytes)
    groups = engines * placement.attention_dp
    return Capacity(
        tokens=groups * tokens,
        sequences=groups * sequences,
        ledger=ledgers[fullest],
        stages=ledgers,
        budget=budget,
        missing=missing,
        copies={h.row.name: h.copies for h in ranks[fullest] if h.copies > 1},
        groups=groups,
        context=context,
    )


def rank_bytes(hardware: "str | Hardware", capacity: str = "driver") -> int:
    """Return the bytes of one accelerator, as `capacity` reads them.

    Raises:
        ConfigError: an unknown accelerator or reading, or one without a label.

    >>> [rank_bytes("RTX 4090", each) for each in ("label", "binary", "driver")]
    [24000000000, 25769803776, 25757220864]
    """
    card = load_hardware(hardware)
    label = card.label_bytes
    binary = None if label is None else label * UNITS["GiB"] // UNITS["GB"]
    readings = {"label": label, "binary": binary, "driver": card.bytes}
    found = choose("capacity", capacity, readings)
    if found is None:
        raise ConfigError("capacity", capacity, f"{card.name} has no label_bytes")
    return check_size("bytes", found)


def _check_names(weights_dtype, cache_dtype) -> None:
    """Refuse a data type's name as the argument that it was given for."""
    if not isinstance(weights_dtype, DType):
        choose("weights_dtype", weights_dtype, DTYPES | QUANTIZED)
    if not isinstance(cache_dtype, CacheFormat):
        choose("cache_dtype", cache_dtype, FORMATS)


def _engines(count: int, placement: Placement) -> int:
    engines, rest = divmod(check_size("count", count), placement.ranks)
    if rest or not engines:
        rule = f"must be a multiple of tp × pp × attention_dp = {placement.ranks}"
        raise ConfigError("count", count, rule)
    return engines


def _check_context(model, context: int) -> None:
    check_size("context", context)
    known = model.values and model.C is not None
    if known and context > model.C:
        text = f"context = {context:,} is beyond the {int(model.C):,} positions of "
        warnings.warn(text + model.name, stacklevel=3)


def _fixed(part: str, size: int | Ledger) -> list[Held]:
    """Return the rows of what every rank holds alike: a ledger's, or one of bytes."""
    if not isinstance(size, Ledger):
        size = Ledger([Tensor(part, (_whole(part, size, "bytes"),), "int8")])
    if size.symbols:
        free = ", ".join(sorted(map(str, size.symbols), key=str.lower))
        raise ConfigError(part, f"a ledger of {free}", "must have no free symbols")
    return [Held(row, 1) for row in size.as_part(part)]


def _whole(name: str, value: object, unit: str, limit: int | None = None) -> int:
    """Return an integer >= 0 (and < `limit`), or raise a `ConfigError`."""
    is_integer = hasattr(value, "__index__") and not isinstance(value, bool)
    if not is_integer or int(value) < 0 or (limit is not None and value >= limit):
        below = "" if limit is None else f", below {limit}"
        raise ConfigError(name, value, f"must be an integer of {unit}, >= 0{below}")
    return int(value)


def _shared(model, prefix: int, context: int, block: int | None) -> int:
    """Return the tokens of the prefix that sequences share."""
    prefix = _whole("prefix", prefix, "tokens", limit=context)
    if prefix and any(layers.window is not None for layers in model.layers):
        rule = "must be 0 with sliding windows: sequences leave the prefix behind"
        raise ConfigError("prefix", prefix, rule)
    return prefix // block * block if block else prefix


def _bytes(held: list[Held]) -> int:
    return int(Ledger(each.row for each in held).bytes)


def _cost(cache: list[Held], free: int) -> Callable[[int, int, int], bool]:
    """Return whether q sequences of x tokens and one of r tokens fit in `free`."""
    tree = to_tree(Ledger(held.row for held in cache).bytes)

    def size(sequences: int, tokens: int) -> int:
        some = sequences and tokens
        return evaluate_tree(tree, {"b": sequences, "t": tokens}) if some else 0

    def fits(sequences: int, tokens: int, rest: int) -> bool:
        return size(sequences, tokens) + size(1, rest) <= free

    return fits


def _fill(costs, context: int, shared: int, block: int | None) -> tuple[int, int]:
    """Return the sequences, and the tokens, that one group of ranks holds."""

    def fits(sequences: int, rest: int) -> bool:
        return all(each(sequences, context - shared, rest) for each in costs)

    sequences = largest_fitting(lambda number: fits(number, shared))
    step = block or 1
    steps = largest_fitting(
        lambda n: (n - 1) * step < context - 1 and fits(sequences, (n - 1) * step + 1)
    )
    rest = min(steps * step, context - 1)
    return sequences, sequences * (context - shared) + rest


def _filled(cache: list[Held], sequences: int, context: int, shared: int) -> list[Held]:
    """Return the rows of a cache with that many sequences, the prefix once."""
    if not sequences:
        return []
    own = {b: sequences, t: context - shared}
    once = {b: 1, t: shared}
    rows = [replace(held, row=held.row.substitute(own)) for held in cache]
    if shared:
        for held in cache:
            row = replace(held.row, name=f"{held.row.name} (shared prefix)")
            rows.append(replace(held, row=row.substitute(once)))
    return rows
