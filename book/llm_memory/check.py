"""Check tables: derived | reference | difference | source."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from html import escape
from itertools import zip_longest

from .activations import REST, layer_activations, training_activations
from .compute import flops
from .errors import ConfigError, choose
from .fields import DATA
from .kv_cache import kv_cache
from .layers import first_layers
from .ledger import Ledger
from .model import load_model

MEASURED = DATA / "measured"
COLUMNS = ("quantity", "derived", "reference", "difference", "source")


@dataclass(frozen=True)
class Line:
    """One comparison of two integers, and where the reference comes from."""

    quantity: str
    derived: int
    reference: int
    source: str

    @property
    def difference(self) -> int:
        """Derived minus reference."""
        return int(self.derived) - int(self.reference)

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as text, one cell per column."""
        numbers = (self.derived, self.reference, self.difference)
        return (self.quantity, *(f"{int(n):,}" for n in numbers), self.source)


class Check:
    """A table of comparisons; `holds` is true if every difference is zero.

    >>> table = Check([Line("parameters", 6, 6, "counted")])
    >>> table.holds
    True
    >>> print(table)
    quantity   | derived | reference | difference | source
    parameters |       6 |         6 |          0 | counted
    """

    def __init__(self, lines: Iterable[Line]):
        self.lines = tuple(lines)
        if not self.lines:
            raise ConfigError("lines", (), "a check needs at least one line")

    @property
    def holds(self) -> bool:
        """Whether derived and reference are equal in every line."""
        return all(line.difference == 0 for line in self.lines)

    def __add__(self, other: "Check") -> "Check":
        return Check(self.lines + other.lines)

    def __repr__(self) -> str:
        rows = [COLUMNS, *(line.cells for line in self.lines)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(_text_row(row, widths) for row in rows)

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{name}</th>" for name in COLUMNS)
        body = "".join(
            f"<tr><th scope='row'>{escape(first)}</th>"
            + "".join(f"<td>{escape(cell)}</td>" for cell in rest)
            + "</tr>"
            for first, *rest in (line.cells for line in self.lines)
        )
        return (
            f"<table class='check-table'><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )


@cache
def record(name: str) -> Mapping:
    """Return what `make measure` recorded under that name, with versions and date.

    >>> sorted(record("parameters"))
    ['cases', 'date', 'versions']
    """
    paths = {path.stem: path for path in sorted(MEASURED.glob("*.json"))}
    path = choose("record", name, paths)
    return json.loads(path.read_text(encoding="utf-8"))


def source(name: str) -> str:
    """Return the frameworks and versions that a record was measured with.

    >>> source("parameters").split()[0]
    'torch'
    """
    return ", ".join(
        f"{what} {which}" for what, which in record(name)["versions"].items()
    )


def against_parameters(model_name: str, ledger: Ledger) -> Check:
    """Compare each row's elements with the framework's own parameters.

    Args:
        model_name: a case of the record "parameters".
        ledger: `weights` of that model, not quantised.

    Raises:
        ConfigError: no such case in the record.

    >>> from llm_memory import load_model, weights
    >>> against_parameters("GPT-2", weights(load_model("GPT-2"))).holds
    True
    """
    case = choose("case", model_name, record("parameters")["cases"])
    return _by_name(case["rows"], ledger, source("parameters"))


def against_cache(model_name: str, b: int, t: int) -> Check:
    """Compare the derived cache, row by row, with what the framework's cache held.

    The framework ran the model with at most a few of its layers, as all are alike.

    Args:
        model_name: a case of the record "kv_cache".
        b, t: one of the recorded shapes.

    Raises:
        ConfigError: no such case or shape in the record.

    >>> against_cache("Qwen3-0.6B", b=2, t=33).holds
    True
    """
    case = choose("case", model_name, record("kv_cache")["cases"])
    rows = choose("b,t", f"{b},{t}", case["shapes"])
    ledger = kv_cache(load_model(case["config"])).substitute({"b": b, "t": t})
    table = _by_name(rows, ledger, source("kv_cache"))
    return Check(
        replace(line, quantity=f"{model_name}: {line.quantity}") for line in table.lines
    )


def expansion(model_name: str, b: int, t: int) -> tuple[int, str]:
    """Return the bytes that one layer of latent attention expands, and the source.

    >>> expansion("DeepSeek-V3", b=1, t=1)[0]
    114688
    """
    case = choose("case", model_name, record("latent_expansion")["cases"])
    shape = choose("b,t", f"{b},{t}", case["shapes"])
    return shape["bytes"], source("latent_expansion")


def against_activations(name: str, b: int, s: int) -> Check:
    """Compare what a layer and the whole model keep with what PyTorch kept.

    Args:
        name: a case of the record "activations".
        b, s: one of its recorded shapes.

    Raises:
        ConfigError: no such case or shape in the record.

    >>> against_activations("LLaMA-13B, flash", b=1, s=2048).holds
    True
    """
    case, saved = _activation_case(name, b, s)
    model, where = load_model(case["config"]), source("activations")
    readings = {"layer": _first_layer, "model": training_activations}
    return Check(
        Line(
            f"{name}, b = {b}, s = {s}: {what}",
            reading(model, **case["choices"]).evaluate(b=b, s=s),
            saved[what],
            where,
        )
        for what, reading in readings.items()
    )


def against_saved_tensors(name: str, b: int, s: int) -> Check:
    """Compare each row of a layer with a tensor of its type that PyTorch kept.

    The rows of one data type are matched by size.

    Args:
        name: a case of the record "activations" without recomputation.
        b, s: one of its recorded shapes.

    Raises:
        ConfigError: no such case or shape in the record, or no tensors recorded.

    >>> against_saved_tensors("GPT-2-xl, eager", b=8, s=1024).holds
    True
    """
    case, saved = _activation_case(name, b, s)
    kept = choose("record", "tensors", saved)
    ledger = _first_layer(load_model(case["config"]), **case["choices"])
    rows = [
        row
        for row in ledger.substitute({"b": b, "s": s}).rows
        if not row.name.endswith(REST)  # alive, but not saved
    ]
    derived = sorted((row.dtype.torch, int(row.bytes), i) for i, row in enumerate(rows))
    lines = {}
    pairs = zip_longest(derived, kept, fillvalue=("missing", 0, len(rows)))
    for (_, size, index), (kind, reference, *_) in pairs:
        row = rows[index].name.rpartition("{i}.")[2] if index < len(rows) else ""
        where = f"{kind}, {source('activations')}"
        lines[index, len(lines)] = Line(row, size, reference, where)
    return Check(lines[key] for key in sorted(lines))


def _first_layer(model, **choices):
    """Return what the first layer keeps; it is the one that is measured."""
    group = first_layers(model, 1).index(1)
    return layer_activations(model, sparse=model.layers[group].sparse, **choices)


def against_flops(name: str) -> Check:
    """Compare the FLOPs of every step with what PyTorch's own counter counted.

    Args:
        name: a case of the record "flops".

    Raises:
        ConfigError: no such case in the record.

    >>> against_flops("Qwen3-0.6B, eager").holds
    True
    """
    case, where = choose("case", name, record("flops")["cases"]), source("flops")
    model, kernel = load_model(case["config"]), case["choices"]["attention"]
    recompute = case["choices"]["recompute"]
    works = {
        "forward": flops(model, attention=kernel),
        "backward": flops(model, "backward", kernel, recompute),
        "decode": flops(model, "decode", kernel),
    }
    counted = [
        (phase, "s", shape, number)
        for shape, numbers in case["steps"].items()
        for phase, number in zip(("forward", "backward"), numbers, strict=True)
    ]
    counted += [("decode", "t", *each) for each in case["decode"].items()]
    lines = []
    for phase, size, shape, number in counted:
        sizes = dict(zip(("b", size), map(int, shape.split(",")), strict=True))
        at = ", ".join(f"{key} = {value}" for key, value in sizes.items())
        derived = works[phase].evaluate(**sizes)
        lines.append(Line(f"{name}: {phase}, {at}", derived, number, where))
    return Check(lines)


def _activation_case(name: str, b: int, s: int) -> tuple[Mapping, Mapping]:
    case = choose("case", name, record("activations")["cases"])
    return case, choose("b,s", f"{b},{s}", case["shapes"])


def _by_name(rows: Iterable[Mapping], ledger: Ledger, where: str) -> Check:
    derived, reference = {}, {}
    for row in ledger.rows:
        derived[row.name] = derived.get(row.name, 0) + int(row.elements)
    for row in rows:
        elements = row["count"]
        for size in row["shape"]:
            elements *= size
        reference[row["name"]] = reference.get(row["name"], 0) + elements
    return Check(
        Line(name, derived.get(name, 0), reference.get(name, 0), where)
        for name in dict.fromkeys([*derived, *reference])
    )


def _text_row(row, widths) -> str:
    aligned = [
        cell.rjust(width) if 0 < index < 4 and row is not COLUMNS else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return " | ".join(aligned).rstrip()
