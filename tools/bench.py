"""Measure what readers and authors wait for, against the limits that we set.

Everything runs in a copy of the sources, so that nothing here is cached or changed.
Prints one line per quantity, with measured / limit; exits with 1 if one is above 1.
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
         "-n", "2", "--dist", "loadfile", "book")  # fmt: skip
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
            print("{:58} {:>9.4g} {:2} of {:>6.4g} {:2} {:6.2f}".format(*show(row)))
    over = [row for row in rows if row[1] > row[3]]
    print(f"{len(rows) - len(over)} of {len(rows)} within their limits")
    return int(bool(over))


def show(row):
    """Return a row with its unit repeated and the ratio."""
    what, value, unit, limit = row
    return what, value, unit, limit, unit, value / limit


def measure(copy: Path):
    """Yield (what, measured, unit, limit)."""
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
    notebooks = sorted(str(p.relative_to(copy)) for p in copy.glob("book/*.ipynb"))
    shutil.copytree(ROOT / "book", copy / "book", dirs_exist_ok=True)
    yield "make execute", timed(copy, *EXECUTE, *notebooks), "s", 25
    yield "nbval", timed(copy, *NBVAL), "s", 25


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
