"""The verdicts on a claim, as rules that are tried in order.

- undetermined: nothing can be recovered from the article
- exact: published and recomputed are equal
- rounding: equal after rounding or cutting to the printed digits, two or more
- unit-mixup: so after swapping GB and GiB, or kB and KiB, in the value or an input
- approximation: a hedged or leading-order statement whose premise holds
- wrong: anything else
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from sympy import Expr, expand


@dataclass(frozen=True)
class Case:
    """What the rules look at.

    Attributes:
        recoverable: whether the article leaves something to compare.
        published, recomputed: two numbers, or two expressions.
        digits: the number as it is printed, or None.
        swapped: which unit was swapped → what is recomputed then.
        hedged: whether the statement is hedged and its premise holds.
    """

    recoverable: bool
    published: "Expr | None" = None
    recomputed: "Expr | None" = None
    digits: "Decimal | int | None" = None
    swapped: Mapping[str, Expr] = field(default_factory=dict)
    hedged: bool = False

    @property
    def is_equal(self) -> bool:
        """Whether published and recomputed are the same number or expression."""
        return expand(self.published - self.recomputed) == 0

    @property
    def is_rounded(self) -> bool:
        """Whether the recomputed number has the printed digits."""
        return self._prints_as(self.recomputed)

    @property
    def swap(self) -> str:
        """The first swapped unit that gives what is printed, or nothing."""
        found = (
            name
            for name, value in self.swapped.items()
            if value == self.published or self._prints_as(value)
        )
        return next(found, "")

    def _prints_as(self, value: Expr) -> bool:
        return self.digits is not None and has_digits(value, self.digits)


RULES: tuple[tuple[str, Callable[[Case], bool]], ...] = (
    ("undetermined", lambda case: not case.recoverable),
    ("exact", lambda case: case.is_equal),
    ("rounding", lambda case: case.is_rounded),
    ("unit-mixup", lambda case: bool(case.swap)),
    ("approximation", lambda case: case.hedged),
    ("wrong", lambda case: True),
)
VERDICTS = tuple(name for name, _ in RULES)


def verdict(case: Case) -> str:
    """Return the first verdict whose rule applies.

    >>> from sympy import Rational
    >>> verdict(Case(True, Rational(26), Rational("26.03"), digits=26))
    'rounding'
    """
    return next(name for name, rule in RULES if rule(case))


def has_digits(value: Expr, printed: "Decimal | int") -> bool:
    """Return whether a number, rounded or cut to the printed digits, is as printed.

    Fewer than two digits prove nothing. Zeros at the end of an integer are digits, or
    they only hold places.

    >>> from sympy import Rational
    >>> has_digits(Rational(203571), 203500), has_digits(Rational("0.82"), 1)
    (True, False)
    """
    value, target = Fraction(str(value)), Fraction(str(printed))
    digits = "".join(map(str, Decimal(printed).as_tuple().digits))
    lengths = {len(digits)}
    if target.denominator == 1:
        lengths.add(len(digits.rstrip("0")))
    for kept in lengths - {0, 1}:
        step = Fraction(10) ** (_places(value) - kept)
        if target in (value // step * step, (value + step / 2) // step * step):
            return True
    return False


def _places(value: Fraction) -> int:
    """Return the digits before the point; below 0.1 minus the zeros after it."""
    places = len(str(int(value))) if value >= 1 else 0
    while 0 < value * 10 < 1:
        value, places = value * 10, places - 1
    return places
