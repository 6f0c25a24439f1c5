"""A ledger: named tensors, and memory = Σ count × product of the shape × bytes.

The sum is a SymPy expression, so one ledger gives the equation in the page, the
integer in Python and the tree that the explorer evaluates.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod

from sympy import Add, Expr, Integer, S, Symbol, sympify

from .errors import ConfigError
from .rows import Row, Rows, number, table
from .symbols import TABLE, check_size
from .units import DType, dtype, storage_bytes

LIMIT = 2**62


@dataclass(frozen=True)
class Tensor(Row):
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
            "shape": tuple(
                size if isinstance(size, Expr) else sympify(size) for size in self.shape
            ),
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

    def alike(self) -> tuple:
        """Return what two rows have in common that become one."""
        return (self.name, self.shape, self.dtype, self.part)


class Ledger(Rows):
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

    @property
    def bytes(self) -> Expr:
        """Bytes of all rows, as a SymPy expression."""
        return Add(*(row.bytes for row in self.rows))

    @property
    def elements(self) -> Expr:
        """Elements of all rows, as a SymPy expression."""
        return Add(*(row.elements for row in self.rows))

    def evaluate(self, **sizes: int) -> int:
        """Return the exact number of bytes.

        Args:
            sizes: a value for each symbol of the ledger, by the symbol's name.

        Raises:
            ConfigError: a size is missing, not a symbol of this ledger, not an
                integer, or too small.
        """
        return evaluate(self.bytes, self.symbols, sizes)

    def __repr__(self) -> str:
        lines = [f"{row} {row.dtype}" for row in self.rows]
        return "\n".join([*lines, f"total: {number(self.bytes)} bytes"])

    def _repr_html_(self) -> str:
        rows = (
            (row.name, row.count, row.shape, row.dtype, row.bytes) for row in self.rows
        )
        heads = ("tensor", "count", "shape", "dtype", "bytes")
        return table(heads, rows, self.bytes)


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
