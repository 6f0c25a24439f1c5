"""Run notebooks from a clean kernel, in parallel, and write their outputs.

The same notebook and the same packages give the same bytes: outputs that differ from
run to run are removed, or refused where they would mean something. The data of the page
"Size your own model" is an output too: all that the library says, made by its code.

    python tools/execute.py book/*.ipynb            # run and write
    python tools/execute.py --check book/*.ipynb    # run and compare; 1 if different
    python tools/execute.py book/assets/your_model_data.js
"""

import argparse
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

BOOK = Path(__file__).parents[1] / "book"
PAGE_DATA = BOOK / "assets" / "your_model_data.js"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}\b|\bIPY_MODEL_")


class Unstable(ValueError):
    """An output that cannot be the same twice, or should not be there."""


def main() -> int:
    """Run all notebooks; report each that fails or, with --check, differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("outputs", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args()
    failed = 0
    with ProcessPoolExecutor(min(len(options.outputs), os.cpu_count() or 1)) as pool:
        results = {path: pool.submit(remake, path) for path in options.outputs}
        for path, result in results.items():
            problem = finish(path, result, options.check)
            print(f"{path}: {problem or 'done'}", flush=True)
            failed += bool(problem)
    return int(failed > 0)


def finish(path: Path, result, check: bool) -> str:
    """Write or compare one result; return what is wrong, or nothing."""
    try:
        text = result.result()
    except Exception as error:  # a cell's error, with its traceback
        return f"{type(error).__name__}\n{error}"
    if check:
        same = text == path.read_text(encoding="utf-8")
        return "" if same else "differs from a clean run; `make execute` renews it"
    path.write_text(text, encoding="utf-8")
    return ""


def remake(path: Path) -> str:
    """Return the text of a file that code writes."""
    return page_data() if path.resolve() == PAGE_DATA else execute(path)


def page_data() -> str:
    """Return the script of the page "Size your own model" that holds the library."""
    sys.path.insert(0, str(BOOK))
    from llm_memory.config_page import script

    return script()


def execute(path: Path) -> str:
    """Return the text of the notebook after a clean run."""
    notebook = nbformat.read(path, as_version=4)
    clean(notebook, path.stem)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name=KERNEL["name"],
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    settle(notebook)
    return nbformat.writes(notebook, version=4) + "\n"


def clean(notebook, slug: str) -> None:
    """Drop earlier outputs; number the cells."""
    notebook.nbformat_minor = 5
    notebook.metadata["kernelspec"] = KERNEL
    for index, cell in enumerate(notebook.cells, 1):
        cell["id"] = f"{slug}-{index:02d}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def settle(notebook) -> None:
    """Make the outputs reproducible, or raise `Unstable`."""
    notebook.metadata.pop("language_info", None)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
            for output in cell.outputs:
                settle_output(cell, output)


def settle_output(cell, output) -> None:
    """Drop the widget view of an output, which a page has no use for."""
    if output.output_type == "stream" and output.name == "stderr":
        raise Unstable(f"{cell.id} writes to stderr: {output.text}")
    data = output.get("data", {})
    data.pop(WIDGET_VIEW, None)
    shown = [output.get("text", ""), *(str(value) for value in data.values())]
    if any(ADDRESS.search(text) for text in shown):
        raise Unstable(f"{cell.id} shows a memory address or a random id")


def merge_streams(outputs: list) -> list:
    """Join neighbouring pieces of one stream: where it is cut depends on timing."""
    merged: list = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last["text"] += output.text
        else:
            merged.append(output)
    return merged


if __name__ == "__main__":
    sys.exit(main())
