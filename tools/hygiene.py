"""Say what is wrong with how notebooks are stored, without running them.

A notebook is stored as tools/execute.py writes it: with the outputs of one clean run,
in order, ids from its name, and nothing that differs from run to run. Prints one line
per problem; `make execute` mends them.
"""

import sys
from pathlib import Path

import execute
import nbformat


def main() -> int:
    """Check the notebooks given, or all of the book."""
    paths = [Path(name) for name in sys.argv[1:]] or sorted(
        Path("book").glob("*.ipynb")
    )
    found = [f"{path}: {problem}" for path in paths for problem in problems(path)]
    print("\n".join(found), end="\n" if found else "")
    return int(bool(found))


def problems(path: Path) -> list[str]:
    """Return what is wrong with the file, in words."""
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    ids = [cell.get("id") for cell in notebook.cells]
    found = {
        "cells are not numbered by their place": ids
        != [f"{path.stem}-{i:02d}" for i in range(1, len(ids) + 1)],
        "metadata other than the kernel's": set(notebook.metadata) != {"kernelspec"},
        "cells that were not run once, in order": [c.execution_count for c in code]
        != list(range(1, len(code) + 1)),
        "an error as output": any(o.output_type == "error" for o in outputs),
        "not written by `make execute`": not is_settled(notebook, text),
    }
    return [words for words, is_wrong in found.items() if is_wrong]


def is_settled(notebook, text: str) -> bool:
    """Say whether `execute` would store the same outputs as the same bytes."""
    try:
        execute.settle(notebook)
    except execute.Unstable:
        return False
    return nbformat.writes(notebook, version=4) + "\n" == text


if __name__ == "__main__":
    sys.exit(main())
