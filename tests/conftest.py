"""What the tests share: the built site, a real browser, and no skipped test."""

import functools
import http.server
import threading
from pathlib import Path

import chromium
import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build" / "html"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def pytest_sessionfinish(session):
    """A skipped test proves nothing: count it as a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site."""
    assert (SITE / "index.html").exists(), "there is no site yet: run `make book`"
    return SITE


@pytest.fixture(scope="session")
def server(site):
    """The address of a local server of the site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(scope="session")
def browser():
    """A real Chromium or Chrome."""
    path = chromium.chosen() or chromium.installed() or chromium.playwrights()
    assert path, "no browser: `make test` finds or installs one"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def open_page(browser, site):
    """A function that opens a page of the site: `open_page("book/index.html")`.

    `theme` is "light" or "dark", `width` in CSS pixels, `base` the site's address. The
    page's `problems` lists console errors, page errors and failed requests; `requests`
    the addresses it asked for. Equations are typeset when the call returns.
    """
    contexts = []

    def open_page(path, theme="light", width=1280, base=f"file://{site}", **options):
        viewport = {"width": width, "height": 900}
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        context.add_init_script(
            f"if (!localStorage.getItem('mode')) {{"
            f"localStorage.setItem('mode', '{theme}');"
            f"localStorage.setItem('theme', '{theme}')}}"
        )
        page = context.new_page()
        page.problems, page.requests = [], []
        page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("requestfailed", lambda r: page.problems.append(f"failed: {r.url}"))
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("response", lambda r: r.ok or page.problems.append(f"failed: {r.url}"))
        page.goto(f"{base}/{path}")
        page.evaluate("window.MathJax?.startup?.promise")
        return page

    yield open_page
    for context in contexts:
        context.close()
