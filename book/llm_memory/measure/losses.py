"""The loss heads that can be run: what they save, and the peaks of a step with them.

Each is a function of a model, its ids, the labels and the mask that returns the loss;
all else that it made and autograd does not hold is released when it ends.
"""

from collections import Counter

import torch
import torch.nn.functional as F
from torch.nn import LinearCrossEntropyOptions
from torch.nn.modules import linear_cross_entropy
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from . import activations, cases
from .live import Live

IGNORED = -100
FUSED = torch.ops.torch_nn._linear_cross_entropy_batch_chunked.default
IN_PYTHON = linear_cross_entropy._linear_cross_entropy_batch_chunked_accumulator
RETAINS = 11  # place of the one argument of FUSED that IN_PYTHON does not have


class OnGpu(TorchFunctionMode):
    """Say that tensors on the meta device are on a GPU, and make more of them there."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function == torch.Tensor.device.__get__:
            return torch.device("cuda")
        kwargs = dict(kwargs or {})
        if "device" in kwargs:
            kwargs["device"] = "meta"
        return function(*args, **kwargs)


class Inside(Live):
    """As `Live`, but PyTorch's fused loss is no single operation: its code is run.

    It is Python, which asks for the device, and is told that it is a GPU.
    """

    inside = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is FUSED:
            self.inside = True
            with self, OnGpu():
                result = IN_PYTHON(*args[:RETAINS], *args[RETAINS + 1 :])
            self.inside = False
            return result
        if self.inside:
            with self:
                result = function.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        return super().__torch_dispatch__(function, types, args, kwargs)


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
    with activations.trained(config, choices, b, s) as given, Inside() as live:
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
    """PyTorch's own: the forward computes the gradients of hidden states and weight.

    With the options that it takes by itself for bf16 on a GPU.
    """
    hidden, wanted = _rows(model, ids, labels, mask)
    options = LinearCrossEntropyOptions(
        acc_policy="compact",
        acc_dtype=torch.float32,
        batch_chunk_size=chunks and -(-len(wanted) // chunks),
        chunking_method=None if chunks else "aspect_ratio:2",
    )
    return F.linear_cross_entropy(hidden, model.lm_head.weight, wanted, options=options)


def _rows(model, ids, labels, mask):
    """Return the last hidden states and the next tokens, both with a row per token."""
    hidden = model.base_model(ids, attention_mask=mask, use_cache=False)[0]
    padded = F.pad(labels, (0, 1), value=IGNORED)
    return hidden.view(-1, hidden.shape[-1]), padded[..., 1:].contiguous().view(-1)


LOSSES = {"plain": plain, "chunked": chunked, "fused": fused}
