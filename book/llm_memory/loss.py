"""Loss heads: from logits to one number, as operations on the tape."""

from sympy import Eq

from . import gradients
from .symbols import b


def plain(tape, logits):
    """The cross-entropy of transformers: fp32 logits and their log-probabilities.

    The labels are shifted by one: a copy, or for one sequence a view of the padded
    ones.
    """
    rows, vocabulary = logits.shape[:-1], logits.shape[-1]
    tokens = rows[1]
    wide = tape.make(
        "logits in fp32",
        logits.shape,
        "fp32",
        of=(logits,),
        rule=gradients.cast("bf16"),
    )
    padded = tape.make("padded labels", (b, tokens + 1), "int64")
    labels = tape.copy(padded, "shifted labels", rows, unless=Eq(b, 1))
    probabilities = tape.make(
        "log-probabilities", (*rows, vocabulary), "fp32",
        of=(wide,), rule=gradients.like("of the log-softmax"), saves_output=True,
    )  # fmt: skip
    total = tape.make("loss, total weight", (), "fp32")
    loss = tape.make(
        "loss", (), "fp32",
        of=(probabilities,), rule=gradients.loss(logits.shape), saved=(labels, total),
    )  # fmt: skip
    del padded, wide
    return loss


LOSSES = {"plain": plain}
