"""Rows of one shape each, and what every sum of them can do.

A `Ledger` sums bytes of tensors, a `Count` the work of matrix products. What they
have in common is here: rows found by name, chosen, split by part, with other sizes,
in a table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from html import escape
from typing import Self

from sympy import Expr, Integer, S, Symbol, latex, sympify

from .errors import ConfigError
from .symbols import symbol


class Row:
    """What a tensor and a product have in common: a name, a shape, a count, a part."""

    @property
    def symbols(self) -> frozenset[Symbol]:
        """The sizes that occur in the row."""
        return _symbols({self.count, *self.shape})

    def substitute(self, sizes: Mapping) -> Self:
        """Return the row with some sizes replaced."""
        shape = tuple(replaced(size, sizes) for size in self.shape)
        return replace(self, shape=shape, count=replaced(self.count, sizes))

    def alike(self) -> tuple:
        """Return what two rows have in common that become one."""
        return (replace(self, count=S.One),)

    def __str__(self) -> str:
        shape = " × ".join(str(size) for size in self.shape)
        times = "" if self.count == 1 else f"{self.count} of "
        return f"{self.name}: {times}{shape}"


class Rows:
    """Rows and their sum; rows alike in all but their count become one row."""

    def __init__(self, rows: Iterable[Row], symbols: Iterable[Symbol] = ()):
        self.rows = tuple(_merge(rows))
        sizes = {size for row in self.rows for size in (row.count, *row.shape)}
        self.symbols = _symbols(sizes).union(symbols)

    @property
    def parts(self) -> dict[str, Self]:
        """The rows split by part, in the order of first appearance."""
        names = dict.fromkeys(row.part for row in self.rows)
        return {name: self.select(part=name) for name in names}

    def select(self, **attributes) -> Self:
        """Return the rows whose attributes have the given values.

        >>> from llm_memory.ledger import Ledger, Tensor
        >>> Ledger([Tensor("w", (2,), "bf16", part="MLP")]).select(part="MLP").bytes
        4
        """
        chosen = [
            row
            for row in self.rows
            if all(getattr(row, key) == value for key, value in attributes.items())
        ]
        return type(self)(chosen, self.symbols)

    def as_part(self, name: str) -> Self:
        """Return the same rows, all under one part.

        >>> from llm_memory.ledger import Ledger, Tensor
        >>> list(Ledger([Tensor("w", (2,), "bf16", part="MLP")]).as_part("all").parts)
        ['all']
        """
        return type(self)((replace(row, part=name) for row in self.rows), self.symbols)

    def substitute(self, sizes: Mapping) -> Self:
        """Return the same with some sizes replaced, in every shape.

        Args:
            sizes: symbol, or its name, → what takes its place.

        >>> from llm_memory.ledger import Ledger, Tensor
        >>> from llm_memory.symbols import a, b, d, k, t
        >>> keys = Ledger([Tensor("keys", (b, k, t, d), "bf16")])
        >>> keys.substitute({k: a}).bytes
        2*a*b*d*t
        """
        needed = (replaced(size, sizes).free_symbols for size in self.symbols)
        rows = [row.substitute(sizes) for row in self.rows]
        return type(self)(rows, frozenset().union(*needed))

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        names = ", ".join(row.name for row in self.rows)
        raise ConfigError("row", name, f"must be one of {names}")

    def __add__(self, other: Self) -> Self:
        return type(self)((*self.rows, *other.rows), self.symbols | other.symbols)

    def __iter__(self):
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def _symbols(sizes: Iterable[Expr]) -> frozenset[Symbol]:
    return frozenset().union(*(size.free_symbols for size in sizes))


def replaced(size: Expr, sizes: Mapping) -> Expr:
    """Return an expression with other sizes, given by symbol or by name."""
    exact = {
        symbol(key) if isinstance(key, str) else key: sympify(value)
        for key, value in sizes.items()
    }
    return size.subs(exact, simultaneous=True)


def number(value: Expr) -> str:
    """Return an integer with its thousands apart, any other expression as it is."""
    return f"{int(value):,}" if isinstance(value, Integer) else str(value)


def table(heads: Iterable[str], rows: Iterable[tuple], total: Expr) -> str:
    """Return an HTML table: a name, then expressions or text; the total at its foot."""
    heads = tuple(heads)
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    body = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>"
        + "".join(f"<td>{_cell(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    return (
        f"<table class='ledger'><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        f"<tfoot><tr><th scope='row' colspan='{len(heads) - 1}'>total</th>"
        f"<td>{_cell(total)}</td></tr></tfoot></table>"
    )


def _cell(content) -> str:
    if isinstance(content, tuple):
        return " × ".join(_cell(size) for size in content)
    if isinstance(content, Integer):
        return number(content)
    if isinstance(content, Expr):
        return f"<span class='math'>\\({escape(latex(content))}\\)</span>"
    return str(content)


def _merge(rows: Iterable[Row]) -> list[Row]:
    merged: dict[tuple, Row] = {}
    for row in rows:
        key = row.alike()
        known = merged.get(key)
        merged[key] = replace(known, count=known.count + row.count) if known else row
    return list(merged.values())
