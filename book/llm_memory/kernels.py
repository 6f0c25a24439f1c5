"""What each attention kernel makes, in order, and what it keeps for the backward.

Shapes: queries (b, s, a·d), keys (b, T, k·d), values (b, T, k·d_v), and the output
(b, s, a·d_v), where T is the number of tokens that are attended to.
Each function returns the output, and the attention map where the kernel makes one. The
output is saved by the projection after it in any case.
"""

from dataclasses import dataclass
from functools import cache

from sympy import And, Eq, Expr, Ne, Not, Or, Piecewise, ceiling, false, true

from . import attention_gradients, gradients
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
        rule = attention_gradients.shared_heads(x.shape, same)
        return self._all_heads(x, x, single, viewed, rule)

    def narrow(self, x, original):
        """Return repeated keys or values in bf16; a copy has every head apart."""
        shape = None if self.a == self.k else self.all_heads(original)
        return self.tape.cast(x, shape)

    def wide(self, x, original):
        """Return x in fp32, as `narrow` does in bf16."""
        alike = self.a == self.k or original is self.queries
        shape = x.shape if alike else self.all_heads(original)
        rule = gradients.cast(x.dtype)
        return self.tape.make(
            f"{x.name} in fp32", shape, "fp32", "", of=(x,), rule=rule
        )

    def folded(self, x, original):
        """Return keys or values for one product over b·a: a copy if need be.

        `original` is what they were repeated from. A single head read again and again
        has to be copied now, unless b is 1; keys that lie token by token are sorted by
        head.
        """
        apart = x.dtype != original.dtype
        lies = self._lies_by_head(x, original)
        alone, viewed = _folded(self.a, self.k, apart, lies)
        if self.a == self.k:
            return self.tape.copy(x, x.name, unless=viewed, prefix="")
        return self._all_heads(x, original, alone, viewed)

    def by_head(self, x):
        """Return queries sorted by head, a copy where they lie token by token."""
        lies = self._lies_by_head(x, self.queries)
        return self.tape.copy(x, x.name, unless=lies, prefix="")

    def all_heads(self, x) -> tuple:
        """The shape of queries, keys or values with a head for each query head."""
        heads = self.a if x is self.queries else self.k
        return (b, self.a, x.shape[1], x.shape[-1] / heads)

    def dense(self, x, original):
        """Return a copy of queries, keys or values with nothing between, by head."""
        lies = self._lies_by_head(x, original, dense=True)
        if original is not self.queries:
            lies = Or(lies, Ne(self.a, self.k))
        return self.tape.copy(x, x.name, unless=lies, prefix="")

    def _lies_by_head(self, x, original, dense=False):
        if self.sorted and original is not self.values:
            return true
        if self.joined and original is not self.queries:
            return true
        heads = self.a if original is self.queries else self.k
        part = x.memory[0][0].shape[-1] != x.shape[-1]
        packed = self.packed and part and not dense
        return _lie_by_head(heads, original.shape[1], packed)

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
def _folded(a, k, apart: bool, lies) -> tuple:
    alone = false if apart else And(Eq(k, 1), Eq(b, 1))
    same = Eq(a, k)
    other = And(Not(same), Or(apart, alone, Ne(k, 1)))
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
    narrow = heads.narrow(keys, heads.keys)
    queries = tape.cast(heads.queries)
    left = heads.by_head(queries)
    right = heads.folded(narrow, heads.keys)
    scores = tape.make(
        "scores", square,
        of=(left, right),
        rule=attention_gradients.batched_product(heads.all_heads(heads.keys)),
        saved=(left, right),
    )  # fmt: skip
    del left, right, narrow, queries
    rule = gradients.like("of the scores")
    scaled = tape.make("scores, scaled", square, of=(scores,), rule=rule)
    del scores
    for step in CAPPING if heads.capped else ():
        scaled = tape.capped(scaled, "scores", step)
    masked = tape.make(
        "scores, masked", square, tape.run.stored, of=(scaled,), rule=gradients.same
    )
    del scaled
    weights = _with_sinks(heads, masked) if heads.sinks else _softmax(heads, masked)
    del masked
    if heads.dropout:
        mask = tape.make("attention mask", square, "bool")
        weights = tape.make(
            "attention map", square, weights.dtype,
            of=(weights,), rule=gradients.like("of the dropout"), saved=(mask,),
            makes_saved=True,
        )  # fmt: skip
        del mask
    left, right = tape.cast(weights), heads.folded(values, heads.values)
    by_head = tape.make(
        "attention by head", heads.shape,
        of=(left, right),
        rule=attention_gradients.batched_product(heads.all_heads(heads.values)),
        saved=(left, right),
    )  # fmt: skip
    del left, right
    by_head = tape.look(by_head, attention_gradients.sorted_by_head(heads.a))
    output = tape.copy(by_head, "attention", unless=heads.one_row)
    return output, weights


