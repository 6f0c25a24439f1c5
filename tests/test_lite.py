"""Chapters live in the browser: every cell runs there, with no network at all.

A real Chromium opens JupyterLite from a local server, every other host is out of reach,
and each chapter must show what its committed outputs say.
"""

import io
import json
import re
import zipfile
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import every_byte_launch
import lite_prose
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT
from nbformat import read
from test_site import PAGES

CHAPTERS = sorted(path.stem for path in ROOT.glob("book/[0-9][0-9]_*.ipynb"))
CDN = "https://cdn.jsdelivr.net/"
LOCK = "**/static/pyodide/pyodide-lock.json"
NO_FIGURE = "No figure here: "
START = 600_000  # milliseconds, for a machine that ten others use too
DONE = """() => {
  const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")];
  const failed = document.querySelector("[data-mime-type$='.stderr']");
  return failed || /\\d/.test(prompts.at(-1)?.textContent);
}"""
TEXTS = """() => [...document.querySelectorAll(".jp-OutputArea-output")]
  .filter(node => /stdout|stderr|error|text.plain/.test(node.dataset.mimeType))
  .map(node => node.textContent.trim())"""


@pytest.fixture(scope="session")
def lite(site) -> Path:
    """The folder of the live book."""
    assert (site / "lite" / ".built").exists(), "not built yet: run `make lite`"
    return site / "lite"


@pytest.fixture
def run_chapter(browser, server, lite):
    """A function that opens a chapter, offline, and runs all of its cells."""
    contexts = []

    def run_chapter(stem: str, answers=None):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.foreign, page.problems = [], []
        page.on("pageerror", lambda error: page.problems.append(str(error)))

        def only_here(route):
            if route.request.url.startswith((server, "data:", "blob:")):
                return route.continue_()
            page.foreign.append(route.request.url)
            return route.abort()

        context.route("**/*", only_here)
        for address, answer in (answers or {}).items():
            context.route(address, answer)
        page.goto(f"{server}/lite/lab/index.html?path={stem}.ipynb")
        page.wait_for_selector(".jp-CodeCell")
        # JupyterLite forgets what it is asked before its kernel is connected.
        page.wait_for_selector("text=Python (Pyodide) | Idle", timeout=START)
        page.click(".lm-MenuBar-item:has-text('Run')")
        page.click("[data-command='runmenu:run-all']")
        page.wait_for_function(DONE, timeout=START)
        return page

    yield run_chapter
    for context in contexts:
        context.close()


def committed(stem: str) -> list[str]:
    """Return the text of the outputs that are shown as plain text."""
    texts = []
    for cell in read(ROOT / "book" / f"{stem}.ipynb", as_version=4).cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.keys() == {"text/plain"}:
                texts.append(data["text/plain"].strip())
            elif output.output_type == "stream":
                texts.append(output.text.strip())
    return texts


def figures(stem: str) -> int:
    """Return how many figures the chapter has."""
    return (ROOT / "book" / f"{stem}.ipynb").read_text().count('"image/svg+xml"')


@pytest.mark.parametrize("stem", CHAPTERS)
def test_a_chapter_runs_offline_as_committed(run_chapter, stem):
    page = run_chapter(stem)
    shown = page.evaluate(TEXTS)
    assert [text for text in shown if not text.startswith(NO_FIGURE)] == committed(stem)
    assert page.problems == []
    assert all(url.startswith(CDN) for url in page.foreign)  # asks for matplotlib
    assert len(shown) - len(committed(stem)) == figures(stem)


@pytest.mark.parametrize("stem", CHAPTERS)
def test_prose_has_no_source_of_directives_and_roles(lite, stem):
    notebook = read(lite / "files" / f"{stem}.ipynb", as_version=4)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    left = re.compile(r"\{[\w:-]+\}`|^(?:`{3,}|:{3,})\{|^\([\w-]+\)=|^:\w+: ", re.M)
    assert [text for text in prose if left.search(text)] == []


