"""The rules of a chapter, book/NN_slug.ipynb, as checks that say what is wrong.

    python tools/chapter_rules.py book/02_weights.ipynb

The template, in this order (deeper headings are free):

1. the first cell: the label `(slug)=`, the title, and the answer with its formula in
   words in **bold**;
2. the sections in SECTIONS, as `## ` headings, none missing and none between.

What each section must hold is written in the function of its name below. CONTRIBUTING
says the same to authors, in prose.
"""

import ast
import json
import re
import sys
from decimal import Decimal
from pathlib import Path

import nbformat

SECTIONS = (
    "You will be able to",
    "Guess first",
    "Why it matters",
    "Set up",
    "Derivation",
    "Result",
    "Units",
    "Check",
    "Explore",
    "Where it breaks",
    "Exercises",
    "Summary",
)
ALLOWED_IMPORTS = {"IPython", "llm_memory", "matplotlib", "myst_nb", "sympy"}
ALLOWED_IMPORTS |= sys.stdlib_module_names
SILENT = (
    ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Assert, ast.Import, ast.ImportFrom,
    ast.FunctionDef, ast.ClassDef,
)  # fmt: skip
SWITCHED_OFF = re.compile("raises-exception|skip|nbval-|remove-|NBVAL_|PYTEST_VALID")
CLAIMS = Path(__file__).parents[1] / "book" / "llm_memory" / "data" / "claims.json"
CLAIM = re.compile(r"\[(S\d[\w.-]*)\]")
NUMBER = re.compile(r"(?<![\w.,-])\d[\d,]*(?:\.\d+)?(?![\w-])")
BYTES = re.compile(
    r"(?<![\w.,^-])(\d[\d,.]*)[\s~]?"
    r"(?:[kKMGT]i?B|bytes?|B(?!\s+(?:parameters|weights)))\b"
)
PRODUCT = re.compile(
    r"(?:RTX|GTX|Tesla|V100|A100|H100|H200|B200|L4|L40S?|MI\d+X?)[\w -]*?\d+ ?GB"
    r"|\d+ GB (?:card|GPU|accelerator)"
)


def problems(notebook, slug: str) -> list[str]:
    """Return everything that is wrong with a chapter; nothing if it is sound."""
    chapter = Chapter(notebook, slug)
    return [problem for check in CHECKS for problem in check(chapter)]


class Chapter:
    """A notebook, its cells and its sections."""

    def __init__(self, notebook, slug: str):
        self.slug = slug
        self.metadata = notebook.metadata
        self.cells = notebook.cells
        self.code = [cell for cell in self.cells if cell.cell_type == "code"]
        self.prose = [cell for cell in self.cells if cell.cell_type == "markdown"]
        self.sections = {"": []}
        current = ""
        for cell in self.cells:
            for name, part in _split(cell):
                current = name or current
                self.sections.setdefault(current, []).append(part)

    def text(self, section: str) -> str:
        """Return the Markdown of a section."""
        parts = self.sections.get(section, [])
        return "\n\n".join(p.source for p in parts if p.cell_type == "markdown")

    def code_in(self, section: str) -> list:
        """Return the code cells of a section."""
        return [p for p in self.sections.get(section, []) if p.cell_type == "code"]


def _split(cell):
    """Yield (heading or "", cell) for each part of a cell that starts a section."""
    if cell.cell_type != "markdown":
        yield "", cell
        return
    for part in re.split(r"^(?=## )", cell.source, flags=re.M):
        heading = re.match(r"## (.*)", part)
        if part.strip():
            piece = nbformat.v4.new_markdown_cell(part)
            yield (heading[1].strip() if heading else ""), piece


def first_cell(chapter):
    """The label, the title and the answer, with its formula in words in bold."""
    start = chapter.cells[0].source if chapter.cells else ""
    if not re.match(rf"\({re.escape(chapter.slug)}\)=\n# \S", start):
        yield f"the first cell must start with ({chapter.slug})= and then # Title"
    if not re.search(r"\*\*[^*]+\*\*", start):
        yield "the first cell must give the answer, its formula in words in **bold**"
    titles = [line for cell in chapter.prose for line in _lines(cell.source)
              if line.startswith("# ")]  # fmt: skip
    if len(titles) != 1:
        yield f"there must be one # title, there are {len(titles)}"


def order(chapter):
    """The sections, in order."""
    found = [name for name in chapter.sections if name]
    if found != list(SECTIONS):
        wrong = [name for name in found if name not in SECTIONS]
        missing = [name for name in SECTIONS if name not in found]
        yield f"sections: missing {missing}, unknown {wrong}, or in the wrong order"


def length(chapter):
    """30 to 60 cells."""
    if not 30 <= len(chapter.cells) <= 60:
        yield f"a chapter has 30 to 60 cells, this one has {len(chapter.cells)}"


