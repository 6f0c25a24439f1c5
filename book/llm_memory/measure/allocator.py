"""The sizes that PyTorch's caching allocator is compiled with, read from its header."""

import re
from pathlib import Path

import torch

HEADER = "c10/core/AllocatorConfig.h"
CONSTANT = re.compile(r"constexpr size_t (k\w+) = (\d+);")
SETTING = re.compile(r"std::atomic<size_t> (large_segment_size)_\{(\d+)\};")


def measure() -> dict[str, int]:
    """Return name → bytes of the constants, and the default size of a large segment."""
    text = (Path(torch.__file__).parent / "include" / HEADER).read_text("utf-8")
    found = (*CONSTANT.findall(text), *SETTING.findall(text))
    return {name: int(size) for name, size in found}
