"""How PyTorch's caching allocator rounds: from a tensor's bytes to block and segment.

The sizes are those of the pinned version's header, as `make measure` records them. The
rules are those of c10/cuda/CUDACachingAllocator.cpp with its default settings. Nothing
here was measured on a GPU. Rounding is exact; which free block a tensor gets depends on
all that happened before, so what splitting adds has bounds only.
"""

import json
from functools import cache

from .errors import ConfigError
from .fields import DATA
from .ledger import Ledger
from .symbols import check_size


@cache
def sizes() -> dict[str, int]:
    """Return the allocator's sizes in bytes, by their names in PyTorch's header.

    >>> sizes()["kMinBlockSize"]
    512
    """
    path = DATA / "measured" / "allocator.json"
    return json.loads(path.read_text(encoding="utf-8"))["cases"]


def round_size(size: int) -> int:
    """Return a tensor's bytes rounded up to whole grains, 512 bytes each.

    Raises:
        ConfigError: not an integer >= 1. An empty tensor takes no memory.

    >>> round_size(1), round_size(40000)
    (512, 40448)
    """
    return _up(check_size("size", size), sizes()["kMinBlockSize"])


def segment_size(size: int) -> int:
    """Return what the allocator asks of CUDA if no free block fits.

    It is also the number after "Tried to allocate" in the error message.

    >>> segment_size(512), segment_size(3 * 2**20), segment_size(11 * 2**20)
    (2097152, 20971520, 12582912)
    """
    rounded, known = round_size(size), sizes()
    if rounded <= known["kSmallSize"]:
        return known["kSmallBuffer"]
    if rounded < known["kMinLargeAlloc"]:
        return known["large_segment_size"]
    return _up(rounded, known["kRoundLarge"])


def block_size(size: int, expandable: bool = False) -> int:
    """Return what `memory_allocated` counts for a tensor alone in a fresh segment.

    The rest of the segment is split off for others, unless it is too small for that:
    1 MiB or less of a large segment stays with the tensor.

    Args:
        size: bytes of the tensor.
        expandable: `expandable_segments:True`, which splits every rest off.

    >>> block_size(11 * 2**20 + 2**19), block_size(11 * 2**20 + 2**19, expandable=True)
    (12582912, 12058624)
    """
    rounded, known = round_size(size), sizes()
    rest = segment_size(size) - rounded
    small = rounded <= known["kSmallSize"]
    kept = 0 if small or expandable or rest > known["kSmallSize"] else rest
    return rounded + kept


def allocated_bounds(ledger: Ledger, **values: int) -> tuple[int, int]:
    """Return the least and the most that `memory_allocated` can show for a ledger.

    The least is every tensor rounded up. The most adds to each large tensor the rest
    that is never split off. A scalar counts as a tensor of its own.

    Args:
        ledger: tensors that are alive together.
        values: a value for each symbol of the ledger.

    Raises:
        ConfigError: a symbol without a value, or an unknown one.

    >>> from llm_memory import load_model, weights
    >>> ledger = weights(load_model("Qwen3-0.6B"))
    >>> low, high = allocated_bounds(ledger)
    >>> int(ledger.bytes), low
    (1192099840, 1192114176)
    """
    ledger.evaluate(**values)
    low = rests = 0
    for row in ledger.substitute(values):
        count = int(row.count)
        if not count or not int(row.bytes):
            continue
        each, left = divmod(int(row.bytes), count)
        if left:
            raise ConfigError(row.name, row.count, "must be tensors of whole bytes")
        rounded = round_size(each)
        low += count * rounded
        rests += count * (rounded > sizes()["kSmallSize"])
    return low, low + rests * sizes()["kSmallSize"]


def _up(size: int, step: int) -> int:
    return -(-size // step) * step
