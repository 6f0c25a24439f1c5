"""What each attention kernel keeps for the backward.

Shapes: queries (b, s, a·d), keys (b, s, k·d), values (b, s, k·d_v), and the output
(b, s, a·d_v).
Each function returns the tensors that the kernel saves; the output is saved by the
projection after it in any case.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sympy import And, Eq, Expr, Piecewise, ceiling, true

from .symbols import b, s, t

CORE = "attention core"
RECOMPUTES_SCORES = ("flash", "efficient")  # in the backward: they kept no map


@dataclass(frozen=True)
class Heads:
    """The inputs and the output of one attention, and its sizes.

    Attributes:
        new: makes a tensor from its name, shape and data type.
        queries, keys, values, output: the tensors.
        a, k: query heads, and key and value heads.
        softmax: the data type of the eager softmax.
        dropout: share of the attention map that is zeroed.
        cast: whether keys become bf16 only after their heads are repeated.
    """

    new: Callable
    queries: object
    keys: object
    values: object
    output: object
    a: Expr
    k: Expr
    softmax: str = "fp32"
    dropout: object = 0
    cast: bool = False

    @property
    def inputs(self) -> tuple:
        """Queries, keys and values as the kernel gets them."""
        return self.queries, self.keys, self.values

    def products(self, product: Callable, kernel: str) -> tuple:
        """Return scores and output of s tokens, which read themselves and t cached."""
        pairs, again = (b, self.a, s, t + s), kernel in RECOMPUTES_SCORES
        inner, outer = (x.shape[-1] / self.a for x in (self.queries, self.output))
        names = {"factors": ("queries", "keys"), "again": again}
        return (
            product("scores", (*pairs, inner), CORE, **names),
            product("output", (*pairs, outer), CORE, factors=("map", "values")),
        )

    def repeated(self, x, unless=False):
        """Return keys or values with each head copied for the queries that share it.

        `unless` is the condition under which one head is read again and again instead.
        """
        if self.a == self.k:
            return x
        heads = Piecewise((1, And(Eq(self.k, 1), unless)), (self.a, True))
        name = x.name.rpartition(".")[2]
        return self.new(f"{name} repeated", (b, heads, s, x.shape[-1] / self.k))


def recomputed(heads: Heads) -> tuple:
    """Nothing but what the core is computed from again."""
    return heads.inputs


def eager(heads: Heads) -> tuple:
    """The fp32 softmax and its 16-bit copy are kept, 6abs² bytes."""
    square = (b, heads.a, s, s)
    softmax = heads.new("softmax", square, heads.softmax)
    kept = [softmax]
    if heads.softmax != "bf16":
        kept.append(heads.new("attention map", square))
    if heads.dropout:
        kept[1:] = [
            heads.new("attention mask", square, "bool"),
            heads.new("attention map", square),
        ]
    alone = Eq(b, 1)
    keys = heads.repeated(heads.keys, unless=False if heads.cast else alone)
    return (heads.queries, keys, heads.repeated(heads.values, unless=alone), *kept)


def math(heads: Heads) -> tuple:
    """Plain operations in fp32."""
    width = heads.queries.shape[-1] / heads.a
    wide = (
        heads.new(f"{name} in fp32", (b, heads.a, s, width), "fp32")
        for name in ("queries", "repeated keys", "repeated values")
    )
    return (*wide, heads.new("softmax", (b, heads.a, s, s), "fp32"))


def flash(heads: Heads) -> tuple:
    """No s²: one number per row, and the state of the random generator."""
    rows = heads.new("log of the row sums", (b, heads.a, s), "fp32")
    seed = heads.new("random seed", (2,), "uint64")
    offset = heads.new("random offset", (), "uint64")
    return (*heads.inputs, heads.output, rows, seed, offset)


def efficient(heads: Heads) -> tuple:
    """As flash, but with repeated heads and rows rounded up to 32."""
    rounded = 32 * ceiling(s / 32)
    rows = heads.new("log of the row sums", (b, heads.a, rounded), "fp32")
    shared = (heads.repeated(each, unless=true) for each in heads.inputs[1:])
    state = (heads.new(f"random {name}", (), "int64") for name in ("seed", "offset"))
    return (heads.queries, *shared, heads.output, rows, *state)


KERNELS = {"eager": eager, "flash": flash, "efficient": efficient, "math": math}
