"""Chapters keep the template; tools/chapter_rules.py holds the rules.

Each rule is also seen failing: a sound chapter is broken in one place, and the rule
must say so.
"""

import copy
import subprocess
import sys
from pathlib import Path

import chapter_rules
import execute
import hygiene
import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

CHAPTERS = sorted(ROOT.glob("book/[0-9][0-9]_*.ipynb"))
NOTEBOOKS = sorted(ROOT.glob("book/*.ipynb"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_keeps_the_rules(path):
    notebook = nbformat.read(path, as_version=4)
    assert chapter_rules.problems(notebook, path.stem.partition("_")[2]) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_executed_and_hides_nothing(path):
    chapter = chapter_rules.Chapter(nbformat.read(path, as_version=4), path.stem)
    assert [*chapter_rules.outputs(chapter), *chapter_rules.honest(chapter)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_execute_writes_it(path):
    assert hygiene.problems(path) == []


def spoil_ids(notebook):
    notebook.cells[3]["id"] = "other"


def spoil_metadata(notebook):
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.2"}


def spoil_order(notebook):
    code_cells(notebook)[1].execution_count = 1


def spoil_outputs(notebook):
    code_cells(notebook)[1].outputs.append(
        new_output("error", ename="E", evalue="", traceback=[])
    )


def spoil_stderr(notebook):
    code_cells(notebook)[0].outputs.append(
        new_output("stream", name="stderr", text="warning")
    )


def spoil_timing(notebook):
    code_cells(notebook)[0].metadata["execution"] = {"started": "12:00"}


SPOILERS = {
    spoil_ids: "cells are not numbered by their place",
    spoil_metadata: "metadata other than the kernel's",
    spoil_order: "cells that were not run once, in order",
    spoil_outputs: "an error as output",
    spoil_stderr: "not written by `make execute`",
    spoil_timing: "not written by `make execute`",
}


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_hygiene_names_what_is_wrong(tmp_path, spoil):
    path = tmp_path / CHAPTERS[0].name
    notebook = nbformat.read(CHAPTERS[0], as_version=4)
    spoil(notebook)
    path.write_text(nbformat.writes(notebook, version=4) + "\n", encoding="utf-8")
    assert SPOILERS[spoil] in hygiene.problems(path)
    program = (sys.executable, ROOT / "tools" / "hygiene.py", path)
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{path}: {SPOILERS[spoil]}" in done.stdout


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code(source: str, text: str = "", html: str = "", image: bool = False, **metadata):
    """A code cell with its outputs."""
    outputs = [new_output("stream", text=text)] if text else []
    data = {"text/html": html} if html else {}
    data |= {"image/png": "iVBORw0KGgo="} if image else {}
    outputs += [new_output("display_data", data)] if data else []
    return new_code_cell(source, outputs=outputs, metadata=metadata)


EXERCISE = """```{{exercise}} {title}
:label: demo-{n}
A card has 24 GiB. What fits?
```

````{{solution-start}} demo-{n}
:class: dropdown
````
"""
TITLES = ("Make it fit in 24 GiB", "Find the error in this claim", "Third", "Fourth")


def sound_chapter():
    """A chapter that keeps every rule."""
    alt = "A bar of 12 and a bar of 34 bytes; the second is almost three times as long."
    figure = {"image": {"alt": alt}, "figure": {"caption": "Two bars.", "name": "bars"}}
    cells = [
        new_markdown_cell("(demo)=\n# Demo\n\nThe answer: **count × shape × bytes**."),
        new_markdown_cell(
            "## You will be able to\n\n"
            "- **derive** a\n- **compute** b\n- **judge** c\n\n"
            "You need {ref}`units`. About 20 minutes."
        ),
        new_markdown_cell(
            "## Guess first\n\nA card has 24 GiB. How many?\n\n"
            "```{dropdown} The answer\nIt is {glue:text}`n`.\n```"
        ),
        new_markdown_cell("## Why it matters\n\nIt said 229 MB [S4.3-229MB]."),
        new_markdown_cell("## Set up"),
        code("import sympy\nimport llm_memory as lm"),
        new_markdown_cell("## Derivation"),
        *(code("n = 12\nn", "12") for _ in range(13)),
        code("print(12, 34)", "12 34"),
        code("plot()", image=True, mystnb=figure),
        new_markdown_cell("## Result\n\n```{glue:math} n\n:label: eq-n\n```"),
        new_markdown_cell("## Units"),
        code("both", "10.7 GB, 10.0 GiB"),
        new_markdown_cell("## Check"),
        code("table", html="<table class='check-table'></table>"),
        code("assert n == 12  # the guess was 11"),
        new_markdown_cell("## Explore"),
        code("lm.Explorer(spec)", html="<every-byte-explorer></every-byte-explorer>"),
        new_markdown_cell("## Where it breaks\n\nSeven times."),
    ]
    text = "## Exercises\n\n"
    for n, title in enumerate(TITLES):
        cells += [
            new_markdown_cell(text + EXERCISE.format(title=title, n=n)),
            code("fits = n\nassert fits == 12"),
        ]
        text = "````{solution-end}\n````\n\n"
    cells.append(new_markdown_cell(text + "## Summary\n\n- one\n- two"))
    number = 0
    for cell in cells:
        if cell.cell_type == "code":
            number += 1
            cell.execution_count = number
    return new_notebook(cells=cells)


def test_the_sound_chapter_is_sound():
    assert chapter_rules.problems(sound_chapter(), "demo") == []


def cell_with(notebook, text: str):
    return next(cell for cell in notebook.cells if text in cell.source)


def put(old: str, new: str):
    """Break a chapter: replace text in the first cell that has it."""

    def change(notebook):
        cell = cell_with(notebook, old)
        cell.source = cell.source.replace(old, new)

    return change


def tag(name: str):
    return lambda notebook: cell_with(notebook, "both").metadata.update(tags=[name])


def strip_outputs(notebook):
    cell_with(notebook, "both").outputs = []


def swap_counts(notebook):
    first, second = [c for c in notebook.cells if c.cell_type == "code"][:2]
    first.execution_count, second.execution_count = 2, 1


def add_stderr(notebook):
    output = new_output("stream", name="stderr", text="a warning")
    cell_with(notebook, "both").outputs.append(output)


def fail(notebook):
    output = new_output("error", ename="E", evalue="e", traceback=[])
    cell_with(notebook, "both").outputs.append(output)


def drop_alt(notebook):
    cell_with(notebook, "plot()").metadata["mystnb"].pop("image")


def drop_caption(notebook):
    cell_with(notebook, "plot()").metadata["mystnb"].pop("figure")


def wrong_number_in_alt(notebook):
    image = cell_with(notebook, "plot()").metadata["mystnb"]["image"]
    image["alt"] = image["alt"].replace("34", "35")


def drop_table(notebook):
    cell_with(notebook, "table").outputs[0]["data"] = {"text/html": "<p>equal</p>"}


def drop_exercise(notebook):
    index = notebook.cells.index(cell_with(notebook, "demo-3"))
    notebook.cells[index].source = "````{solution-end}\n````"
    del notebook.cells[index + 1]
    notebook.cells[-1].source = "## Summary\n\n- one"


def cut_to_29(notebook):
    for _ in range(len(notebook.cells) - 29):
        notebook.cells.remove(cell_with(notebook, "n = 12\nn"))


def lengthen_to_61(notebook):
    index = notebook.cells.index(cell_with(notebook, "## Derivation"))
    extra = [new_markdown_cell("More.") for _ in range(61 - len(notebook.cells))]
    notebook.cells[index + 1 : index + 1] = extra


def swap_sections(notebook):
    put("## Units", "## Temporary")(notebook)
    put("## Check", "## Units")(notebook)
    put("## Temporary", "## Check")(notebook)


def import_twice(notebook):
    cell_with(notebook, "n = 12").source = "import sympy\nsympy"


def allow_errors(notebook):
    notebook.metadata["mystnb"] = {"execution_allow_errors": True}


BROKEN = {
    "label": (put("(demo)=", "(other)="), "must start with (demo)="),
    "answer": (put("**count × shape × bytes**", "a product"), "in **bold**"),
    "two titles": (put("Seven times.", "text\n# Again"), "one # title"),
    "missing section": (put("## Explore", "### Explore"), "missing ['Explore']"),
    "unknown section": (put("Seven times.", "\n## More"), "unknown ['More']"),
    "order": (swap_sections, "wrong order"),
    "too short": (cut_to_29, "this one has 29"),
    "too long": (lengthen_to_61, "this one has 61"),
    "aims": (put("- **judge** c", ""), "three items"),
    "minutes": (put("20 minutes", "a while"), "how many minutes"),
    "needs": (put("You need", "Helpful:"), "You need"),
    "no question": (put("How many?", "Think."), "ask a question"),
    "answer not folded": (put("{dropdown}", "{note}"), "{dropdown}"),
    "guess forgotten": (put("the guess was 11", "equal"), "comes back to the guess"),
    "two import cells": (import_twice, "one cell imports"),
    "imports elsewhere": (put("## Set up", "## Set  up"), "imports, in Set up"),
    "foreign import": (put("import sympy", "import numpy"), "may not use: ['numpy']"),
    "torch": (put("import sympy", "from torch import nn"), "['torch']"),
    "result not glued": (put("{glue:math}", "{math}"), "Result: glue"),
    "result not labelled": (put(":label: eq-n", ""), "Result: glue"),
    "one unit": (lambda n: cell_with(n, "both").outputs[0].update(text="10.7 GB"),
                 "GB and GiB side by side"),
    "no check table": (drop_table, "show a check table"),
    "no assert": (put("assert n == 12  #", "n == 12  #"), "Check: end with an assert"),
    "no explorer": (put("lm.Explorer(spec)", "spec"), "show an lm.Explorer"),
    "three exercises": (drop_exercise, "4 to 6, here 3"),
    "none to fit": (put("Make it fit in 24 GiB", "Fit"), 'none is "make it fit'),
    "none with an error": (put("Find the error", "Recompute"), 'none is "find the'),
    "no solution": (put("{solution-start} demo-2", "{note} demo-2"), "demo-2 has no"),
    "open solution": (put("demo-1\n:class: dropdown", "demo-1\n"), "is not folded"),
    "no assert in solution": (put("assert fits == 12", "fits"), "not end in an assert"),
    "long summary": (put("- two", "- 2\n- 3\n- 4\n- 5\n- 6"), "five lines, here 6"),
    "stripped": (strip_outputs, "no output"),
    "run out of order": (swap_counts, "execution counts"),
    "stderr": (add_stderr, "text on stderr"),
    "error": (fail, "an error"),
    "raises-exception": (tag("raises-exception"), "switches a check off"),
    "skip": (tag("nbval-skip"), "switches a check off"),
    "ignored output": (put("both", "# NBVAL_IGNORE_OUTPUT\nboth"), "switches a"),
    "errors allowed": (allow_errors, "allows errors"),
    "interact": (put("both", "widgets.interact(f, x=3)"), "interact does not work"),
    "no alt text": (drop_alt, "alt text must say"),
    "no caption": (drop_caption, "a caption and a name"),
    "invented number": (wrong_number_in_alt, "alt text says 35"),
    "typed result": (put("Seven times.", "It takes 229 MB."), "glue it instead"),
    "typed bytes": (put("Seven times.", "It takes 70,272 bytes."), "70,272 bytes"),
    "typed GiB": (put("Seven times.", "So 3.5GiB are left."), "3.5GiB"),
    "typed in the fold": (put("{glue:text}`n`", "112 KiB"), "112 KiB"),
    "unknown claim": (put("[S4.3-229MB]", "[S9.9-nothing]"), "no claim S9.9-nothing"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule_is_seen_failing(name):
    change, message = BROKEN[name]
    notebook = sound_chapter()
    change(notebook)
    found = chapter_rules.problems(notebook, "demo")
    assert any(message in problem for problem in found), found


def test_what_may_be_typed():
    free = (
        "A model of 7 B parameters on an RTX 4090 24 GB. A GB is $10^9$ bytes, 1 GiB is"
        " $2^{30}$ bytes. It reports 23.6 GiB {cite}`Kwon2023`. A 24 GB card."
    )
    notebook = sound_chapter()
    put("Seven times.", free)(notebook)
    assert chapter_rules.problems(notebook, "demo") == []


def test_outputs_that_change_are_removed_or_refused():
    notebook = sound_chapter()
    cell = cell_with(notebook, "lm.Explorer")
    cell.outputs[0]["data"][execute.WIDGET_VIEW] = {"model_id": "f00"}
    cell.outputs += [new_output("stream", text="a"), new_output("stream", text="b")]
    notebook.metadata.update(language_info={"version": "3.11.7"}, widgets={})
    execute.settle(notebook)
    assert list(cell.outputs[0]["data"]) == ["text/html"]
    assert [output.get("text") for output in cell.outputs] == [None, "ab"]
    assert not notebook.metadata
    cell.outputs.append(new_output("stream", text="<object at 0x7f0012345678>"))
    with pytest.raises(execute.Unstable, match="memory address"):
        execute.settle(copy.deepcopy(notebook))
    cell.outputs[-1] = new_output("stream", name="stderr", text="careful")
    with pytest.raises(execute.Unstable, match="stderr"):
        execute.settle(notebook)


def test_a_clean_run_gives_the_same_bytes_twice(tmp_path: Path):
    source = "import sympy\nprint('one')\nsympy.Symbol('b') * 2"
    notebook = new_notebook(cells=[new_code_cell(source)])
    path = tmp_path / "demo.ipynb"
    nbformat.write(notebook, path)
    first = execute.execute(path)
    path.write_text(first, encoding="utf-8")
    assert execute.execute(path) == first
    assert '"2*b"' in first and "language_info" not in first
