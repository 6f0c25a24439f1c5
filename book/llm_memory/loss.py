"""Loss heads: from the last hidden states to one number.

`plain` is what transformers does with labels: all logits, once as they are and twice in
fp32. The other two never have the logits of all tokens. Both read `hidden`, of shape
(n, h) with a row for each of n = b·s tokens, the head's `weight`, (V, h), and `wanted`,
n next tokens, which transformers' way of shifting has made, the last of each sequence
being -100, ignored.

`chunked` makes the logits of some rows at a time, and again in the backward::

    def one_chunk(hidden, weight, wanted):
        logits = F.linear(hidden, weight).float()
        return F.cross_entropy(logits, wanted, reduction="sum")

    sizes = [(n + i) // chunks for i in reversed(range(chunks))]
    total = 0
    for some, their in zip(hidden.split(sizes), wanted.split(sizes)):
        total = total + checkpoint(
            one_chunk, some, weight, their, use_reentrant=False
        )
    loss = total / (wanted != -100).sum()

`fused` is PyTorch's own, which computes gradients in the forward, a chunk at a time,
and multiplies them by the loss's gradient in the backward. It chooses a chunk's size,
or is given that of `chunks`; `llm_memory.fused_loss` says what it makes on a GPU::

    size = chunks and math.ceil(n / chunks)
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=size)
    loss = F.linear_cross_entropy(hidden, weight, wanted, options=options)
"""

from collections.abc import Iterator
from functools import cache

from sympy import Eq, Piecewise, floor

from . import fused_loss, gradients
from .ledger import Tensor
from .symbols import b, s


def plain(tape, model, chunks=None):
    """The cross-entropy of transformers: fp32 logits and their log-probabilities.

    The labels are shifted by one: a copy, or for one sequence a view of the padded
    ones.
    """
    logits = tape.output
    hidden, tape.hidden = tape.hidden, None
    wide = tape.make(
        "logits in fp32",
        logits.shape,
        "fp32",
        of=(logits,),
        rule=gradients.cast("bf16"),
    )
    labels, padded = _shift(tape)
    loss = _cross_entropy(tape, wide, labels)
    del padded, wide, hidden
    return loss


def _cross_entropy(tape, wide, labels):
    probabilities = tape.make(
        "log-probabilities", wide.shape, "fp32",
        of=(wide,), rule=gradients.like("of the log-softmax"), saves_output=True,
    )  # fmt: skip
    loss = tape.make("loss", (), "fp32")
    total = tape.make(  # a second output of the same kernel, saved when it has run
        "loss, total weight", (), "fp32", of=(probabilities,),
        rule=gradients.loss(wide.shape), saved=(labels,), saves_output=True,
    )  # fmt: skip
    return tape.look(loss, node=total.node)


def _shift(tape):
    """Return the shifted labels, and the padded ones that they are made of."""
    padded = tape.make("padded labels", (b, s + 1), "int64")
    return tape.copy(padded, "shifted labels", (b, s), unless=Eq(b, 1)), padded


def _weight(tape, model):
    if model.tied:
        return tape.parameters[0]
    return tape.parameter("lm_head.weight", (model.V, model.h), "head")


def chunked(tape, model, chunks):
    """The loop above."""
    hidden, tape.output, tape.hidden = tape.output, None, None
    weight = _weight(tape, model)
    labels, padded = _shift(tape)
    del padded
    sizes = [floor((b * s + i) / chunks) for i in reversed(range(chunks))]
    hidden = tape.look(hidden, shape=(b * s, model.h))
    parts = tape.split(hidden, sizes)
    del hidden
    total = None
    for some, size in zip(parts, sizes, strict=True):
        their = tape.look(labels, shape=(size,))
        one = tape.checkpoint(_one_chunk, some, weight, their)
        of = (total, one) if total else (one,)
        total = tape.make("loss so far", (), "fp32", of=of, rule=gradients.same)
        del one, of, some
    compared = tape.make("labels that count, each", (b, s), "bool")
    count = tape.make("labels that count", (), "int64")
    del compared
    rule = gradients.like("of the mean")
    return tape.make("loss", (), "fp32", of=(total,), rule=rule, saved=(count,))


def fused(tape, model, chunks=None):
    """The function above, on a GPU."""
    hidden, tape.output, tape.hidden = tape.output, None, None
    weight = _weight(tape, model)
    labels, padded = _shift(tape)
    del padded
    hidden = tape.look(hidden, shape=(b * s, hidden.shape[-1]))
    return fused_loss.loss(tape, hidden, weight, labels, chunks)


def _one_chunk(tape, hidden, weight, labels):
    shape = (hidden.shape[0], weight.shape[0])
    logits = tape.make("logits of a chunk", shape, **tape.multiplied(hidden, weight))
    wide = tape.make(
        "logits in fp32", shape, "fp32", of=(logits,), rule=gradients.cast("bf16")
    )
    del logits
    return _cross_entropy(tape, wide, labels)


def _kept_by_plain(tape, model) -> Iterator[Tensor]:
    """The logits live on as the model's output."""
    logits = tape.output
    yield Tensor(logits.name, logits.shape, logits.dtype)
    yield Tensor("log-probabilities", logits.shape, "fp32")
    yield _shifted_labels()
    yield Tensor("loss, total weight", (), "fp32", count=2)


def _kept_by_chunked(tape, model) -> Iterator[Tensor]:
    """What each chunk is called with: rows of the hidden states and of the labels."""
    hidden = tape.output
    yield Tensor(hidden.name, hidden.shape, hidden.dtype)
    yield _shifted_labels()
    yield Tensor("labels that count", (), "int64")
    yield Tensor("loss", (), "fp32")


def _kept_by_fused(tape, model) -> Iterator[Tensor]:
    """The gradients, and nothing that they were computed from."""
    hidden = tape.output
    yield Tensor(f"gradient of {hidden.name}", hidden.shape, hidden.dtype)
    if not tape.run.frozen:
        yield Tensor("gradient of lm_head.weight", (model.V, model.h), hidden.dtype)
    yield Tensor("loss", (), hidden.dtype)


@cache
def _shifted_labels() -> Tensor:
    """The labels are shifted by one: a copy, or for one sequence a view of more."""
    return Tensor(
        "shifted labels", (Piecewise((s + 1, Eq(b, 1)), (b * s, True)),), "int64"
    )


LOSSES = {"plain": plain, "chunked": chunked, "fused": fused}
KEPT = {"plain": _kept_by_plain, "chunked": _kept_by_chunked, "fused": _kept_by_fused}
