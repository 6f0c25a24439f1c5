"""The rules of verdicts, on made-up claims."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from sympy import Rational, Symbol

from llm_memory import ConfigError, claims
from llm_memory.claim_inputs import TWIN, quantity, swaps
from llm_memory.claim_quantities import expression
from llm_memory.claim_rules import VERDICTS, Case, has_digits, verdict
from llm_memory.units import GiB

SHARE = {"quantity": "quotient", "of": 2, "by": 3}  # 0.666…
MEMORY = {"quantity": "product", "memory": "1 GB", "cards": 24}
MADE_UP = {
    "nothing left": ("undetermined", {}),
    "low confidence": (
        "undetermined",
        {"published": 12, "reconstruction_confidence": "low", "recompute": 12},
    ),
    "equal": ("exact", {"published": 12, "recompute": 12}),
    "rounded": ("rounding", {"published": 0.67, "recompute": SHARE}),
    "cut": ("rounding", {"published": 0.66, "recompute": SHARE}),
    "one digit": ("wrong", {"published": 0.7, "recompute": SHARE}),
    "zeros hold places": ("rounding", {"published": 203_500, "recompute": 203_571}),
    "zeros are digits": ("wrong", {"published": 100, "recompute": 97}),
    "value swapped": ("unit-mixup", {"published": 22.35, "unit": "GB"}),
    "input swapped": ("unit-mixup", {"published": 25.77, "unit": "GB"}),
    "no unit to swap": ("wrong", {"published": 22.35, "recompute": 24}),
    "hedged": ("approximation", {"published": 0.7, "recompute": SHARE, "hedge": 1}),
    "premise fails": (
        "wrong",
        {"published": 0.5, "recompute": SHARE, "hedge": 1, "premise": "small"},
    ),
    "premise holds": (
        "approximation",
        {"published": 0.7, "recompute": SHARE, "hedge": 1, "premise": "small"},
    ),
    "off": ("wrong", {"published": 13, "recompute": 12}),
}


def made_up(published=None, unit="", hedge=0, premise="", recompute=None, **facts):
    claim = {"id": "x", "kind": "number", "reason": "so", **facts}
    if published is not None:
        claim["published"] = {"value": Decimal(str(published)), "unit": unit}
        claim["recompute"] = recompute or MEMORY
    if isinstance(recompute, int):
        claim["recompute"] = {"quantity": "total", "number": recompute}
    if hedge:
        claim["hedge"] = {"word": "about", "reason": "it says so"}
    if premise:
        claim["premise"] = {"rule": premise, "reason": "it says so"}
    return claim


@pytest.mark.parametrize("name", MADE_UP)
def test_each_rule(name):
    expected, facts = MADE_UP[name]
    (record,) = claims.judge([made_up(**facts)])
    assert record.verdict == expected, record


def test_a_premise_may_be_another_claim():
    first = made_up(13, recompute=12)
    second = made_up(26, recompute=24, hedge=1) | {"id": "y"}
    second["premise"] = {"rule": "claim", "claim": "x", "reason": "it starts there"}
    assert [r.verdict for r in claims.judge([first, second])] == ["wrong", "wrong"]
    first = made_up(12, recompute=12)
    found = [record.verdict for record in claims.judge([first, second])]
    assert found == ["exact", "approximation"]


def test_the_first_rule_wins():
    """A case to which every rule applies loses one reason after the other."""
    x = Symbol("x")
    half = Rational(1, 3)
    case = Case(False, half, half, Decimal("0.33"), {"twin": half}, hedged=True)
    found = [verdict(case)]
    found.append(verdict(case := replace(case, recoverable=True)))
    found.append(verdict(case := replace(case, published=Rational("0.33"))))
    found.append(verdict(case := replace(case, recomputed=Rational(1, 5))))
    found.append(verdict(case := replace(case, swapped={"twin": Rational(1, 5)})))
    found.append(verdict(replace(case, hedged=False)))
    assert tuple(found) == VERDICTS
    assert verdict(Case(True, (x + 1) ** 2, x**2 + 2 * x + 1)) == "exact"
    assert verdict(Case(True, x**2, x)) == "wrong"


def test_digits():
    """Against Python's own formatting, which rounds the binary value nearby."""
    for value in (Fraction(2, 3), Fraction(22, 7), Fraction(98765, 10**6), 1342.05):
        for digits in (2, 3, 4):
            printed = f"{float(value):#.{digits}g}"
            assert has_digits(Rational(str(value)), Decimal(printed)), printed
            assert not has_digits(Rational(str(value)) * 2, Decimal(printed)), printed


def test_swaps_are_their_own_inverse():
    assert all(TWIN[TWIN[unit]] == unit for unit in TWIN)
    for _, value in swaps(MEMORY):
        assert value in (24 * GiB, Rational(24 * 10**18, GiB))
    assert quantity(MEMORY) == 24 * 10**9


@pytest.mark.parametrize("formula", ["__import__('os')", "h.real", "1.5*h", "q + 1"])
def test_a_formula_has_sizes_and_arithmetic_only(formula):
    with pytest.raises(ConfigError):
        expression(formula)
