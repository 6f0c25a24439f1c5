"""A count: named matrix products, and work = Σ count × 2 × product of the shape.

A product of (m, n) and (n, p) matrices multiplies and adds m·n·p times; a multiply and
an add are two floating-point operations. Everything else in a transformer (norms,
activation functions, softmax, sums) is left out, as PyTorch's own counter does.
"""

from dataclasses import dataclass
from math import prod

from sympy import Add, Expr, S, sympify

from .ledger import evaluate
from .rows import Row, Rows, number, table

FLOPS_PER_MULTIPLY_ADD = 2


@dataclass(frozen=True)
class Product(Row):
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


class Count(Rows):
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

    @property
    def total(self) -> Expr:
        """FLOPs of all rows, as a SymPy expression."""
        return Add(*(row.flops for row in self.rows))

    def evaluate(self, **sizes: int) -> int:
        """Return the exact number of FLOPs.

        Args:
            sizes: a value for each symbol of the count, by the symbol's name.

        Raises:
            ConfigError: a size is missing, not a symbol of this count, not an integer,
                or too small.
        """
        return evaluate(self.total, self.symbols, sizes)

    def __repr__(self) -> str:
        lines = [str(row) for row in self.rows]
        return "\n".join([*lines, f"total: {number(self.total)} FLOPs"])

    def _repr_html_(self) -> str:
        rows = ((row.name, row.count, row.shape, row.flops) for row in self.rows)
        return table(("matrix product", "count", "shape", "FLOPs"), rows, self.total)
