"""The library as data: what a page needs to size any config that Python accepts.

Ledgers are made with symbols for sizes, once for each structure that a config of the
family can have. A row carries the condition under which a structure has it. The page
reads a config, evaluates conditions, counts and shapes, and sums: it holds no formula.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from . import fields, json_text, layers, model
from .activations import RECOMPUTE, training_activations
from .errors import ConfigError, choose
from .explorer_page import Pool
from .expression import to_tree
from .functions import FUNCTIONS
from .hardware import accelerators
from .kernels import KERNELS
from .kv_cache import FORMATS as CACHE_FORMATS
from .kv_cache import LAYOUTS, cache_layers, cache_ledger
from .ledger import Ledger, Tensor
from .optimizers import OPTIMIZERS
from .structures import (
    BLOCKS,
    INNER,
    LINEAR,
    Variant,
    all_parameters,
    condition,
    functions,
    one_tape,
    reduced,
    structure_switches,
    training_switches,
    variants,
)
from .symbols import TABLE
from .training import RECIPES, training_states
from .units import DTYPES
from .weights import EXPERT_FORMATS, active_weights, weights
from .weights import FORMATS as MATRIX_FORMATS

PLAIN = ("bf16", "fp16", "fp32")
PACKED = MATRIX_FORMATS | EXPERT_FORMATS
# Switches of parameters alone: a bias, for one, is loaded, and nothing is saved for it.
NOTHING_SAVED = ("tied", "bias", "output_bias", "mlp_bias", "norm_affine")
KEYS = {
    "class", "activations", "inference", "tape", "groups", "fields", "ignored",
    "derived", "activation", "dropout", "caps", "rules", "windows", "linear",
    "sparse", "structure", "training",
}  # fmt: skip


def script() -> str:
    """Return the data as a script that a page loads, also from file://.

    Each part's items stand on lines of their own, so that a change of one shows as one.
    """
    parts = (f"{_compact(name)}:{_lines(part)}" for name, part in page_data().items())
    return "globalThis.EveryByteData={\n" + ",\n".join(parts) + "\n};\n"


def page_data() -> dict:
    """Return everything that the page needs, as JSON."""
    table = fields.table()
    pools = {name: Pool() for name in ("rows", "conditions", "ledgers")}
    families = {name: _family(name, pools) for name in table["families"]}
    return {
        "messages": {
            **json_text.MESSAGES, **fields.MESSAGES, **layers.MESSAGES,
            "quant_method": model.QUANT_METHOD, "weight_block": model.WEIGHT_BLOCK,
            "model_type": _refusal(fields.family, "").rule,
            "function": _refusal(choose, "", "", FUNCTIONS).rule,
        },
        "limits": {
            "text": json_text.LARGEST_TEXT, "depth": json_text.LARGEST_DEPTH,
            "digits": json_text.LARGEST_DIGITS, "size": str(fields.LARGEST_SIZE),
        },
        "causal": fields.CAUSAL,
        "quant_methods": model.QUANT_METHODS,
        "types": {
            "layers": fields.ATTENTION_TYPES, "hybrid layers": fields.HYBRID_TYPES,
        },
        "counted": {"sliding": layers.SLIDING, "linear": layers.LINEAR},
        "functions": functions(),
        "functions with parameters": table["functions with parameters"],
        "unknown": table["unknown"] | {"off": _texts(table["unknown"]["off"])},
        "patterns": table["patterns"],
        "bits": {name: kind.bits for name, kind in DTYPES.items()} | {"uint8": 8},
        "updated": {name: recipe.updated for name, recipe in RECIPES.items()},
        "symbols": {name: size.meaning for name, size in TABLE.items()}
        | {LINEAR.name: "layers with linear attention"}
        | {INNER.name: "tensors kept inside the activation function"},
        "hardware": {name: card.bytes for name, card in accelerators().items()},
        "choices": {
            "weights": (*PLAIN, *PACKED), "cache": tuple(CACHE_FORMATS),
            "layout": LAYOUTS, "recipe": tuple(RECIPES), "optimizer": tuple(OPTIMIZERS),
            "attention": tuple(KERNELS), "recompute": RECOMPUTE,
        },
        "models": {name: _config(name) for name in model.names()},
        **{name: pool.items for name, pool in pools.items()},
        "families": families,
    }  # fmt: skip


def _family(name: str, pools: Mapping[str, Pool]) -> dict:
    entry = fields.family(name)
    strange = sorted(set(entry) - KEYS)
    if strange:
        return {"unsupported": ", ".join(strange)}
    rules = fields.table()["rules"]
    maker = Maker(name, entry, pools)
    return {
        "fields": {key: _field(each) for key, each in entry["fields"].items()},
        "ignored": entry.get("ignored", ()),
        "rules": [rules[e] if isinstance(e, str) else e for e in entry["rules"]],
        "derived": entry.get("derived", {}),
        "windows": entry.get("windows"),
        "linear": entry.get("linear"),
        "sparse": entry.get("sparse"),
        "function": entry.get("activation", "hidden_act"),
        "switches": {
            each.name: each.tree
            for each in (*structure_switches(entry), *training_switches(entry))
        },
        **maker.parameters(),
        "cache": maker.cache(),
        "activations": maker.activations(),
    }


class Maker:
    """Makes a family's ledgers, puts them into the pools and returns their places."""

    def __init__(self, name: str, entry: Mapping, pools: Mapping[str, Pool]):
        self.name, self.entry, self.pools = name, entry, pools
        self.structures = variants(name, entry, structure_switches(entry))

    def parameters(self) -> dict:
        """Return ledgers over parameters: weights, and training's states."""
        found = all_parameters(self.structures)
        holds = list(found.values())

        def place(ledger: Ledger, *also) -> int:
            return self.place(_conditioned(row, holds, also) for row in ledger)

        def states(recipe: str, optimizer: str, *, own: bool) -> int:
            rows = training_states(whole, recipe, optimizer)
            chosen = (row for row in rows if (row.part == "optimizer") is own)
            return place(Ledger(replace(row, name=_place(row)) for row in chosen))

        model = replace(self.structures[0].model, name="{model}")
        with one_tape(model, ()) as empty:
            refused = {name: _refusal(weights, empty, "bf16", name) for name in PACKED}
        with one_tape(model, found) as whole:
            stored = {name: place(weights(whole, name)) for name in PLAIN}
            for name, packing in PACKED.items():
                holders = [found[each] for each in found if each.role in packing.packs]
                stored[name] = str(refused[name])
                if holders:
                    packed = self.packed(whole, name, place)
                    stored[name] = {
                        "if": _any(holders),
                        "ledger": packed,
                        "else": stored[name],
                    }
            first = {recipe.updated: name for name, recipe in RECIPES.items()}
            return {
                "weights": stored,
                "active": place(active_weights(whole)),
                "states": {name: states(name, "adamw", own=False) for name in RECIPES},
                "optimizers": {
                    name: {kind: states(first[kind], name, own=True) for kind in first}
                    for name in OPTIMIZERS
                },
            }

    def packed(self, model, name: str, place) -> int:
        """Return the place of packed weights; some formats have blocks of their own."""
        made = [
            weights(replace(model, weight_block=block), quantization=name)
            for block in BLOCKS
        ]
        if len({ledger.rows for ledger in made}) == 1:
            return place(made[0])
        return self.join(
            place(ledger, ["==", "block", index]) for index, ledger in enumerate(made)
        )

    def cache(self) -> dict:
        """Return ledgers of the cache, by layout and format."""
        probes = [tuple(cache_layers(each.model)) for each in self.structures]
        found = reduced(self.structures, probes)
        return {layout: self._cache(found, layout) for layout in LAYOUTS}

    def _cache(self, found: Sequence[Variant], layout: str) -> dict:
        kept = [tuple(cache_layers(each.model, layout)) for each in found]
        made = {
            (group, kind): cache_ledger(group, kind)
            for group in dict.fromkeys(kept)
            for kind in CACHE_FORMATS
        }
        return {
            kind: self.over(found, [made[group, kind] for group in kept])
            for kind in CACHE_FORMATS
        }

    def activations(self) -> "dict | str":
        """Return ledgers of saved activations, by kernel and recomputation."""
        switches = [*structure_switches(self.entry), *training_switches(self.entry)]
        switches = [each for each in switches if each.name not in NOTHING_SAVED]
        found = variants(self.name, self.entry, switches)
        probes = [_attempt(each.model) for each in found]
        if all(isinstance(each, ConfigError) for each in probes):
            return str(probes[0])
        kept = reduced(
            found, [e.rows if isinstance(e, Ledger) else str(e) for e in probes]
        )
        return {kernel: self._activations(kept, kernel) for kernel in KERNELS}

    def _activations(self, found: Sequence[Variant], kernel: str) -> dict:
        """Return ledgers by recomputation; those of one variant share its tapes."""
        made = (
            [_attempt(each.model, kernel, how) for how in RECOMPUTE] for each in found
        )
        ledgers = zip(*made, strict=True)
        return {
            how: self.of_some(found, of_each)
            for how, of_each in zip(RECOMPUTE, ledgers, strict=True)
        }

    def of_some(self, found: Sequence[Variant], made: Sequence) -> "int | str | dict":
        """Return a ledger's place, why there is none, or which variants have one."""
        refused = [str(each) for each in made if isinstance(each, ConfigError)]
        if len(refused) == len(made):
            return refused[0]
        having = {i for i, each in enumerate(made) if isinstance(each, Ledger)}
        place = self.over(found, [e if i in having else () for i, e in enumerate(made)])
        if not refused:
            return place
        return {"if": condition(found, having), "ledger": place, "else": refused[0]}

    def over(self, found: Sequence[Variant], ledgers: Sequence[Ledger]) -> int:
        """Return the place of ledgers of variants, joined to one."""
        holders: dict[Tensor, set[int]] = {}
        for index, ledger in enumerate(ledgers):
            for row in ledger:
                holders.setdefault(row, set()).add(index)
        holds = cache(lambda indices: condition(found, indices))  # of many rows
        return self.place(
            (row, row.name, holds(frozenset(indices)))
            for row, indices in holders.items()
        )

    def place(self, rows: Iterable[tuple]) -> int:
        """Return the place of a ledger of (row, name, condition)."""
        places = []
        for row, name, holds in rows:
            if row.count != 0:
                shape = [to_tree(size) for size in row.shape]
                packed = [name, to_tree(row.count), shape, str(row.dtype), row.part]
                places.append(self.pools["rows"].index(packed))
                places.append(self.pools["conditions"].index(holds))
        return self.pools["ledgers"].index(places)

    def join(self, places: Iterable[int]) -> int:
        """Return the place of ledgers one after the other."""
        items = self.pools["ledgers"].items
        return self.pools["ledgers"].index(
            [e for place in places for e in items[place]]
        )


