"""Which moments of a peak can be left out, because another one is never smaller.

Sizes are integers >= 1. A difference is at least 0 everywhere if, with every size x
written as 1 + x', it has no negative coefficient. Where a moment depends on whether a
size is 1, the cases x = 1 and x >= 2 are looked at apart. The test is sufficient, not
necessary: a moment that it cannot judge stays.
"""

from collections.abc import Mapping
from fractions import Fraction
from itertools import product

from sympy import (
    Add,
    Dummy,
    Eq,
    Expr,
    Function,
    Max,
    Min,
    Ne,
    Piecewise,
    S,
    Symbol,
    floor,
)
from sympy.core.relational import Relational

from .ledger import Ledger

Polynomial = dict[Expr, Fraction]


def undominated(moments: Mapping[str, Ledger]) -> dict[str, Ledger]:
    """Return the moments that no other one outweighs at all sizes.

    Of moments that are always equal the earliest stays.

    >>> from .ledger import Tensor
    >>> from .symbols import b, s
    >>> small = Ledger([Tensor("x", (b, s), "bf16")])
    >>> large = Ledger([Tensor("x", (b, s), "fp32")])
    >>> list(undominated({"small": small, "large": large, "again": large}))
    ['large']
    """
    cases = [_Case(each) for each in _cases(moments.values())]
    names = list(moments)
    sums = {name: [case.sum(moments[name]) for case in cases] for name in names}
    stays = dict.fromkeys(names)
    for name in names:
        for other in list(stays):
            if name != other and _never_less(sums[other], sums[name]):
                later = names.index(other) > names.index(name)
                if later and _never_less(sums[name], sums[other]):
                    continue  # equal: the earlier one stays
                del stays[name]
                break
    return {name: moments[name] for name in stays}


def _never_less(left: list[Polynomial], right: list[Polynomial]) -> bool:
    return all(
        one.get(term, 0) >= other.get(term, 0)
        for one, other in zip(left, right, strict=True)
        for term in one.keys() | other.keys()
    )


def _cases(ledgers) -> list[dict]:
    """Return what to replace: each size that is compared with 1 is 1, or at least 2.

    A window that is compared with the tokens is wider, or at most as wide.
    """
    expressions = {
        each for ledger in ledgers for row in ledger for each in (row.count, *row.shape)
    }
    choices: dict[Symbol, list] = {}
    relations = set().union(*(each.atoms(Relational) for each in expressions))
    for relation in sorted(relations, key=str):
        left, right = relation.args
        if isinstance(relation, Eq | Ne) and left.is_Symbol:
            if right == 1:
                choices[left] = [S.One, 2 + Dummy(nonnegative=True)]
            elif right.is_Symbol:  # heads: equal, or a multiple
                choices[left] = [right, right * (2 + Dummy(nonnegative=True))]
    cases = [
        dict(zip(choices, values, strict=True)) for values in product(*choices.values())
    ]
    windowed = set().union(*(each.atoms(Min) for each in expressions))
    widths = {width for each in windowed for width in each.args if width.is_Integer}
    tokens = {each for least in windowed for each in least.args if each.is_Symbol}
    if len(tokens) != 1 or max(widths, default=0) - min(widths, default=0) > 1:
        return cases
    (held,) = tokens
    narrower = {held: max(widths) + Dummy(nonnegative=True)}
    wider = dict.fromkeys(windowed, held)
    return [case | each for case in cases for each in (narrower, wider)]


class _Case:
    """Polynomials in sizes that start at 0, some of which are fixed."""

    def __init__(self, replaced: Mapping[Symbol, Expr]):
        self._replaced = replaced
        self._touched = set().union(*(each.free_symbols for each in replaced))
        self._sizes: dict[Expr | tuple, Symbol] = {}
        self._known: dict[tuple, Polynomial] = {}

    def sum(self, ledger: Ledger) -> Polynomial:
        result: Polynomial = {}
        for row in ledger:
            size = (row.count, row.shape, row.dtype)
            if size not in self._known:
                self._known[size] = self._polynomial(row.bytes)
            for term, factor in self._known[size].items():
                result[term] = result.get(term, 0) + factor
        return result

    def _polynomial(self, expression: Expr) -> Polynomial:
        for _ in range(2):  # what takes a size's place may hold a size
            if expression.free_symbols & self._touched:
                expression = expression.subs(self._replaced, simultaneous=True)
        opaque = expression.atoms(Function, Max, Min, Piecewise)
        if opaque:
            outer = {each for each in opaque if not any(each in o.args for o in opaque)}
            sizes = {each: self._opaque(each) for each in outer}
            expression = expression.subs(sizes)
        shifted = {
            each: self._size(each, 1)
            for each in expression.free_symbols
            if not isinstance(each, Dummy)
        }
        expression = expression.subs(shifted, simultaneous=True).expand()
        result: Polynomial = {}
        for summand in Add.make_args(expression):
            factor, term = summand.as_coeff_Mul()
            result[term] = result.get(term, 0) + Fraction(factor.p, factor.q)
        return result

    def _opaque(self, each: Expr) -> Expr:
        """Return a size for what is no polynomial; floor(x + i/n) grows with i."""
        if isinstance(each, floor):
            shift, rest = each.args[0].as_coeff_Add()
            steps = shift * rest.as_coeff_Mul()[0].q
            if steps.is_Integer and steps >= 0:
                growth = (self._size((rest, i), 0) for i in range(1, steps + 1))
                return self._size(floor(rest), 0) + sum(growth)
        return self._size(each, 0)

    def _size(self, each: Expr | tuple, least: int) -> Expr:
        if each not in self._sizes:
            self._sizes[each] = Dummy(nonnegative=True)
        return least + self._sizes[each]
