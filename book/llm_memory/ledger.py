"""A ledger: named tensors, and memory = Σ count × product of the shape × bytes.

The sum is a SymPy expression, so one ledger gives the equation in the page, the
integer in Python and the tree that the explorer evaluates.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape
from math import prod

from sympy import Add, Expr, Integer, S, Symbol, latex, sympify

from .errors import ConfigError
from .symbols import TABLE, check_size, symbol
from .units import DType, dtype, storage_bytes

LIMIT = 2**62


@dataclass(frozen=True)
class Tensor:
    """One row: `count` tensors of the same shape and data type.

    Attributes:
        name: the framework's name, with `{i}` for the layer.
        shape: sizes, each an integer or a SymPy expression.
        dtype: a `DType`.
        count: how many such tensors there are.
        part: the share of the whole it is shown under ("attention", "MLP" …).
        checkpoint: its names in the published file, where they differ.

    Sizes may be given as plain ints, the data type by its name.

    >>> Tensor("weight", (3, 4), "bf16", count=2).bytes
    48
    """

    name: str
    shape: tuple[Expr, ...]
    dtype: DType
    count: Expr = S.One
    part: str = ""
    checkpoint: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        exact = {
            "shape": tuple(sympify(size) for size in self.shape),
            "dtype": dtype(self.dtype),
            "count": sympify(self.count),
        }
        for name, value in exact.items():
            object.__setattr__(self, name, value)

    @property
    def elements(self) -> Expr:
        """Elements of all `count` tensors."""
        return self.count * prod(self.shape, start=S.One)

    @property
    def bytes(self) -> Expr:
        """Bytes of all `count` tensors; packed tensors end on a whole byte."""
        return self.count * storage_bytes(prod(self.shape, start=S.One), self.dtype)

    def substitute(self, sizes: Mapping) -> "Tensor":
        """Return the row with some sizes replaced."""
        shape = tuple(_replaced(size, sizes) for size in self.shape)
        return replace(self, shape=shape, count=_replaced(self.count, sizes))


class Ledger:
    """Tensors and their sum, in bytes.

    Args:
        rows: the tensors. Rows alike in all but their count become one row.
        symbols: sizes that `evaluate` needs beyond those that occur in the rows.

    >>> from llm_memory.symbols import b, h, s
    >>> ledger = Ledger([Tensor("hidden states", (b, s, h), "bf16")])
    >>> ledger.bytes
    2*b*h*s
    >>> ledger.evaluate(b=1, s=2048, h=4096)
    16777216
    """

    def __init__(self, rows: Iterable[Tensor], symbols: Iterable[Symbol] = ()):
        self.rows = tuple(_merge(rows))
        self.symbols = frozenset(symbols).union(
            *(
                expression.free_symbols
                for row in self.rows
                for expression in (row.count, *row.shape)
            )
        )

    @property
    def bytes(self) -> Expr:
        """Bytes of all rows, as a SymPy expression."""
        return Add(*(row.bytes for row in self.rows))

    @property
    def elements(self) -> Expr:
        """Elements of all rows, as a SymPy expression."""
        return Add(*(row.elements for row in self.rows))

    @property
    def parts(self) -> dict[str, "Ledger"]:
        """The ledger split by part, in the order of first appearance."""
        names = dict.fromkeys(row.part for row in self.rows)
        return {name: self.select(part=name) for name in names}

    def select(self, **attributes) -> "Ledger":
        """Return the rows whose attributes have the given values.

        >>> Ledger([Tensor("w", (2,), "bf16", part="MLP")]).select(part="MLP").bytes
        4
        """
        chosen = [
            row
            for row in self.rows
            if all(getattr(row, key) == value for key, value in attributes.items())
        ]
        return Ledger(chosen, self.symbols)

    def as_part(self, name: str) -> "Ledger":
        """Return the same rows, all under one part.

        >>> list(Ledger([Tensor("w", (2,), "bf16", part="MLP")]).as_part("all").parts)
        ['all']
        """
        return Ledger((replace(row, part=name) for row in self.rows), self.symbols)

    def substitute(self, sizes: Mapping) -> "Ledger":
        """Return the ledger with some sizes replaced, in every shape.

        Args:
            sizes: symbol, or its name, → what takes its place.

        >>> from llm_memory.symbols import a, b, d, k, t
        >>> keys = Ledger([Tensor("keys", (b, k, t, d), "bf16")])
        >>> keys.substitute({k: a}).bytes
        2*a*b*d*t
        """
        needed = (_replaced(size, sizes).free_symbols for size in self.symbols)
        rows = [row.substitute(sizes) for row in self.rows]
        return Ledger(rows, frozenset().union(*needed))

    def evaluate(self, **sizes: int) -> int:
        """Return the exact number of bytes.

        Args:
            sizes: a value for each symbol of the ledger, by the symbol's name.

        Raises:
            ConfigError: a size is missing, not a symbol of this ledger, not an
                integer, or too small.
        """
        return evaluate(self.bytes, self.symbols, sizes)

    def __getitem__(self, name: str) -> Tensor:
        for row in self.rows:
            if row.name == name:
                return row
        names = ", ".join(row.name for row in self.rows)
        raise ConfigError("row", name, f"must be one of {names}")

    def __add__(self, other: "Ledger") -> "Ledger":
        return Ledger((*self.rows, *other.rows), self.symbols | other.symbols)

    def __iter__(self):
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        lines = [f"{row.name}: {_text_shape(row)} {row.dtype}" for row in self.rows]
        return "\n".join([*lines, f"total: {_number(self.bytes)} bytes"])

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><th scope='row'>{escape(row.name)}</th><td>{_math(row.count)}</td>"
            f"<td>{' × '.join(_math(size) for size in row.shape)}</td>"
            f"<td>{row.dtype}</td><td>{_math(row.bytes)}</td></tr>"
            for row in self.rows
        )
        return (
            "<table class='ledger'><thead><tr><th scope='col'>tensor</th>"
            "<th scope='col'>count</th><th scope='col'>shape</th>"
            "<th scope='col'>dtype</th><th scope='col'>bytes</th></tr></thead>"
            f"<tbody>{body}</tbody><tfoot><tr><th scope='row' colspan='4'>total</th>"
            f"<td>{_math(self.bytes)}</td></tr></tfoot></table>"
        )


def evaluate(expression: Expr, declared: Iterable[Symbol], sizes: Mapping) -> int:
    """Return the integer value of an expression at the given sizes.

    Raises:
        ConfigError: as in `Ledger.evaluate`.

    >>> from llm_memory.symbols import b, t
    >>> evaluate(4 * b * t, {b, t}, {"b": 2, "t": 3})
    24
    """
    names = {str(symbol): symbol for symbol in declared}
    listed = ", ".join(sorted(names, key=str.lower)) or "none"
    for name, value in sizes.items():
        if name not in names:
            raise ConfigError(name, value, f"not a symbol here; there are: {listed}")
    for name in sorted(names.keys() - sizes.keys(), key=str.lower):
        meaning = f" ({TABLE[name].meaning})" if name in TABLE else ""
        raise ConfigError(name, None, "is missing" + meaning)
    values = {names[name]: check_size(name, value) for name, value in sizes.items()}
    result = expression.subs(values, simultaneous=True)
    if not isinstance(result, Integer):
        raise ConfigError("result", result, "must be an integer; sizes do not divide")
    return int(result)


def largest_fitting(fits: Callable[[int], bool]) -> int | None:
    """Return the largest size that fits: 0 if 1 does not, None if there is no limit.

    >>> largest_fitting(lambda size: 7 * size <= 100)
    14
    """
    if not fits(1):
        return 0
    low, high = 1, 2
    while fits(high):
        if high > LIMIT:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _replaced(size: Expr, sizes: Mapping) -> Expr:
    named = {
        symbol(key) if isinstance(key, str) else key: value
        for key, value in sizes.items()
    }
    return size.subs(named, simultaneous=True)


def _merge(rows: Iterable[Tensor]) -> list[Tensor]:
    merged: dict[tuple, Tensor] = {}
    for row in rows:
        key = (row.name, row.shape, row.dtype, row.part)
        known = merged.get(key)
        merged[key] = replace(known, count=known.count + row.count) if known else row
    return list(merged.values())


def _text_shape(row: Tensor) -> str:
    shape = " × ".join(str(size) for size in row.shape)
    return shape if row.count == 1 else f"{row.count} of {shape}"


def _number(value: Expr) -> str:
    return f"{int(value):,}" if isinstance(value, Integer) else str(value)


def _math(value: Expr) -> str:
    if isinstance(value, Integer):
        return _number(value)
    return f"<span class='math'>\\({escape(latex(value))}\\)</span>"