def _softmax(heads: Heads, masked):
    tape, square, wide = heads.tape, heads.map, masked
    if masked.dtype != heads.softmax and not tape.run.fused_cast:
        rule = gradients.cast("bf16")
        wide = tape.make(
            "scores in fp32", square, heads.softmax, of=(masked,), rule=rule
        )
    weights = tape.make(
        "softmax", square, heads.softmax,
        of=(wide,), rule=gradients.like("of the softmax"), saves_output=True,
    )  # fmt: skip
    del wide
    if weights.dtype != heads.queries.dtype:
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
    keys, values = (heads.repeated(each) for each in heads.inputs[1:])
    by_head = _math(heads, keys, values)
    return heads.tape.copy(by_head, "attention", unless=heads.one_row), None


def _math(heads: Heads, keys, values):
    """One function of PyTorch: what it makes lives until it returns, but for scores."""
    tape, square = heads.tape, heads.map
    queries = heads.wide(heads.queries, heads.queries)
    keys = heads.wide(keys, heads.keys)
    values = heads.wide(values, heads.values)
    queries_scaled, keys_scaled = _scaled(tape, queries), _scaled(tape, keys)
    left = heads.dense(queries_scaled, heads.queries)
    right = heads.dense(keys_scaled, heads.keys)
    scores = tape.make(
        "scores", square, "fp32",
        of=(left, right),
        rule=attention_gradients.batched_product(heads.all_heads(heads.keys)),
        saved=(left, right),
    )  # fmt: skip
    del left, right, keys_scaled
    masked = tape.make(
        "scores, masked", square, "fp32", of=(scores,), rule=gradients.same
    )
    del scores
    weights = tape.make(
        "softmax", square, "fp32",
        of=(masked,), rule=gradients.like("of the softmax"), saves_output=True,
    )  # fmt: skip
    del masked
    narrow = tape.make("attention map", square)  # which nobody reads
    right = heads.dense(values, heads.values)
    by_head = tape.make(
        "attention by head", heads.shape, "fp32",
        of=(weights, right),
        rule=attention_gradients.batched_product(heads.all_heads(heads.values)),
        saved=(weights, right),
    )  # fmt: skip
    del right
    by_head = tape.look(by_head, attention_gradients.sorted_by_head(heads.a))
    rule = gradients.cast("fp32")
    output = tape.make("attention by head", heads.shape, of=(by_head,), rule=rule)
    del narrow
    return output


def _scaled(tape, x):
    rule = gradients.like("of the scaled")
    return tape.make(f"{x.name}, scaled", x.shape, "fp32", "", of=(x,), rule=rule)


def flash(heads: Heads) -> tuple:
    """No s²: one number per row, and the state of the random generator."""

    def make(*output):
        return heads.tape.make(*output, product=True)

    values, keys, queries = (heads.tape.cast(each) for each in heads.inputs[::-1])
    rows = make("log of the row sums", heads.map[:-1], "fp32")
    seed = make("random seed", (2,), "uint64")
    offset = make("random offset", (), "uint64")
    inputs = queries, keys, values
    output = _fused(heads, inputs, (rows, seed, offset), product=True)
    del rows, seed, offset, queries, keys, values, inputs
    if heads.sorted:  # and the output lies as the queries do
        output = heads.tape.copy(output, "attention", unless=heads.one_row)
    return output, None


def efficient(heads: Heads) -> tuple:
    """As flash, but with repeated heads, and in training alone rows, rounded to 32."""
    tape = heads.tape
    keys, values = (heads.repeated(each) for each in heads.inputs[1:])
    pairs = (values, heads.values), (keys, heads.keys)
    narrow = [heads.narrow(*each) for each in pairs][::-1]
    inputs = tape.cast(heads.queries), *narrow
    rounded = 32 * ceiling(heads.map[2] / 32)
    shape, kept = (*heads.map[:2], rounded), []
    if tape.run.training:
        kept.append(tape.make("log of the row sums", shape, "fp32"))
    kept += [tape.make(f"random {name}", (), "int64") for name in ("seed", "offset")]
    return _fused(heads, inputs, kept), None


def _fused(heads: Heads, inputs, kept, product=False):
    return heads.tape.make(
        "attention", heads.shape,
        of=inputs, rule=attention_gradients.fused_attention, saved=(*inputs, *kept),
        saves_output=True, product=product,
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
