"""The teaching guide as data: a path's rows, each chapter's questions and errors."""

import re
from dataclasses import dataclass
from pathlib import Path

GUIDE = Path(__file__).parents[1] / "book" / "teaching.md"
REF = re.compile(r"\{ref\}`([\w-]+)`")


@dataclass(frozen=True)
class Row:
    """One row of a path: how long, what, and the label of the place to show."""

    minutes: int
    what: str
    label: str


@dataclass(frozen=True)
class Chapter:
    """What the guide says about a chapter."""

    questions: tuple[str, ...]
    misconceptions: tuple[str, ...]


def read() -> str:
    """Return the guide's Markdown."""
    return GUIDE.read_text(encoding="utf-8")


def first_advice() -> str:
    """Return the guide's first bold sentence: what to do with a guess."""
    return re.search(r"\*\*(.+?)\*\*", read())[1]


def path(heading: str) -> list[Row]:
    """Return the rows of a path; each must name one place."""
    part = read().partition(f"### {heading}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", part, re.M)
    if not rows:
        raise ValueError(f"the teaching guide has no path {heading!r}")
    found = []
    for minutes, what, show in rows:
        (label,) = REF.findall(show)
        found.append(Row(int(minutes), what, label))
    return found


def chapter(slug: str) -> Chapter:
    """Return the guide's section on a chapter: the first place it names is in it."""
    for part in read().partition("## Chapter by chapter\n")[2].split("\n### ")[1:]:
        if REF.search(part)[1].partition("-")[0] == slug:
            asked = re.search(r"^Ask: (.+)$", part, re.M)[1]
            rows = re.findall(r"^\| (.+?) \| .*\{ref\}.* \|$", part, re.M)
            return Chapter(tuple(re.findall(r"[^?]+\?", asked)), tuple(rows))
    return Chapter((), ())
