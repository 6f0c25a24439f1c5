"""What each attention kernel makes, in order, and what it keeps for the backward.

Shapes: queries (b, s, a·d), keys (b, T, k·d), values (b, T, k·d_v), and the output
(b, s, a·d_v), where T is the number of tokens that are attended to.
Each function returns the output, and the attention map where the kernel makes one. The
output is saved by the projection after it in any case.
"""

from dataclasses import dataclass
from functools import cache

from sympy import And, Eq, Expr, Ne, Not, Or, Piecewise, ceiling, false, true

from . import gradients
from .errors import ConfigError, choose
from .symbols import b, s, t

CORE = "attention core"
CAPPING = ("divided", "tanh", "capped")  # by a number, tanh, times the number
RECOMPUTES_SCORES = ("flash", "efficient")  # in the backward: they kept no map


@dataclass
class Heads:
    """The inputs of one attention, and its sizes.

    Attributes:
        tape: makes, copies and saves tensors.
        queries, keys, values: the tensors.
        a, k: query heads, and key and value heads.
        softmax: the data type of the eager softmax.
        dropout: share of the attention map that is zeroed.
        cast: whether keys become bf16 only after their heads are repeated.
        packed: whether values lie in one tensor with others, as GPT-2's with queries
            and keys.
        capped: whether a tanh keeps the scores within bounds.
        sorted: whether queries and keys were made head by head.
        sinks: whether each row has one score more, which reads no token.
        joined: whether a cache has joined keys and values, and so sorted them.
    """

    tape: object
    queries: object
    keys: object
    values: object
    a: Expr
    k: Expr
    softmax: str = "fp32"
    dropout: object = 0
    cast: bool = False
    packed: bool = False
    capped: bool = False
    sorted: bool = False
    sinks: bool = False
    joined: bool = False

    @property
    def inputs(self) -> tuple:
        """Queries, keys and values as the kernel gets them."""
        return self.queries, self.keys, self.values

    @property
    def one_row(self):
        """Whether an output sorted by head is sorted by token, too."""
        return Or(Eq(self.a, 1), Eq(self.queries.shape[1], 1))

    def products(self, product) -> tuple:
        """Return scores and output of s tokens, which read themselves and t cached."""
        pairs = (b, self.a, s, t + s)
        again = self.tape.run.attention in RECOMPUTES_SCORES
        inner, outer = (x[-1] / self.a for x in (self.queries.shape, self.shape))
        names = {"factors": ("queries", "keys"), "again": again}
        return (
            product("scores", (*pairs, inner), CORE, **names),
            product("output", (*pairs, outer), CORE, factors=("map", "values")),
        )

    @property
    def map(self) -> tuple:
        """The shape of the attention map, (b, a, s, T)."""
        return (b, self.a, self.queries.shape[1], self.keys.shape[1])

    @property
    def shape(self) -> tuple:
        """The shape of the output, (b, s, a·d_v)."""
        return (*self.queries.shape[:-1], self.a * self.values.shape[-1] / self.k)

    def repeated(self, x):
        """Copy each head of keys or values for the queries that share it.

        A single head is not copied but read again and again.
        """
        single, same, viewed = _shared(self.a, self.k)
        rule = gradients.shared_heads(x.shape, same)
        return self._all_heads(x, x, single, viewed, rule)

    def folded(self, x, original, cast=False):
        """Return keys or values for one product over b·a: a copy if need be.

        `original` is what they were repeated from. A single head read again and again
        has to be copied now, unless b is 1; keys that lie token by token are sorted by
        head.
        """
        lies = self._lies_by_head(original)
        alone, viewed = _folded(self.a, self.k, cast, lies)
        if self.a == self.k:
            return self.tape.copy(x, x.name, unless=viewed, prefix="")
        return self._all_heads(x, original, alone, viewed)

    def by_head(self, x):
        """Return queries sorted by head, a copy where they lie token by token."""
        lies = self._lies_by_head(x)
        return self.tape.copy(x, x.name, unless=lies, prefix="")

    def all_heads(self, x) -> tuple:
        """The shape of queries, keys or values with a head for each query head."""
        heads = self.a if x is self.queries else self.k
        return (b, self.a, x.shape[1], x.shape[-1] / heads)

    def dense(self, x, original):
        """Return a copy of queries, keys or values with nothing between, by head."""
        lies = self._lies_by_head(original, dense=True)
        if original is not self.queries:
            lies = Or(lies, Ne(self.a, self.k))
        return self.tape.copy(x, x.name, unless=lies, prefix="")

    def _lies_by_head(self, x, dense=False):
        if self.sorted and x is not self.values:
            return true
        if self.joined and x is not self.queries:
            return true
        heads = self.a if x is self.queries else self.k
        part = x.memory[0][0].shape[-1] != x.shape[-1]
        return _lie_by_head(heads, x.shape[1], self.packed and part and not dense)

    def _all_heads(self, x, original, single, viewed, rule=None):
        if self.a == self.k:
            return x
        shape = (b, _heads(self.a, single), *self.all_heads(original)[2:])
        name = f"{original.name.rpartition('.')[2]} repeated"
        return self.tape.copy(x, name, shape, viewed, rule=rule)


