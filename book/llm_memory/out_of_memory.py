"""The numbers in PyTorch's "CUDA out of memory" message, and what follows from them.

The format is that of c10/cuda/CUDACachingAllocator.cpp in PyTorch 2.1 and later. Its
numbers are rounded to two decimals of a binary unit, so these are, too.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from .errors import ConfigError
from .units import UNITS

SIZE = r"(\d+(?:\.\d+)? (?:bytes|KiB|MiB|GiB))"
PARTS = {
    "requested": rf"Tried to allocate {SIZE}",
    "capacity": rf"total capaci?ty of {SIZE}",
    "free": rf"of which {SIZE} is free",
    "allocated": rf"Of the allocated memory {SIZE} is allocated by PyTorch",
    "unallocated": rf"{SIZE} is reserved by PyTorch but unallocated",
}


@dataclass(frozen=True)
class Message:
    """What an out-of-memory message says, in bytes.

    Attributes:
        requested: the segment that the allocator asked CUDA for. A tensor of more
            than 10 MiB, rounded up to 2 MiB; 20 MiB or 2 MiB stand for any smaller one.
        capacity: all of the card's memory.
        free: what CUDA could still give.
        allocated: blocks in use by tensors.
        unallocated: the rest of segments that are in part in use.
    """

    requested: int
    capacity: int
    free: int
    allocated: int
    unallocated: int

    @property
    def reserved(self) -> int:
        """Segments that the allocator holds."""
        return self.allocated + self.unallocated

    @property
    def outside(self) -> int:
        """What is neither free nor the allocator's: contexts, NCCL, other processes."""
        return self.capacity - self.free - self.reserved

    @property
    def missing(self) -> int:
        """Requested, less all that is free or unallocated; <= 0: it is in pieces."""
        return self.requested - self.free - self.unallocated


def read_message(text: str) -> Message:
    """Return the numbers of a message.

    Args:
        text: the message, or a log that holds one.

    Raises:
        ConfigError: a part of the message is missing, or a second message follows.

    >>> message = read_message(
    ...     "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total "
    ...     "capacity of 8.00 GiB of which 5.00 MiB is free. Of the allocated memory "
    ...     "7.00 GiB is allocated by PyTorch, and 64.00 MiB is reserved by PyTorch "
    ...     "but unallocated."
    ... )
    >>> message.requested, message.missing < 0
    (20971520, True)
    """
    return Message(**{name: _part(name, form, text) for name, form in PARTS.items()})


def _part(name: str, form: str, text: str) -> int:
    found = re.findall(re.sub(" ", r"\\s+", form), text)
    if len(found) != 1:
        rule = f"must say {name!r} once, in the words of PyTorch 2.1 or later"
        raise ConfigError("text", text, rule)
    number, unit = found[0].split()
    return round(Fraction(number) * UNITS["B" if unit == "bytes" else unit])
