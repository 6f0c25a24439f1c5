"""A model's step, written once: operations in the framework's order.

A family's forward (`families/`) calls the methods below as a network calls its
modules. Each call appends one operation: its inputs, its output, the parameters that
it loads and the tensors that it puts into the KV cache. Every quantity of the book is
a reading of that list.
"""

import weakref
from dataclasses import replace
from functools import partial
from math import prod

from sympy import Eq, Expr, Min, false, sympify

from . import (
    attention_gradients,
    experts,
    gradients,
    norms,
    part_gradients,
    rotary,
)
from .errors import choose
from .functions import FUNCTIONS, TIMED, of_input
from .kernels import KERNELS, RECOMPUTES_SCORES, Heads, mask, recomputed
from .operations import Activation, Cached, Run
from .recorder import PARTS, Recorder
from .symbols import b

CACHE = "KV cache"


class Tape(Recorder):
    """The operations of one forward; each method appends one and returns its output."""

    def embedding(
        self, name, rows, width, role="embedding", split=0, positions=None
    ) -> Activation:
        """Look up one row per token, (b, s, width), or per position, (1, s, width).

        Position ids are kept for the table's gradient; token ids are the caller's.
        """
        table = self.parameter(f"{name}.weight", (rows, width), role, split=split)
        shape = positions.shape if positions else (b, self.run.tokens)
        facts = {}
        if not self.run.frozen:
            kept = (positions,) if positions else ()
            facts = {"of": (table,), "rule": gradients.lookup(table), "saved": kept}
        rows_of_tokens = self.make(name, (*shape, width), self.run.stored, **facts)
        return self._append("embedding", (), rows_of_tokens, [table])

    def ask(self, x) -> None:
        """Ask for the gradient of the embedding's output, if its table is frozen."""
        if self.run.frozen and self.graph:
            self.graph.ask(x, self._scope)

    def positions(self) -> Activation:
        """Number the tokens of a sequence, after those that are cached: (1, s)."""
        shape = (1, self.run.tokens)
        counted = self.make("positions from 0", shape, "int64")  # noqa: F841
        return self._numbered(self.make("positions", shape, "int64"))

    def masked_positions(self) -> tuple[Activation, Activation]:
        """Count the tokens of all sequences in a mask of ones, as OPT does.

        Returns the positions, which are cached tokens' too, and the mask: (b, t + s).
        """
        shape = (b, (self.run.cached or 0) + self.run.tokens)
        mask = self.make("mask of tokens", shape, "fp32")
        counted = self.make("positions from 1", shape, "fp32")
        masked = self.make("positions, masked", shape, "fp32")
        wide = self.make("positions in fp32", shape, "fp32")
        del masked
        positions = self._numbered(self.make("positions", shape, "int64"))
        del counted, wide
        return positions, mask

    def _numbered(self, positions) -> Activation:
        held = weakref.ref(positions)
        self._positions = held if self.timeline else lambda: positions
        return positions

    @property
    def position_ids(self) -> Activation | None:
        """What `positions` made, if something still holds it."""
        return self._positions()

    def mask(self) -> Activation | None:
        """Say which token may read which, (b, 1, s, T), where the model makes that."""
        if not self.run.makes_mask:
            return None
        run = self.run
        return mask(self, run.tokens, run.cached + run.tokens)

    def carried(self, x) -> Activation:
        """What a layer gets: x in the first layer, its forerunner's output in others.

        The embedding's output is held beside it to the end of the model.
        """
        if not self.timeline:
            return x
        first = self.timeline.is_first(self.groups)
        return self.copy(x, "layer input", unless=first, carried=True)

    def linear(
        self, x, name, width, *, bias=False, split=None, heads=(), role="matrix",
        transposed=False, checkpoint="", shared=None, by_head=None, wide=False,
    ) -> Activation:  # fmt: skip
        """Multiply the last axis: (…, in) → (…, width).

        Args:
            x: the input.
            name: the module's name inside the scope.
            width: outputs.
            bias: whether a bias is added.
            split: "output" (column parallel), "input" (row parallel) or None.
            heads: groups of heads on the split axis, if it is made of heads.
            role, transposed: as in `Parameter`.
            checkpoint: the module's name in the file, inside the layer, if it differs.
            shared: use this parameter, loaded earlier, in place of an own one.
            by_head: what `sorted_by_token` needs, if the output's gradient comes sorted
                by head.
            wide: multiply copies in fp32, of the input and of the matrix.
        """
        if role == "head" and not self.run.head:
            return x
        inputs = x.shape[-1]
        shape = (inputs, width) if transposed else (width, inputs)
        axis = {"output": int(transposed), "input": int(not transposed)}.get(split)
        own = [] if shared else [
            self.parameter(
                f"{name}.weight", shape, role, split=axis, heads=heads,
                transposed=transposed, checkpoint=self._stored(checkpoint),
            )
        ]  # fmt: skip
        if bias:
            axis = 0 if split == "output" else None
            own.append(
                self.parameter(
                    f"{name}.bias", (width,), "bias", split=axis, heads=heads
                )
            )
        used = [shared, *own] if shared else own
        if wide:
            rule = gradients.cast(x.dtype)
            read = self.make(f"{x.name} in fp32", x.shape, "fp32", of=(x,), rule=rule)
            weight = self.make(
                f"{name}.weight in fp32", shape, "fp32",
                of=used[:1], rule=gradients.copied(used[0]),
            )  # fmt: skip
            kept = [weight] if self.run.frozen else [read, weight]
            edges = (weight, read)
            facts = {"of": edges, "rule": gradients.linear(*used), "saved": kept}
        else:
            facts = self.multiplied(x, *used)
        product = partial(
            self.make, name, (*x.shape[:-1], width), "fp32" if wide else "bf16",
            product=True, **facts,
        )  # fmt: skip
        adapters = self.run.adapters
        if adapters and self._scope.prefix + name in adapters.modules:
            output = adapters.around(self, x, name, product)
        else:
            output = product()
        if by_head is not None:
            output = self.look(output, attention_gradients.sorted_by_token(*by_head))
        if role == "head" and self.run.ranks > 1:
            output = self.gather(output)
        tied = [shared] if shared else []
        part = PARTS.get(role, self._scope.part or role)
        work = (self._product(name, (*x.shape, width), part),)
        return self._append("linear", (x,), output, own, tied, products=work)

    def gather(self, x) -> Activation:
        """All ranks' shares of the last axis: rank by rank, then row by row."""
        ranks, (*first, width) = self.run.ranks, x.shape
        received = self.make(f"{x.name} of all ranks", (ranks, *first, width))
        one_row = Eq(prod(first), 1)
        return self.copy(
            received, f"{x.name} gathered", (*first, ranks * width), unless=one_row
        )

    def norm(self, x, name, kind="rms_norm", affine=True) -> Activation:
        """Normalise the last axis; "rms_norm" has a weight, "layer_norm" a bias too."""
        suffixes = ["weight", "bias"] if kind == "layer_norm" else ["weight"]
        suffixes, width = suffixes if affine else [], x.shape[-1]
        own = [self.parameter(f"{name}.{end}", (width,), "norm") for end in suffixes]
        wide = self.run.stored == "fp32"
        output = norms.NORMS[kind](self, x, name, own, "fp32" if wide else x.dtype)
        return self._append(kind, (x,), output, own)

    def cache(self, *pairs: "tuple[Activation, Cached]") -> tuple[Activation, ...]:
        """Keep tensors of these tokens; the outputs are what attention then reads.

        A dynamic cache joins what it holds and the new tokens in a new tensor. A layer
        with a window lets go of the old ones when all are joined.
        """
        if self.run.training or not self.timeline or pairs[0][1].layout == "expanded":
            outputs = [x for x, _ in pairs]
        else:
            outputs = self._join(pairs)
        for (x, kept), output in zip(pairs, outputs, strict=True):
            self._append("cache", (x,), output, cached=(kept,))
        return tuple(outputs)

    def _join(self, pairs) -> list[Activation]:
        """Make the cached tensors of all tokens, and let go of those before."""
        window = pairs[0][1].window
        if window is not None and not self.run.in_place:
            self._join_one("window", (), (), "int64")
        outputs, held = [], []
        for _, kept in pairs:
            before, after = (
                (b, tokens, kept.heads * kept.width)
                for tokens in _cached_tokens(self.run, window)
            )
            if self.run.in_place:
                outputs.append(self._join_one(kept.name, after, after, "bf16"))
            else:
                outputs.append(self._join_one(kept.name, before, after, "bf16", held))
            if window is None:
                held.clear()
        return outputs

    def _join_one(self, name, before, after, dtype, held=None) -> Activation:
        number, past = self._scope.group, None
        if self.run.cached != 0 or self.run.in_place:
            past = self._new(f"{name} before", before, dtype, part=CACHE)
            past = self.timeline.find(past, number)
        output = self.timeline.watch(self._new(name, after, dtype, part=CACHE))
        self.timeline.keep(output, number)
        if held is None:  # nothing new is made: it lives on
            return output
        self._record(output)
        held.append(past)
        return output

    def experts(
        self, x, routes, width, active, checkpoint, *, bias=False, transposed=False,
        weights=None, function="",
    ) -> Activation:  # fmt: skip
        """Run each token through `active` of the routed gated MLPs of that width.

        Args:
            x: the input.
            routes: the router's scores, one per expert.
            width: the experts' width.
            active: experts that a token uses.
            checkpoint: the file's names, inside the layer, of an expert's gate, up and
                down matrices.
            bias: whether each expert has biases.
            transposed: as in `Parameter`.
            weights: of the experts of each token, as `route` gives them; None: what is
                made and saved is not derived.
            function: the experts' activation function.
        """
        number = routes.shape[-1]
        h = x.shape[-1]
        gate, up, down = checkpoint
        into, back = (2 * width, h), (h, width)
        if transposed:
            into, back = into[::-1], back[::-1]
        own = [
            self.parameter(
                "experts.gate_up_proj", (number, *into), "experts",
                split=1 + transposed, fused=2, transposed=transposed,
                checkpoint=self._stored(gate, up),
            ),
            self.parameter(
                "experts.down_proj", (number, *back), "experts",
                split=2 - transposed, transposed=transposed,
                checkpoint=self._stored(down),
            ),
        ]  # fmt: skip
        own = [replace(each, active=sympify(active)) for each in own]
        prefix, tokens = self._scope.prefix, (*x.shape[:-1], active)
        work = [
            self._product(
                each.name.removeprefix(prefix), (*tokens, *each.shape[1:]), each.part
            )
            for each in own
        ]
        if bias:
            for name, size, axis in (("gate_up", 2 * width, 1), ("down", h, None)):
                own.append(
                    self.parameter(
                        f"experts.{name}_proj_bias", (number, size), "expert bias",
                        split=axis, active=sympify(active),
                    )
                )  # fmt: skip
        if weights is None:
            output = self._like("experts", x)
        else:
            output = experts.grouped(self, x, weights, own[:2], width, function, bias)
        return self._append("experts", (x, routes), output, own, products=work)

    def route(
        self, scores, active, how=None, correction="", **facts
    ) -> tuple[Activation, Activation]:
        """Give the weights of the experts that each token goes to, and these.

        `correction` names a vector that DeepSeek adds to the shares: the checkpoint
        stores it, and the framework calls it a buffer.
        """
        own = []
        if correction:
            own.append(self.parameter(correction, scores.shape[-1:], "buffer"))
            facts["corrected"] = True
        weights, chosen = (how or experts.route)(self, scores, active, **facts)
        return self._append("route", (scores,), weights, own), chosen

    def operation(self, kind, inputs, name, shape, own=(), states=()) -> Activation:
        """Any other operation: its parameters and its states; no more is derived."""
        return self._append(kind, inputs, self._new(name, shape), own, states=states)

    def add(self, x, y) -> Activation:
        """x + y, y perhaps for all sequences alike; nothing is saved."""
        alike = x.shape == y.shape or not y.node
        rule = gradients.same if alike else gradients.same_for_all(y.shape)
        wide = "fp32" in (x.dtype, y.dtype)
        dtype = "fp32" if wide else x.dtype
        output = self.make("sum", x.shape, dtype, of=(x, y), rule=rule)
        return self._append("add", (x, y), output)

    def multiply(self, x, y) -> Activation:
        """x × y; the factor of each is saved."""
        output = self._like(
            "product", x, of=(x, y), rule=gradients.product, saved=(x, y)
        )
        return self._append("multiply", (x, y), output)

    def activate(self, x, function: str) -> Activation:
        """An activation function, by its name or as one of `functions`."""
        return self._append("activate", (x,), self.activated(x, function))

    def activated(self, x, function: str) -> Activation:
        """As `activate`, within another operation."""
        if callable(function):
            return function(self, x, function.__name__)
        if self.timeline:
            choose("activation function", function, dict.fromkeys(TIMED))
        return FUNCTIONS.get(function, of_input)(self, x, function)

    def capped(self, x, name, step) -> Activation:
        """Take one of the `CAPPING` steps that keep x within ± a number."""
        rule = gradients.like(f"of the {name}")
        return self._like(
            f"{name}, {step}", x, of=(x,), rule=rule, saves_output=step == "tanh"
        )

    def cap(self, x, name, step) -> Activation:
        """As `capped`, as an operation of its own."""
        return self._append("cap", (x,), self.capped(x, name, step))

    def scale(self, x) -> Activation:
        """Multiply by a number that is a tensor: a buffer, which is kept elsewhere."""
        rule = gradients.like("of the scaled")
        return self._append("scale", (x,), self._like("scaled", x, of=(x,), rule=rule))

    def gate(self, x, function: str) -> Activation:
        """Activate a gated MLP's gate; a fused kernel does so in `gated`."""
        return x if self.run.profile == "fused" else self.activate(x, function)

    def gated(self, gate, up) -> Activation:
        """gate × up; a fused kernel keeps its inputs only."""
        return self.multiply(gate, up)

    def view(self, x, name, *last, node=None) -> Activation:
        """The same memory with another last axis, or part of it."""
        sizes = tuple(sympify(size) for size in (*x.shape[:-1], *last))
        return self.look(x, None, self._scope.prefix + name, sizes, node)

    def part(self, x, name, width) -> Activation:
        """Part of the last axis, which holds the whole of the memory."""
        self.parted.update(storage for storage, _ in x.memory)
        node = self._node(part_gradients.like_whole(x.shape), (x,), ())
        return self.view(x, name, width, node=node)

    def join(self, name, inputs, shape) -> Activation:
        """Copy tensors side by side into a new one; nothing is saved."""
        rule = part_gradients.apart([each.shape for each in inputs])
        return self._append(
            "join", inputs, self.make(name, shape, of=inputs, rule=rule)
        )

    def fill(self, name, inputs, shape, heads) -> Activation:
        """As `join`, one after the other in place; the second is one for all heads."""
        one, other = inputs
        alone = Eq(heads, 1)
        every = self.look(other, attention_gradients.shared_heads(other.shape, alone))
        wide = (*other.shape[:-1], heads * other.shape[-1])
        made = self.make(name, shape, of=(one,), rule=part_gradients.filled(one.shape))
        node = self._node(part_gradients.filled_over(wide), (every, made), ())
        return self._append("join", inputs, self.look(made, node=node))

    def columns(self, x, widths: dict, parts=False) -> list[Activation]:
        """Parts of the last axis, all in x's memory; their gradients are joined.

        `parts` are all that is kept of it, if any is.
        """
        if parts:
            self.parted.update(storage for storage, _ in x.memory)
        node = self._node(part_gradients.joined(x.shape), (x,), ())
        if node:
            node.joins = True
        views = [self.view(x, *each, node=node) for each in widths.items()]
        return [self.look(each, gradients.passed) for each in views]

    def by_token(self, x, heads) -> Activation:
        """The same; where its gradient comes sorted by head, it is sorted by token."""
        if self.run.attention in RECOMPUTES_SCORES:
            return x
        return self.look(x, attention_gradients.sorted_by_token(heads))

    def by_head(self, x, heads) -> Activation:
        """As `by_token`, the other way round."""
        if self.run.attention not in RECOMPUTES_SCORES:
            return x
        return self.look(x, attention_gradients.put_by_head(heads))

    def look(self, x, rule=None, name=None, shape=None, node=None) -> Activation:
        """The same memory in another way; `rule` if its backward makes something.

        `node` is the kernel that made it, where that is known only now.
        """
        node = self._node(rule, (x,), ()) if rule else node or x.node
        view = Activation(name or x.name, shape or x.shape, x.dtype, x.memory, node)
        return self._watch(view)

    def split(self, x, sizes) -> list[Activation]:
        """Rows of x, all in its memory; their gradients are joined in a new tensor."""
        node = self._node(part_gradients.joined(x.shape), (x,), ())
        node.joins = True
        rows = [(size, *x.shape[1:]) for size in sizes]
        views = [Activation(x.name, each, x.dtype, x.memory, node) for each in rows]
        return [self._watch(each) for each in views]

    def joined(self, x) -> Activation:
        """The same memory with the last two axes as one."""
        *first, heads, width = x.shape
        return self.look(x, shape=(*first, heads * width))

    def last_tokens(self, x) -> Activation:
        """The tokens that get logits: the same memory, or part of it."""
        kept = self.run.kept
        if kept is None:
            return x
        shape = (x.shape[0], kept, *x.shape[2:])
        return self.look(x, shape=shape)

    def dropout(self, x, rate) -> Activation:
        """Zero a share of the elements; the mask is saved, one byte per element."""
        if not rate or not self.run.training:
            return x
        mask = self.make("dropout mask", x.shape, "bool")
        rule = gradients.like("of the dropout")
        output = self._like(
            "dropout", x, of=(x,), rule=rule, saved=(mask,), makes_saved=True
        )
        return self._append("dropout", (x,), output)

    def rotary_tables(self, x, positions, width) -> tuple[Activation, Activation]:
        """Make cos and sin, (1, s, width), in the data type of the hidden states."""
        tables = rotary.tables(self, positions.shape, width, x.dtype)
        for table in tables:
            self._append("rotary_table", (x,), table)
        return tuple(tables)

    def complex_table(self, x, positions, width) -> tuple[Activation]:
        """Make cos + i·sin, two numbers in fp32: (1, s, width / 2, 2)."""
        table = rotary.complex_table(self, positions.shape, width)
        return (self._append("rotary_table", (x,), table),)

    def interleaved(self, tables) -> tuple[Activation, ...]:
        """Make rotary tables of a layer's own, which it keeps."""
        own = tuple(rotary.interleave(self, table) for table in tables)
        self._append("interleave", tables, own[0])
        return own

    def rotate(self, x, tables) -> Activation:
        """Turn queries or keys by their position; only the tables are saved.

        What turns together are the halves of a head.
        """
        return self._append("rotate", (x,), rotary.rotate(self, x, *tables))

    def rotate_pairs(self, several, tables) -> list[Activation]:
        """As `rotate`, of pairs of neighbours, which are taken apart in all first.

        One table has complex numbers.
        """
        if len(tables) == 1:
            outputs = rotary.rotate_complex(self, several, *tables)
        else:
            halves = [rotary.halves(self, x) for x in several]
            pairs = zip(several, halves, strict=True)
            outputs = [rotary.rotate_pairs(self, *each, *tables) for each in pairs]
        return self._rotated(several, outputs)

    def rotate_parts(self, several, tables, heads, late) -> list[Activation]:
        """As `rotate`, of the first elements of each of so many heads."""
        outputs = rotary.rotate_parts(self, several, *tables, heads, late)
        return self._rotated(several, outputs)

    def _rotated(self, several, outputs) -> list[Activation]:
        pairs = zip(several, outputs, strict=True)
        return [self._append("rotate", (x,), output) for x, output in pairs]

    def attention(
        self, queries, keys, values, heads, groups, *, softmax="fp32", dropout=0,
        packed=False, capped=False, sorted=False, sinks=False, joined=None,
    ) -> tuple[Activation, Activation | None]:  # fmt: skip
        """Softmax of queries × keys, times values: (b, s, a·d_v), and the map if any.

        Args:
            queries: (b, s, a·d).
            keys, values: (b, s, k·d) and (b, s, k·d_v).
            heads, groups: a and k.
            softmax: the data type that the eager softmax is computed in.
            dropout: share of the attention map that is zeroed, in training.
            packed: whether values lie in one tensor with others.
            capped: whether a tanh keeps the scores within bounds.
            sorted: whether queries and keys were made head by head.
            sinks: whether each row has one score more, which reads no token.
            joined: whether keys and values come from a cache; None: where there is one.
        """
        joined = self.run.cached is not None if joined is None else joined
        inputs = (queries, keys, values)
        dropout = dropout if self.run.training else 0
        heads, groups = sympify(heads), sympify(groups)
        case = Heads(
            self, *inputs, heads, groups, softmax, dropout, packed, capped,
            sorted, sinks, joined,
        )  # fmt: skip
        work = case.products(self._product)
        kernel = KERNELS[self.run.attention] if self.run.core else recomputed
        if self.graph is not None and not self.run.core:
            kernel = KERNELS[self.run.attention]
            output, weights = self.checkpoint(lambda _, each: kernel(each), case)
        else:
            output, weights = kernel(case)
        del case
        return self._append("attention", inputs, output, products=work), weights

    def values_by_head(self, heads, groups):
        """Return the heads of values whose gradient comes sorted by head, or None.

        The efficient kernel's is by token, but for heads that were repeated.
        """
        if self.run.attention == "flash":
            return None
        efficient = self.run.attention == "efficient"
        return groups, Eq(heads, groups) if efficient else false


def _cached_tokens(run: Run, window) -> tuple[Expr, Expr]:
    """Return how many tokens a cached tensor holds before and after.

    A window keeps one token less than its width for the next step, in a slice of what
    it joined: the storage is as wide as the window.
    """
    if window is None:
        return run.cached, run.cached + run.tokens
    return Min(run.cached, window), Min(run.cached, window - 1) + run.tokens
