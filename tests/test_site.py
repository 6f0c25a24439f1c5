"""Every page of the built site, in a real browser, from file:// and from a server."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, SITE

# lite/ is JupyterLite's, see test_lite.py; slides/ reveal.js's, see test_slides.py; a
# page that was moved leads on
PAGES = sorted(
    name
    for path in SITE.rglob("*.html")
    if not (name := path.relative_to(SITE).as_posix()).startswith(("lite/", "slides/"))
    and 'class="moved"' not in path.read_text(encoding="utf-8")[:100]
)
CHAPTERS = [page for page in PAGES if re.match(r"book/\d\d_", page)]
RAW_MATH = re.compile(
    r"\$[^$\s][^$]*\$|\\\(|\\\[|\\begin\{|\{(?:glue|cite|ref|eq|term)"
)
KB = 1000


def parse(site: Path, page: str) -> BeautifulSoup:
    return BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser")


def test_the_site_has_its_pages(site):
    expected = {"search.html", "book/index.html", "book/notation.html",
                "book/api.html", "book/status.html", "book/glossary.html",
                "book/references.html"}  # fmt: skip
    assert expected <= set(PAGES)


@pytest.mark.parametrize("origin", ["file", "http"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_alone_and_without_errors(open_page, site, server, path, origin):
    base = server if origin == "http" else f"file://{site}"
    page = open_page(path, base=base)
    page.wait_for_load_state("networkidle")
    assert page.problems == []
    foreign = [url for url in page.requests if not url.startswith((base, "data:"))]
    assert foreign == []


@pytest.mark.parametrize("path", PAGES)
def test_a_strict_policy_holds(site, path):
    page = parse(site, path)
    metas = page.select("head > meta[http-equiv=Content-Security-Policy]")
    assert len(metas) == 1
    rules = dict(rule.split(" ", 1) for rule in metas[0]["content"].split("; "))
    assert rules["default-src"] == "'none'"
    assert not re.search(r"unsafe|http|\*|data:", rules["script-src"])
    scripts = page.find_all("script")
    assert all(page.head.index(metas[0]) < page.head.index(s)
               for s in scripts if s.parent is page.head)  # fmt: skip
    handlers = [key for tag in page.find_all() for key in tag.attrs if key[:2] == "on"]
    assert handlers == []


def test_the_policy_stops_injected_code(open_page):
    page = open_page("book/index.html")
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.injected = true";
          document.body.append(script);
          document.body.insertAdjacentHTML("beforeend", "<b onclick='injected = 1'>");
          document.body.lastElementChild.click();
          const image = new Image();
          image.src = "https://example.org/pixel.png";
        }"""
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.injected") is None
    assert sum("Content Security Policy" in text for text in page.problems) >= 3


@pytest.mark.parametrize("path", PAGES)
def test_mathematics_is_typeset(open_page, site, path):
    sources = [tag for tag in parse(site, path).select("article .math")
               if "\\(" in tag.text or "\\[" in tag.text]  # fmt: skip
    page = open_page(path)
    assert page.locator("article mjx-container").count() >= len(sources)
    assert page.locator("[data-mml-node=merror]").count() == 0
    text = page.evaluate(
        """() => {
          const copy = document.querySelector("main").cloneNode(true);
          copy.querySelectorAll("pre, code, script, mjx-container")
            .forEach(node => node.remove());
          return copy.textContent;
        }"""
    )
    assert RAW_MATH.findall(text) == []


def test_chapters_have_equations(site):
    for path in ("book/index.html", *CHAPTERS):
        assert parse(site, path).select("article .math"), path


OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  const inScroller = node => {
    for (let up = node; up && up !== document.body; up = up.parentElement)
      if (/auto|scroll|hidden/.test(getComputedStyle(up).overflowX)) return true;
    return false;
  };
  const wide = [...document.querySelectorAll("main *")].filter(node =>
    node.getBoundingClientRect().right > width + 1 && !inScroller(node));
  const names = wide.map(node => node.outerHTML.slice(0, 120));
  if (document.documentElement.scrollWidth > width) names.push("the page");
  return names;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_nothing_overflows(open_page, path, theme):
    page = open_page(path, theme=theme)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(OVERFLOW) == [], width


