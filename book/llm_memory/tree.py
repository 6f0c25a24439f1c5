"""JSON trees of exact expressions: what they are, and their value.

The page evaluates them (exact.js), and so do the rules of data/fields.json.

A tree is one of

- an integer: `7`, or `["int", "9007199254740993"]` from 2^53 on;
- a name: `"b"`;
- `true` or `false`;
- `[operator, argument, ...]`, with an operator of this list:

| operator | arguments | value |
|---|---|---|
| `+` `*` | one or more | sum, product |
| `-` | one or two | negative, difference |
| `/` | two | exact quotient |
| `^` | a tree, and a literal 0 … 512 | power |
| `mod` | two | what is left of a floored division: it has the divisor's sign |
| `floor` `ceiling` | one | whole number below, above |
| `min` `max` | one or more | smallest, largest |
| `<` `<=` `>` `>=` `==` `!=` | two numbers | comparison |
| `and` `or` | one or more conditions | read from the left, as far as needed |
| `not` | one condition | negation |
| `piecewise` | `[value, condition]` pairs | value of the first condition that holds |

Nothing else is a tree. The page has the same list (exact.js).
"""

import math
import operator
import re
from collections.abc import Mapping
from fractions import Fraction

from .errors import ConfigError

LARGEST_PLAIN = 2**53 - 1
LARGEST_POWER = 512
LARGEST_DEPTH = 100
LARGEST_DIGITS = 4000
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DIGITS = re.compile(r"-?[0-9]+")

COMPARISONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def evaluate_tree(tree, values: Mapping[str, "int | Fraction | bool"]):
    """Return the exact value of a tree: an int, a Fraction or a bool.

    Args:
        tree: as the module describes.
        values: an int, a Fraction or a bool for each name in the tree.

    Raises:
        ConfigError: not a tree, a name without a value, a division by zero, a number
            where a condition must be (or the reverse), no condition that holds.

    >>> evaluate_tree(["==", ["mod", "heads", "kv_heads"], 0],
    ...               {"heads": 32, "kv_heads": 8})
    True
    >>> evaluate_tree(["/", ["*", 3, "b"], 4], {"b": 2})
    Fraction(3, 2)
    """
    return _evaluate(tree, values, LARGEST_DEPTH)


def _evaluate(tree, values, depth):
    if isinstance(tree, bool):
        return tree
    if isinstance(tree, int):
        return plain_integer(tree)
    if isinstance(tree, str):
        return _look_up(tree, values)
    head, arguments = split_list(tree, depth)
    if head == "int":
        return big_integer(tree)
    if head == "piecewise":
        return _piecewise(tree, arguments, values, depth - 1)
    if head in ("and", "or"):
        return _junction(tree, values, depth - 1)
    if head == "^":
        base = _number(arguments[0], values, depth - 1)
        return _tidy(base ** exponent_of(tree))
    if head == "not":
        return not _condition(arguments[0], values, depth - 1)
    numbers = [_number(argument, values, depth - 1) for argument in arguments]
    if head in ("/", "mod") and numbers[1] == 0:
        raise ConfigError("tree", tree, "divides by zero")
    return _tidy(NUMERIC[head](*numbers))


def _tidy(value):
    whole = isinstance(value, Fraction) and value.denominator == 1
    return value.numerator if whole else value


NUMERIC = {
    "+": lambda *terms: sum(terms),
    "*": lambda *factors: math.prod(factors),
    "-": lambda first, *second: first - second[0] if second else -first,
    "/": lambda above, below: Fraction(above) / below,
    "mod": operator.mod,
    "floor": math.floor,
    "ceiling": math.ceil,
    "min": lambda *numbers: min(numbers),
    "max": lambda *numbers: max(numbers),
    **COMPARISONS,
}

# How many arguments an operator takes: the fewest, the most (None: any number).
ARITY = {
    "int": (1, 1),
    **dict.fromkeys(("+", "*", "min", "max", "and", "or", "piecewise"), (1, None)),
    "-": (1, 2),
    **dict.fromkeys(("floor", "ceiling", "not"), (1, 1)),
    **dict.fromkeys(("/", "^", "mod", *COMPARISONS), (2, 2)),
}


def split_list(tree, depth: int):
    """Return a list's operator and arguments, checked; `depth` more may be nested."""
    if not isinstance(tree, list | tuple) or not tree:
        raise ConfigError("tree", tree, "must be an integer, a name or a list")
    head, *arguments = tree
    if not isinstance(head, str) or head not in ARITY:
        raise ConfigError("operator", head, f"must be one of {' '.join(ARITY)}")
    fewest, most = ARITY[head]
    if len(arguments) < fewest or (most and len(arguments) > most):
        raise ConfigError("tree", tree, f"{head!r} takes another number of arguments")
    if depth <= 0:
        raise ConfigError("tree", tree, f"is nested deeper than {LARGEST_DEPTH}")
    return head, arguments


def plain_integer(value: int) -> int:
    """Return an integer that stands for itself."""
    if abs(value) > LARGEST_PLAIN:
        raise ConfigError("tree", value, 'must be ["int", "digits"] from 2^53 on')
    return value


def big_integer(tree) -> int:
    """Return the integer of an `["int", digits]` tree."""
    digits = tree[1]
    legal = isinstance(digits, str) and DIGITS.fullmatch(digits)
    if not legal or len(digits) > LARGEST_DIGITS:
        raise ConfigError("tree", tree, "must hold the decimal digits of an integer")
    return int(digits)


def exponent_of(tree) -> int:
    """Return the literal exponent of a `^` tree."""
    exponent = tree[2]
    is_integer = isinstance(exponent, int) and not isinstance(exponent, bool)
    if not is_integer or not 0 <= exponent <= LARGEST_POWER:
        rule = f"the exponent must be an integer, 0 to {LARGEST_POWER}"
        raise ConfigError("tree", tree, rule)
    return exponent


def _look_up(name: str, values):
    if name not in values:
        listed = ", ".join(sorted(values)) or "none"
        raise ConfigError("name", name, f"has no value; there are: {listed}")
    value = values[name]
    if not isinstance(value, int | Fraction):
        raise ConfigError(name, value, "must be an integer, a fraction or a boolean")
    return _tidy(value)


def _number(tree, values, depth):
    value = _evaluate(tree, values, depth)
    if isinstance(value, bool):
        raise ConfigError("tree", tree, "must be a number, and is a condition")
    return value


def _condition(tree, values, depth) -> bool:
    value = _evaluate(tree, values, depth)
    if not isinstance(value, bool):
        raise ConfigError("tree", tree, "must be a condition, and is a number")
    return value


def _junction(tree, values, depth) -> bool:
    decisive = tree[0] == "or"
    for argument in tree[1:]:
        if _condition(argument, values, depth) is decisive:
            return decisive
    return not decisive


def _piecewise(tree, pairs, values, depth):
    for pair in pairs:
        value, condition = pair_of(tree, pair)
        if _condition(condition, values, depth):
            return _evaluate(value, values, depth)
    raise ConfigError("tree", tree, "none of the conditions holds")


def pair_of(tree, pair):
    """Return a `[value, condition]` pair of a piecewise tree, checked."""
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ConfigError("tree", tree, "must hold [value, condition] pairs")
    return pair