def _attempt(model, *choices) -> "Ledger | ConfigError":
    try:
        return training_activations(model, *choices)
    except ConfigError as error:
        return error


def _conditioned(row: Tensor, holds: Sequence, also: tuple) -> tuple:
    """Return a row of the joint tape, its own name, and the conditions on it."""
    place, mark, name = row.name.partition(":")
    own = holds[int(place)] if mark else True
    trees = [tree for tree in (own, *also) if tree is not True] or [True]
    return row, name, trees[0] if len(trees) == 1 else ["and", *trees]


def _place(row: Tensor) -> str:
    """Return the place that leads a row's name: states are summed, not named."""
    place, mark, _ = row.name.partition(":")
    return place + mark if mark else ""


def _lines(part) -> str:
    if isinstance(part, Mapping):
        items = (f"{_compact(key)}:{_compact(value)}" for key, value in part.items())
        return "{\n" + ",\n".join(items) + "\n}"
    if isinstance(part, Sequence) and not isinstance(part, str):
        return "[\n" + ",\n".join(map(_compact, part)) + "\n]"
    return _compact(part)


def _compact(item) -> str:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"))


def _refusal(function, *arguments) -> ConfigError:
    try:
        function(*arguments)
    except ConfigError as error:
        return error


def _any(trees: list):
    unlike = list(map(json.loads, dict.fromkeys(map(json.dumps, trees))))
    return True if True in unlike else ["or", *unlike]


def _texts(values: Iterable) -> list[str]:
    return [json.dumps(value) for value in values]


def _field(field: Mapping) -> dict:
    kept = ("kind", "of", "choices", "aliases", "symbol", "if_null", "minimum")
    found = {key: field[key] for key in kept if key in field}
    if "default" in field:
        found["default"] = json.dumps(field["default"])
    return found | {"nullable": fields._nullable(field), "rule": fields._rule(field)}


def _config(name: str) -> str:
    return (model.MODELS / f"{name}.json").read_text(encoding="utf-8")
