"""Where on the tape we are, and what kernels make there.

A kernel's output is an `Activation` in memory of its own or a look at another's. It is
named by the scope it is made in, and alive as long as the forward's Python holds it.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from sympy import And, Expr, Not, S, false, sympify, true

from . import gradients
from .backward import GRADIENTS, Graph
from .count import Product
from .gradients import Frame
from .operations import Activation, Operation, Parameter, Run, Storage
from .timeline import Timeline

PARTS = {
    "embedding": "embedding",
    "table": "embedding",
    "head": "head",
    "norm": "norms",
    "experts": "routed experts",
    "expert bias": "routed experts",
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


class Recorder:
    """A run's scopes, tensors and operations, in order."""

    def __init__(
        self, run: Run | None = None, timeline: Timeline | None = None
    ) -> None:
        self.run = run or Run()
        self.timeline = timeline
        self.operations: list[Operation] = []
        self.graph = Graph() if timeline and self.run.training else None
        self.groups = 0
        self.output: Activation | None = None
        self.hidden: Activation | None = None
        self.copies: dict[tuple[int, str], Activation] = {}
        self._scope = Scope()
        self.parted: set[Storage] = set()
        self._saved: list[Activation] = []
        self._positions = lambda: None

    @contextmanager
    def scope(self, prefix: str = "", count=None, part: str = "", whole: str = ""):
        """Name, repeat and sort what is appended inside the `with` block."""
        outer, layers = self._scope, count is not None
        self.groups += layers
        if layers and self.timeline:
            self.timeline.enter(self.groups)
        self._scope = Scope(
            outer.prefix + prefix,
            sympify(count) if layers else outer.count,
            part or outer.part,
            whole or outer.whole,
            self.groups if layers else outer.group,
            outer.prefix + prefix if layers else outer.layer,
        )
        try:
            yield self
        finally:
            self._scope = outer

    @property
    def group(self) -> int:
        """The group of layers that we are in; 0: none."""
        return self._scope.group

    @property
    def saves(self) -> bool:
        """Whether kernels save what their backward needs, or will be run again."""
        graph = self.graph
        return graph is not None and graph.saves

    @contextmanager
    def at(self, scope: Scope):
        """Go back to where a kernel of the forward ran."""
        outer, self._scope = self._scope, scope
        try:
            yield self
        finally:
            self._scope = outer

    def block(self, function, *inputs):
        """Run a layer; recomputed, it keeps what it is given and perhaps products."""
        if self.graph is None or self.run.recompute not in ("full", "matmuls"):
            return function(self, *inputs)
        return self.checkpoint(function, *inputs)

    def checkpoint(self, function, *inputs):
        """Run a function; the backward runs it again for what it has to save."""
        graph = self.graph
        if graph.refilled is not None:
            return function(self, *inputs)
        graph.frame = Frame(function, inputs, self._scope, self._positions())
        graph.frames.append(graph.frame)
        result = function(self, *inputs)
        graph.frame = None
        return result

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

    def make(
        self, name, shape, dtype="bf16", prefix=None,
        of=(), rule=None, saved=(), saves_output=False, makes_saved=False,
        product=False, keeps_parameter=False,
    ) -> Activation:  # fmt: skip
        """Run a kernel: its output, in memory of its own.

        Args:
            name, shape, dtype: of the output.
            prefix: of the name; None: where we are on the tape.
            of: the inputs that get a gradient, parameters among them.
            rule: the kernel's backward, one of `gradients`; None: it has none.
            saved: what is kept for the rule.
            saves_output: keep the output too.
            makes_saved: the kernel makes what is saved, as it makes the output.
            product: it is of those that recompute="matmuls" does not run again.
            keeps_parameter: what is kept for the rule is a frozen parameter.
        """
        saves = saves_output or makes_saved
        node = self._node(rule, of, saved, saves, keeps_parameter) if rule else None
        output = self.graph.product_again() if product and self.graph else None
        if output is None:
            output = self._watch(self._new(name, shape, dtype, prefix, node=node))
            self._record(output)
        if product and self.graph and self.run.recompute == "matmuls":
            self.graph.keep_product(output)
        if not self.timeline:
            self._saved += (*saved, *([output] if saves_output else ()))
        if saves_output and node:
            self.graph.keep_output(node, output)
        if saves and node:
            self.graph.kernel_ended()
        return output

    def copy(
        self, x, name, shape=None, unless=false, prefix=None, carried=False, rule=None
    ) -> Activation:
        """Copy x, `unless` a condition holds: then only look at it in another way."""
        unless = sympify(unless)
        if unless == true and not rule:
            return x
        own = self._new(name, shape or x.shape, x.dtype, prefix, carried=carried)
        seen = tuple((each, _both(unless, holds)) for each, holds in x.memory)
        memory = ((own.memory[0][0], Not(unless)), *seen)
        node = self._node(rule, (x,), ()) if rule else x.node
        output = self._watch(Activation(own.name, own.shape, own.dtype, memory, node))
        if not carried:
            self._record(output)
        return output

    def gradient(self, name, shape, dtype) -> Activation:
        """Run a kernel of the backward."""
        return self.make(f"gradient {name}", shape, dtype)

    def gradients(self, name, shapes, dtype="bf16") -> tuple[Activation, ...]:
        """Run a kernel of the backward that makes several tensors."""
        return tuple(self.gradient(name, shape, dtype) for shape in shapes)

    def parameter_gradient(self, parameter) -> Activation:
        """Run the kernel that makes a parameter's gradient."""
        name, kind = f"{parameter.name}.grad", self._dtype_of(parameter)
        new = self._new(name, parameter.shape, kind, "", GRADIENTS)
        self._watch(new)
        self._record(new)
        return new

    def factor_gradient(self, parameter, dtype) -> Activation:
        """As `parameter_gradient`, of what a product read: the parameter, or a copy."""
        if self._dtype_of(parameter) == dtype:
            return self.parameter_gradient(parameter)
        return self.gradient(f"of {parameter.name}", parameter.shape, dtype)

    def _dtype_of(self, parameter) -> str:
        return parameter.dtype or self.run.stored

    def _node(self, rule, of, saved, saves=False, keeps_parameter=False):
        if self.graph is None:
            return None
        return self.graph.add(rule, of, saved, self._scope, saves, keeps_parameter)

    def sum_of(self, first, second) -> Activation:
        """Add two gradients of one tensor."""
        return self.make("gradients, summed", first.shape, first.dtype)

    def cast(self, x, shape=None) -> Activation:
        """Return x in bf16; autocast makes a copy for each operation that reads it."""
        if x.dtype == "bf16":
            return x
        rule = gradients.cast(x.dtype)
        name = f"{x.name} in bf16"
        return self.make(name, shape or x.shape, prefix="", of=(x,), rule=rule)

    def copied(self, parameter) -> Activation:
        """Return a parameter in bf16; autocast keeps the copy until it ends."""
        key = (self.group, parameter.name)
        copy = self.copies.get(key)
        if copy is None:
            copy = self.make(
                f"{parameter.name} in bf16", parameter.shape, prefix="",
                of=(parameter,), rule=gradients.copied(parameter),
            )  # fmt: skip
            self.copies[key] = copy
        return copy

    def multiplied(self, x, weight, *bias) -> dict:
        """Return what `make` has to know of a product of x and a parameter.

        A frozen one gets no gradient, so x is not kept for it.
        """
        if self.run.frozen:
            rule = gradients.of_input(x.shape, x.dtype)
            return {"of": (x,), "rule": rule, "keeps_parameter": True}
        edges, kept = self.factors(x, weight, *bias)
        return {"of": edges, "rule": gradients.linear(weight, *bias), "saved": kept}

    def weighted(self, x, weight) -> dict:
        """Return the same of rows of x times a norm's weight."""
        if self.run.frozen:
            rule = gradients.like("of the normalised")
            return {"of": (x,), "rule": rule, "keeps_parameter": True}
        rule = gradients.weighting(weight)
        return {"of": (weight, x), "rule": rule, "saved": (x,)}

    def factors(self, x, weight, *bias) -> tuple[tuple, list]:
        """Return what a product of x reads, and what it keeps.

        Under autocast both are copies in bf16, made from the last one to the first.
        """
        if self.run.stored == "bf16":
            return (weight, x, *bias), [x]
        bias = [self.copied(each) for each in bias]
        weight = self.copied(weight)
        x = self.cast(x)
        return (weight, x, *bias), [x, weight]

    def _like(self, name, x, **facts) -> Activation:
        return self.make(name, x.shape, x.dtype, **facts)

    def _new(
        self, name, shape, dtype="bf16", prefix=None, part="", carried=False, node=None
    ) -> Activation:
        sizes = tuple(
            size if isinstance(size, Expr) else sympify(size) for size in shape
        )
        scope = self._scope
        name = (scope.prefix if prefix is None else prefix) + name
        part = part or scope.part
        storage = Storage(name, sizes, dtype, part, scope.group, carried)
        return Activation(name, sizes, dtype, ((storage, true),), node)

    def _watch(self, tensor) -> Activation:
        return self.timeline.watch(tensor) if self.timeline else tensor

    def _record(self, tensor) -> None:
        if self.timeline and 0 not in tensor.shape:
            self.timeline.record(tensor.name, self._scope.group)

    def _product(self, name, shape, part, **facts) -> Product:
        scope = self._scope
        return Product(scope.prefix + name, shape, scope.count, part, **facts)

    def _append(
        self, kind, inputs, output, own=(), shared=(), cached=(), products=(), states=()
    ) -> Activation:
        scope = self._scope
        tensors = (tuple(inputs), output, tuple(self._saved))
        self._saved = []
        if self.timeline:  # a tape that times tensors must not hold them
            tensors = ((), None, ())
        inputs, made, saved = tensors
        self.operations.append(
            Operation(
                kind, inputs, made, scope.count, tuple(own), tuple(shared),
                tuple(cached), scope.group, scope.part, saved, tuple(products),
                tuple(states),
            )
        )  # fmt: skip
        return output


_both = cache(And)  # of two conditions, which many tapes share
