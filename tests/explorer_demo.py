"""A made-up explorer that has everything: refusals, windows, pages, twelve parts."""

from sympy import Eq, Max, Min, Mod, Piecewise, ceiling, floor

from llm_memory import ConfigError, Ledger, Tensor
from llm_memory.explorer import Explorer
from llm_memory.symbols import b, t

MODELS = {"small": 2, "large": 80, "windowed": 26}
LAYOUTS = ("whole", "paged", "split")
GB = 10**9
BUDGETS = {"phone": GB // 10, "card": 24 * 2**30, "cluster": 2**60}


def demo_ledger(model, dtype, layout):
    """Many parts on purpose; `split` exists for the large model only."""
    layers = MODELS[model]
    if layout == "split" and model != "large":
        raise ConfigError("layout", layout, f"{model} has nothing <b>to split</b>")
    held = Min(t, 4096) if model == "windowed" else t
    held = ceiling(held / 48) * 48 if layout == "paged" else held
    odd = Piecewise((3, Eq(Mod(t, 7), 0)), (5, t > 1000), (1, True))
    sizes = {
        "keys": (b, held, 128),
        "values & more": (b, held, 128),
        "scales": (b, held, floor(t / 49) + 1),
        "odd": (b, odd),
        "most": (Max(b, 7 * t), 11),
    }
    if model == "large":
        sizes |= {f"part {i}": (b * i, 3) for i in range(1, 8)}
        sizes["weights"] = (2**20, 70000 if layout == "whole" else 10)
    rows = [Tensor(part, shape, dtype, layers, part) for part, shape in sizes.items()]
    return Ledger(rows, symbols=(b, t))


def demo(**options) -> Explorer:
    """The explorer of `demo_ledger`."""
    settings = {
        "selects": {
            "model": list(MODELS),
            "dtype": ["bf16", "fp32", "int4"],
            "layout": LAYOUTS,
        },
        "sliders": {"b": (1, 4096, 3, 1), "t": (1, 2**20, 2048, "power of two")},
        "budgets": BUDGETS,
        "largest": "b",
    }
    return Explorer("demo", "A <demo> & more", demo_ledger, **settings | options)
