"""What the first of R ranks holds under FSDP2, steadily and for a moment."""

import warnings
import weakref

import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils._python_dispatch import TorchDispatchMode

from . import cases, framework
from .optimizers import CASES, build

RANKS = (3, 8)


def measure() -> dict:
    """Return what the first of R ranks holds under FSDP2, steadily and for a moment.

    The process group is PyTorch's fake one: it runs the first of R ranks and sends
    nothing. Parameters are fp32, gathered as bf16; each layer is a unit, and so is the
    rest. Per moment when the backward of a unit has ended: bytes gathered of the rest
    and of layers, and bytes of whole gradients of the rest and of layers.
    """
    result = {}
    for ranks in RANKS:
        start(ranks)
        for name in CASES:
            config = cases.SWITCHES[name]
            result[f"{name}, {ranks} ranks"] = sharded(config, ranks)
        torch.distributed.destroy_process_group()
    return result


def sharded(config: dict, ranks: int) -> dict:
    """Return local rows, and the largest moment of the backward."""
    model = build(config, torch.float32)
    mesh = torch.distributed.init_device_mesh("cpu", (ranks,))
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16)
    layers = next(each for each in model.modules() if isinstance(each, nn.ModuleList))
    for unit in (*layers, model):
        fully_shard(unit, mesh=mesh, mp_policy=policy)
    optimizer = torch.optim.AdamW(model.parameters())
    created = _Created()
    moments = _watch(model, list(layers), created)
    ids = torch.arange(5)[None]
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    with created:
        loss.backward()
    optimizer.step()
    found = []
    for name, each in model.named_parameters():
        found += [(name, each), (f"{name}.grad", each.grad)]
        found += [(f"{name}.{key}", it) for key, it in optimizer.state[each].items()]
    local = [
        (name, getattr(each, "to_local", lambda e=each: e)()) for name, each in found
    ]
    largest = max(moments, key=lambda moment: sum(moment.values()))
    return {
        "config": config,
        "ranks": ranks,
        "rows": framework.grouped(local),
        "moment": largest,
    }


def start(ranks: int) -> None:
    """Be the first of so many ranks, in PyTorch's fake process group."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    warnings.filterwarnings("ignore", module="torch.distributed")
    torch.distributed.init_process_group(
        "fake", store=FakeStore(), rank=0, world_size=ranks
    )


class _Created(TorchDispatchMode):
    """Remembers, weakly, the storages that operations create."""

    def __init__(self):
        super().__init__()
        self.storages = weakref.WeakSet()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        output = operation(*args, **(kwargs or {}))
        if isinstance(output, torch.Tensor):
            self.storages.add(output.untyped_storage())
        return output

    def alive(self, size: int, known: list) -> int:
        """Return the bytes of all remembered storages of that size not yet known."""
        known = {each.untyped_storage().data_ptr() for each in known}
        return sum(
            size
            for each in set(self.storages)
            if each.nbytes() == size and each.data_ptr() not in known
        )


def _watch(model, layers: list, created: _Created) -> list[dict]:
    """Record the buffers of all units each time when the backward of one ends."""
    moments = []
    units = {
        each: each._get_fsdp_state()._fsdp_param_group for each in (model, *layers)
    }
    for group in units.values():
        group.post_backward = _recorded(
            group.post_backward, units, model, created, moments
        )
    return moments


def _recorded(original, units: dict, root, created: _Created, moments: list):
    def post_backward(*arguments):
        layers = [group for unit, group in units.items() if unit is not root]
        late = _gradients(units[root])
        if root.config.tie_word_embeddings and units[root] is not original.__self__:
            # A tensor used twice gets its gradient last: autograd holds the first part.
            size = 2 * root.get_input_embeddings().weight.numel()
            late += created.alive(size, _received(units[root]))
        moments.append(
            {
                "gathered root": _gathered(units[root]),
                "gathered layers": sum(map(_gathered, layers)),
                "gradients of the root": late,
                "gradients of a layer": sum(map(_gradients, layers)),
            }
        )
        return original(*arguments)

    return post_backward


def _received(group) -> list:
    """Return a unit's whole weights, unpacked or just received."""
    tensors = [t for each in group.fsdp_params for t in each.all_gather_outputs]
    if group._all_gather_result is not None:
        tensors.append(group._all_gather_result.all_gather_output)
    return tensors


def _gathered(group) -> int:
    return sum(each.untyped_storage().nbytes() for each in _received(group))


def _gradients(group) -> int:
    """Return the bytes of a unit's whole gradients."""
    whole = [getattr(each, "_unsharded_param", None) for each in group.fsdp_params]
    return sum(
        each.grad.untyped_storage().nbytes()
        for each in whole
        if each is not None and each.grad is not None
    )
