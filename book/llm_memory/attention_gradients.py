"""The backward of attention: orders of heads, products, and what positions turn."""

from sympy import Eq, Or, false

from .symbols import b


def sorted_by_token(heads, already=false):
    """A projection's gradient, sorted by head, is copied to be sorted by token."""

    def rule(tape, saved, grad):
        once = Or(already, Eq(heads, 1), Eq(grad.shape[1], 1))
        return (tape.copy(grad, "gradient, by token", unless=once),)

    return rule


def put_by_head(heads):
    """A gradient sorted by token is copied to be sorted by head."""

    def rule(tape, saved, grad):
        once = Or(Eq(heads, 1), Eq(grad.shape[1], 1))
        return (tape.copy(grad, "gradient, by head", unless=once),)

    return rule


def sorted_by_row(tape, saved, grad):
    """The gradient of keys lies element by element; it is copied to lie by token."""
    once = Or(Eq(b, 1), Eq(tape.run.tokens, 1))
    return (tape.copy(grad, "gradient, by token", unless=once),)


def sorted_by_head(heads):
    """The output's gradient, by token, is copied for the product over heads."""

    def rule(tape, saved, grad):
        once = Or(Eq(b, 1), Eq(heads, 1), Eq(grad.shape[1], 1))
        return (tape.copy(grad, "gradient, by head", unless=once),)

    return rule


def shared_heads(shape, alone):
    """Sum over the queries that share a head of keys or values, if they are several."""

    def rule(tape, saved, grad):
        return (tape.copy(grad, "gradient, summed over queries", shape, alone),)

    return rule


def batched_product(shape):
    """Scores, or the map times values: the right factor's gradient is made first.

    Its shape has all heads, also where the factor is one head, read again and again.
    """

    def rule(tape, saved, grad):
        left, right = saved
        of_right = tape.gradient("of the right factor", shape, right.dtype)
        of_left = tape.gradient("of the left factor", left.shape, left.dtype)
        return of_left, of_right

    return rule


def fused_attention(tape, saved, grad):
    """One kernel makes the gradients of queries, keys and values."""
    return tape.gradients("of the attention", [each.shape for each in saved[:3]])


def rotation(dtype):
    """Times sin, the halves put back; and times cos. `dtype` is that of the input."""

    def narrow(tape, x):
        return x if x.dtype == dtype else tape.gradient("cast", x.shape, dtype)

    def rule(tape, saved, grad):
        x_shape, half = grad.shape, (*grad.shape[:-1], grad.shape[-1] / 2)
        cos, sin = saved
        saved.clear()
        again = tape.run.recompute in ("full", "matmuls")  # let go of before a cast
        by_sin = tape.gradient("times sin", x_shape, grad.dtype)
        sin = None if again else sin
        by_sin = narrow(tape, by_sin)
        del sin
        negated = tape.gradient("half, negated", half, dtype)
        second = tape.gradient("of the second half", x_shape, dtype)
        del negated
        first = tape.gradient("of the first half", x_shape, dtype)
        del by_sin
        halves = tape.gradient("of both halves", x_shape, dtype)
        del first, second
        by_cos = tape.gradient("times cos", x_shape, grad.dtype)
        cos = None if again else cos
        return halves, narrow(tape, by_cos)

    return rule


def difference(tape, saved, grad):
    """Pass the gradient on, and negated to what is subtracted."""
    return grad, tape.gradient("negated", grad.shape, grad.dtype)


def conjugated(tape, saved, grad):
    """The gradient times a copy of the other factor's conjugate."""
    (table,) = saved
    _conjugate = tape.gradient("conjugate", table.shape, table.dtype)
    return (tape.gradient("of the turned", grad.shape, grad.dtype),)