def aims(chapter):
    """You will be able to: three verbs in bold, what you need, minutes."""
    text = chapter.text("You will be able to")
    if len(re.findall(r"^[-*] \*\*", text, re.M)) != 3:
        yield "You will be able to: give three items that each start with a bold verb"
    if not re.search(r"You need", text) or not re.search(r"\d+ minutes", text):
        yield 'You will be able to: say what "You need" and how many minutes'


def guess(chapter):
    """Guess first: a question, its answer folded; a later cell shows the truth."""
    text = chapter.text("Guess first")
    if "?" not in text or "{dropdown}" not in text:
        yield "Guess first: ask a question and fold its answer in a {dropdown}"
    later = [name for name in SECTIONS if name in chapter.sections][2:]
    shown = (chapter.text(name) + "".join(c.source for c in chapter.code_in(name))
             for name in later)  # fmt: skip
    if not any("guess" in text.lower() for text in shown):
        yield "Guess first: no later cell comes back to the guess"


def imports(chapter):
    """Set up: the one cell that imports, and only what the book allows."""
    importing = [cell for cell in chapter.code if list(_imports(cell))]
    in_setup = [cell for cell in chapter.code_in("Set up") if list(_imports(cell))]
    if len(importing) != 1 or importing != in_setup:
        yield f"one cell imports, in Set up; here {len(importing)} do"
    roots = {name for cell in importing for name in _imports(cell)}
    if roots - ALLOWED_IMPORTS:
        yield f"imports that chapters may not use: {sorted(roots - ALLOWED_IMPORTS)}"


def _imports(cell):
    for node in ast.walk(_tree(cell)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or ".").partition(".")[0]


def result(chapter):
    """Result: a labelled equation, glued from the object."""
    text = chapter.text("Result")
    if not re.search(r"\{glue:math\}.*\n:label: \S", text):
        yield "Result: glue the equation with {glue:math} and a :label:"


def units(chapter):
    """Units: GB and GiB side by side."""
    shown = chapter.text("Units") + "".join(map(_shown, chapter.code_in("Units")))
    if not ({"GB", "GiB"} <= set(re.findall(r"\bGi?B\b", shown))):
        yield "Units: show GB and GiB side by side"


def check(chapter):
    """Check: a table and an assert."""
    cells = chapter.code_in("Check")
    if not any("check-table" in _shown(cell) for cell in cells):
        yield "Check: show a check table"
    if not any(isinstance(n, ast.Assert) for c in cells for n in ast.walk(_tree(c))):
        yield "Check: end with an assert"


def explore(chapter):
    """Explore: the explorer."""
    if not any("Explorer(" in cell.source for cell in chapter.code_in("Explore")):
        yield "Explore: show an lm.Explorer"


def exercises(chapter):
    """4 to 6 exercises, each with a folded solution whose code ends in assert."""
    text = chapter.text("Exercises")
    bodies = _exercises(text)
    if not 4 <= len(bodies) <= 6:
        yield f"Exercises: 4 to 6, here {len(bodies)}"
    for phrase in ("make it fit in 24 GiB", "find the error"):
        if not any(phrase.lower() in body.lower() for _, body in bodies):
            yield f'Exercises: none is "{phrase}"'
    solutions = _solutions(chapter)
    for label, _ in bodies:
        if label not in solutions:
            yield f"Exercises: {label} has no {{solution-start}} … {{solution-end}}"
            continue
        opening, cells = solutions[label]
        if ":class: dropdown" not in opening:
            yield f"Exercises: the solution of {label} is not folded (:class: dropdown)"
        last = _tree(cells[-1]).body[-1:] if cells else []
        if not (last and isinstance(last[0], ast.Assert)):
            yield f"Exercises: the solution of {label} does not end in an assert"


def _exercises(text: str) -> list[tuple[str, str]]:
    """Return (label, title and body) of each exercise."""
    found = re.findall(r"^(`{3,}|:{3,})\{exercise\}(.*?)^\1\s*$", text, re.M | re.S)
    labels = [re.search(r":label: *(\S+)", body) for _, body in found]
    return [(label[1] if label else "an exercise without a label", body)
            for label, (_, body) in zip(labels, found, strict=True)]  # fmt: skip


def _solutions(chapter) -> dict[str, tuple[str, list]]:
    """Return, for each label, the solution's directive and its code cells."""
    solutions: dict[str, tuple[str, list]] = {}
    inside = ""
    for cell in chapter.sections.get("Exercises", []):
        if cell.cell_type == "code":
            if inside:
                solutions[inside][1].append(cell)
            continue
        pieces = re.split(r"(\{solution-start\}[^`:]*(?::[^\n]*\n)*|\{solution-end\})",
                          cell.source)  # fmt: skip
        for piece in pieces:
            if piece.startswith("{solution-start}"):
                inside = piece.split()[1]
                solutions[inside] = (piece, [])
            elif piece == "{solution-end}":
                inside = ""
    return solutions


