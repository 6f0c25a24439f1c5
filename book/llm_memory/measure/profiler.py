"""The anchor: tiny models in real memory, on the CPU, seen by PyTorch's own profiler.

`torch.profiler` with `profile_memory=True` notes every allocation and every release
between the begin and the end of operations. What an operation allocates and leaves is
a tensor. What it releases itself is scratch of its kernel, which depends on the CPU.
A Python number that an operation reads is a tensor for that time, of 8 bytes and made
outside of operations; it is in the host's memory wherever the model is.

No dispatch mode looks on, so the backward sums gradients in place where nothing else
needs the first one. `Onlooker` does nothing but look on, as the mode of `live` does.
"""

import contextlib
import functools

import torch
from torch._C import _dispatch_has_kernel_for_dispatch_key as has_kernel
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.cache_utils import DynamicCache

from . import activations, cases, framework, losses

STEP = "the step that is recorded"
SUM_IN_PLACE, ENGINE = "aten::add_", "autograd::engine::evaluate_function"


class Onlooker(TorchDispatchMode):
    """Run each operation as it is."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class Reading:
    """The tensors alive after each operation of a step, read from the profiler.

    Attributes:
        after: per operation that made tensors, how many, and the bytes alive then; a
            gradient that was added in place made none.
        scratch: the most that one operation held beside what it left.
    """

    def __init__(self):
        self.after: list[tuple[int, int]] = []
        self.scratch = 0
        self._tensors: dict[int, int] = {}

    @property
    def peak(self) -> int:
        """The most bytes alive after an operation."""
        return max(alive for _, alive in self.after)

    @property
    def left(self) -> int:
        """The bytes alive at the end."""
        return sum(self._tensors.values())

    def as_lists(self) -> dict:
        """Return what `after` holds as two lists."""
        made, alive = zip(*self.after, strict=True)
        return {"made": made, "alive": alive}

    def visit(self, event, inside=None, parent="") -> None:
        """Read an event; `inside` holds what the operation that runs has allocated."""
        if event.tag == _EventType.Allocation:
            self._note(event.extra_fields, inside)
            return
        if event.name == STEP:
            self.after.clear()
        begins = inside is None and is_operation(event.name)
        own = Inside() if begins else inside
        for child in event.children:
            self.visit(child, own, event.name)
        if begins:
            self.scratch = max(self.scratch, own.most - sum(own.values()))
            self._tensors |= own
            if own or (event.name == SUM_IN_PLACE and parent.startswith(ENGINE)):
                self.after.append((len(own), sum(self._tensors.values())))

    def _note(self, memory, inside) -> None:
        address, size = memory.ptr, memory.alloc_size
        if size > 0 and inside is not None:
            inside[address] = size
            inside.most = max(inside.most, sum(inside.values()))
        elif size < 0 and (inside is None or inside.pop(address, None) is None):
            self._tensors.pop(address, None)


class Inside(dict):
    """Address → bytes that an operation has allocated, and the most it held."""

    most = 0


@functools.cache
def is_operation(name: str) -> bool:
    """Say whether PyTorch dispatches this to a kernel, not to other operations."""
    own = [
        each
        for each in torch._C._dispatch_get_all_op_names()
        if each == name or each.startswith(f"{name}.")
    ]
    return bool(own) and not any(
        has_kernel(each, "CompositeImplicitAutograd") and not has_kernel(each, "CPU")
        for each in own
    )


@contextlib.contextmanager
def recorded():
    """Give a `Reading` of what happens inside the `with` block, to be read after it."""
    reading = Reading()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        yield reading
    for event in profiled.profiler.kineto_results.experimental_event_tree():
        reading.visit(event)


def measure() -> dict:
    """Return for each case its choices and what the profiler saw, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    result = {
        name: case | PHASES[case["phase"]](**case)
        for name, case in cases.profiled().items()
    }
    torch.set_num_threads(threads)
    return result


def inference(phase, config, b, tokens) -> dict:
    """Return the peak of a prefill of `tokens`, or of a step after so many."""
    model = framework.build(config, device="cpu")
    steps = [(tokens, 0), (1, tokens)][: 1 + (phase == "decode")]
    given = [_given(b, *step) for step in steps]
    with torch.no_grad(), recorded() as reading:
        cache = DynamicCache(config=model.config)
        for ids, mask in given:
            with record_function(STEP):
                model(
                    ids, attention_mask=mask, past_key_values=cache, use_cache=True,
                    logits_to_keep=1,
                )  # fmt: skip
    return {"peak": reading.peak, "scratch": reading.scratch}


def _given(b, tokens, held) -> tuple:
    """Return token ids and a mask, which are the caller's."""
    ids = torch.zeros((b, tokens), dtype=torch.long)
    return ids, torch.zeros((b, 1, tokens, held + tokens), dtype=torch.bfloat16)


def forward(phase, config, choices, b, s) -> dict:
    """Return what a forward with its loss leaves for the backward."""
    with (
        activations.trained(config, choices, b, s, "cpu") as given,
        recorded() as reading,
        activations.precision(choices),
    ):
        output = losses.plain(*given)  # noqa: F841
    return {"alive": reading.left, "scratch": reading.scratch}


def training(phase, config, choices, b, s) -> dict:
    """Return what is alive after every operation of a step, as it is and looked at."""
    looked_at = _step(Onlooker(), config, choices, b, s)
    reading = _step(contextlib.nullcontext(), config, choices, b, s)
    return {
        "looked at": looked_at.as_lists(),
        "alone": reading.as_lists(),
        "scratch": reading.scratch,
    }


def _step(onlooker, config, choices, b, s) -> Reading:
    with (
        activations.trained(config, choices, b, s, "cpu") as given,
        recorded() as reading,
        onlooker,
    ):
        output = losses.plain(*given)
        output.loss.backward()
    return reading


PHASES = {
    "prefill": inference,
    "decode": inference,
    "forward": forward,
    "training": training,
}