def test_prose_becomes_plain():
    values = {"n": {"text/plain": "'12 kB'"}, "e": {"text/latex": "$\\displaystyle x$"}}
    source = (
        "(slug)=\n# Title\n\n```{glue:math} e\n:label: eq-e\n```\n\nBy {eq}`eq-e`: "
        "{glue:text}`n` in {ref}`that one <units>` {cite}`A1`, [](figure).\n\n"
        "```{exercise} Fit\n:label: ex\nHow many?\n```\n\n"
        "````{solution-start} ex\n:class: dropdown\n````\n\nTwo.\n\n"
        "````{solution-end}\n````\n\n```{dropdown} Answer\n{glue:text}`n`\n```"
    )
    assert lite_prose.plain(source, values).split("\n\n") == [
        "# Title",
        "$$x \\tag{e}$$",
        "By (e): 12 kB in that one [A1], *figure*.",
        "**Exercise: Fit**",
        "How many?",
        "**Solution**",
        "Two.",
        "",
        "<details><summary>Answer</summary>",
        "12 kB",
        "</details>",
    ]


def add_cell(page, code: str) -> None:
    """Append a cell to the notebook and run it."""
    page.locator(".jp-Notebook .jp-Cell").last.click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")


def test_explorers_and_sliders_work_offline(run_chapter):
    page = run_chapter("07_kv_cache")
    view = page.locator(".jp-OutputArea-output", has=page.locator("input[type=range]"))
    view.locator("input[type=range]").first.click()  # its middle
    moved = view.locator("input[type=number]").first.input_value()
    assert int(moved) > 1
    add_cell(
        page,
        "import ipywidgets\n"
        "explorer = next(v for v in Out.values() if isinstance(v, lm.Explorer))\n"
        "print('moved to', explorer.b)\n"
        "slider = ipywidgets.IntSlider(5, 1, 256, description='batch')\n"
        "ipywidgets.link((slider, 'value'), (explorer, 'b'))\n"
        "slider",
    )
    page.wait_for_selector(f"text=moved to {moved}")
    handle = page.locator(".widget-slider .noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    add_cell(page, "print('linked:', slider.value, explorer.b, explorer.total)")
    page.wait_for_selector("text=/linked: 6 6 [0-9]+/")
    exact = re.search(r"linked: 6 6 (\d+)", page.locator("body").text_content())[1]
    assert f"{int(exact):,} bytes" in view.text_content()
    assert page.problems == []


MATPLOTLIB = """
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import MagicMock
cycler, rc_context = dict, nullcontext
"""
PYPLOT = """
from unittest.mock import MagicMock
close = print
def subplots(**options):
    figure = MagicMock()
    figure.savefig = lambda file, **options: file.write(
        "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    return figure, MagicMock()
"""


def test_figures_come_from_the_public_host_where_it_answers(run_chapter, lite):
    """With a stand-in for matplotlib there: the real one is out of a test's reach."""
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        about = "Metadata-Version: 2.1\nName: matplotlib\nVersion: 0\n"
        archive.writestr("matplotlib-0.dist-info/METADATA", about)
        archive.writestr("matplotlib-0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("matplotlib/__init__.py", MATPLOTLIB)
        archive.writestr("matplotlib/pyplot.py", PYPLOT)
        archive.writestr("matplotlib/figure.py", "Figure = object")
    lock = json.loads((lite / "static/pyodide/pyodide-lock.json").read_text())
    spec = lock["packages"]["matplotlib"]
    assert spec["file_name"].startswith(CDN)
    spec |= {"depends": [], "sha256": sha256(wheel.getvalue()).hexdigest()}
    anyone = {"Access-Control-Allow-Origin": "*"}

    def answer(route):
        body = wheel.getvalue() if route.request.url == spec["file_name"] else b"{}"
        route.fulfill(body=body, headers=anyone)

    def change_lock(route):
        route.fulfill(json=lock)

    page = run_chapter("07_kv_cache", {f"{CDN}**": answer, LOCK: change_lock})
    texts = page.evaluate(TEXTS)
    assert not [text for text in texts if text.startswith(NO_FIGURE)]
    assert page.locator("[data-mime-type='image/svg+xml']").count() == figures(
        "07_kv_cache"
    )
    assert page.foreign == page.problems == []


def test_pyodide_is_served_from_here(lite):
    settings = json.loads((lite / "jupyter-lite.json").read_text(encoding="utf-8"))
    kernel = settings["jupyter-config-data"]["litePluginSettings"][
        "@jupyterlite/pyodide-kernel-extension:kernel"
    ]
    assert kernel["pyodideUrl"] == "./static/pyodide/pyodide.mjs"
    packages = json.loads((lite / "static/pyodide/pyodide-lock.json").read_text())
    wheels = {path.name for path in lite.glob("static/pyodide/*.whl")}
    listed = {each["file_name"] for each in packages["packages"].values()}
    assert wheels == {name for name in listed if not name.startswith(CDN)}


def test_the_browser_has_the_versions_of_the_book(lite):
    locked = dict(
        re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.M)
    )
    packages = json.loads((lite / "static/pyodide/pyodide-lock.json").read_text())
    for name in (
        "sympy",
        "mpmath",
        "pydantic",
        "pydantic-core",
        "anywidget",
        "ipython",
    ):
        spec = packages["packages"][name]
        assert spec["version"] == locked[name] and "://" not in spec["file_name"]


def test_pages_of_lite_have_their_own_policy(lite):
    pages = sorted(lite.rglob("*.html"))
    assert pages
    for path in pages:
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        (meta,) = page.select("head > meta[http-equiv=Content-Security-Policy]")
        rules = dict(rule.split(" ", 1) for rule in meta["content"].split("; "))
        assert rules["default-src"] == "'self'" and "http" not in rules["script-src"]
        assert "'unsafe-inline'" not in rules["script-src"]


def test_chapters_link_to_their_live_copies(site, lite):
    for stem in CHAPTERS:
        page = BeautifulSoup((site / f"book/{stem}.html").read_text(), "html.parser")
        links = [tag["href"] for tag in page.select(".run-live a")]
        assert links == [f"../lite/lab/index.html?path={stem}.ipynb"]
        assert (lite / "files" / f"{stem}.ipynb").exists()


@pytest.mark.parametrize("address", ["", "https://example.org/o/n"])
def test_without_a_repository_on_github_there_is_no_link_to_services(address):
    assert every_byte_launch.elsewhere(app_with(address), "book/01_units") == {}


def test_services_get_the_chapter_of_the_repository():
    app = app_with("https://github.com/owner/name/")
    assert every_byte_launch.elsewhere(app, "book/01_units") == {
        "on Binder": "https://mybinder.org/v2/gh/owner/name/trunk"
        "?urlpath=lab/tree/book/01_units.ipynb",
        "in Colab": "https://colab.research.google.com/github/owner/name/blob/trunk/"
        "book/01_units.ipynb",
    }


def app_with(address: str):
    """A Sphinx application of which only the repository matters."""
    options = {"repository_url": address, "repository_branch": "trunk"}
    return SimpleNamespace(config=SimpleNamespace(html_theme_options=options))


def test_without_the_live_book_its_place_says_what_to_do(tmp_path):
    every_byte_launch.write_notices(tmp_path)
    page = tmp_path / "lite" / "lab" / "index.html"
    assert "make lite" in page.read_text()
    page.write_text("the live book")
    every_byte_launch.write_notices(tmp_path)
    assert page.read_text() == "the live book"


def test_binder_gets_versions_of_the_book():
    lines = (ROOT / "binder" / "requirements.txt").read_text().split("\n")
    constraint, *names = [line for line in lines if line and line[0] != "#"]
    assert constraint == "-c ../requirements.txt"
    locked = re.findall(r"^([\w-]+)==", (ROOT / "requirements.txt").read_text(), re.M)
    assert names and set(names) <= set(locked)


def test_from_a_file_lite_says_that_it_needs_a_server(browser, lite):
    page = browser.new_page()
    page.goto(f"file://{lite}/lab/index.html")
    page.wait_for_selector("text=needs a server")
    page.close()


def test_the_other_pages_load_none_of_it(site):
    for name in PAGES:
        page = BeautifulSoup((site / name).read_text(encoding="utf-8"), "html.parser")
        loaded = page.select("script[src], link[rel=stylesheet], img[src], iframe")
        assert not any("lite/" in str(tag) for tag in loaded), name
