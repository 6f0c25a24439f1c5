"""A model's step, written once: operations in the framework's order.

A family's forward (`families/`) calls the methods below as a network calls its
modules. Each call appends one operation: its inputs, its output, the parameters that
it loads and the tensors that it puts into the KV cache. Every quantity of the book is
a reading of that list.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace

from sympy import Expr, S, sympify

from .symbols import b, s

PARTS = {
    "embedding": "embedding",
    "table": "embedding",
    "head": "head",
    "norm": "norms",
    "experts": "routed experts",
}


@dataclass(frozen=True)
class Activation:
    """A tensor that an operation makes: its name and shape."""

    name: str
    shape: tuple[Expr, ...]


@dataclass(frozen=True)
class Parameter:
    """A tensor that is loaded, in each of `count` layers.

    Attributes:
        name: the framework's name, `{i}` for the layer.
        shape: as the framework stores it.
        role: "matrix" and "experts" are what a quantised format packs; "embedding",
            "head", "router", "norm", "bias" and "table" keep their data type;
            "buffer" is stored in a checkpoint but is no parameter.
        count, part: as in a ledger's row.
        checkpoint: names in the published file, where they differ.
        split: the axis that tensor parallelism divides; None: whole on every rank.
        heads: the groups of heads that the axis holds side by side, each of which
            replicates once ranks outnumber it; (): the axis is divided evenly.
        fused: how many of the checkpoint's matrices lie side by side in one matrix.
        active: how many entries of the first axis a token uses; None: all.
        transposed: stored as (in, out), as GPT-2's Conv1D does.
    """

    name: str
    shape: tuple[Expr, ...]
    role: str
    count: Expr = S.One
    part: str = ""
    checkpoint: tuple[str, ...] = ()
    split: int | None = None
    heads: tuple[Expr, ...] = ()
    fused: int = 1
    active: Expr | None = None
    transposed: bool = False


@dataclass(frozen=True)
class Cached:
    """What one layer keeps of every token for later steps.

    Attributes:
        name: what it holds: "keys", "values", "latent" or "rotary key".
        slot: where transformers keeps it in a layer's cache: "keys" or "values".
        heads, width: elements per token = heads × width.
        window: the most tokens that are kept; None: all.
        layout: set where the same content can be kept in several ways (MLA).
        split: whether tensor parallelism can divide the heads.
    """

    name: str
    slot: str
    heads: Expr
    width: Expr
    window: Expr | None = None
    layout: str | None = None
    split: bool = True


@dataclass(frozen=True)
class Operation:
    """One step of the forward, run once in each of `count` layers.

    `group` numbers the groups of layers that are alike; 0 is outside of all layers.
    """

    kind: str
    inputs: tuple[Activation, ...]
    output: Activation
    count: Expr = S.One
    parameters: tuple[Parameter, ...] = ()
    shared: tuple[Parameter, ...] = ()
    cached: tuple[Cached, ...] = ()
    group: int = 0


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

    def __init__(self) -> None:
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
        return self._append("embedding", (), name, (b, s, width), [table])

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
        shape = (*x.shape[:-1], width)
        return self._append(
            "linear", (x,), name, shape, own, [shared] if shared else []
        )

    def norm(self, x, name, kind="rms_norm", affine=True) -> Activation:
        """Normalise the last axis; "rms_norm" has a weight, "layer_norm" a bias too."""
        suffixes = {"rms_norm": ["weight"], "layer_norm": ["weight", "bias"]}[kind]
        width = x.shape[-1]
        own = [self.parameter(f"{name}.{end}", (width,), "norm") for end in suffixes]
        return self._append(kind, (x,), name, x.shape, own if affine else [])

    def cache(self, x, *kept: Cached) -> Activation:
        """Keep tensors of these tokens; the output is what attention then reads."""
        return self._append("cache", (x,), kept[0].name, x.shape, cached=kept)

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
        return self._append("experts", (x, routes), "experts", x.shape, own)

    def add_buffer(self, x, name) -> Activation:
        """Add a vector that the checkpoint stores and the framework calls a buffer."""
        own = self.parameter(name, (x.shape[-1],), "buffer")
        return self._append("add", (x,), name, x.shape, [own])

    def pointwise(self, kind, *inputs: Activation) -> Activation:
        """Any element-wise operation: add, multiply, activation, rotary, dropout …"""
        return self._append(kind, inputs, kind, inputs[0].shape)

    def attention(self, queries, keys, values) -> Activation:
        """Softmax of queries × keys, times values: (b, s, a·d_v)."""
        shape = (*queries.shape[:-1], values.shape[-1])
        return self._append("attention", (queries, keys, values), "attention", shape)

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

    def _append(self, kind, inputs, name, shape, own=(), shared=(), cached=()):
        output = Activation(
            self._scope.prefix + name, tuple(sympify(size) for size in shape)
        )
        self.operations.append(
            Operation(
                kind, tuple(inputs), output, self._scope.count, tuple(own),
                tuple(shared), tuple(cached), self._scope.group,
            )
        )  # fmt: skip
        return output
