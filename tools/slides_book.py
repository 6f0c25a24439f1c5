"""What a slide shows, out of the executed notebooks: equations, figures, outputs, text.

Nothing is computed here. A name that no chapter has is a KeyError with that name.
"""

import json
import re
from functools import cache
from html import escape
from pathlib import Path

import lite_prose
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

BOOK = Path(__file__).parents[1] / "book"
LABEL = re.compile(r"^\(([\w-]+)\)=$", re.M)
CLAIM = re.compile(r" ?\[S\d[\w.-]*\]")
SENTENCE = re.compile(r"(?:[^.\n]|\.\d|\n(?!\n))+\.")
QUESTION = re.compile(r"(^|[.:?]\s)([^.?]*(?:\.\d[^.?]*)*\?)")
HOLE = re.compile(r"\{([\w-]+)\}")


def _math(content: str, options: dict) -> str:
    return f"\\({escape(content)}\\)"


MARKDOWN = MarkdownIt("commonmark").use(dollarmath_plugin, renderer=_math)


@cache
def notebook(stem: str) -> dict:
    """Return a notebook with joined sources."""
    found = json.loads((BOOK / f"{stem}.ipynb").read_text("utf-8"))
    for cell in found["cells"]:
        cell["source"] = "".join(cell["source"])
    return found


def stem_of(cell: str) -> str:
    """Return the notebook of a cell's id: "07_kv_cache-19" is in 07_kv_cache."""
    return cell.rpartition("-")[0]


def cell_of(name: str) -> dict:
    """Return the cell with this id."""
    cells = {cell["id"]: cell for cell in notebook(stem_of(name))["cells"]}
    return cells[name]


@cache
def labels() -> dict[str, str]:
    """Return label -> notebook, of all notebooks."""
    found = {}
    for path in sorted(BOOK.glob("*.ipynb")):
        for cell in notebook(path.stem)["cells"]:
            found |= dict.fromkeys(LABEL.findall(cell["source"]), path.stem)
    return found


def place(cell: str) -> str:
    """Return the last label in or above a cell: the section that it is in."""
    cells, label = notebook(stem_of(cell))["cells"], ""
    for each in cells:
        label = [label, *LABEL.findall(each["source"])][-1]
        if each["id"] == cell:
            return label
    raise KeyError(cell)


def has_explorer(stem: str) -> bool:
    """Say whether a notebook has an explorer."""
    return any("lm.Explorer(" in cell["source"] for cell in notebook(stem)["cells"])


def title(stem: str) -> str:
    """Return a notebook's title."""
    sources = (cell["source"] for cell in notebook(stem)["cells"])
    return next(re.search(r"^# (.+)$", source, re.M)[1] for source in sources)


@cache
def values(stem: str) -> dict[str, dict]:
    """Return name -> what the notebook glues."""
    return lite_prose.glued(notebook(stem))


def glued(name: str) -> dict:
    """Return a glued value by its name, which starts with the slug of its chapter."""
    return values(labels()[name.partition("-")[0]])[name]


def fill(text: str) -> str:
    """Return HTML: a text with every {name} as the glued value, marked as such."""

    def value(match: re.Match) -> str:
        shown = escape(glued(match[1])["text/plain"].strip("'"))
        return f'<span data-glue="{match[1]}">{shown}</span>'

    return HOLE.sub(value, escape(text))


def prose(source: str, stem: str) -> str:
    """Return Markdown of a notebook as HTML, without roles and ids of claims."""
    text = lite_prose.plain(CLAIM.sub("", source), values(stem))
    return MARKDOWN.render(text)


def guess(name: str) -> str:
    """Return the question of a "Guess first", without its answer."""
    part = cell_of(name)["source"].partition("## Guess first\n")[2]
    text = part.partition("```{dropdown}")[0]
    return prose(QUESTION.sub(r"\1**\2**", text), stem_of(name))


def bold(name: str) -> str:
    """Return the first bold words of a cell: a chapter's answer in one sentence."""
    words = re.search(r"\*\*(.+?)\*\*", cell_of(name)["source"], re.S)[1]
    return prose(words, stem_of(name))


def sentences(chosen: dict[str, list[str]]) -> str:
    """Return sentences of cells, each chosen by words that no other one there has."""
    found = []
    for name, words in chosen.items():
        texts = SENTENCE.findall(cell_of(name)["source"])
        found += [choose(each, texts) for each in words]
    return prose(" ".join(found), stem_of(name))


def choose(words: str, texts) -> str:
    """Return the one text that has the words.

    >>> choose("box", ("from a driver, or a box?", "what grows?"))
    'from a driver, or a box?'
    """
    found = [text.strip() for text in texts if re.search(rf"\b{words}\b", text)]
    if len(found) != 1:
        raise ValueError(f"{words!r} is in {len(found)} of {texts}, not in one")
    return found[0]


def output(name: str) -> str:
    """Return what a cell prints."""
    (text,) = (out["text"] for out in cell_of(name)["outputs"] if "text" in out)
    return f"<pre>{escape(''.join(text).rstrip())}</pre>"


def figure(name: str) -> tuple[str, str, str]:
    """Return a figure's SVG, its alt text and its caption."""
    cell = cell_of(name)
    about = cell["metadata"]["mystnb"]
    data = (out.get("data", {}) for out in cell["outputs"])
    (svg,) = ("".join(d["image/svg+xml"]) for d in data if "image/svg+xml" in d)
    return svg, about["image"]["alt"], about["figure"]["caption"]


def equation(name: str) -> str:
    """Return a glued equation for MathJax."""
    latex = escape(lite_prose.latex(glued(name)))
    return f'<p class="math" data-glue="{name}">\\[{latex}\\]</p>'


def letters(name: str) -> set[str]:
    """Return the names in a glued equation, of sizes and of functions."""
    return set(re.findall(r"[A-Za-z]\w*", glued(name)["text/plain"]))