# Conditions, which many tapes share.
@cache
def _lie_by_head(heads, tokens, packed: bool):
    one = Or(Eq(b, 1), Eq(heads, 1))
    return one if packed else Or(one, Eq(tokens, 1))


@cache
def _shared(a, k) -> tuple:
    single, same = Eq(k, 1), Eq(a, k)
    return single, same, Or(single, same)


@cache
def _folded(a, k, cast: bool, lies) -> tuple:
    alone = false if cast else And(Eq(k, 1), Eq(b, 1))
    same = Eq(a, k)
    other = And(Not(same), Or(alone, Ne(k, 1)))
    return alone, Or(And(same, lies), other)


@cache
def _heads(a, single):
    return Piecewise((1, single), (a, true))


def recomputed(heads: Heads) -> tuple:
    """Nothing but what the core is computed from again is kept."""
    return heads.tape.make("attention", heads.shape, saved=heads.inputs), None


def eager(heads: Heads) -> tuple:
    """The fp32 softmax and its 16-bit copy are kept, 6abs² bytes."""
    tape, square = heads.tape, heads.map
    keys = heads.repeated(heads.keys)
    values = heads.repeated(heads.values)
    left = heads.by_head(heads.queries)
    right = heads.folded(keys, heads.keys, heads.cast)
    scores = tape.make(
        "scores", square,
        of=(left, right),
        rule=gradients.batched_product(heads.all_heads(heads.keys)),
        saved=(left, right),
    )  # fmt: skip
    del left, right
    rule = gradients.like("of the scores")
    scaled = tape.make("scores, scaled", square, of=(scores,), rule=rule)
    del scores
    for step in CAPPING if heads.capped else ():
        scaled = tape.capped(scaled, "scores", step)
    masked = tape.make("scores, masked", square, of=(scaled,), rule=gradients.same)
    del scaled
    weights = _with_sinks(heads, masked) if heads.sinks else _softmax(heads, masked)
    del masked
    if heads.dropout:
        mask = tape.make("attention mask", square, "bool")
        weights = tape.make(
            "attention map", square,
            of=(weights,), rule=gradients.like("of the dropout"), saved=(mask,),
            makes_saved=True,
        )  # fmt: skip
        del mask
    right = heads.folded(values, heads.values)
    by_head = tape.make(
        "attention by head", heads.shape,
        of=(weights, right),
        rule=gradients.batched_product(heads.all_heads(heads.values)),
        saved=(weights, right),
    )  # fmt: skip
    del right
    by_head = tape.look(by_head, gradients.sorted_by_head(heads.a))
    output = tape.copy(by_head, "attention", unless=heads.one_row)
    return output, weights


def _softmax(heads: Heads, masked):
    tape, square = heads.tape, heads.map
    wide, narrow = masked, heads.softmax == "bf16"
    if not narrow and not tape.run.fused_cast:
        rule = gradients.cast("bf16")
        wide = tape.make(
            "scores in fp32", square, heads.softmax, of=(masked,), rule=rule
        )
    weights = tape.make(
        "softmax", square, heads.softmax,
        of=(wide,), rule=gradients.like("of the softmax"), saves_output=True,
    )  # fmt: skip
    del wide
    if not narrow:
        rule = gradients.cast(heads.softmax)
        weights = tape.make("attention map", square, of=(weights,), rule=rule)
    return weights


def _with_sinks(heads: Heads, masked):
    """A softmax over one score more, less the largest; what it gives is left out."""
    tape, (*rows, columns) = heads.tape, heads.map
    tape.make("scores and sinks", (*rows, columns + 1))
    tape.make("place of the largest", (*rows, 1), "int64", saves_output=True)
    shares = tape.make("softmax", (*rows, columns + 1), saves_output=True)
    return tape.look(shares, shape=heads.map)


