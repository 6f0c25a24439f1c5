"""Groups of layers that are alike, by window and by MLP, from a family's pattern."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import lcm

from sympy import Expr, S, Symbol, sympify

from .errors import ConfigError
from .expression import evaluate_tree, from_tree
from .fields import family, table
from .symbols import symbol

SLIDING, LINEAR = "sliding_attention", "linear_attention"
MESSAGES = {
    "types": "must have one entry per layer: {total}, not {given}",
    "window": "must be a size, not switched off: layer_types has sliding_attention",
    "mixed": "must be all alike where some layers are dense and some are sparse",
    "symbolic": "must come from a config: a symbolic model has no order of layers",
}
# The patterns of families that always have layers with a window.
OWN_WINDOWS = ("alternate", "pattern")


@dataclass(frozen=True)
class Layers:
    """`count` layers alike: their window (None: all tokens), whether they are MoE.

    `linear` ones keep a state and no tokens. `positions` says where in the model they
    stand; None: after the groups before.
    """

    count: Expr
    window: Expr | None = None
    sparse: bool = False
    positions: frozenset[int] | None = None
    linear: bool = False


def group_layers(entry: Mapping, values: Mapping, sizes: Mapping) -> tuple[Layers, ...]:
    """Group the layers that are alike: those with all tokens, then those with a window.

    Which layers these are is in data/fields.json, under "patterns".
    """
    total, window = int(sizes["L"]), sizes.get("W")
    types = values.get("layer_types")
    if types is not None and len(types) != total:
        rule = MESSAGES["types"].format(total=total, given=len(types))
        raise ConfigError("layer_types", types, rule)
    numbers = _numbers(values, total)
    if "linear" in entry:
        return tuple(
            Layers(sympify(count), sparse=sparse, linear=linear)
            for (linear, sparse), count in _hybrid(entry, values, numbers).items()
            if count
        )
    sliding = _sliding(entry, values, numbers, window)
    dense = _dense(entry, values, numbers)
    if sliding and window is None:
        raise ConfigError(
            "sliding_window", values.get("sliding_window"), MESSAGES["window"]
        )
    if sliding not in (0, total) and dense not in (0, total):
        raise ConfigError("layer_types", values["layer_types"], MESSAGES["mixed"])
    groups = arrange(total, sliding, dense, window)
    if len(groups) == 1:
        return groups
    counts = [
        _sliding(entry, values, first, window)
        if dense in (0, total)
        else first["L"] - _dense(entry, values, first)
        for first in (_numbers(values, number) for number in range(total + 1))
    ]
    return tuple(
        replace(each, positions=_places(counts, place))
        for place, each in enumerate(groups)
    )


def _places(counts: list[int], place: int) -> frozenset[int]:
    """Return where the layers are that no count counts (0), or that one does (1)."""
    return frozenset(
        number
        for number, (before, after) in enumerate(pairwise(counts))
        if (after > before) == place
    )


def arrange(total, sliding, dense, window) -> tuple[Layers, ...]:
    """Return the groups of `total` layers, integers or symbols.

    >>> [(layers.count, layers.window) for layers in arrange(6, 2, 6, 9)]
    [(4, None), (2, 9)]
    """
    if dense in (0, total):
        counts = [(total - sliding, None, dense == 0), (sliding, window, dense == 0)]
    else:
        size = window if sliding else None
        counts = [(dense, size, False), (total - dense, size, True)]
    return tuple(
        Layers(sympify(count), size, sparse) for count, size, sparse in counts if count
    )


def first_layers(model, number: int) -> tuple[int, ...]:
    """Return how many of a model's first `number` layers are in each of its groups.

    The patterns count the layers of a model, so those of a shorter one as well.

    Raises:
        ConfigError: the model is symbolic, so the order of its layers is not known.

    >>> from llm_memory import load_model
    >>> first_layers(load_model("DeepSeek-V3"), 10)
    (3, 7)
    """
    if not model.values:
        raise ConfigError("model", model.name, MESSAGES["symbolic"])
    entry, numbers = family(model.model_type), _numbers(model.values, number)
    if "linear" in entry:
        counts = _hybrid(entry, model.values, numbers)
        return tuple(counts[each.linear, each.sparse] for each in model.layers)
    sliding = _sliding(entry, model.values, numbers, model.W)
    dense = _dense(entry, model.values, numbers)
    mixed = len({layers.sparse for layers in model.layers}) > 1
    return tuple(
        (number - dense if layers.sparse else dense)
        if mixed
        else (number - sliding if layers.window is None else sliding)
        for layers in model.layers
    )


def _numbers(values: Mapping, layers: int) -> dict[str, int]:
    """Return a config's integers, of a model of that many layers."""
    numbers = {name: each for name, each in values.items() if isinstance(each, int)}
    return numbers | {"L": layers}


