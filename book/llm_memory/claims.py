"""The claims of the source article, recomputed by the library and judged by rule.

data/claims.json has each claim in our words, what the article prints, and what it is
recomputed from: a quantity of the library and its inputs. Hedges and premises are
data, with a reason. No verdict on a number or a formula is data: the rules of
`claim_rules` find it. A qualitative claim has a verdict with a reason, and what it
rests on is recomputed too.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cache

from sympy import Expr, Rational

from .claim_inputs import TWIN, factor, quantity, swaps, unit_of
from .claim_quantities import expression, names_of
from .claim_rules import RULES, Case, verdict
from .errors import ConfigError, choose
from .fields import DATA
from .symbols import symbol
from .units import format_decimal

MUCH = 10  # "much larger" and "small" mean a factor of ten
SOUND = ("exact", "rounding", "approximation")


@dataclass(frozen=True)
class Judgement:
    """The verdict on one claim. An attribute may also be read as a key.

    Attributes:
        id: the claim's id in data/claims.json.
        verdict: a verdict of `claim_rules`.
        published: what the article prints: a number in `unit`, an expression where the
            claim is a formula, or None.
        recomputed: what the library gives in its place, in the same unit, or None.
        unit: the unit that the article prints.
        relative_difference: (published − recomputed) / recomputed, or None.
        explanation: why this verdict, and what is right.
    """

    id: str
    verdict: str
    published: "int | float | Expr | None"
    recomputed: "int | float | Expr | None"
    unit: str
    relative_difference: float | None
    explanation: str

    def __getitem__(self, name: str):
        return choose("key", name, vars(self))


@cache
def load() -> dict[str, Mapping]:
    """Return the claims of data/claims.json by id, numbers as they are printed.

    >>> load()["S2.5.3-llama-1.6"]["published"]["value"]
    Decimal('1.6')
    """
    text = (DATA / "claims.json").read_text(encoding="utf-8")
    claims = json.loads(text, parse_float=Decimal)["claims"]
    return {claim["id"]: claim for claim in claims}


def judge(claims: "Iterable[Mapping] | None" = None) -> tuple[Judgement, ...]:
    """Return the verdict on each claim, in the article's order.

    Args:
        claims: entries as in data/claims.json; None: all of that file.

    Raises:
        ConfigError: an entry names an unknown quantity, model or choice.

    >>> by_id = {record.id: record for record in judge()}
    >>> record = by_id["S2.5.3-llama-kv"]
    >>> record.verdict, record.published, record.recomputed
    ('wrong', 42949672960, 53687091200)
    """
    if claims is None:
        return _judge_all()
    known = {claim["id"]: claim for claim in claims}
    return tuple(_judge(claim, known) for claim in known.values())


@cache
def _judge_all() -> tuple[Judgement, ...]:
    return judge(load().values())


def reason(claim: Mapping) -> str:
    """Return what a claim's entry says about it, with its numbers recomputed."""
    shown = {
        name: text(quantity(each) / factor(each.get("in", "")), each.get("in", ""))
        for name, each in claim.get("shows", {}).items()
    }
    return claim.get("reason", "").format(**shown)


def _judge(claim: Mapping, known: Mapping) -> Judgement:
    if "verdict" in claim:
        return _judged_by_reason(claim)
    case, unit = _case(claim, known), _unit(claim)
    found = verdict(case)
    at = {symbol(name): value for name, value in claim.get("at", {}).items()}
    sides = [
        None if side is None else side.subs(at)
        for side in (case.published, case.recomputed)
    ]
    difference = 0.0 if found == "exact" else _difference(*sides)
    sentence = SENTENCES[found].format(
        right=text(sides[1], unit, digits=6 if found == "rounding" else 4) + _at(at),
        swap=case.swap,
        hedge=claim.get("hedge", {}).get("word", ""),
        difference=_off(difference),
    )
    explanation = f"{sentence} {reason(claim)}".strip()
    shown = (_plain(side) for side in sides)
    return Judgement(claim["id"], found, *shown, unit, difference, explanation)


SENTENCES = {
    "undetermined": "",
    "exact": "Recomputed: the same.",
    "rounding": "It is {right}.",
    "unit-mixup": "It is {right}. The printed number comes from {swap}.",
    "approximation": "It is {right}. Hedged (“{hedge}”), {difference}.",
    "wrong": "Right is {right}: the claim is {difference}.",
}


