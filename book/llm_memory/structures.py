"""Every structure that a config of a family can have, and what each one changes.

A structure is a choice per switch: flags, whether an optional size is there, which
layers have a window and which are sparse, what dropout and activation keep. A page
decides switches with trees over a config's fields; see config_page.py.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product

from sympy import S, Symbol, sympify

from .families import FORWARDS, forward
from .functions import FUNCTIONS, unchanged
from .layers import Layers, arrange
from .model import Model, symbolic
from .operations import Operation, Parameter
from .recorder import Recorder
from .symbols import symbol

INNER = Symbol("inner", integer=True, nonnegative=True)
LINEAR = Symbol("L_linear", integer=True, nonnegative=True)
BLOCK = tuple(Symbol(f"block_{side}", integer=True, positive=True)
              for side in ("rows", "columns"))  # fmt: skip
BLOCKS = (None, BLOCK, (None, None))


def _keeping(x_too: bool):
    """Return an activation function that keeps `inner` tensors, and perhaps x."""

    def function(tape, x, name):
        inner = tape.make("inside the function", (INNER, *x.shape), x.dtype)
        return tape.make(name, x.shape, x.dtype, saved=(*([x] * x_too), inner))

    return function


KINDS = (_keeping(True), _keeping(False), unchanged)


def functions() -> dict[str, tuple[int, int]]:
    """Return for each activation function its place in `KINDS`, and `inner`."""
    return {name: _kind(each) for name, each in FUNCTIONS.items()}


def _kind(function) -> tuple[int, int]:
    tape = Recorder()
    x = tape.make("x", (1,))
    output = function(tape, x, "")
    kept = set(tape._saved)
    kind = 2 if output is x else int(x not in kept)
    return kind, len(kept - {x, output})


@dataclass(frozen=True)
class Switch:
    """A name, its options (False and True, or 0, 1, 2), and the tree that decides."""

    name: str
    options: tuple
    tree: object


@dataclass(frozen=True)
class Variant:
    """A model of symbols with one choice per switch."""

    choice: Mapping[str, object]
    model: Model


def structure_switches(entry: Mapping) -> list[Switch]:
    """Return the switches of a family that weights and cache can depend on."""
    found = [
        Switch(flag, (False, True), rule)
        for flag, rule in entry["structure"].items()
        if not isinstance(rule, bool)
    ]
    found += [
        Switch(f"has_{name}", (False, True), f"has_{name}")
        for name, each in _optional(entry).items()
        if each["symbol"] != "W"
    ]
    if "windows" in entry:
        found.append(Switch("windowed", (0, 1, 2), _share("L_w")))
    if entry.get("sparse") not in (None, "all"):
        found.append(Switch("dense", (0, 1, 2), _share("D")))
    return found


def training_switches(entry: Mapping) -> list[Switch]:
    """Return the switches that only the activations of training depend on."""
    places = entry.get("dropout", {"attention": "attention_dropout"})
    return [
        Switch("function", tuple(range(len(KINDS))), "function"),
        *(
            Switch(f"dropout_{place}", (False, True), f"has_{name}")
            for place, name in places.items()
        ),
        *(
            Switch(flag, (False, True), rule)
            for flag, rule in entry.get("training", {}).items()
        ),
        *(
            Switch(f"cap_{what}", (False, True), f"has_{name}")
            for what, name in entry.get("caps", {}).items()
        ),
    ]


def variants(model_type: str, entry: Mapping, switches: Sequence[Switch]):
    """Return the family's models, one for each choice; see `Variant`."""
    names = [switch.name for switch in switches]
    chosen = product(*(switch.options for switch in switches))
    choices = (dict(zip(names, options, strict=True)) for options in chosen)
    return [
        Variant(choice, _model(model_type, entry, choice))
        for choice in choices
        if (choice.get("windowed"), choice.get("dense")) != (2, 2)  # refused
    ]


def _optional(entry: Mapping) -> dict:
    """Return the sizes that a config may say it has not."""
    return {
        name: each
        for name, each in entry["fields"].items()
        if "symbol" in each
        and "if_null" not in each
        and (each.get("nullable") or each.get("default", 0) is None)
    }


def _share(count: str):
    """Return the tree of "none", "all" or "some" of the layers, as 0, 1 or 2."""
    return ["piecewise", [0, ["==", count, 0]], [1, ["==", count, "L"]], [2, True]]