def _sliding(entry, values, numbers, window) -> int:
    """Count the layers with a window."""
    types = values.get("layer_types")
    if types is not None:
        return types[: numbers["L"]].count(SLIDING)
    if window is None:
        return 0
    return evaluate_tree(table()["patterns"]["windows"][entry["windows"]], numbers)


def _hybrid(entry, values, numbers) -> dict[tuple[bool, bool], int]:
    """Count layers by whether their attention is linear and their MLP sparse."""
    total, step = numbers["L"], numbers["decoder_sparse_step"]
    types, only = values["layer_types"], set(values["mlp_only_layers"] or ())
    if types is None:
        every = numbers["full_attention_interval"]
        both = range(lcm(every, step) - 1, total, lcm(every, step))
        pattern = table()["patterns"]["linear"][entry["linear"]]
        full = total - evaluate_tree(pattern, numbers)
    else:
        at = [i for i, each in enumerate(types[:total]) if each != LINEAR]
        full, both = len(at), {i for i in at if (i + 1) % step == 0}
    sparse = total - _dense(entry, values, numbers)
    sparse_full = len(both) - sum(i in both for i in only)
    return {
        (False, False): full - sparse_full,
        (False, True): sparse_full,
        (True, False): total - full - (sparse - sparse_full),
        (True, True): sparse - sparse_full,
    }


def _dense(entry, values, numbers) -> int:
    """Count the layers with one MLP for all tokens."""
    if "sparse" not in entry:
        return numbers["L"]
    rule = table()["patterns"]["exceptions"]
    exceptions = sum(
        evaluate_tree(rule["counted if"], numbers | {"i": i})
        for i in set(values.get(rule["field"]) or ())
    )
    tree = table()["patterns"]["dense"][entry["sparse"]]
    return evaluate_tree(tree, numbers | {"exceptions": exceptions})


def symbolic_layers(entry: Mapping, window: bool | None) -> tuple[Layers, ...]:
    """Group the layers of a family by symbols: L, D dense ones, L_w with a window.

    Raises:
        ConfigError: a window is asked of a family that has none.
    """
    total, dense, size = symbol("L"), symbol("D"), symbol("W")
    windows, sparse = entry.get("windows"), entry.get("sparse")
    if window and windows is None:
        raise ConfigError("window", window, "this family has no sliding window")
    own = windows in OWN_WINDOWS
    if not (own if window is None else window):
        windows, own, size = None, False, None
    if "linear" in entry:  # a sum does not depend on which layers are both
        linear = _by_symbols(entry, "linear")
        return (
            Layers(total - linear, sparse=True),
            Layers(linear - dense, sparse=True, linear=True),
            Layers(dense, linear=True),
        )
    if sparse in ("tail", "step"):
        return (Layers(dense, size), Layers(total - dense, size, sparse=True))
    sliding = {None: S.Zero, "all": total, "tail": symbol("L_w")}
    count = _by_symbols(entry, "windows") if own else sliding[windows]
    groups = ((total - count, None), (count, size))
    return tuple(
        Layers(number, kept, sparse == "all") for number, kept in groups if number != 0
    )


def _by_symbols(entry: Mapping, kind: str) -> Expr:
    """Count layers of a kind, by L, where the family's class says which they are."""
    count = from_tree(table()["patterns"][kind][entry[kind]])
    own = {
        Symbol(name, integer=True): field["if_null"]
        for name, field in entry["fields"].items()
        if isinstance(field.get("if_null"), int)
    }
    return count.subs(own)
