"""What claims are recomputed from: readings of the library, and what follows of them.

`QUANTITIES` has them by name. Their inputs are numbers, expressions, and words: the
name of a model, or a choice.
"""

import ast
import json
import operator
from collections.abc import Callable, Mapping
from functools import cache
from math import prod

from sympy import Dummy, Expr, Integer, Max, Rational, Symbol, limit, oo, solve
from sympy import ceiling as sympy_ceiling
from sympy import floor as sympy_floor

from .activations import layer_activations, training_activations
from .compute import flops
from .errors import ConfigError, choose
from .hardware import load_hardware
from .inference import decode_peak, prefill_peak
from .kv_cache import kv_cache
from .ledger import Ledger
from .model import load_model, symbolic
from .symbols import TABLE
from .training import training_states
from .weights import weights


def names_of(model) -> dict[Symbol, Expr]:
    """Return what stands for each size in a claim about a model.

    Args:
        model: a bundled name, or {"family": model_type, flag: bool, size: expression}.

    >>> names_of({"family": "llama", "k": "a"})
    {k: a}
    """
    if isinstance(model, Mapping):
        return {
            TABLE[name].symbol: expression(value)
            for name, value in model.items()
            if name in TABLE
        }
    return {TABLE[name].symbol: size for name, size in load_model(model).sizes.items()}


def expression(given, names: Mapping[str, Expr] | None = None) -> Expr:
    """Return a number, or a formula in the letters of `symbols` and in further names.

    Raises:
        ConfigError: an unknown name, or anything but + − × / and powers.

    >>> expression("4*L*h**2")
    4*L*h**2
    """
    if not isinstance(given, str):
        return Rational(str(given))
    letters = {name: size.symbol for name, size in TABLE.items()}
    return _parsed(ast.parse(given, mode="eval").body, letters | dict(names or {}))


def _parsed(node: ast.AST, names: Mapping[str, Expr]) -> Expr:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Integer(node.value)
    if isinstance(node, ast.Name):
        return choose("name", node.id, names)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        sides = (_parsed(side, names) for side in (node.left, node.right))
        return OPERATORS[type(node.op)](*sides)
    raise ConfigError("formula", ast.unparse(node), "must be made of + - * / ** only")


OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip
WORDS = {
    "model", "moment", "part", "row", "counted", "quantization", "recompute",
    "attention", "phase", "card", "capacity", "size",
}  # fmt: skip


@cache
def _made(reading: Callable, given: str):
    """Return a reading of a model; both come as JSON, so that it is made only once."""
    model, options = json.loads(given)
    if isinstance(model, str):
        return reading(load_model(model), **options)
    flags = {name: value for name, value in model.items() if isinstance(value, bool)}
    found = reading(symbolic(model["family"], **flags), **options)
    return found.substitute(names_of(model))


def _reading(reading: Callable, counted: str = "bytes") -> Callable:
    """Return a function that gives the sum of a reading, of a part or of a row.

    A peak is read at one of its moments, or at the largest.
    """

    def read(model, moment="", part="", row="", counted=counted, **given) -> Expr:
        sizes = {TABLE[n].symbol: v for n, v in given.items() if n in TABLE}
        options = {n: v for n, v in given.items() if n not in TABLE}
        found = _made(reading, json.dumps([model, options]))
        if moment:
            found = _by_ending("moment", moment, found.moments)
        if part:
            found = choose("part", part, found.parts)
        if row:
            rows = {each.name: each for each in found}
            found = Ledger([_by_ending("row", row, rows)])
        return getattr(found, counted).subs(sizes, simultaneous=True).doit()

    return read


def _by_ending(field: str, name: str, options: Mapping):
    """Choose by what stands after the number of the layer."""
    return choose(field, name, {k.rpartition("}.")[2]: v for k, v in options.items()})


def size(model, size) -> Expr:
    """A size of a model's config."""
    return load_model(model).sizes[size]


def memory(card, count=1, capacity="label") -> Expr:
    """Memory of some cards, by their label or as the driver reports it."""
    hardware = load_hardware(card)
    each = {"label": hardware.label_bytes, "driver": hardware.bytes}
    return count * choose("capacity", capacity, each)


def total(**parts) -> Expr:
    """The sum of the inputs."""
    return sum(parts.values())


def largest(**parts) -> Expr:
    """The largest of the inputs."""
    return Max(*parts.values())


def difference(of, less) -> Expr:
    """What is left."""
    return of - less


def product(**factors) -> Expr:
    """The inputs multiplied."""
    return prod(factors.values())


def quotient(of, by) -> Expr:
    """One input in multiples of the other."""
    return of / by


def floor(of) -> Expr:
    """What is left after rounding down."""
    return sympy_floor(of)


def ceiling(of) -> Expr:
    """What there is after rounding up."""
    return sympy_ceiling(of)


def tokens(memory, per_token) -> Expr:
    """Tokens that fit into some memory, as a quotient."""
    return memory / per_token


def requests(capacity, weights, request) -> Expr:
    """Requests that fit beside the weights, as a quotient."""
    return (capacity - weights) / request


def nodes(users, requests) -> Expr:
    """Nodes for that many users, if each node serves whole requests at a time."""
    return sympy_ceiling(users / sympy_floor(requests))


def most(of, budget, size) -> Expr:
    """The value of a size at which something takes exactly a budget."""
    free = Dummy(positive=True)
    (value,) = solve((of - budget).subs(TABLE[size].symbol, free), free)
    return value


def share(of, total, size) -> Expr:
    """The share of something in a total, in the limit of a large size."""
    return limit(of / total, TABLE[size].symbol, oo)


def leading(of, size) -> Expr:
    """The power of a size that something grows with."""
    grows = TABLE[size].symbol
    return grows ** limit(of.diff(grows) * grows / of, grows, oo)


QUANTITIES: dict[str, Callable[..., Expr]] = {
    "weights": _reading(weights),
    "kv_cache": _reading(kv_cache),
    "layer_activations": _reading(layer_activations),
    "training_activations": _reading(training_activations),
    "training_states": _reading(training_states),
    "prefill_peak": _reading(prefill_peak),
    "decode_peak": _reading(decode_peak),
    "flops": _reading(flops, "total"),
}
QUANTITIES |= {
    function.__name__: function
    for function in (
        size, memory, total, largest, difference, product, quotient, floor, ceiling,
        tokens, requests, nodes, most, share, leading,
    )
}  # fmt: skip
