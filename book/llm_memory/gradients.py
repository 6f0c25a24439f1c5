"""The backward of each kernel: what it makes, in the framework's order.

A rule gets the tape, the tensors that its kernel saved and the gradient of the output.
It returns the gradients of the kernel's inputs, in their order. What it does not return
is released when it ends; the gradient and the saved tensors are when all is summed that
is to be. Saved tensors that were made again are the rule's alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sympy import Eq

from .operations import Activation
from .symbols import b


@dataclass(eq=False)
class Node:
    """A kernel that the backward visits.

    Attributes:
        rule: its backward.
        edges: for each input the node that made it, a parameter, or None.
        saved: what the rule needs.
        group: the group of layers that it belongs to.
        scope: where on the tape it stands.
        frame: the checkpointed block that recomputes `saved`, if any.
        joins: its outputs are parts, whose gradients the rule gets in a list.
        dtypes: of each input, in which its gradient comes; a parameter's: None.
    """

    rule: object
    edges: tuple
    saved: list[Activation]
    scope: object
    frame: "Frame | None" = None
    joins: bool = False
    dtypes: tuple = ()


@dataclass(eq=False)
class Frame:
    """A checkpointed block: what it is called with, and what it will fill again.

    Attributes:
        block: the function to call again.
        inputs: what it is called with, held until everything in it is released.
        scope: where on the tape it stands.
        positions: the position ids, with which each block is called too.
        waiting: nodes that lack their saved tensors, in the order of the forward.
        unreleased: nodes whose saved tensors are still needed.
        products: outputs that are not made again, but kept until they are read again.
    """

    block: object
    inputs: tuple
    scope: object
    positions: Activation | None = None
    waiting: list[Node] = field(default_factory=list)
    unreleased: int = 0
    products: list[Activation] = field(default_factory=list)

    @property
    def tensors(self) -> list[Activation]:
        """What is kept: the tensors among the inputs, the heads' too, and products."""
        given = [self.positions, *self.inputs, *getattr(self.inputs[0], "inputs", ())]
        given += self.products
        return [each for each in given if isinstance(each, Activation)]

    def wait(self, node: Node) -> None:
        """Have a node's saved tensors made again."""
        self.waiting.append(node)
        self.unreleased += 1

    def release(self) -> None:
        """Note that a node is done; with the last one, the inputs are let go."""
        self.unreleased -= 1
        if not self.unreleased:
            self.block, self.inputs, self.positions = None, (), None
            self.products.clear()


@dataclass
class Summed:
    """A gradient that is summed to its input's shape when the rule has ended.

    Attributes:
        sum: makes it.
        summands: what is alive until then.
    """

    sum: Callable[[], Activation]
    summands: Activation | None = None


class Stop(Exception):
    """Everything that a block saves is there again: the rest of it is not run."""


def end(tape, saved, grad):
    """Pass nothing on."""
    return ()


def same(tape, saved, grad):
    """Pass the gradient on, to one input or to two."""
    return grad, grad


def passed(tape, saved, grad):
    """Pass the gradient on to the one input."""
    return (grad,)


def same_for_all(shape):
    """Pass the gradient on; for what all sequences share, its sum over them."""

    def rule(tape, saved, grad):
        name = "gradient, summed over sequences"
        return grad, tape.copy(grad, name, shape, unless=Eq(b, 1))

    return rule


def cast(dtype):
    """Cast the gradient back."""

    def rule(tape, saved, grad):
        return (tape.gradient("cast", grad.shape, dtype),)

    return rule


def like(name):
    """Make one tensor of the gradient's size."""

    def rule(tape, saved, grad):
        return (tape.gradient(name, grad.shape, grad.dtype),)

    return rule


def spread(shape):
    """Spread the gradient of a mean over what was averaged."""

    def rule(tape, saved, grad):
        return (tape.gradient("of the mean, spread", shape, grad.dtype),)

    return rule


def power(tape, saved, grad):
    """A power of the input or output, times a factor, times the gradient."""
    raised = tape.gradient("power", grad.shape, grad.dtype)
    scaled = tape.gradient("power's factor", grad.shape, grad.dtype)
    result = tape.gradient("of the power", grad.shape, grad.dtype)
    del raised, scaled
    return (result,)


def product(tape, saved, grad):
    """The gradient times the other factor, for both."""
    left, right = saved
    return tuple(tape.gradient("of a factor", x.shape, x.dtype) for x in (left, right))


def row_scaling(tape, saved, grad):
    """A tensor times one number per row: the latter's gradient is summed."""
    wide, root = saved
    of_wide = tape.gradient("of the scaled", wide.shape, wide.dtype)
    products = tape.gradient("of 1/rms, not summed", wide.shape, wide.dtype)
    shape, dtype = root.shape, root.dtype
    return of_wide, Summed(lambda: tape.gradient("of 1/rms", shape, dtype), products)


def weighting(weight):
    """A weight times each row: the weight's gradient is summed over the rows."""

    def rule(tape, saved, grad):
        (narrow,) = saved
        products = tape.gradient("of the weight, not summed", grad.shape, grad.dtype)
        of_input = tape.gradient("of the normalised", narrow.shape, grad.dtype)
        return Summed(lambda: tape.parameter_gradient(weight), products), of_input

    return rule


def scaling(weight):
    """Each row times 1 + a weight: the latter's gradient is made second, and summed."""

    def rule(tape, saved, grad):
        of_rows = tape.gradient("of the normalised", grad.shape, grad.dtype)
        products = tape.gradient("of 1 + weight, not summed", grad.shape, grad.dtype)

        def summed():
            if tape.run.stored == "fp32":
                return tape.parameter_gradient(weight)
            return tape.gradient("of 1 + weight", weight.shape, grad.dtype)

        return of_rows, Summed(summed, products)

    return rule


def linear(weight, bias=None):
    """Two products, and a sum over rows for a bias."""

    def rule(tape, saved, grad):
        x = saved[0]
        if bias is None:
            of_weight = tape.factor_gradient(weight, x.dtype)
            return of_weight, tape.gradient("of the input", x.shape, x.dtype)
        of_input = tape.gradient("of the input", x.shape, x.dtype)
        of_weight = tape.factor_gradient(weight, x.dtype)
        dtype = x.dtype
        return of_weight, of_input, Summed(lambda: tape.factor_gradient(bias, dtype))

    return rule


def of_input(shape, dtype):
    """One product, with a frozen matrix: only the input has a gradient."""

    def rule(tape, saved, grad):
        return (tape.gradient("of the input", shape, dtype),)

    return rule


def copied(parameter):
    """The gradient of a parameter's copy, in the parameter's data type."""

    def rule(tape, saved, grad):
        return (tape.parameter_gradient(parameter),)

    return rule


def lookup(table):
    """The gradient of a whole table, zeros included."""

    def rule(tape, saved, grad):
        return (tape.parameter_gradient(table),)

    return rule


def layer_norm(parameters):
    """One kernel makes the gradients of the input and of the two parameters."""

    def rule(tape, saved, grad):
        of_input = tape.gradient("of the input", grad.shape, grad.dtype)
        return of_input, *(tape.parameter_gradient(each) for each in parameters)

    return rule


def loss(shape):
    """The log-likelihood's gradient, as large as the log-probabilities."""

    def rule(tape, saved, grad):
        return (tape.gradient("of the log-likelihood", shape, "fp32"),)

    return rule
