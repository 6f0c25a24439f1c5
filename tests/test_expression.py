"""Expression trees: exact, back and forth, and nothing outside the list."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from random import Random

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from random_trees import oracle, random_tree, random_values

from llm_memory.errors import ConfigError
from llm_memory.expression import evaluate_tree, from_tree, symbols_of, to_tree
from llm_memory.symbols import L, b, h, s, t
from llm_memory.tree import LARGEST_DEPTH

n = sympy.Symbol("n", integer=True)

EXPRESSIONS = [
    sympy.Integer(0),
    sympy.Integer(-(2**53)),
    sympy.Rational(-3, 7),
    2**60 * b,
    -b,
    -3 * b / 4,
    12 * L * h**2 + 13 * L * h,
    b * sympy.floor(s / 49),
    sympy.ceiling(t / 16) * 16,
    sympy.factor(2 * b + 2 * s),
    sympy.factor(b / 2 + s / 2),
    -b * (s + t) / 3,
    3 / (2 * b * (s + t)),
    b**-2,
    sympy.Mod(b * s, 7 * t),
    sympy.Max(b, s, 3),
    sympy.Min(t, 4096),
    sympy.Piecewise((b, sympy.Eq(sympy.Mod(s, 3), 0)), (s, b > 2), (3, True)),
    sympy.Piecewise((b, (b > 2) & (s <= t)), (1, (b < 5) | sympy.Ne(s, 2)), (0, True)),
    sympy.Not((b > 2) & (s >= 3)),
    sympy.true,
]

OUTSIDE = [
    sympy.Sum(n, (n, 1, b)),
    sympy.Product(n, (n, 1, b)),
    sympy.Function("f")(b),
    sympy.log(b),
    sympy.factorial(b),
    sympy.Abs(n),
    sympy.sign(n),
    sympy.frac(b / 2),
    sympy.sqrt(b),
    1 / sympy.sqrt(b),
    2**b,
    b**1000,
    b ** sympy.Rational(3, 2),
    sympy.Float(2.5),
    2.0,
    sympy.pi,
    sympy.I,
    sympy.oo,
    sympy.nan,
    sympy.zoo,
    (b > 2) ^ (s > 2),
    sympy.ITE(b > 2, s > 2, s > 3),
    sympy.Dummy("b"),
    sympy.Symbol("a b"),
    sympy.Tuple(1, 2),
    sympy.Matrix([1]),
    sympy.Interval(0, 1),
    "b",
    None,
]

MALFORMED = [
    None,
    1.5,
    2**53,
    -(2**53),
    {},
    [],
    [["+"], 1],
    ["sum", "b"],
    ["constructor", "b"],
    ["__import__", "os"],
    ["+"],
    ["-"],
    ["-", 1, 2, 3],
    ["/", 1],
    ["mod", 1, 2, 3],
    ["floor", 1, 2],
    ["not", True, True],
    ["<", 1, 2, 3],
    ["int", 5],
    ["int", "1e3"],
    ["int", "0x10"],
    ["int", " 1"],
    ["int", ""],
    ["int", "1" * 5000],
    ["^", "b", -1],
    ["^", "b", 513],
    ["^", "b", "s"],
    ["^", "b", True],
    ["^", "b", 0.5],
    ["piecewise", 1],
    ["piecewise", [1]],
    ["piecewise", [1, True, 2]],
    "b c",
    "",
]

WITHOUT_VALUE = [
    "unknown",
    "__proto__",
    "constructor",
    ["/", 1, 0],
    ["/", 1, ["-", "b", "b"]],
    ["mod", 1, ["-", "b", "b"]],
    ["+", True, 1],
    ["floor", ["<", 1, 2]],
    ["==", True, True],
    ["and", 1],
    ["not", "b"],
    ["and", True, "b"],
    ["piecewise", [1, "b"]],
    ["piecewise", [1, False]],
]


def nested(depth):
    tree = "b"
    for _ in range(depth):
        tree = ["floor", tree]
    return tree


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_there_and_back(expression):
    tree = json.loads(json.dumps(to_tree(expression)))
    assert from_tree(tree) == expression


@pytest.mark.parametrize("expression", OUTSIDE, ids=repr)
def test_outside_the_list_is_refused(expression):
    with pytest.raises(ConfigError):
        to_tree(expression)
    if isinstance(expression, sympy.Expr):
        with pytest.raises(ConfigError):
            to_tree(3 * b + expression)


@pytest.mark.parametrize("tree", MALFORMED, ids=lambda tree: repr(tree)[:40])
def test_malformed_trees_are_refused(tree):
    for reader in (from_tree, lambda tree: evaluate_tree(tree, {"b": 1, "s": 1})):
        with pytest.raises(ConfigError):
            reader(tree)


@pytest.mark.parametrize("tree", WITHOUT_VALUE, ids=str)
def test_trees_without_a_value_are_refused(tree):
    with pytest.raises(ConfigError):
        evaluate_tree(tree, {"b": 1})


def test_depth_is_limited():
    assert evaluate_tree(nested(LARGEST_DEPTH), {"b": 3}) == 3
    for reader in (from_tree, lambda tree: evaluate_tree(tree, {"b": 3})):
        with pytest.raises(ConfigError, match="nested"):
            reader(nested(LARGEST_DEPTH + 1))


def test_values_must_be_exact():
    with pytest.raises(ConfigError):
        evaluate_tree("b", {"b": 1.0})
    assert evaluate_tree("b", {"b": Fraction(4, 2)}) == 2


def test_conditions_are_read_only_as_far_as_needed():
    guarded = ["and", ["!=", "k", 0], ["==", ["mod", "a", "k"], 0]]
    assert evaluate_tree(guarded, {"a": 8, "k": 0}) is False
    assert evaluate_tree(["or", True, ["/", 1, 0]], {}) is True


def test_rational_division_is_not_a_float():
    assert evaluate_tree(to_tree(sympy.floor(s / 49)), {"s": 49 * 10**40}) == 10**40


def test_names_in_a_tree():
    assert symbols_of(to_tree(b * sympy.floor(s / 49) + 1)) == {"b", "s"}


@pytest.mark.parametrize("seed", range(40))
def test_python_equals_sympy_on_numbers(seed):
    random = Random(seed)
    for _ in range(100):
        tree, values = random_tree(random, 3), random_values(random)
        assert sympy.sympify(evaluate_tree(tree, values)) == oracle(tree, values)


@pytest.mark.parametrize("seed", range(20))
def test_sympys_simplification_changes_no_value(seed):
    random = Random(1000 + seed)
    for _ in range(5):
        tree = random_tree(random, 2)
        expression = from_tree(tree)
        travelled = to_tree(expression)
        assert from_tree(travelled) == expression
        values = random_values(random)
        substitution = {x: values[str(x)] for x in expression.free_symbols}
        expected = expression.subs(substitution, simultaneous=True)
        assert sympy.sympify(evaluate_tree(travelled, values)) == expected


@given(st.integers(), st.integers().filter(bool), st.integers(1, 2**80))
def test_integers_of_any_size(above, below, size):
    quotient = ["/", ["int", str(above)], ["int", str(below)]]
    values = {"b": size}
    assert evaluate_tree(["floor", quotient], {}) == above // below
    assert evaluate_tree(["ceiling", quotient], {}) == -(-above // below)
    assert evaluate_tree(["mod", *quotient[1:]], {}) == above % below
    assert evaluate_tree(["*", quotient, "b"], values) == Fraction(above, below) * size


def test_the_same_tree_in_every_process():
    code = (
        "from llm_memory.symbols import a, b, s, t, h\n"
        "from sympy import *\nfrom llm_memory.expression import to_tree\n"
        "print(to_tree(Max(b, s, t, h, a) * Min(b*s, t, a)"
        " + Piecewise((1, (b > 2) & (s > 3) & (t > 4)), (0, True))))"
    )
    book = os.path.join(os.path.dirname(__file__), "..", "book")
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": book},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "7", "42")
    }
    assert len(printed) == 1
