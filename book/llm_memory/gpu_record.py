"""Records of real GPUs beside the ledgers: where each byte of nvidia-smi comes from.

`make measure-gpu` writes data/measured/gpu-<card>.json; nothing here needs a GPU.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from .activations import training_activations
from .check import MEASURED, Check, Line
from .inference import decode_peak, prefill_peak
from .kv_cache import kv_cache
from .model import Model, load_model
from .training import training_states
from .training_peak import training_peak
from .weights import weights

COMMAND = "make measure-gpu"
NONE = (
    "No GPU has been recorded yet: every number of this book is derived, or measured "
    f"without one. `{COMMAND}` makes a record, on a machine with a CUDA device."
)
SPLIT = ("ledgers", "beside", "unexplained", "rounding", "cached", "outside")


@dataclass(frozen=True)
class Case:
    """What a reading was taken of; cases of one record share `peaks`."""

    model: Model
    b: int
    s: int
    attention: str = "eager"
    optimizer: str = "fused"
    step: int = 1
    peaks: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def peak(self) -> int:
        """Bytes at most in forward and backward, without optimizer states."""
        if self.attention not in self.peaks:
            peak = training_peak(self.model, self.attention, optimizer="none")
            self.peaks[self.attention] = peak.evaluate(b=self.b, s=self.s)
        return self.peaks[self.attention]

    def states(self, *parts: str) -> int:
        """Bytes of those training states, bf16 throughout."""
        rows = (
            row
            for row in training_states(self.model, "bf16")
            if row.part in parts and (self.optimizer == "fused" or not _is_step(row))
        )
        return sum(int(row.bytes) for row in rows)

    @property
    def moments(self) -> int:
        """Bytes of AdamW's states before this step; they appear in the first one."""
        return self.states("optimizer") if self.step > 1 else 0

    @property
    def updating(self) -> int:
        """Bytes that an update needs for a moment: foreach makes a list of results."""
        return self.states("weights") if self.optimizer == "foreach" else 0


def _is_step(row) -> bool:
    """Whether a row counts steps, which foreach keeps in the CPU's memory."""
    return row.name.endswith(".step")


# What is derived of each moment: one line for each.
DERIVED: dict[str, Callable[[Case], int]] = {
    "weights": lambda case: int(weights(case.model).bytes),
    "prefill": lambda case: _with_cache(case, case.s),
    "decode": lambda case: _with_cache(case, case.s + 1),
    "peak of prefill": lambda case: (
        int(weights(case.model).bytes)
        + prefill_peak(case.model, case.attention).evaluate(b=case.b, s=case.s)
    ),
    "peak of decode": lambda case: (
        int(weights(case.model).bytes)
        + decode_peak(case.model, case.attention).evaluate(b=case.b, t=case.s)
    ),
    "forward": lambda case: (
        case.states("weights")
        + case.moments
        + training_activations(case.model, case.attention).evaluate(b=case.b, s=case.s)
    ),
    "peak of forward and backward": lambda case: case.moments + case.peak,
    "backward": lambda case: case.states("weights", "gradients") + case.moments,
    "optimizer step": lambda case: case.states("weights", "gradients", "optimizer"),
    "peak of optimizer step": lambda case: (
        case.states("weights", "gradients", "optimizer") + case.updating
    ),
}


def _with_cache(case: Case, t: int) -> int:
    cache = kv_cache(case.model).evaluate(b=case.b, t=t)
    return int(weights(case.model).bytes) + cache