def _model(model_type: str, entry: Mapping, choice: Mapping) -> Model:
    known = (*entry["structure"], *entry.get("training", ()))
    flags = {flag: choice[flag] for flag in known if flag in choice}
    model = symbolic(model_type, **flags)
    absent = {
        each["symbol"]
        for name, each in _optional(entry).items()
        if not choice.get(f"has_{name}", True)
    }
    sizes = {name: size for name, size in model.sizes.items() if name not in absent}
    total = symbol("L")
    window, dense = choice.get("windowed", 0), choice.get("dense")
    if dense is None:
        dense = 0 if entry.get("sparse") == "all" else 1
    dense = (0, total, symbol("D"))[dense]
    if "linear" in entry:
        groups = _hybrid(total, LINEAR, dense)
    else:
        windowed = (0, total, symbol("L_w"))[window]
        groups = arrange(total, windowed, dense, symbol("W"))
    places = entry.get("dropout", {"attention": "attention_dropout"})
    return replace(
        model,
        sizes=sizes,
        layers=groups,
        activation=KINDS[choice.get("function", 0)],
        dropout={place: choice.get(f"dropout_{place}", False) for place in places},
        caps={what: choice.get(f"cap_{what}") for what in entry.get("caps", {})},
    )


def _hybrid(total, linear, dense) -> tuple[Layers, ...]:
    """Return groups whose sums are right, whichever layers are linear and dense.

    A row counts layers by one of the two, never by both; a group may count below zero.
    """
    counts = (
        (total - linear, False, dense != total),
        (linear if dense == total else linear - dense, True, dense != total),
        (0 if dense == total else dense, True, False),
    )
    return tuple(
        Layers(sympify(count), sparse=sparse, linear=is_linear)
        for count, is_linear, sparse in counts
        if count != 0
    )


# ---- Conditions: which choices have a thing.


def relevant(found: Sequence[Variant], values: Sequence[Hashable]) -> list[str]:
    """Return the switches that, moved alone, change the value of some variant."""
    marks: dict[Hashable, int] = {}
    numbers = [marks.setdefault(value, len(marks)) for value in values]
    names = []
    for name in found[0].choice:
        known: dict[tuple, int] = {}
        for each, value in zip(found, numbers, strict=True):
            others = tuple(v for k, v in each.choice.items() if k != name)
            if known.setdefault(others, value) != value:
                names.append(name)
                break
    return names


def reduced(found: Sequence[Variant], values: Sequence[Hashable]) -> list[Variant]:
    """Return the variants without those that differ in irrelevant switches only."""
    names, first = relevant(found, values), found[0].choice
    return [
        each
        for each in found
        if all(each.choice[name] == first[name] for name in first if name not in names)
    ]


def condition(found: Sequence[Variant], holders: Set[int]):
    """Return the tree over switches that holds for exactly these variants.

    >>> class Each:
    ...     def __init__(self, **choice):
    ...         self.choice = choice
    >>> condition([Each(tied=False), Each(tied=True)], {0})
    ['not', 'tied']
    """
    if len(holders) == len(found):
        return True
    values = [index in holders for index in range(len(found))]
    names = relevant(found, values)
    chosen = {_project(found[index].choice, names) for index in holders}
    if any(
        (_project(each.choice, names) in chosen) != value
        for each, value in zip(found, values, strict=True)
    ):  # the choices that are refused hide a switch
        names = list(found[0].choice)
        chosen = {_project(found[index].choice, names) for index in holders}
    terms = [
        _joined("and", [_literal(*each) for each in term]) for term in sorted(chosen)
    ]
    return _joined("or", terms)


def _literal(name: str, option):
    if isinstance(option, bool):
        return name if option else ["not", name]
    return ["==", name, option]


def _joined(head: str, trees: list):
    return trees[0] if len(trees) == 1 else [head, *trees]


def _project(choice: Mapping, names: Sequence[str]) -> tuple:
    return tuple((name, choice[name]) for name in names)


# ---- The parameters of all variants, at once.


def all_parameters(found: Sequence[Variant]) -> dict[Parameter, object]:
    """Return every parameter that a variant loads → its condition, in order.

    Parameters of a variant that are alike in all but their count are one.
    """
    order: list[Parameter] = []
    holders: dict[Parameter, set[int]] = {}
    for index, each in enumerate(found):
        place = 0
        for parameter in _merged(forward(each.model).parameters):
            if parameter not in holders:
                order.insert(place, parameter)
            place = order.index(parameter) + 1
            holders.setdefault(parameter, set()).add(index)
    return {parameter: condition(found, holders[parameter]) for parameter in order}


def _merged(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    counts: dict[Parameter, object] = {}
    for each in parameters:
        key = replace(each, count=S.Zero)
        counts[key] = counts.get(key, 0) + each.count
    return (replace(each, count=count) for each, count in counts.items())


@contextmanager
def one_tape(model: Model, parameters: Iterable[Parameter]):
    """Give a model whose tape loads just these, each name led by its place and ":"."""
    loads = [
        Operation(
            "load", (), None, parameters=(replace(each, name=f"{i}:{each.name}"),)
        )
        for i, each in enumerate(parameters)
    ]
    FORWARDS["replayed"] = lambda tape, model: tape.operations.extend(loads)
    yield replace(model, family="replayed")
    del FORWARDS["replayed"]
