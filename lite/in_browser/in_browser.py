"""What a chapter needs where it runs in the reader's browser."""

import asyncio
import sys
from importlib.util import find_spec
from types import ModuleType

import llm_memory

PATIENCE = 5  # seconds until the other host counts as out of reach
WORDS = (
    "No figure here: figures need matplotlib, which comes from cdn.jsdelivr.net, and "
    "that could not be reached. The page of this chapter shows the figure."
)


class Words:
    """Stands where a figure would stand."""

    def __repr__(self) -> str:
        return WORDS


async def prepare_figures() -> None:
    """Fetch matplotlib; where that fails, figures become a sentence."""
    import pyodide_js

    if await _reaches(f"https://cdn.jsdelivr.net/pyodide/v{pyodide_js.version}/full/"):
        await pyodide_js.loadPackage("matplotlib")
    if find_spec("matplotlib") is None:
        figures = ModuleType("llm_memory.figures", WORDS)
        figures.draw = lambda *arguments, **options: Words()
        sys.modules[figures.__name__] = llm_memory.figures = figures


async def _reaches(folder: str) -> bool:
    from pyodide.http import pyfetch

    try:
        request = pyfetch(folder + "pyodide-lock.json", method="HEAD")
        return (await asyncio.wait_for(request, PATIENCE)).ok
    except (OSError, TimeoutError):
        return False