def test_marks_of_folded_solutions_are_small(open_page):
    page = open_page("book/07_kv_cache.html")
    sizes = page.evaluate(
        "[...document.querySelectorAll('details.folded > summary')].map(box => {"
        " const mark = getComputedStyle(box, '::before');"
        " return [parseFloat(mark.width), parseFloat(mark.height)] })"
    )
    assert sizes and all(max(size) <= 16 for size in sizes), sizes


def test_the_first_address_leads_to_the_first_page(open_page, site):
    page = open_page("book/glossary.html")
    page.wait_for_load_state("networkidle")  # else what it still loads is cut off
    page.goto(f"file://{site}/index.html")
    page.wait_for_url("**/book/index.html")
    assert page.problems == []
    assert "Content-Security-Policy" in (site / "index.html").read_text()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_with_an_equation_typesets_it(site, path):
    text = (site / path).read_text(encoding="utf-8")
    has_equation = bool(re.search(r'class="[^"]*\bmath\b[^"]*"', text))
    assert has_equation == ("mathjax/" in text)


@pytest.mark.parametrize("path", PAGES)
def test_internal_links_resolve(site, path):
    def is_broken(link: str) -> bool:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return False
        here = site / path
        target = here.parent / unquote(parts.path) if parts.path else here
        if not target.is_file():
            return True
        if not parts.fragment or target.suffix != ".html":
            return False
        return unquote(parts.fragment) not in ids(target.resolve())

    page = parse(site, path)
    links = {tag.get("href") or tag.get("src") for tag in page.select("[href], [src]")}
    assert [link for link in sorted(links) if is_broken(link)] == []


@cache
def ids(page: Path) -> set[str]:
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    return {tag["id"] for tag in soup.find_all(id=True)}


@pytest.mark.parametrize("path", CHAPTERS)
def test_chapters_are_light(open_page, server, site, path):
    page = open_page(path, base=server)
    page.wait_for_load_state("networkidle")
    urls = [urlsplit(url) for url in page.requests if not url.startswith("data:")]
    files = {unquote(url.path)[1:] for url in urls}
    sizes = {name: (site / name).stat().st_size for name in files}
    own = {name: size for name, size in sizes.items()
           if name == path or re.search("_images/|explorer|exact", name)}  # fmt: skip
    assert sum(own.values()) <= 200 * KB, own
    rest = {name: size for name, size in sizes.items() if "mathjax" not in name}
    assert sum(rest.values()) <= 1000 * KB, rest


def test_search_finds_a_page_from_a_file(open_page):
    page = open_page("book/index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("glossary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    page.locator("#search-results li a", has_text="Glossary").first.click()
    page.wait_for_selector("h1:has-text('Glossary')")
    assert page.problems == []


def test_the_keyboard_reaches_everything(open_page):
    page = open_page("book/index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to main content"
    page.locator(".theme-switch-button").focus()
    before = page.evaluate("document.documentElement.dataset.mode")
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.mode") != before


def test_the_menu_opens_on_a_phone(open_page):
    page = open_page("book/index.html", width=390)
    menu = page.locator("nav.bd-docs-nav")
    assert not menu.is_visible()
    page.locator(".primary-toggle").focus()
    page.keyboard.press("Enter")
    assert menu.is_visible()
    page.keyboard.press("Escape")
    menu.wait_for(state="hidden")


RULES = """text => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  return [...sheet.cssRules].map(rule => rule.cssText);
}"""


def test_the_explorers_style_is_shorter_and_the_same(open_page, site):
    page = open_page(CHAPTERS[0])
    source = (ROOT / "book" / "llm_memory" / "explorer.css").read_text(encoding="utf-8")
    built = (site / "_static" / "explorer.css").read_text(encoding="utf-8")
    assert len(built) < len(source)
    assert page.evaluate(RULES, built) == page.evaluate(RULES, source) != []
