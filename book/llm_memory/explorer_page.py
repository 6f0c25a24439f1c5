"""An explorer in a page: its spec for explorer.js, and a plain table for paper.

The element `every-byte-explorer` carries the spec, which explorer.js mounts. Inside it
stands the table, for print, PDF, and programs that run no script.
"""

import json
from fractions import Fraction
from html import escape
from itertools import product

from sympy import sympify

from .errors import ConfigError
from .expression import to_tree
from .units import UNITS, format_decimal, in_unit


class Pool:
    """A list in which equal things are kept once."""

    def __init__(self):
        self.items, self._known = [], {}

    def index(self, item) -> int:
        """Return the place of `item`, added if it is new."""
        key = json.dumps(item)
        if key not in self._known:
            self._known[key] = len(self.items)
            self.items.append(item)
        return self._known[key]


def make_spec(explorer) -> dict:
    """Return controls and the trees of every selection, equal ones once."""
    parts, trees, forms = Pool(), Pool(), Pool()
    cases = [
        forms.index(_form(explorer, choice, parts, trees))
        for choice in product(*(each.options for each in explorer.selects))
    ]
    spec = {
        "version": 1,
        "id": explorer.id,
        "title": explorer.title,
        "selects": [each.spec for each in explorer.selects],
        "sliders": [each.spec for each in explorer.sliders],
        "parts": parts.items,
        "trees": trees.items,
        "forms": forms.items,
        "cases": cases,
    }
    if explorer.budgets:
        spec["budgets"] = {
            "label": explorer.control("budget").label,
            "bytes": [[k, to_tree(sympify(v))] for k, v in explorer.budgets.items()],
        }
    if explorer.ratio:
        spec["ratio"] = explorer.ratio.spec
    return spec | ({"largest": explorer.searched} if explorer.searched else {})


def html(explorer) -> str:
    """Return the element that explorer.js mounts, with the plain table inside."""
    spec = json.dumps(explorer.spec, ensure_ascii=False, separators=(",", ":"))
    data = escape(spec, quote=False).replace("'", "&#39;")
    return (
        f"<every-byte-explorer class='ebx' data-spec='{data}'>"
        f"<div class='ebx-plain'>{_table(explorer)}</div></every-byte-explorer>"
    )


def describe(explorer) -> str:
    """Return the current total with its unit."""
    return (
        f"{_plain(explorer.total)} {explorer.ratio.unit if explorer.ratio else 'bytes'}"
    )


def unit_pair(count: int) -> tuple[str, str]:
    """Return the decimal and the binary unit that suit `count` bytes, GB at most.

    >>> unit_pair(234_881_024)
    ('MB', 'MiB')
    """
    for pair in (("GB", "GiB"), ("MB", "MiB")):
        if count >= UNITS[pair[0]]:
            return pair
    return "kB", "KiB"


def _form(explorer, choice, parts: Pool, trees: Pool):
    names = (each.name for each in explorer.selects)
    try:
        ledger = explorer.ledger_of(dict(zip(names, choice, strict=True)))
    except ConfigError as error:
        return str(error)
    if explorer.ratio:
        shown = {name: part.total for name, part in ledger.work.parts.items()}
    else:
        shown = {name: part.bytes for name, part in ledger.parts.items()}
    form = [
        [parts.index(name or "all"), trees.index(to_tree(amount))]
        for name, amount in shown.items()
    ]
    if explorer.ratio:
        return {"parts": form, "per": trees.index(to_tree(ledger.traffic.bytes))}
    return form


def _table(explorer) -> str:
    start = {name: each.start for name, each in explorer.controls.items()}
    name, options = explorer.table
    rows = [_measured(explorer, start | {name: option}) for option in options]
    totals = [total for total, _ in rows if isinstance(total, int)]
    ratio, searched = explorer.ratio, explorer.searched
    units = () if ratio else unit_pair(max(totals, default=0))
    heads = [explorer.controls[name].label if name else ""]
    heads += [ratio.unit] if ratio else ["bytes", *units]
    heads += [ratio.column if ratio else f"largest {searched} that fits"] * bool(
        searched
    )
    body = "".join(
        f"<tr><th scope='row'>{escape(str(option))}</th>"
        f"{_cells(row, units, len(heads), bool(searched))}</tr>"
        for option, row in zip(options, rows, strict=True)
    )
    shown = [f"{k} = {_plain(v)}" for k, v in start.items() if k != name]
    caption = escape(", ".join([explorer.title, *shown]))
    columns = "".join(f"<th scope='col'>{escape(head)}</th>" for head in heads)
    return (
        f"<table class='ledger'><caption>{caption}</caption>"
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"
    )


def _measured(explorer, values: dict) -> tuple:
    try:
        total = explorer.total_of(values)
    except ConfigError as error:
        return str(error), None
    return total, explorer.largest_of(values) if explorer.searched else None


def _cells(row: tuple, units: tuple, columns: int, searched: bool) -> str:
    total, largest = row
    if isinstance(total, str):
        return f"<td class='text' colspan='{columns - 1}'>{escape(total)}</td>"
    texts = [_plain(total), *(format_decimal(in_unit(total, unit)) for unit in units)]
    if searched:
        texts.append("any" if largest is None else _plain(largest))
    return "".join(f"<td>{text}</td>" for text in texts)


def _plain(value) -> str:
    if isinstance(value, Fraction):
        return format_decimal(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
