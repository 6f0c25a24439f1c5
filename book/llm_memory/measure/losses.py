"""The loss heads that can be run: what they save, and the peaks of a step with them.

Each is a function of a model, its ids, the labels and the mask that returns the loss;
all else that it made and autograd does not hold is released when it ends.
"""

from collections import Counter

import torch.nn.functional as F
from torch.nn import LinearCrossEntropyOptions
from torch.utils.checkpoint import checkpoint

from . import activations, cases
from .live import Live

IGNORED = -100


def measure() -> dict:
    """Return for each case its config, its choices and, by shape, what is alive."""
    return {
        name: {
            "config": config,
            "choices": choices | {"loss": loss},
            "chunks": chunks,
            "shapes": {
                f"{b},{s}": alive(config, choices, loss, chunks, b, s)
                for b, s in shapes
            },
        }
        for name, config, choices, loss, chunks, shapes in cases.loss_cases()
    }


def alive(config, choices, loss, chunks, b, s) -> dict[int, int]:
    """Return how many storages of each size are alive after forward and loss."""
    with activations.trained(config, choices, b, s) as given, Live() as live:
        output = LOSSES[loss](*given, chunks)  # noqa: F841
    return dict(sorted(Counter(live.sizes).items()))


def plain(model, ids, labels, mask, chunks=None):
    """The loss of transformers; its output holds the logits."""
    return model(ids, labels=labels, attention_mask=mask, use_cache=False)


def chunked(model, ids, labels, mask, chunks):
    """Logits of a share of the rows at a time, made again in the backward."""
    hidden, wanted = _rows(model, ids, labels, mask)
    sizes = [(len(wanted) + i) // chunks for i in reversed(range(chunks))]
    total = 0
    for some, their in zip(hidden.split(sizes), wanted.split(sizes), strict=True):
        total = total + checkpoint(
            _one_chunk, some, model.lm_head.weight, their, use_reentrant=False
        )
    return total / (wanted != IGNORED).sum()


def _one_chunk(hidden, weight, labels):
    logits = F.linear(hidden, weight).float()
    return F.cross_entropy(logits, labels, reduction="sum")


def fused(model, ids, labels, mask, chunks=None):
    """PyTorch's own: the forward computes the gradients of hidden states and weight."""
    hidden, wanted = _rows(model, ids, labels, mask)
    options = LinearCrossEntropyOptions(
        batch_chunk_size=chunks and -(-len(wanted) // chunks)
    )
    return F.linear_cross_entropy(hidden, model.lm_head.weight, wanted, options=options)


def _rows(model, ids, labels, mask):
    """Return the last hidden states and the next tokens, both with a row per token."""
    hidden = model.base_model(ids, attention_mask=mask, use_cache=False)[0]
    padded = F.pad(labels, (0, 1), value=IGNORED)
    return hidden.view(-1, hidden.shape[-1]), padded[..., 1:].contiguous().view(-1)


LOSSES = {"plain": plain, "chunked": chunked, "fused": fused}
