"""Remarks on answers: each slip, which comes first, and that nothing is approximate."""

from decimal import Decimal
from fractions import Fraction

import pytest
from sympy import Rational

import llm_memory as lm
from llm_memory.answers import check

# Eight KV heads for 64 query heads, 80 layers: no factor of another slip.
WIDE = lm.load_model("Llama-3.1-70B")
TRUTH = 3 * 5**12 * 2**50  # whole after every slip


def off(numerator, denominator=1):
    value, rest = divmod(TRUTH * numerator, denominator)
    assert rest == 0
    return value


SLIPS = {
    "KiB": (off(1024, 1000), "unit", "kB and KiB"),
    "kB": (off(1000, 1024), "unit", "kB and KiB"),
    "MiB": (off(1_048_576, 10**6), "unit", "MB and MiB"),
    "GiB": (off(1_073_741_824, 10**9), "unit", "GB and GiB"),
    "GB": (off(10**9, 1_073_741_824), "unit", "GB and GiB"),
    "TiB": (off(1_099_511_627_776, 10**12), "unit", "TB and TiB"),
    "bits": (off(8), "bits", "bits and bytes"),
    "bytes": (off(1, 8), "bits", "bits and bytes"),
    "twice": (off(2), "two", "a factor of 2"),
    "half": (off(1, 2), "two", "a factor of 2"),
    "one layer": (off(1, 80), "layers", "one layer, where the model has 80"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_each_slip_is_named(name):
    answer, slip, words = SLIPS[name]
    remark = check(answer, TRUTH, WIDE)
    assert (remark.slip, remark.is_rounded, remark.is_right) == (slip, False, False)
    assert words in str(remark)
    way = "Too large" if answer > TRUTH else "Too small"
    assert str(remark).startswith(f"{way} by a factor of ")
    assert remark.ratio == Fraction(answer, TRUTH)


@pytest.mark.parametrize("answer, way", [(4 * 700, "large"), (175, "small")])
def test_heads_have_the_factor_of_the_model(answer, way):
    model = lm.load_model("Llama-3.1-8B")  # 32 query heads, 8 KV heads
    remark = check(answer, 700, model)
    assert remark.slip == "heads"
    assert str(remark) == (
        f"Too {way} by a factor of 4: query heads (a) and KV heads (k)."
    )
    assert check(answer, 700).slip == "other"


def test_slips_of_one_factor_come_in_the_stated_order_and_are_all_named():
    remark = check(8, 1, WIDE)
    assert remark.slip == "bits"
    assert str(remark) == (
        "Too large by a factor of 8: bits and bytes are mixed up; "
        "or query heads (a) and KV heads (k)."
    )
    assert (
        str(check(8, 1)) == "Too large by a factor of 8: bits and bytes are mixed up."
    )


def test_exact_comes_before_rounded():
    assert check("1.000", "1.024").slip == "unit"
    assert check("1.0", "1.0243").slip == "none"
    assert str(check("1.0", "1.0243")) == "Right, rounded."


@pytest.mark.parametrize("answer", ["26.03", "26.0", 26, 26.03, Decimal("26.03")])
def test_a_rounded_answer_is_right(answer):
    remark = check(answer, Fraction(26_031_728_640, 10**9))
    assert (remark.is_right, remark.is_rounded) == (True, True)


def test_a_rounded_answer_shows_its_slip():
    remark = check("24.2", "26.03172864")  # 26.03172864 GB are 24.24 GiB
    assert (remark.slip, remark.is_rounded) == ("unit", True)
    assert str(remark).startswith("Rounded; too small by a factor of 1.074: GB and")


def test_one_digit_and_fractions_are_never_rounded():
    assert check(3, Fraction(31, 10)).slip == "other"
    assert check(Fraction(13, 5), Fraction(261, 100)).slip == "other"
    assert check("2.6", Fraction(261, 100)).is_right


def test_one_byte_off_is_not_right_though_floats_agree():
    truth = 10**24 + 1
    assert float(truth) == float(truth - 1)
    assert check(truth, truth).sentence == "Right."
    assert str(check(truth - 1, truth)) != "Right."
    assert check(Fraction(2 * truth - 1), Fraction(truth)).slip == "other"


def test_other_factors_are_given_as_they_are():
    remark = check(7, 4)
    assert str(remark) == ("Off by a factor of 1.750, which no listed slip explains.")
    assert remark.ratio == Fraction(7, 4)


def test_sizes_of_a_model_that_say_nothing_are_not_tried():
    equal = lm.load_model("LLaMA-13B")  # as many KV heads as query heads
    assert check(40, 1, equal).slip == "other"
    assert check(1, 40, equal).slip == "layers"


def test_numbers_of_sympy_and_marked_thousands():
    assert check("53,687,091,200", Rational(53_687_091_200)).is_right
    assert check(Rational(1, 2), Rational(1, 2)).is_right


BAD = [0, -1, True, None, "", "much", "1/0", "nan", float("inf"), float("nan"), [1]]


@pytest.mark.parametrize("value", BAD, ids=repr)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(lm.ConfigError, match=r"^answer = .*must be a number > 0"):
        check(value, 1)
    with pytest.raises(lm.ConfigError, match=r"^truth = .*must be a number > 0"):
        check(1, value)


def test_a_symbolic_model_is_refused():
    with pytest.raises(lm.ConfigError, match="the model is symbolic"):
        check(1, 2, lm.symbolic("llama"))
