"""The backward of the kernels of routed experts, as in `gradients`."""

from sympy import Eq

from .gradients import Summed


def scattered(shape):
    """Of what an index chose: zeros, and the gradient put into a copy of them."""

    def rule(tape, saved, grad):
        zeros = tape.gradient("of what is not chosen", shape, grad.dtype)
        result = tape.gradient("of the choice", shape, grad.dtype)
        del zeros
        return (result,)

    return rule


def shared(tape, saved, grad):
    """Pass a sum's gradient on, one number for all that were summed."""
    return (grad,)


def divided(tape, saved, grad):
    """Of what was divided by one number per row, and of that number."""
    weights, total = saved
    (shape, dtype), rows = (weights.shape, weights.dtype), total.shape
    steps = [
        tape.gradient(f"of the sum, {step}", shape, dtype)
        for step in ("divided", "divided twice", "negated")
    ]
    products = tape.gradient("of the sum, not summed", shape, dtype)
    del steps
    of_weights = tape.gradient("of the weights", shape, dtype)
    return of_weights, Summed(
        lambda: tape.gradient("of the sum", rows, dtype), products
    )


def grouped(weight):
    """Two grouped products: of all experts' matrices, and of the rows."""

    def rule(tape, saved, grad):
        *_, x = saved
        of_weight = tape.parameter_gradient(weight)
        return of_weight, tape.gradient("of the rows", x.shape, x.dtype)

    return rule


def weighted(tape, saved, grad):
    """Of rows times one number each; what has another data type is cast at the end."""
    rows, weights = ((each.shape, each.dtype) for each in saved)
    of_rows = tape.gradient("of the rows", rows[0], grad.dtype)
    products = tape.gradient("of the weights, not summed", rows[0], grad.dtype)
    summed = Summed(lambda: tape.gradient("of the weights", *weights), products)
    if rows[1] == grad.dtype:
        return of_rows, summed
    return Summed(lambda: tape.gradient("cast", *rows), of_rows), summed


def spread(active, shape):
    """Spread the gradient of a token over its experts' rows, if they are several."""

    def rule(tape, saved, grad):
        return (tape.copy(grad, "gradient, by row", shape, unless=Eq(active, 1)),)

    return rule
