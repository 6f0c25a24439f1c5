"""The kernels of PyTorch's fused loss on a GPU, in order.

PyTorch wrote it in Python, over buffers that depend on device and options. Described is
what it does for bf16 on CUDA by itself, which is the same as to name::

    options = torch.nn.LinearCrossEntropyOptions(
        acc_policy="compact", acc_dtype=torch.float32, chunking_method="aspect_ratio:2"
    )

The forward goes over the rows of `hidden`, (n, h), chunk by chunk: fp32 logits in one
buffer, which become probabilities in place; of these a copy in bf16, from which it
computes the gradients of the rows and of the weight, (V, h).
Source: torch/nn/modules/linear_cross_entropy.py.
"""

from sympy import Function, Integer, Min, Not, ceiling

from .timeline import number


class Rows(Function):
    """How many of n rows PyTorch takes at a time, where a row of logits is k rows long.

    The power of two that n / k needs, halved.

    >>> Rows(8 * 2048, 149), Rows(1, 7)
    (64, 1)
    """

    is_integer = is_positive = True

    @classmethod
    def eval(cls, n, k):
        """Return it where both are numbers."""
        if n.is_Integer and k.is_Integer:
            power = 1 << (int(ceiling(n / k)) - 1).bit_length()
            return Integer(max(1, min(power // 2, int(n))))
        return None


def loss(tape, hidden, weight, labels, chunks: int | None):
    """Run it over two chunks: what later ones make is no more than the second's."""
    rows, width = hidden.shape
    classes = weight.shape[0]
    chunk = ceiling(rows / chunks) if chunks else Rows(rows, ceiling(classes / width))
    logits = tape.make(
        "logits of a chunk", (chunk, classes), "fp32",
        of=(hidden, weight), rule=computed_before,
    )  # fmt: skip
    largest = tape.make("largest logit of each row", (chunk,), "fp32")
    total = tape.make("loss", ())
    of_hidden = tape.gradient("of hidden", hidden.shape, hidden.dtype)
    of_weight = tape.parameter_gradient(weight)
    ignored, wanted, shares = _shares(tape, rows)
    wide = tape.make("hidden of a chunk in fp32", (chunk, width), "fp32")
    sizes = [chunk, Min(chunk, rows - chunk)][:chunks]
    variables = {}
    for size in sizes:
        _one_chunk(tape, size, width, classes, variables)
    logits.node.saved += of_hidden, of_weight
    del largest, ignored, wanted, shares, wide
    return tape.look(total, node=logits.node)


def _shares(tape, rows) -> tuple:
    """Each row's share of the mean; which labels are ignored, and 0 in their place."""
    ignored = tape.make("ignored labels", (rows,), "bool")
    zero = tape.make("label 0", (), "int64")
    wanted = tape.make("labels, 0 where ignored", (rows,), "int64")
    del zero
    counted = tape.make("labels that count, each", (rows,), "bool")
    shares = tape.make("shares of the rows", (rows,), "fp32")
    del counted
    count = tape.make("labels that count", (), "fp32")
    none = tape.make("whether none counts", (), "bool")
    negative = tape.make("labels that count, negated", (), "fp32")
    missing = tape.make("not a number", (), "fp32")
    divisor = tape.make("divisor of the shares", (), "fp32")
    del count, none, negative, missing, divisor
    return ignored, wanted, shares


def _one_chunk(tape, size, width, classes, variables: dict) -> None:
    """Run a chunk; what its variables hold lives until the next one sets them.

    Of no rows it makes nothing.
    """
    one = Min(1, size)
    chosen = tape.make("logits of the labels", (size, 1), "fp32")
    part = tape.make("part of the loss", (one,), "fp32")
    del chosen, part
    variables["sums"] = tape.make("sums of exponentials", (size,), "fp32")
    part = tape.make("part of the loss", (one,), "fp32")
    del part
    variables["narrow"] = tape.make("probabilities in bf16", (size, classes))
    rows = tape.make("rows of the weight", (size, width))
    shares = tape.make("shares of the rows in bf16", (size,))
    del rows, shares
    room = 2 * classes >= width  # in the buffer of logits
    if room != True:  # noqa: E712, a condition of symbols
        some = size * number(Not(room))
        variables["weighted"] = tape.make("weighted rows in bf16", (some, width))


def computed_before(tape, saved, grad):
    """Scale in place what the forward computed.

    The kernel has these gradients as outputs, too, and zeros are made as theirs.
    """
    zeros = [tape.gradient("of a gradient", each.shape, each.dtype) for each in saved]
    del zeros
    return tuple(saved)
