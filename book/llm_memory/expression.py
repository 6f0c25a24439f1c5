"""Exact expressions: SymPy to a JSON tree (see tree.py) and back."""

import sympy
from sympy import Add, Basic, Integer, Mul, Pow, Rational, Symbol, ordered

from .errors import ConfigError
from .symbols import TABLE
from .tree import (
    LARGEST_DEPTH,
    LARGEST_PLAIN,
    LARGEST_POWER,
    NAME,
    big_integer,
    evaluate_tree,
    exponent_of,
    pair_of,
    plain_integer,
    split_list,
)

__all__ = ["evaluate_tree", "from_tree", "symbols_of", "to_tree"]

# SymPy's classes that travel as they are, arguments in order.
CLASSES = {
    "+": sympy.Add,
    "mod": sympy.Mod,
    "floor": sympy.floor,
    "ceiling": sympy.ceiling,
    "min": sympy.Min,
    "max": sympy.Max,
    "and": sympy.And,
    "or": sympy.Or,
    "not": sympy.Not,
    "<": sympy.StrictLessThan,
    "<=": sympy.LessThan,
    ">": sympy.StrictGreaterThan,
    ">=": sympy.GreaterThan,
    "==": sympy.Equality,
    "!=": sympy.Unequality,
}
OPERATORS = {kind: head for head, kind in CLASSES.items()}
UNORDERED = {"+", "min", "max", "and", "or"}


def to_tree(expression):
    """Return a SymPy expression, or condition, as a tree.

    The tree is exact: `floor(s/49)` divides by 49, where SymPy multiplies by 1/49.

    Raises:
        ConfigError: a kind of expression that is not in the list: Sum, a function,
            a float, a root … The message names it.

    >>> from llm_memory.symbols import b, s
    >>> to_tree(b * sympy.floor(s / 49))
    ['*', 'b', ['floor', ['/', 's', 49]]]
    """
    if not isinstance(expression, Basic | int | float):
        raise ConfigError("expression", expression, "must be a SymPy expression")
    expression = sympy.sympify(expression)
    if expression in (sympy.true, sympy.false):
        return bool(expression)
    if isinstance(expression, Integer):
        value = int(expression)
        return value if abs(value) <= LARGEST_PLAIN else ["int", str(value)]
    if type(expression) is Symbol:
        return _name(expression)
    if isinstance(expression, Rational | Mul | Pow):
        return _quotient(expression)
    if isinstance(expression, sympy.Piecewise):
        return ["piecewise", *([to_tree(v), to_tree(c)] for v, c in expression.args)]
    head = OPERATORS.get(type(expression))
    if head is None:
        kind = type(expression).__name__
        raise ConfigError(kind, expression, "is not a listed kind of expression")
    arguments = expression.args
    if head in UNORDERED:
        arguments = ordered(arguments)
    return [head, *(to_tree(argument) for argument in arguments)]


def from_tree(tree):
    """Return a tree as a SymPy expression, with the book's symbols where it names them.

    Raises:
        ConfigError: not a tree.

    >>> from_tree(["/", ["*", 3, "b"], 2])
    3*b/2
    """
    return _build(tree, LARGEST_DEPTH)


def symbols_of(tree) -> set[str]:
    """Return the names that occur in a tree.

    >>> sorted(symbols_of(["+", "b", ["*", 2, "t"]]))
    ['b', 't']
    """
    return {str(symbol) for symbol in from_tree(tree).free_symbols}


def _name(symbol: Symbol) -> str:
    if not NAME.fullmatch(symbol.name):
        raise ConfigError("symbol", symbol.name, "must be letters, digits and _")
    return symbol.name


def _quotient(expression):
    above, below = [], []
    for factor in Mul.make_args(expression):
        if isinstance(factor, Rational):
            above += [Integer(factor.p)] if factor.p != 1 else []
            below += [Integer(factor.q)] if factor.q != 1 else []
        elif isinstance(factor, Pow) and factor.exp.is_Integer and factor.exp < 0:
            below.append(factor.base**-factor.exp)
        else:
            above.append(factor)
    tree = _product_tree(above)
    return ["/", tree, _product_tree(below)] if below else tree


def _product_tree(factors):
    if factors[:1] == [-1] and len(factors) > 1:
        return ["-", _product_tree(factors[1:])]
    trees = [_factor_tree(factor) for factor in factors]
    return ["*", *trees] if len(trees) > 1 else (trees or [1])[0]


def _factor_tree(factor):
    if not isinstance(factor, Pow):
        return to_tree(factor)
    base, power = factor.args
    if not power.is_Integer or not 0 <= power <= LARGEST_POWER:
        rule = f"the exponent must be an integer, at most {LARGEST_POWER}"
        raise ConfigError("Pow", factor, rule)
    return ["^", to_tree(base), int(power)]


def _build(tree, depth):
    if isinstance(tree, bool):
        return sympy.sympify(tree)
    if isinstance(tree, int):
        return Integer(plain_integer(tree))
    if isinstance(tree, str):
        return _symbol(tree)
    head, arguments = split_list(tree, depth)
    if head == "int":
        return Integer(big_integer(tree))
    if head == "piecewise":
        pairs = [pair_of(tree, pair) for pair in arguments]
        built = [(_build(v, depth - 1), _build(c, depth - 1)) for v, c in pairs]
        return sympy.Piecewise(*built)
    if head == "^":
        return _build(arguments[0], depth - 1) ** exponent_of(tree)
    built = [_build(argument, depth - 1) for argument in arguments]
    if head in ("/", "mod") and built[1] == 0:
        raise ConfigError("tree", tree, "divides by zero")
    return SYMPY[head](*built) if head in SYMPY else CLASSES[head](*built)


def _product(*factors) -> Basic:
    # Mul(2, a + b) becomes 2*a + 2*b; a factored expression shall stay factored.
    product = Mul(*factors)
    numbers = [factor for factor in factors if factor.is_Rational]
    rest = [factor for factor in factors if not factor.is_Rational]
    number = Mul(*numbers)
    if not product.is_Add or len(rest) != 1 or number == 1:
        return product
    return Mul(number, *rest, evaluate=False)


def _difference(first, second=None) -> Basic:
    return _product(Integer(-1), first) if second is None else Add(first, -second)


SYMPY = {
    "*": _product,
    "-": _difference,
    "/": lambda above, below: _product(Pow(below, -1), above),
}


def _symbol(name: str) -> Symbol:
    if not NAME.fullmatch(name):
        raise ConfigError("symbol", name, "must be letters, digits and _")
    return TABLE[name].symbol if name in TABLE else Symbol(name, integer=True)
