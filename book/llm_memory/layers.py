"""Groups of layers that are alike, by window and by MLP, from a family's pattern."""

from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Expr, S, ceiling, sympify

from .errors import ConfigError
from .symbols import symbol


@dataclass(frozen=True)
class Layers:
    """`count` layers alike: their window (None: all tokens), whether they are MoE."""

    count: Expr
    window: Expr | None = None
    sparse: bool = False


def group_layers(entry: Mapping, values: Mapping, sizes: Mapping) -> tuple[Layers, ...]:
    """Group the layers that are alike, in the order in which a group first appears."""
    total, window = int(sizes["L"]), sizes.get("W")
    sliding = _sliding(entry, values, total, window)
    dense = _dense(entry, values, total)
    if sliding and window is None:
        rule = "must be a size: layer_types has sliding_attention"
        raise ConfigError("sliding_window", values.get("sliding_window"), rule)
    if sliding not in (0, total) and dense not in (0, total):
        rule = "must be all alike where some layers are dense and some are sparse"
        raise ConfigError("layer_types", values["layer_types"], rule)
    if dense in (0, total):
        counts = [(total - sliding, None, dense == 0), (sliding, window, dense == 0)]
    else:
        size = window if sliding else None
        counts = [(dense, size, False), (total - dense, size, True)]
    return tuple(
        Layers(sympify(count), size, sparse) for count, size, sparse in counts if count
    )


def _sliding(entry, values, total: int, window) -> int:
    """Count the layers with a window."""
    types = values.get("layer_types")
    if types is not None:
        if len(types) != total:
            rule = f"must have one entry per layer: {total}, not {len(types)}"
            raise ConfigError("layer_types", types, rule)
        return types.count("sliding_attention")
    if window is None:
        return 0
    patterns = {
        "all": total,
        "alternate": (total + 1) // 2,
        "tail": max(total - values.get("max_window_layers", 0), 0),
    }
    return patterns[entry["windows"]]


def _dense(entry, values, total: int) -> int:
    """Count the layers with one MLP for all tokens."""
    pattern = entry.get("sparse")
    if pattern == "step":
        step = values["decoder_sparse_step"]
        only = {i for i in values["mlp_only_layers"] or () if i < total}
        return total - total // step + sum((i + 1) % step == 0 for i in only)
    return {
        None: total,
        "all": 0,
        "tail": min(values.get("first_k_dense_replace", 0), total),
    }[pattern]


def symbolic_layers(entry: Mapping, window: bool | None) -> tuple[Layers, ...]:
    """Group the layers of a family by symbols: L, D dense ones, L_w with a window.

    Raises:
        ConfigError: a window is asked of a family that has none.
    """
    total, dense, size = symbol("L"), symbol("D"), symbol("W")
    windows, sparse = entry.get("windows"), entry.get("sparse")
    if window and windows is None:
        raise ConfigError("window", window, "this family has no sliding window")
    if not (windows == "alternate" if window is None else window):
        windows, size = None, None
    if sparse in ("tail", "step"):
        return (Layers(dense, size), Layers(total - dense, size, sparse=True))
    sliding = {None: S.Zero, "all": total, "tail": symbol("L_w")}
    count = ceiling(total / 2) if windows == "alternate" else sliding[windows]
    groups = ((total - count, None), (count, size))
    return tuple(
        Layers(number, kept, sparse == "all") for number, kept in groups if number != 0
    )
