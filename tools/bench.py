"""Measure what readers and authors wait for, against the limits that we set.

Everything runs in a copy of the sources, so that nothing here is cached or changed.
Prints one line per quantity, with measured / limit; exits with 1 if one is above 1. The
limits of notebooks are those of three chapters; all of them have none.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import chromium
import nbformat
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
PARTS = ("_config.yml", "_toc.yml", "requirements.in", "requirements.txt",
         "pyproject.toml", "book", "sphinx_extension", "tools")  # fmt: skip
BUILD = (sys.executable, "tools/build.py")
EXECUTE = (sys.executable, "tools/execute.py")
NBVAL = (sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q",
         "-n", "2", "--dist", "loadfile")  # fmt: skip
CHAPTERS = ("01_units", "02_weights", "07_kv_cache")
EXPLORER = ("exact.js", "explorer.js", "explorer.css")
UPDATE = "e => EveryByte.benchmark(e, 1000)"


def main() -> int:
    """Measure everything and print it."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in PARTS:
            copy_part(ROOT / name, copy / name)
        for row in measure(copy):
            rows.append(row)
            print(line(*row), flush=True)
    limited = [row for row in rows if row[3]]
    over = [row for row in limited if row[1] > row[3]]
    print(f"{len(limited) - len(over)} of {len(limited)} within their limits")
    return int(bool(over))


def line(what: str, value: float, unit: str, limit: float | None) -> str:
    """Return a row as text, with the ratio to its limit."""
    measured = f"{what:58} {value:>9.4g} {unit:2}"
    if limit is None:
        return measured
    return f"{measured} of {limit:>6.4g} {unit:2} {value / limit:6.2f}"


def measure(copy: Path):
    """Yield (what, measured, unit, limit or None)."""
    yield "import llm_memory", import_time(copy), "s", 0.6
    yield "site, clean build", timed(copy, *BUILD), "s", 15
    edit(copy / "book" / "07_kv_cache.ipynb")
    yield "site, one page edited", timed(copy, *BUILD), "s", 4
    site = copy / "_build" / "html"
    for page in sorted(site.glob("book/[0-9][0-9]_*.html")):
        own, rest = weights(page)
        yield f"{page.name}: own HTML, images, explorer", own / 1000, "kB", 200
        yield f"{page.name}: all but MathJax", (own + rest) / 1000, "kB", 1000
    for name, times in explorer_updates(site):
        times = sorted(times)
        yield f"{name}: explorer update, p95", times[len(times) * 95 // 100], "ms", 2
    shutil.copytree(ROOT / "book", copy / "book", dirs_exist_ok=True)
    every = sorted(str(p.relative_to(copy)) for p in copy.glob("book/*.ipynb"))
    three = [name for name in every if Path(name).stem in CHAPTERS]
    for what, notebooks, limit in (("3 chapters", three, 25), ("all", every, None)):
        yield f"make execute, {what}", timed(copy, *EXECUTE, *notebooks), "s", limit
        yield f"nbval, {what}", timed(copy, *NBVAL, *notebooks), "s", limit


def copy_part(source: Path, target: Path) -> None:
    """Copy a file or a folder, without caches."""
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(source, target, ignore=ignored)
    else:
        shutil.copy(source, target)


def timed(folder: Path, *command: str) -> float:
    """Return the seconds that a command takes; it must succeed."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start


def import_time(folder: Path) -> float:
    """Return the median time of the import alone, in a new interpreter."""
    code = (
        "import time; start = time.perf_counter(); import llm_memory; "
        "print(time.perf_counter() - start)"
    )
    command = (sys.executable, "-c", code)
    subprocess.run(command, cwd=folder / "book", check=True, capture_output=True)
    runs = [
        float(subprocess.check_output(command, cwd=folder / "book")) for _ in range(7)
    ]
    return sorted(runs)[3]


def edit(path: Path) -> None:
    """Add a sentence to a chapter."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += "\n\nOne sentence more."
    nbformat.write(notebook, path)


def weights(page: Path) -> tuple[int, int]:
    """Return the bytes of a chapter itself and of what it shares with other pages."""
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    tags = soup.select("script[src], link[rel=stylesheet], link[rel=icon], img[src]")
    links = {urlsplit(tag.get("src") or tag.get("href")).path for tag in tags}
    files = {(page.parent / unquote(link)).resolve() for link in links}
    sizes = {file: file.stat().st_size for file in files if "mathjax" not in str(file)}
    own = {f for f in sizes if "_images" in str(f) or f.name in EXPLORER}
    size = page.stat().st_size + sum(sizes[file] for file in own)
    return size, sum(sizes[file] for file in sizes.keys() - own)


def explorer_updates(site: Path):
    """Yield (page, milliseconds of each update) for every explorer of the site."""
    path = chromium.chosen() or chromium.installed() or chromium.playwrights()
    flags = ["--headless", "--no-sandbox", "--disable-gpu"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        page = browser.new_page()
        for file in sorted(site.glob("book/[0-9][0-9]_*.html")):
            page.goto(f"file://{file}")
            for explorer in page.query_selector_all("every-byte-explorer"):
                page.evaluate("e => EveryByte.benchmark(e, 100)", explorer)
                yield file.name, page.evaluate(UPDATE, explorer)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
