"""Build _build/html/slides/talk.html: the talk of the teaching guide, out of the book.

slides/talk.yml says which cells each slide shows; equations, figures and numbers are
those of the executed notebooks, minutes and speaker's notes those of the guide.
reveal.js comes from the package sphinx-revealjs, MathJax is the site's own.
"""

import re
import shutil
import sys
from html import escape
from importlib.util import find_spec
from pathlib import Path
from string import Template

import slides_book as book
import slides_guide as guide
import yaml
from docutils.nodes import make_id

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "sphinx_extension"), str(ROOT / "book")]
from every_byte_policy import POLICY as SITE  # noqa: E402
from every_byte_policy import hash_of, secure  # noqa: E402

from llm_memory.symbols import TABLE  # noqa: E402

SOURCE = ROOT / "slides"
TARGET = ROOT / "_build" / "html" / "slides"
OWN = ("slides.css", "slides.js")
SPEAKER = "plugin/notes/speaker-view.html"
REVEAL = ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js", "LICENSE")
# The speaker's window has one script of its own, and shows the deck in two frames.
POLICY = SITE.replace("{scripts}", "{scripts} SPEAKER")
POLICY += "; frame-src 'self'"
KINDS = ("cover", "guess", "figure", "output", "equations", "numbers")
CELLS = (*KINDS[:4], "bold")


def main() -> None:
    """Write the deck, with all that it loads but MathJax."""
    plan = yaml.safe_load((SOURCE / "talk.yml").read_text("utf-8"))
    about = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    package = Path(find_spec("sphinx_revealjs").origin).parent / "_static" / "revealjs"
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    for path in [package / name for name in REVEAL] + [SOURCE / name for name in OWN]:
        shutil.copyfile(path, TARGET / path.name)
    page = Template((SOURCE / "deck.html").read_text("utf-8")).substitute(
        title=escape(about["title"]),
        path=escape(plan["path"]),
        slides="\n".join(deck(plan, about["title"])),
    )
    allowed = hash_of_script((package / SPEAKER).read_text("utf-8"))
    page = secure(page, POLICY.replace("SPEAKER", allowed))
    (TARGET / "talk.html").write_text(page, encoding="utf-8")


def hash_of_script(page: str) -> str:
    """Return what lets a policy allow the one inline script of a page."""
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    return hash_of(script)


def deck(plan: dict, name: str):
    """Yield the slides, in the guide's order and with its minutes.

    Raises:
        ValueError: the rows or their minutes are not the guide's.
    """
    rows, start = guide.path(plan["path"]), 0
    if [row.label for row in rows] != list(plan["rows"]):
        raise ValueError(f"slides/talk.yml must have the rows {rows}, in this order")
    for row in rows:
        slides = plan["rows"][row.label]
        if sum(slide["minutes"] for slide in slides) != row.minutes:
            raise ValueError(f"the slides of {row.label} must take {row.minutes} min")
        for slide in slides:
            yield section({"title": name} | slide, row, start)
            start += slide["minutes"]


def section(slide: dict, row: guide.Row, start: int) -> str:
    """Return one slide: its point, the evidence, where it is from, and notes."""
    kind = next(kind for kind in KINDS if kind in slide)
    cells = [slide[key] for key in CELLS if key in slide]
    label = book.place(cells[0]) if cells else row.label
    shown = "".join(show(slide[key]) for key, show in CONTENT.items() if key in slide)
    if kind == "equations":
        shown += legend(slide["equations"])
    return (
        f'<section class="{kind}" id="minute-{start}" '
        f'data-timing="{60 * slide["minutes"]}"><h2>{book.fill(slide["title"])}</h2>'
        f'<div class="evidence">{shown}</div><footer>{sources(label)}</footer>'
        f'<aside class="notes">{notes(slide, row, start)}</aside></section>'
    )


def figure(cell: str) -> str:
    """Write a figure's file; return it with its alt text and caption."""
    svg, alt, caption = book.figure(cell)
    (TARGET / f"{cell}.svg").write_text(svg, encoding="utf-8")
    return (
        f'<figure><img src="{cell}.svg" alt="{escape(alt)}"/>'
        f"<figcaption>{book.prose(caption, book.stem_of(cell))}</figcaption></figure>"
    )


def equations(named: dict[str, str]) -> str:
    """Return equations, each below the words that say what it is."""
    return "".join(
        f'<div class="equation"><p>{book.fill(words)}</p>{book.equation(name)}</div>'
        for name, words in named.items()
    )


def legend(names) -> str:
    """Return what the letters of equations mean, from the table of symbols."""
    found = set().union(*map(book.letters, names))
    items = (
        f'<li><span class="math">\\({size.latex}\\)</span> {escape(size.meaning)}</li>'
        for size in TABLE.values()
        if size.name in found
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def numbers(pairs: list[list[str]]) -> str:
    """Return large numbers, each with the words that say what it is."""
    rows = (
        f"<div><dt>{book.fill(number)}</dt><dd>{book.fill(words)}</dd></div>"
        for number, words in pairs
    )
    return f"<dl>{''.join(rows)}</dl>"


# What a key of slides/talk.yml shows; a slide shows its keys in this order.
CONTENT = {
    "cover": book.bold,
    "guess": book.guess,
    "figure": figure,
    "output": book.output,
    "bold": book.bold,
    "equations": equations,
    "numbers": numbers,
    "say": book.sentences,
    "words": lambda words: f"<p>{book.fill(words)}</p>",
}


def sources(label: str) -> str:
    """Return links to the section in the book, and to its chapter's explorer."""
    stem = book.labels()[label]
    page = f"../book/{stem}.html"
    links = {book.title(stem): f"{page}#{make_id(label)}"}
    if book.has_explorer(stem):
        links["Explorer"] = f"{page}#explore"
    return " · ".join(f'<a href="{to}">{escape(t)}</a>' for t, to in links.items())


def notes(slide: dict, row: guide.Row, start: int) -> str:
    """Return the speaker's notes: the minute, the question and the misconception."""
    about = guide.chapter(row.label.partition("-")[0])
    lines = [f"**Minute {start} to {start + slide['minutes']}**: {row.what}"]
    if "guess" in slide:
        lines.append(guide.first_advice())
    if "ask" in slide:
        lines.append(f"**Ask:** {book.choose(slide['ask'], about.questions)}")
    if "misconception" in slide:
        wrong = book.choose(slide["misconception"], about.misconceptions)
        lines.append(f"**Misconception:** {wrong}")
    return "".join(book.prose(line, book.labels()[row.label]) for line in lines)


if __name__ == "__main__":
    main()