class Record:
    """One record: readings of a device, and what is derived of each.

    Args:
        content: what `measure.gpu` wrote.
    """

    def __init__(self, content: Mapping):
        self.content = content
        model = load_model(content.get("config") or content["model"])
        shape, peaks = (model, content["batch"], content["tokens"]), {}
        self._cases = {
            name: (Case(*shape, **_choices(reading), peaks=peaks), reading)
            for name, reading in content["cases"].items()
            if reading["moment"] in DERIVED
        }

    @property
    def title(self) -> str:
        """The card and the versions, in a line."""
        found = self.content
        tools = ", ".join(
            f"{name} {which}" for name, which in found["versions"].items()
        )
        return f"{found['card']}, driver {found['driver']}, {tools}, {found['date']}"

    @property
    def check(self) -> Check:
        """Derived bytes beside requested ones, less what no ledger counts."""
        return Check(
            Line(
                name,
                DERIVED[reading["moment"]](case),
                reading["bytes"]["requested"] - sum(reading["beside"].values()),
                self.content["card"],
            )
            for name, (case, reading) in self._cases.items()
        )

    @property
    def splits(self) -> dict[str, dict[str, int]]:
        """Each reading from the ledgers to nvidia-smi; the parts add up to that."""
        return {
            name: split(
                DERIVED[reading["moment"]](case), reading["beside"], reading["bytes"]
            )
            for name, (case, reading) in self._cases.items()
        }

    def __repr__(self) -> str:
        lines = (
            f"{name}: " + ", ".join(f"{part} {size:,}" for part, size in parts.items())
            for name, parts in self.splits.items()
        )
        return "\n".join([self.title, repr(self.check), *lines])

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{part}</th>" for part in ("moment", *SPLIT))
        body = "".join(
            f"<tr><th scope='row'>{escape(name)}</th>"
            + "".join(f"<td>{parts[part]:,}</td>" for part in SPLIT)
            + "</tr>"
            for name, parts in self.splits.items()
        )
        return (
            f"<p>{escape(self.title)}</p>{self.check._repr_html_()}"
            f"<table class='check-table'><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )


def split(derived: int, beside: Mapping[str, int], read: Mapping) -> dict[str, int]:
    """Split what nvidia-smi shows into what it comes from.

    Args:
        derived: bytes of the ledgers.
        beside: bytes of tensors that no ledger counts, by name.
        read: "requested", "allocated", "reserved", "process" and "device" bytes.

    Returns:
        "ledgers"; "beside"; "unexplained", requested less both; "rounding", allocated
        less requested: grains of 512 bytes, and rests that are not split off;
        "cached", reserved less allocated: free parts of segments; "outside", the
        process's bytes less reserved: the CUDA context and other libraries. Where
        nvidia-smi does not list the process, all of the device is meant.

    >>> read = {"requested": 70, "allocated": 512, "reserved": 2048, "process": 3000}
    >>> parts = split(60, {"buffers": 10}, read)
    >>> parts["rounding"], parts["cached"], parts["outside"], sum(parts.values())
    (442, 1536, 952, 3000)
    """
    whole = read["device"] if read["process"] is None else read["process"]
    around = sum(beside.values())
    return {
        "ledgers": derived,
        "beside": around,
        "unexplained": read["requested"] - derived - around,
        "rounding": read["allocated"] - read["requested"],
        "cached": read["reserved"] - read["allocated"],
        "outside": whole - read["reserved"],
    }


class Report:
    """All records, or a sentence that says there is none."""

    def __init__(self, records: list[Record]):
        self.records = records

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self.records)) or NONE

    def _repr_html_(self) -> str:
        if not self.records:
            return f"<p>{NONE.replace(f'`{COMMAND}`', f'<code>{COMMAND}</code>')}</p>"
        return "".join(record._repr_html_() for record in self.records)


def records(folder: Path = MEASURED) -> Report:
    """Return the records of GPUs in a folder, by name of the card.

    >>> records(MEASURED / "nowhere").records
    []
    """
    paths = sorted(folder.glob("gpu-*.json"))
    return Report([Record(json.loads(path.read_text("utf-8"))) for path in paths])


def _choices(reading: Mapping) -> dict:
    names = ("attention", "optimizer", "step")
    return {name: reading[name] for name in names if name in reading}