def math(heads: Heads) -> tuple:
    """Plain operations in fp32, which keep 12bsA + 4abs² bytes where T is s."""
    repeated = [heads.repeated(each) for each in heads.inputs[1:]]
    by_head = _math(heads)
    output = heads.tape.copy(by_head, "attention", unless=heads.one_row)
    del repeated
    return output, None


def _math(heads: Heads):
    """One function of PyTorch: what it makes lives until it returns, but for scores."""
    tape, square = heads.tape, heads.map
    wide = [
        tape.make(f"{name} in fp32", heads.all_heads(x), "fp32")
        for name, x in zip(("queries", "keys", "values"), heads.inputs, strict=True)
    ]
    queries = tape.make("queries, scaled", wide[0].shape, "fp32")
    keys = tape.make("keys, scaled", wide[1].shape, "fp32")
    left, right = heads.dense(queries, heads.queries), heads.dense(keys, heads.keys)
    scores = tape.make("scores", square, "fp32", saved=(left, right))
    del keys, left, right
    masked = tape.make("scores, masked", square, "fp32")
    del scores
    weights = tape.make("softmax", square, "fp32", saves_output=True)
    del masked
    narrow = tape.make("attention map", square)
    right = heads.dense(wide[2], heads.values)
    output = tape.make("attention in fp32", heads.shape, "fp32", saved=(right,))
    del right
    by_head = tape.make("attention by head", heads.shape)
    del weights, narrow, output
    return by_head


def flash(heads: Heads) -> tuple:
    """No s²: one number per row, and the state of the random generator."""
    tape = heads.tape
    rows = tape.make("log of the row sums", heads.map[:-1], "fp32")
    seed = tape.make("random seed", (2,), "uint64")
    offset = tape.make("random offset", (), "uint64")
    output = _fused(heads, heads.inputs, (rows, seed, offset))
    if heads.sorted:  # and the output lies as the queries do
        output = tape.copy(output, "attention", unless=heads.one_row)
    return output, None


def efficient(heads: Heads) -> tuple:
    """As flash, but with repeated heads and rows rounded up to 32."""
    tape = heads.tape
    shared = [heads.repeated(each) for each in heads.inputs[1:]]
    rounded = 32 * ceiling(heads.map[2] / 32)
    rows = tape.make("log of the row sums", (*heads.map[:2], rounded), "fp32")
    state = [tape.make(f"random {name}", (), "int64") for name in ("seed", "offset")]
    return _fused(heads, (heads.queries, *shared), (rows, *state)), None


def _fused(heads: Heads, inputs, kept):
    return heads.tape.make(
        "attention", heads.shape,
        of=inputs, rule=gradients.fused_attention, saved=(*inputs, *kept),
        saves_output=True,
    )  # fmt: skip


KERNELS = {"eager": eager, "flash": flash, "efficient": efficient, "math": math}


def check_kernel(model, attention: str) -> None:
    """Refuse a kernel that there is not, or not for this model.

    Raises:
        ConfigError: naming it.
    """
    choose("attention", attention, KERNELS)
    if attention != "eager" and (model.caps.get("scores") or model.sinks):
        what = "sinks" if model.sinks else "capped scores"
        rule = f"does not exist for {what}; there is: eager"
        raise ConfigError("attention", attention, rule)
    if attention == "flash" and model.c_kv:
        rule = "is not derived yet for latent attention: it takes one width of heads"
        raise ConfigError("attention", attention, rule)


def mask(tape, rows, columns):
    """Say which of the columns (tokens) each row may read: (b, 1, rows, columns)."""
    sequences = tape.make("mask's sequences", (b,), "int64")
    heads = tape.make("mask's heads", (1,), "int64")
    ends = []
    for name, tokens in (("readers", rows), ("read", columns)):
        counted = tape.make(f"mask's {name} from 0", (tokens,), "int64")
        ends.append(tape.make(f"mask's {name}", (tokens,), "int64"))
        del counted
    allowed = tape.make("allowed pairs", (1, 1, rows, columns), "bool")
    del sequences, heads, ends
    values = [tape.make(f"mask's {name}", ()) for name in ("zero", "least")]
    result = tape.make("mask", (b, 1, rows, columns))
    del allowed, values
    return result
