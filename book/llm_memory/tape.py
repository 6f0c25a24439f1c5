"""A model's step, written once: operations in the framework's order.

A family's forward (`families/`) calls the methods below as a network calls its
modules. Each call appends one operation: its inputs, its output, the parameters that
it loads and the tensors that it puts into the KV cache. Every quantity of the book is
a reading of that list.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace

from sympy import Expr, S, sympify

from .count import Product
from .kernels import KERNELS, Heads, recomputed
from .operations import Activation, Cached, Operation, Parameter, Run
from .symbols import b, s

PARTS = {
    "embedding": "embedding",
    "table": "embedding",
    "head": "head",
    "norm": "norms",
    "experts": "routed experts",
}


@dataclass(frozen=True)
class Scope:
    """Where on the tape we are: name prefix, repeats of the layer, part.

    `whole` names the part of everything inside, whatever inner scopes say. `layer` is
    the prefix of the layer that we are in.
    """

    prefix: str = ""
    count: Expr = S.One
    part: str = ""
    whole: str = ""
    group: int = 0
    layer: str = ""


class Tape:
    """The operations of one forward; each method appends one and returns its output."""

    def __init__(self, run: Run | None = None) -> None:
        self.run = run or Run()
        self.operations: list[Operation] = []
        self.groups = 0
        self._scope = Scope()

    @contextmanager
    def scope(self, prefix: str = "", count=None, part: str = "", whole: str = ""):
        """Name, repeat and sort what is appended inside the `with` block."""
        outer, layers = self._scope, count is not None
        self.groups += layers
        self._scope = Scope(
            outer.prefix + prefix,
            sympify(count) if layers else outer.count,
            part or outer.part,
            whole or outer.whole,
            self.groups if layers else outer.group,
            outer.prefix + prefix if layers else outer.layer,
        )
        yield self
        self._scope = outer

    def embedding(self, name, rows, width, role="embedding", split=0) -> Activation:
        """Look up one row per token: (b, s) ids → (b, s, width)."""
        table = self.parameter(f"{name}.weight", (rows, width), role, split=split)
        kind = "fp32" if self.run.precision == "autocast" else "bf16"
        rows_of_tokens = self._new(name, (b, s, width), kind)
        return self._append("embedding", (), rows_of_tokens, [table])

    def linear(
        self, x, name, width, *, bias=False, split=None, heads=(), role="matrix",
        transposed=False, checkpoint="", shared=None,
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
        """
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
        read = self._cast(x)
        wide = self.run.precision == "autocast"
        copy = (self._new(f"{name}.weight in bf16", shape),) if wide else ()
        output = self._new(name, (*x.shape[:-1], width))
        tied = [shared] if shared else []
        part = PARTS.get(role, self._scope.part or role)
        work = (self._product(name, (*x.shape, width), part),)
        return self._append("linear", (x,), output, own, tied, (), (read, *copy), work)

    def norm(self, x, name, kind="rms_norm", affine=True) -> Activation:
        """Normalise the last axis; "rms_norm" has a weight, "layer_norm" a bias too."""
        suffixes = {"rms_norm": ["weight"], "layer_norm": ["weight", "bias"]}[kind]
        width = x.shape[-1]
        own = [self.parameter(f"{name}.{end}", (width,), "norm") for end in suffixes]
        saved = {"rms_norm": self._rms_norm_saved, "layer_norm": self._layer_norm_saved}
        wide = self.run.precision == "autocast"
        output = self._new(name, x.shape, "fp32" if wide else x.dtype)
        own = own if affine else []
        return self._append(kind, (x,), output, own, saved=saved[kind](x, name))

    def _rms_norm_saved(self, x, name) -> tuple[Activation, ...]:
        root = self._new(f"{name} 1/rms", (*x.shape[:-1], 1), "fp32")
        if self.run.profile == "fused":
            return (x, root)
        wide = x if x.dtype == "fp32" else self._new(f"{name} in fp32", x.shape, "fp32")
        return (wide, root, self._new(f"{name} normalised", x.shape, x.dtype))

    def _layer_norm_saved(self, x, name) -> tuple[Activation, ...]:
        rows = (*x.shape[:-1], 1)
        moments = (
            self._new(f"{name} {each}", rows, "fp32") for each in ("mean", "1/std")
        )
        return (x, *moments)

    def cache(self, x, *kept: Cached) -> Activation:
        """Keep tensors of these tokens; the output is what attention then reads."""
        return self._append("cache", (x,), self._like(kept[0].name, x), cached=kept)

    def experts(self, x, routes, width, active, checkpoint) -> Activation:
        """Run each token through `active` of the routed gated MLPs of that width.

        Args:
            x: the input.
            routes: the router's scores, one per expert.
            width: the experts' width.
            active: experts that a token uses.
            checkpoint: the file's names, inside the layer, of an expert's gate, up and
                down matrices.
        """
        experts = routes.shape[-1]
        h = x.shape[-1]
        gate, up, down = checkpoint
        own = [
            self.parameter(
                "experts.gate_up_proj", (experts, 2 * width, h), "experts",
                split=1, fused=2, checkpoint=self._stored(gate, up),
            ),
            self.parameter(
                "experts.down_proj", (experts, h, width), "experts",
                split=2, checkpoint=self._stored(down),
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
        output = self._like("experts", x)
        return self._append("experts", (x, routes), output, own, products=work)

    def add_buffer(self, x, name) -> Activation:
        """Add a vector that the checkpoint stores and the framework calls a buffer."""
        own = self.parameter(name, (x.shape[-1],), "buffer")
        return self._append("add", (x,), self._like(name, x), [own])

    def add(self, x, y) -> Activation:
        """x + y; nothing is saved."""
        return self._append("add", (x, y), self._like("sum", x))

    def multiply(self, x, y) -> Activation:
        """x × y; the factor of each is saved."""
        return self._append("multiply", (x, y), self._like("product", x), saved=(x, y))

    def activate(self, x, function: str) -> Activation:
        """An activation function. Its input is saved; composed ones save more."""
        output = self._like(function, x)
        saved = (output,) if function == "relu" else (x,)
        if function == "gelu_new":  # 0.5·x·(1 + tanh(…)), written as five operations
            steps = ("0.5·x", "tanh", "1 + tanh")
            saved = (x, *(self._new(f"{function} {each}", x.shape) for each in steps))
        return self._append("activate", (x,), output, saved=saved)

    def gated(self, gate, up, function: str) -> Activation:
        """function(gate) × up; a fused kernel keeps its two inputs only."""
        if self.run.profile == "fused":
            output = self._like("product", up)
            return self._append("gated", (gate, up), output, saved=(gate, up))
        return self.multiply(self.activate(gate, function), up)

    def view(self, x, name, *last) -> Activation:
        """The same memory with another last axis, or part of it."""
        return self._new(name, (*x.shape[:-1], *last), x.dtype)

    def dropout(self, x, rate) -> Activation:
        """Zero a share of the elements; the mask is saved, one byte per element."""
        if not rate:
            return x
        mask = self._new("dropout mask", x.shape, "bool")
        return self._append("dropout", (x,), self._like("dropout", x), saved=(mask,))

    def rotary_tables(self, x, width) -> tuple[Activation, Activation]:
        """Make cos and sin, (1, s, width), in the data type of the hidden states."""
        tables = [self._new(name, (1, s, width), x.dtype) for name in ("cos", "sin")]
        for table in tables:
            self._append("rotary_table", (x,), table)
        return tuple(tables)

    def rotate(self, x, tables) -> Activation:
        """Turn queries or keys by their position; only the tables are saved."""
        output = Activation(f"{x.name} rotated", x.shape, tables[0].dtype)
        return self._append("rotate", (x,), output, saved=tables)

    def attention(
        self, queries, keys, values, heads, groups, *, softmax="fp32", dropout=0
    ) -> Activation:
        """Softmax of queries × keys, times values: (b, s, a·d_v).

        Args:
            queries: (b, s, a·d).
            keys, values: (b, s, k·d) and (b, s, k·d_v).
            heads, groups: a and k.
            softmax: the data type that the eager softmax is computed in.
            dropout: share of the attention map that is zeroed.
        """
        inputs = tuple(self._cast(each) for each in (queries, keys, values))
        shape = (*queries.shape[:-1], heads * values.shape[-1] / groups)
        output = self._new("attention", shape)
        cast = keys.dtype != "bf16"
        case = Heads(self._new, *inputs, output, heads, groups, softmax, dropout, cast)
        kernel = KERNELS[self.run.attention] if self.run.core else recomputed
        work = case.products(self._product, self.run.attention)
        return self._append("attention", inputs, output, (), (), (), kernel(case), work)

    def parameter(self, name, shape, role, **facts) -> Parameter:
        """Describe a parameter named inside the current scope."""
        scope = self._scope
        checkpoint = facts.pop("checkpoint", ())
        sizes = tuple(sympify(size) for size in shape)
        part = scope.whole or PARTS.get(role, scope.part)
        return Parameter(
            scope.prefix + name, sizes, role, scope.count, part, checkpoint, **facts
        )

    def _stored(self, *names: str) -> tuple[str, ...]:
        return tuple(f"{self._scope.layer}{name}.weight" for name in names if name)

    @property
    def parameters(self) -> list[Parameter]:
        """Every parameter that is loaded, in order; tied ones once."""
        return [each for operation in self.operations for each in operation.parameters]

    def _cast(self, x) -> Activation:
        """Return x in bf16; autocast makes a copy for each operation that reads it."""
        return x if x.dtype == "bf16" else Activation(f"{x.name} in bf16", x.shape)

    def _like(self, name, x) -> Activation:
        return self._new(name, x.shape, x.dtype)

    def _new(self, name, shape, kind="bf16") -> Activation:
        sizes = tuple(sympify(size) for size in shape)
        return Activation(self._scope.prefix + name, sizes, kind)

    def _product(self, name, shape, part, **facts) -> Product:
        scope = self._scope
        return Product(scope.prefix + name, shape, scope.count, part, **facts)

    def _append(
        self, kind, inputs, output, own=(), shared=(), cached=(), saved=(), products=()
    ) -> Activation:
        scope = self._scope
        self.operations.append(
            Operation(
                kind, tuple(inputs), output, scope.count, tuple(own), tuple(shared),
                tuple(cached), scope.group, scope.part, tuple(saved), tuple(products),
            )
        )  # fmt: skip
        return output
