"""What is off about an answer to an exercise, if a known slip explains it.

The slips are tried in this order, exact answers before rounded ones:

1. unit: a decimal prefix for a binary one, or the other way (kB and KiB … TB and TiB)
2. bits: bits for bytes, or the other way
3. two: a factor of 2, or of 1/2
4. heads: query heads a for KV heads k, or the other way; needs a model
5. layers: one of L layers counted; needs a model

Slips of the same factor cannot be told apart, and the sentence names them all. Nothing
else is guessed: any other answer is off by a factor.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from numbers import Rational

from sympy import Rational as Exact
from sympy import sympify

from .claim_rules import has_digits
from .claims import text
from .errors import ConfigError
from .model import Model
from .units import UNITS

PREFIXES = (("kB", "KiB"), ("MB", "MiB"), ("GB", "GiB"), ("TB", "TiB"))
BITS_OF_A_BYTE = 8
KINDS = (str, float, Decimal, Rational)
RULE = "must be a number > 0, as an integer, a fraction or its decimal digits"


@dataclass(frozen=True)
class Remark:
    """What is to be said about an answer; `str()` is the sentence.

    Attributes:
        slip: "none", "unit", "bits", "two", "heads", "layers" or "other": the first in
            the module's order that explains the answer.
        is_rounded: whether the answer agrees with that only after rounding or cutting.
        ratio: answer / truth, exactly.
        sentence: the same in words, with every slip of that factor.
    """

    slip: str
    is_rounded: bool
    ratio: Fraction
    sentence: str

    @property
    def is_right(self) -> bool:
        """Whether the answer is the truth, or the truth rounded."""
        return self.slip == "none"

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Slip:
    """A known slip: its name, what it does to the truth, and its words."""

    name: str
    factor: Fraction
    words: str


def check(answer, truth, model: "Model | None" = None) -> Remark:
    """Return what is off about an answer, with exact rational arithmetic.

    Args:
        answer: a number in the unit of the truth. Only one with decimal digits (an
            integer, a `Decimal`, a string or a float) may count as rounded, and only
            from two digits on.
        truth: what is right: a number of any of these kinds, or of SymPy's.
        model: whose a, k and L are tried; None: those slips are not known.

    Raises:
        ConfigError: not a number > 0, or a model whose sizes are symbols.

    >>> import llm_memory as lm
    >>> model = lm.load_model("Qwen3-0.6B")
    >>> truth = lm.kv_cache(model).evaluate(b=1, t=2048)
    >>> print(check(truth, truth))
    Right.
    >>> print(check(2 * truth, truth, model))
    Too large by a factor of 2: a factor of 2; or query heads (a) and KV heads (k).
    >>> print(check("53.7", 50))
    Rounded; too large by a factor of 1.074: GB and GiB are mixed up.
    >>> print(check(3, 2))
    Off by a factor of 1.500, which no listed slip explains.
    """
    (given, digits), (right, _) = _number("answer", answer), _number("truth", truth)
    ratio = given / right
    slips = (Slip("none", Fraction(1), ""), *_slips(model))
    for is_rounded in (False, True):
        for slip in slips:
            value = right * slip.factor
            rounded = digits is not None and has_digits(value, digits)
            if rounded if is_rounded else given == value:
                sentence = _sentence(slip, slips, is_rounded)
                return Remark(slip.name, is_rounded, ratio, sentence)
    off = f"Off by a factor of {_short(ratio)}, which no listed slip explains."
    return Remark("other", False, ratio, off)


def _slips(model: "Model | None") -> Iterator[Slip]:
    for decimal, binary in PREFIXES:
        words = f"{decimal} and {binary} are mixed up"
        yield from _both("unit", Fraction(UNITS[binary], UNITS[decimal]), words)
    yield from _both("bits", Fraction(BITS_OF_A_BYTE), "bits and bytes are mixed up")
    yield from _both("two", Fraction(2), "a factor of 2")
    if model is None:
        return
    sizes = {name: _size(model, name) for name in ("a", "k", "L")}
    if sizes["a"] and sizes["k"] and sizes["a"] != sizes["k"]:
        heads = Fraction(sizes["a"], sizes["k"])
        yield from _both("heads", heads, "query heads (a) and KV heads (k)")
    if sizes["L"] and sizes["L"] > 1:
        words = f"one layer, where the model has {sizes['L']}"
        yield Slip("layers", Fraction(1, sizes["L"]), words)


def _both(name: str, factor: Fraction, words: str) -> tuple[Slip, Slip]:
    return Slip(name, factor, words), Slip(name, 1 / factor, words)


def _size(model: Model, name: str) -> "int | None":
    size = getattr(model, name)
    if size is not None and not sympify(size).is_Integer:
        raise ConfigError(name, size, "must be an integer: the model is symbolic")
    return None if size is None else int(size)


def _sentence(slip: Slip, slips: tuple[Slip, ...], is_rounded: bool) -> str:
    if slip.name == "none":
        return "Right, rounded." if is_rounded else "Right."
    is_large = slip.factor > 1
    factor = _short(slip.factor if is_large else 1 / slip.factor)
    words = "; or ".join(s.words for s in slips if s.factor == slip.factor)
    start = (
        f"{'Rounded; too' if is_rounded else 'Too'} {'large' if is_large else 'small'}"
    )
    return f"{start} by a factor of {factor}: {words}."


def _short(ratio: Fraction) -> str:
    return text(Exact(ratio.numerator, ratio.denominator))


def _number(field: str, value) -> "tuple[Fraction, Decimal | None]":
    """Return an exact number, and its decimal digits where it was given by them."""
    if getattr(value, "is_Rational", False):
        value = int(value) if value.is_Integer else Fraction(value.p, value.q)
    if isinstance(value, bool) or not isinstance(
        value, str | Decimal | float | Rational
    ):
        raise ConfigError(field, value, RULE)
    try:
        is_fraction = isinstance(value, Fraction)
        digits = None if is_fraction else Decimal(str(value).replace(",", ""))
        exact = Fraction(value if digits is None else digits)
    except (InvalidOperation, ValueError, OverflowError):
        raise ConfigError(field, value, RULE) from None
    if exact <= 0:
        raise ConfigError(field, value, RULE)
    return exact, digits
