"""A count: named matrix products, and work = Σ count × 2 × product of the shape.

A product of (m, n) and (n, p) matrices multiplies and adds m·n·p times; a multiply and
an add are two floating-point operations. Everything else in a transformer (norms,
activation functions, softmax, sums) is left out, as PyTorch's own counter does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape
from math import prod

from sympy import Add, Expr, Integer, S, Symbol, latex, sympify

from .errors import ConfigError
from .ledger import evaluate
from .symbols import symbol

FLOPS_PER_MULTIPLY_ADD = 2


@dataclass(frozen=True)
class Product:
    """One row: `count` matrix products of the same shape.

    Attributes:
        name: what is computed, with `{i}` for the layer.
        shape: all sizes that are looped over: batch, rows, columns, summed size.
        count: how many such products there are.
        part: the share of the whole it is shown under ("attention", "MLP" …).
        factors: what is multiplied; each gets a gradient in the backward.
        again: whether the backward computes it once more, as it was not kept.

    >>> Product("scores", (2, 3, 5)).flops
    60
    """

    name: str
    shape: tuple[Expr, ...]
    count: Expr = S.One
    part: str = ""
    factors: tuple[str, str] = ("input", "weight")
    again: bool = False

    def __post_init__(self) -> None:
        shape = tuple(sympify(size) for size in self.shape)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "count", sympify(self.count))

    @property
    def flops(self) -> Expr:
        """Floating-point operations of all `count` products."""
        return self.count * FLOPS_PER_MULTIPLY_ADD * prod(self.shape, start=S.One)

    def substitute(self, sizes: Mapping) -> "Product":
        """Return the row with some sizes replaced."""
        shape = tuple(size.subs(sizes, simultaneous=True) for size in self.shape)
        count = self.count.subs(sizes, simultaneous=True)
        return replace(self, shape=shape, count=count)


class Count:
    """Matrix products and their sum, in floating-point operations (FLOPs).

    Args:
        rows: the products. Rows alike in all but their count become one row.
        symbols: sizes that `evaluate` needs beyond those that occur in the rows.

    >>> from llm_memory.symbols import b, f, h, s
    >>> work = Count([Product("up_proj", (b, s, h, f), count=2)])
    >>> work.total
    4*b*f*h*s
    >>> work.evaluate(b=1, s=10, h=8, f=3)
    960
    """

    def __init__(self, rows: Iterable[Product], symbols: Iterable[Symbol] = ()):
        self.rows = tuple(_merge(rows))
        self.symbols = frozenset(symbols).union(
            *(
                expression.free_symbols
                for row in self.rows
                for expression in (row.count, *row.shape)
            )
        )

    @property
    def total(self) -> Expr:
        """FLOPs of all rows, as a SymPy expression."""
        return Add(*(row.flops for row in self.rows))

    @property
    def parts(self) -> dict[str, "Count"]:
        """The count split by part, in the order of first appearance."""
        names = dict.fromkeys(row.part for row in self.rows)
        return {name: self.select(part=name) for name in names}

    def select(self, **attributes) -> "Count":
        """Return the rows whose attributes have the given values.

        >>> Count([Product("scores", (2, 3, 5), part="core")]).select(part="core").total
        60
        """
        chosen = [
            row
            for row in self.rows
            if all(getattr(row, key) == value for key, value in attributes.items())
        ]
        return Count(chosen, self.symbols)

    def substitute(self, sizes: Mapping) -> "Count":
        """Return the count with some sizes replaced, in every shape.

        Args:
            sizes: symbol, or its name, → what takes its place.

        >>> from llm_memory.symbols import b, s
        >>> Count([Product("scores", (b, s, s))]).substitute({"s": 3}).total
        18*b
        """
        exact = {
            symbol(key) if isinstance(key, str) else key: sympify(value)
            for key, value in sizes.items()
        }
        needed = (size.subs(exact, simultaneous=True) for size in self.symbols)
        symbols = frozenset().union(*(each.free_symbols for each in needed))
        return Count((row.substitute(exact) for row in self.rows), symbols)

    def evaluate(self, **sizes: int) -> int:
        """Return the exact number of FLOPs.

        Args:
            sizes: a value for each symbol of the count, by the symbol's name.

        Raises:
            ConfigError: a size is missing, not a symbol of this count, not an integer,
                or too small.
        """
        return evaluate(self.total, self.symbols, sizes)

    def __getitem__(self, name: str) -> Product:
        for row in self.rows:
            if row.name == name:
                return row
        names = ", ".join(row.name for row in self.rows)
        raise ConfigError("row", name, f"must be one of {names}")

    def __add__(self, other: "Count") -> "Count":
        return Count((*self.rows, *other.rows), self.symbols | other.symbols)

    def __iter__(self):
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        lines = [f"{row.name}: {_text_shape(row)}" for row in self.rows]
        return "\n".join([*lines, f"total: {_number(self.total)} FLOPs"])

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><th scope='row'>{escape(row.name)}</th><td>{_math(row.count)}</td>"
            f"<td>{' × '.join(_math(size) for size in row.shape)}</td>"
            f"<td>{_math(row.flops)}</td></tr>"
            for row in self.rows
        )
        return (
            "<table class='ledger'><thead><tr><th scope='col'>matrix product</th>"
            "<th scope='col'>count</th><th scope='col'>shape</th>"
            "<th scope='col'>FLOPs</th></tr></thead>"
            f"<tbody>{body}</tbody><tfoot><tr><th scope='row'>total</th>"
            f"<td colspan='3'>{_math(self.total)}</td></tr></tfoot></table>"
        )


def _merge(rows: Iterable[Product]) -> list[Product]:
    merged: dict[Product, Product] = {}
    for row in rows:
        key = replace(row, count=S.One)
        known = merged.get(key)
        merged[key] = replace(known, count=known.count + row.count) if known else row
    return list(merged.values())


def _text_shape(row: Product) -> str:
    shape = " × ".join(str(size) for size in row.shape)
    return shape if row.count == 1 else f"{row.count} of {shape}"


def _number(value: Expr) -> str:
    return f"{int(value):,}" if isinstance(value, Integer) else str(value)


def _math(value: Expr) -> str:
    if isinstance(value, Integer):
        return _number(value)
    return f"<span class='math'>\\({escape(latex(value))}\\)</span>"
