"""The allocator's rounding and its error message, against sources of others.

Sizes come from snapshots and messages that people published, from comments in PyTorch's
header, and from a slow search for the smallest multiple.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from llm_memory import ConfigError, Ledger, Tensor
from llm_memory.allocator import (
    allocated_bounds,
    block_size,
    round_size,
    segment_size,
    sizes,
)
from llm_memory.out_of_memory import read_message
from llm_memory.units import GiB, KiB, MiB

# https://discuss.pytorch.org/t/178671: a snapshot of three small tensors, and of the
# workspace of a matrix product
SNAPSHOT = {40000: 40448, 40: 512, 4000: 4096, 8519680: 8519680}


@pytest.mark.parametrize("requested", SNAPSHOT)
def test_blocks_are_those_of_a_published_snapshot(requested):
    assert block_size(requested) == SNAPSHOT[requested]


def test_segments_are_those_of_the_same_snapshot():
    assert [segment_size(size) for size in (40000, 8519680)] == [2097152, 20971520]


def test_sizes_are_those_that_the_headers_comments_name():
    assert sizes() == {
        "kMinBlockSize": 512,
        "kSmallSize": 1 * MiB,
        "kSmallBuffer": 2 * MiB,
        "kMinLargeAlloc": 10 * MiB,
        "kRoundLarge": 2 * MiB,
        "large_segment_size": 20 * MiB,
    }


# By hand: the first size of each kind, and the last.
SEGMENTS = [
    (1, 2 * MiB), (1 * MiB, 2 * MiB), (1 * MiB + 1, 20 * MiB),
    (10 * MiB - 512, 20 * MiB), (10 * MiB - 511, 10 * MiB), (10 * MiB, 10 * MiB),
    (10 * MiB + 1, 12 * MiB), (12 * MiB, 12 * MiB), (5 * GiB + 1, 5 * GiB + 2 * MiB),
]  # fmt: skip


@pytest.mark.parametrize("size, segment", SEGMENTS)
def test_segments_at_the_edges(size, segment):
    assert segment_size(size) == segment


# By hand: the rest of a large segment is split off only if it exceeds 1 MiB.
BLOCKS = [
    (11 * MiB, 12 * MiB, 11 * MiB), (11 * MiB - 1, 12 * MiB, 11 * MiB),
    (11 * MiB - 512, 11 * MiB - 512, 11 * MiB - 512),
    (12 * MiB - 512, 12 * MiB, 12 * MiB - 512), (1 * MiB, 1 * MiB, 1 * MiB),
    (2 * MiB, 2 * MiB, 2 * MiB), (10 * MiB - 512, 10 * MiB - 512, 10 * MiB - 512),
]  # fmt: skip


@pytest.mark.parametrize("size, plain, expandable", BLOCKS)
def test_what_is_too_small_to_split_stays(size, plain, expandable):
    assert block_size(size) == plain
    assert block_size(size, expandable=True) == expandable


@given(some.integers(1, 64 * MiB))
def test_rounding_is_the_smallest_multiple_that_holds(size):
    rounded, segment, block = round_size(size), segment_size(size), block_size(size)
    assert rounded % 512 == 0 and rounded - 512 < size <= rounded
    assert rounded <= block <= segment and block - rounded <= MiB
    assert block == segment or segment - block > MiB or size <= MiB


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "1"])
def test_sizes_that_are_none(size):
    with pytest.raises(ConfigError, match="size"):
        round_size(size)


def test_bounds_of_a_ledger_by_hand():
    ledger = Ledger(
        [
            Tensor("norm", (3,), "bf16", count=5),
            Tensor("scalar", (), "fp32"),
            Tensor("empty", (0, 8), "fp32"),
            Tensor("matrix", (1024, 1025), "fp32", count=2),
        ]
    )
    low = 5 * 512 + 512 + 2 * (4 * MiB + 4 * KiB)
    assert allocated_bounds(ledger) == (low, low + 2 * MiB)


# https://github.com/huggingface/trl/issues/4237
SHARED = (
    "CUDA out of memory. Tried to allocate 2.11 GiB. GPU 0 has a total capacity of "
    "14.74 GiB of which 1.65 GiB is free. Process 19066 has 6.79 GiB memory in use. "
    "Process 19069 has 514.00 MiB memory in use. Process 19060 has 4.93 GiB memory in "
    "use. Process 19063 has 894.00 MiB memory in use. Of the allocated memory 4.50 GiB "
    "is allocated by PyTorch, and 2.14 GiB is reserved by PyTorch but unallocated."
)


def test_a_message_of_a_card_that_others_use_too():
    message = read_message(SHARED)
    assert message.requested == round(2.11 * GiB)
    assert message.reserved == round(4.50 * GiB) + round(2.14 * GiB)
    others = (4.93 + (514 + 894) / 1024) * GiB + (6.79 - 4.50 - 2.14) * GiB
    assert abs(message.outside - others) < 0.05 * GiB  # the message's own rounding
    assert message.missing < 0


def test_lines_may_break_and_private_pools_may_be_named():
    text = SHARED.replace(" ", "\n", 12).replace(
        "PyTorch, and", "PyTorch, with 8.00 MiB allocated in private pools, and"
    )
    assert read_message(text) == read_message(SHARED)


@pytest.mark.parametrize("part", ["Tried to", "is free", "unallocated", "capacity of"])
def test_a_message_with_a_part_missing_is_refused(part):
    with pytest.raises(ConfigError, match="must say"):
        read_message(SHARED.replace(part, "…"))


def test_two_messages_are_refused():
    with pytest.raises(ConfigError, match="once"):
        read_message(SHARED + SHARED)
