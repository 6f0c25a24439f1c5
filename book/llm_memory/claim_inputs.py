"""The inputs of claims, as data/claims.json has them, and what they give.

A claim names a quantity of `claim_quantities` and its inputs. An input is a number, an
amount of memory as the article prints it ("24.6 GB"), an expression, the name of a
model or a choice, or another quantity.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sympy import Expr, Rational

from .claim_quantities import QUANTITIES, WORDS, expression
from .errors import choose
from .units import UNITS

AMOUNT = re.compile(r"([\d.]+) ([kKMGT]i?B|B)")
# A prefix of the other family, for each unit that has a prefix.
TWIN = {f"{p}B": f"{i}iB" for p, i in zip("kMGT", "KMGT", strict=True)}
TWIN |= {iec: si for si, iec in TWIN.items()}


def unit_of(printed: str) -> str:
    """Return the unit that a label stands for; "KB" is taken for kB.

    >>> unit_of("KB"), unit_of("GiB")
    ('kB', 'GiB')
    """
    return "kB" if printed == "KB" else printed


def factor(printed: str) -> Rational:
    """Return how many bytes, or parts of one for "%", a unit stands for.

    >>> factor("KB"), factor("%"), factor("requests")
    (1000, 1/100, 1)
    """
    return Rational(UNITS.get(unit_of(printed), 1)) / (100 if printed == "%" else 1)


@dataclass(frozen=True)
class Input:
    """The value of an input, memory in bytes, and the unit that it is printed in."""

    value: Expr
    unit: str = ""


def quantity(entry: Mapping) -> Expr:
    """Return the value of a quantity: a number, or an expression in b, s and t.

    Raises:
        ConfigError: an unknown quantity, model or choice.

    >>> quantity({"quantity": "kv_cache", "model": "LLaMA-13B", "b": 1, "t": 1})
    819200
    """
    function, inputs = _read(entry)
    return _call(function, inputs)


def swaps(entry: Mapping) -> Iterator[tuple[str, Expr]]:
    """Yield the quantity with the unit of one input swapped, and which swap it was.

    >>> request = {"quantity": "product", "per_token": "1 KB", "tokens": 1000}
    >>> dict(swaps(request))
    {'kB read as KiB (per token)': 1024000, 'KiB read as kB (per token)': 1953125/2}
    """
    function, inputs = _read(entry)
    for name, given in inputs.items():
        twin = TWIN.get(given.unit)
        if twin:
            for read, meant in ((twin, given.unit), (given.unit, twin)):
                scaled = given.value * UNITS[read] / UNITS[meant]
                swapped = inputs | {name: Input(scaled)}
                what = f"{meant} read as {read} ({name.replace('_', ' ')})"
                yield what, _call(function, swapped)


def _read(entry: Mapping) -> tuple[Callable, dict[str, Input]]:
    function = choose("quantity", entry["quantity"], QUANTITIES)
    given = {n: v for n, v in entry.items() if n not in ("quantity", "printed", "in")}
    return function, {name: _input(name, value) for name, value in given.items()}


def _input(name: str, value) -> Input:
    if isinstance(value, Mapping) and "quantity" in value:
        return Input(quantity(value), unit_of(value.get("printed", "")))
    amount = AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if amount:
        unit = unit_of(amount[2])
        return Input(Rational(amount[1]) * UNITS[unit], unit)
    if isinstance(value, bool | Mapping) or name in WORDS:
        return Input(value)
    return Input(expression(value))


def _call(function: Callable, inputs: Mapping[str, Input]) -> Expr:
    return function(**{name: given.value for name, given in inputs.items()})