def _at(sizes: Mapping) -> str:
    listed = ", ".join(f"{size} = {value:,}" for size, value in sizes.items())
    return f" at {listed}" if listed else ""


def _judged_by_reason(claim: Mapping) -> Judgement:
    if claim["kind"] not in ("qualitative", "setting"):
        rule = "is found by rule; only what is not computed may have a verdict"
        raise ConfigError("verdict", claim["id"], rule)
    choose("verdict", claim["verdict"], dict(RULES))
    unit, why = _unit(claim), reason(claim)
    return Judgement(claim["id"], claim["verdict"], None, None, unit, None, why)


def _case(claim: Mapping, known: Mapping) -> Case:
    """Collect what the rules look at."""
    printed = claim.get("published", {}).get("value")
    number = None if printed is None else Rational(str(printed))
    if claim.get("reconstruction_confidence") == "low" or "recompute" not in claim:
        return Case(False, number)
    entry, one = claim["recompute"], factor(_unit(claim))
    recomputed = quantity(entry) / one
    if "states" in claim:
        where = {name: quantity(each) for name, each in claim.get("where", {}).items()}
        stated = expression(claim["states"], where)
        published = stated.subs(names_of(claim.get("sizes", {}))) / one
        case = Case(True, published, recomputed)
    else:
        swapped = dict(_swapped(entry, _unit(claim), recomputed))
        case = Case(True, number, recomputed, printed, swapped)
    return replace(case, hedged="hedge" in claim and _holds(claim, case, known))


def _swapped(entry: Mapping, unit: str, recomputed: Expr) -> Iterator[tuple[str, Expr]]:
    twin = TWIN.get(unit_of(unit))
    if twin:
        yield f"{twin} called {unit}", recomputed * factor(unit) / factor(twin)
    for swap, value in swaps(entry):
        yield swap, value / factor(unit)


def _holds(claim: Mapping, case: Case, known: Mapping) -> bool:
    """Return whether the premise of a hedged statement holds; none always does."""
    premise = claim.get("premise")
    if premise is None:
        return True
    test = choose("premise", premise["rule"], PREMISES)
    return test(premise, claim, case, known)


def _rests_on(premise, claim, case, known) -> bool:
    """Another claim is sound."""
    return _judge(known[premise["claim"]], known).verdict in SOUND


def _is_small(premise, claim, case, known) -> bool:
    """What is left out is small beside what is kept."""
    at = {symbol(name): value for name, value in claim.get("at", {}).items()}
    kept, all_ = case.published.subs(at), case.recomputed.subs(at)
    return bool(MUCH * abs(all_ - kept) <= kept)


def _is_larger(premise, claim, case, known) -> bool:
    """One quantity is much larger than another."""
    return bool(quantity(premise["large"]) >= MUCH * expression(premise["than"]))


PREMISES = {"claim": _rests_on, "small": _is_small, "much larger": _is_larger}


def _unit(claim: Mapping) -> str:
    return claim.get("published", claim).get("unit", "")


def _difference(published: "Expr | None", recomputed: "Expr | None") -> float | None:
    if recomputed is None or not (published.is_number and recomputed.is_number):
        return None
    return float((published - recomputed) / recomputed)


def _off(difference: float | None) -> str:
    if difference is None:
        return "another expression"
    if abs(difference) >= 1:
        return f"{1 + difference:.3g} times as large"
    return f"{abs(100 * difference):.2g} % too {'high' if difference > 0 else 'low'}"


def _plain(value: "Expr | None") -> "int | float | Expr | None":
    """Return a number as Python's own, exact if it is an integer."""
    if value is None or not value.is_number:
        return value
    return int(value) if value.is_Integer else float(value)


def text(value: "Expr | None", unit: str = "", digits: int = 4) -> str:
    """Return a number with some digits or all of an integer's, or an expression.

    Ratios have one digit less.

    >>> text(Rational("2.0624"), "x"), text(Rational(53687091200), "B")
    ('2.06 ×', '53,687,091,200 B')
    """
    if value is None:
        return ""
    mark = {"x": " ×", "": ""}.get(unit, f" {unit_of(unit)}")
    digits -= unit in ("x", "%")
    if not value.is_number:
        return f"{value}{mark}"
    if value.is_Integer:
        return f"{int(value):,}{mark}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return format_decimal(Fraction(str(value)), places) + mark
