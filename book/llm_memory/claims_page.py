"""The claims of the article as HTML: a complete list, and a filter for scripts.

Without its script the list is all there and the filter stays hidden.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from sympy import latex

from .claim_quantities import expression
from .claim_rules import VERDICTS
from .claims import Judgement, judge, load

CHAPTERS = {
    "units": "Units",
    "weights": "Weights",
    "training": "Training states",
    "train-activations": "Saved activations",
    "infer-activations": "Activations of inference",
    "kv-cache": "The KV cache",
    "total-inference": "Inference in total",
    "concurrency": "Concurrency",
    "compute": "Compute",
}


class Claims:
    """All claims with their verdicts; a notebook shows them as a list.

    Args:
        places: label of a derivation → (address, title) of its place in the book.
    """

    def __init__(self, places: Mapping[str, tuple[str, str]]):
        self.places = places
        self.claims, self.records = load(), judge()

    def __repr__(self) -> str:
        return "\n".join(f"{each.id}: {each.verdict}" for each in self.records)

    def _repr_html_(self) -> str:
        parts = "".join(self._part(chapter) for chapter in CHAPTERS)
        return f"{self._filter()}<div class='claims'>{parts}</div>"

    def _filter(self) -> str:
        chapters = [
            (name, title, len(self._of(name))) for name, title in CHAPTERS.items()
        ]
        counts = Counter(record.verdict for record in self.records)
        verdicts = [(name, name, counts[name]) for name in VERDICTS]
        return (
            "<form id='claims-filter' class='claims-filter' hidden>"
            f"{_select('chapter', 'Subject', chapters)}"
            f"{_select('verdict', 'Verdict', verdicts)}"
            f"<output>{len(self.records)} claims</output></form>"
        )

    def _of(self, chapter: str) -> list[Judgement]:
        return [r for r in self.records if self.claims[r.id]["chapter"] == chapter]

    def _part(self, chapter: str) -> str:
        items = "".join(self._item(record) for record in self._of(chapter))
        heading = f"<h3 id='claims-{chapter}'>{CHAPTERS[chapter]}</h3>"
        return f"<section>{heading}<ul>{items}</ul></section>"

    def _item(self, record: Judgement) -> str:
        claim = self.claims[record.id]
        address, title = self.places[claim["derivation"]]
        says = "".join(f"<i>{each}</i> " for each in printed(claim))
        return (
            f"<li id='{record.id}' data-chapter='{claim['chapter']}' "
            f"data-verdict='{record.verdict}'><p><b>{record.verdict}</b> "
            f"{escape(claim['claim'])} <code>{record.id}</code></p>"
            f"<p>{says}{escape(record.explanation)} "
            f"See <a href='{address}'>{escape(title)}</a>.</p></li>"
        )


def places(folder: Path) -> dict[str, tuple[str, str]]:
    """Return each label of the pages in a folder → (its address, the page's title)."""
    found = {}
    for path in sorted([*folder.glob("*.ipynb"), *folder.glob("*.md")]):
        source = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            cells = json.loads(source)["cells"]
            prose = (
                "".join(c["source"]) for c in cells if c["cell_type"] == "markdown"
            )
            source = "\n\n".join(prose)
        (title, *_) = re.findall(r"^# (.+)$", source, re.M) or [path.stem]
        for label in re.findall(r"^\(([\w.-]+)\)=$", source, re.M):
            anchor = re.sub(r"[^a-z0-9]+", "-", label.lower())
            found[label] = (f"{path.stem}.html#{anchor}", title)
    return found


def counts_table() -> str:
    """Return how many claims of each kind got which verdict, as an HTML table."""
    claims = load()
    found = Counter((claims[r.id]["kind"], r.verdict) for r in judge())
    kinds = ("number", "formula", "qualitative", "setting")
    head = "".join(
        f"<th scope='col'>{name}</th>" for name in ("verdict", *kinds, "all")
    )
    rows = [(verdict, [found[kind, verdict] for kind in kinds]) for verdict in VERDICTS]
    rows.append(
        ("all", [sum(each) for each in zip(*(r for _, r in rows), strict=True)])
    )
    body = "".join(
        f"<tr><th scope='row'>{name}</th>"
        + "".join(f"<td>{count}</td>" for count in (*counts, sum(counts)))
        + "</tr>"
        for name, counts in rows
    )
    return (
        f"<table class='ledger'><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def printed(claim: Mapping) -> Iterable[str]:
    """Yield what the article prints, as HTML, and how sure its reconstruction is."""
    if "states" in claim:
        lettered = "where" not in claim
        own = latex(expression(claim["states"])) if lettered else claim["formula"]
        yield f'Stated: <span class="math">\\({escape(own)}\\)</span>.'
    if "published" in claim:
        value, unit = claim["published"]["value"], claim["published"]["unit"]
        yield f"Printed: {value:,} {escape(unit.replace('x', '×'))}."
    if "blank_in_article" in claim:
        yield f"Reconstructed, confidence {claim['reconstruction_confidence']}."


def _select(name: str, label: str, options: Iterable[tuple[str, str, int]]) -> str:
    listed = "".join(
        f"<option value='{value}'>{title} ({count})</option>"
        for value, title, count in options
    )
    return (
        f"<label>{label} <select name='{name}'><option value=''>all</option>"
        f"{listed}</select></label>"
    )


ERRATA = ("unit-mixup", "wrong")


def errors(verdict: str) -> list[list[Judgement]]:
    """Return the printed numbers of a verdict; the same error is one entry."""
    claims, found = load(), {}
    for record in judge():
        claim = claims[record.id]
        if (claim["kind"], record.verdict) == ("number", verdict) and (
            record.published is not None
        ):
            unit = claim.get("published", {}).get("unit", record.unit)
            key = (record.published, record.recomputed, unit, record.explanation)
            found.setdefault(key, []).append(record)
    return list(found.values())


def errata(verdict: str, places: Mapping[str, tuple[str, str]]) -> str:
    """Return a table of the numbers with that verdict, as HTML.

    Args:
        verdict: one of `ERRATA`.
        places: label of a derivation → (address, title) of its place in the book.
    """
    columns = ("printed", "where", "what is right", "derived in")
    head = "".join(f"<th scope='col'>{name}</th>" for name in columns)
    body = "".join(_erratum(records, places) for records in errors(verdict))
    return (
        f"<table class='ledger text'><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _erratum(records: list[Judgement], places: Mapping) -> str:
    first = records[0]
    claim = load()[first.id]
    address, title = places[claim["derivation"]]
    where = ", ".join(f"<a href='article.html#{r.id}'>{r.id}</a>" for r in records)
    cells = (
        where,
        escape(first.explanation),
        f"<a href='{address}'>{escape(title)}</a>",
    )
    return (
        f"<tr><th scope='row'>{_number(claim, first)}</th>"
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _number(claim: Mapping, record: Judgement) -> str:
    if "published" not in claim:
        return f"{record.published:,} {escape(record.unit)}"
    value, unit = claim["published"]["value"], claim["published"]["unit"]
    return f"{value:,} {escape(unit.replace('x', '×'))}"