def summary(chapter):
    """Summary: at most five lines, and nothing after it."""
    lines = [line for line in chapter.text("Summary").split("\n")[1:] if line.strip()]
    items = [line for line in lines if not line.startswith("  ")]
    if not 1 <= len(items) <= 5 or chapter.code_in("Summary"):
        yield f"Summary: at most five lines, here {len(items)}"


def outputs(chapter):
    """Every code cell was run, in order, shows something, and nothing failed."""
    counts = [cell.execution_count for cell in chapter.code]
    if counts != list(range(1, len(counts) + 1)):
        yield "execution counts are not 1, 2, 3 …; `make execute` runs the chapter"
    for cell in chapter.code:
        body = _tree(cell).body
        if not cell.outputs and not (body and isinstance(body[-1], SILENT)):
            yield f"no output: {_name(cell)}"
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"an error, or text on stderr: {_name(cell)}"


def honest(chapter):
    """No cell is excused from running or from being compared, none is a slider."""
    if chapter.metadata.get("mystnb", {}).get("execution_allow_errors"):
        yield "the notebook allows errors"
    for cell in chapter.code:
        if SWITCHED_OFF.search(" ".join(cell.metadata.get("tags", [])) + cell.source):
            yield f"a tag or comment switches a check off: {_name(cell)}"
        if re.search(r"\binteract(?:ive|_manual)?\(|@interact", cell.source):
            yield f"interact does not work in a page: {_name(cell)}"


def figures(chapter):
    """Figures have alt text, a caption and a name; numbers in the alt are computed."""
    for index, cell in enumerate(chapter.code):
        if not any(_has_image(output) for output in cell.outputs):
            continue
        settings = cell.metadata.get("mystnb", {})
        alt = settings.get("image", {}).get("alt", "")
        figure = settings.get("figure", {})
        if len(alt) < 40:
            yield f"a figure's alt text must say what one sees: {_name(cell)}"
        if not (figure.get("caption") and figure.get("name")):
            yield f"a figure needs a caption and a name: {_name(cell)}"
        seen = [_shown(each) for each in chapter.code[max(index - 1, 0) : index + 1]]
        unknown = _numbers(alt) - _numbers(" ".join(seen))
        if unknown:
            listed = ", ".join(map(str, sorted(unknown)))
            yield f"alt text says {listed}, its cell and the one before do not show it"


def typed_results(chapter):
    """No result with a byte unit is typed; quoted claims carry an id that exists."""
    known = {claim["id"] for claim in json.loads(CLAIMS.read_text("utf-8"))["claims"]}
    for cell in chapter.prose:
        for claim in CLAIM.findall(cell.source):
            if claim not in known:
                yield f"there is no claim {claim}"
    for name in chapter.sections:
        text = chapter.text(name)
        if name == "Guess first":
            text = re.sub(r"^[^`]*", "", text)  # the question's givens
        for _, body in _exercises(text) if name == "Exercises" else ():
            text = text.replace(body, "")
        for sentence in _sentences(text):
            if CLAIM.search(sentence) or "{cite}" in sentence:
                continue
            for number in BYTES.finditer(PRODUCT.sub("", sentence)):
                if number[1] != "1":  # "1 GB is …" defines a unit
                    yield f"typed result, glue it instead: {number[0]!r}"


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?:;])\s+|\n\s*\n|\n(?=[-*|>#])", text)


def _lines(text: str) -> list[str]:
    """Return the lines outside fenced code."""
    return re.sub(r"^(`{3,})(?!\{).*?^\1", "", text, flags=re.M | re.S).split("\n")


def _tree(cell) -> ast.Module:
    code = re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.M)
    return ast.parse(code)


def _shown(cell) -> str:
    """Return all text that a cell's outputs show."""
    texts = [output.get("text", "") for output in cell.outputs]
    texts += [value for output in cell.outputs
              for kind, value in output.get("data", {}).items()
              if kind.startswith("text/")]  # fmt: skip
    return " ".join(texts)


def _has_image(output) -> bool:
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def _numbers(text: str) -> set[Decimal]:
    found = (number.replace(",", "") for number in NUMBER.findall(text))
    return {Decimal(number).normalize() for number in found}


def _name(cell) -> str:
    return f"{cell.get('id', '')}: {cell.source.strip().splitlines()[:1]}"


CHECKS = (
    first_cell, order, length, aims, guess, imports, result, units, check, explore,
    exercises, summary, outputs, honest, figures, typed_results,
)  # fmt: skip


def main() -> int:
    """Print the problems of the chapters that are named."""
    count = 0
    for path in map(Path, sys.argv[1:]):
        notebook = nbformat.read(path, as_version=4)
        for problem in problems(notebook, path.stem.partition("_")[2]):
            print(f"{path}: {problem}")
            count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
