"""Accelerators: how many bytes the label promises and the driver reports."""

import json
from dataclasses import dataclass
from functools import cache

from .errors import choose
from .fields import DATA
from .symbols import check_size


@dataclass(frozen=True)
class Hardware:
    """One accelerator.

    Attributes:
        bytes: total memory as the driver reports it.
        bandwidth: bytes per second between memory and processor, or None.
        flops: dense 16-bit operations per second, or None.
        name: what it is called here.
        label_bytes: the capacity on the label, GB taken as 10^9, or None.
        source: where the numbers are published.

    Raises:
        ConfigError: a number that is no integer >= 1.

    >>> load_hardware("RTX 4090").bytes
    25757220864
    """

    bytes: int
    bandwidth: int | None = None
    flops: int | None = None
    name: str = "custom"
    label_bytes: int | None = None
    source: str = ""

    def __post_init__(self) -> None:
        check_size("bytes", self.bytes)
        for name in ("bandwidth", "flops", "label_bytes"):
            if getattr(self, name) is not None:
                check_size(name, getattr(self, name))


@cache
def accelerators() -> dict[str, Hardware]:
    """Return the accelerators of data/hardware.json by name."""
    text = (DATA / "hardware.json").read_text(encoding="utf-8")
    return {
        name: Hardware(
            entry["driver_bytes"],
            entry["bandwidth"],
            entry["flops"],
            name,
            entry["label_bytes"],
            entry["source"],
        )
        for name, entry in json.loads(text)["accelerators"].items()
    }


def load_hardware(name: "str | Hardware") -> Hardware:
    """Return an accelerator by its name.

    Raises:
        ConfigError: no such accelerator; the message lists those that there are.
    """
    return (
        name if isinstance(name, Hardware) else choose("hardware", name, accelerators())
    )
