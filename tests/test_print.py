"""Paper: the text, tables for explorers, and what is open; nothing is cut off."""

import re

import pytest
from test_site import CHAPTERS, PAGES, parse

A4 = 680  # CSS pixels between margins of 15 mm
TOO_WIDE = """() => [...document.querySelectorAll("main *")]
  .filter(node => node.checkVisibility())
  .filter(node => !node.closest("mjx-assistive-mml"))  // clipped to a pixel
  .filter(node => node.getBoundingClientRect().right > innerWidth + 1)
  .map(node => node.outerHTML.slice(0, 120))"""
# On paper for a moment: what the page looks like when the browser prints it.
WATCH = """() => window.addEventListener("beforeprint", () => {
  const folds = [...document.querySelectorAll("details:is(.folded, .sd-dropdown)")];
  window.printed = {
    theme: document.documentElement.dataset.theme,
    open: folds.filter(fold => fold.open).length,
  };
})"""


@pytest.mark.parametrize("path", PAGES)
def test_paper_has_the_text_and_cuts_nothing_off(open_page, path):
    page = open_page(path, theme="dark", width=A4)
    page.emulate_media(media="print")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate(TOO_WIDE) == []
    assert page.locator("h1:visible").count() == 1
    menus = "nav, .sidebar-toggle, .ebx-live, .headerlink, details.hide, .copybtn"
    assert page.locator(menus).locator("visible=true").count() == 0
    explorers = page.locator("every-byte-explorer")
    assert page.locator(".ebx-plain table:visible").count() == explorers.count()


@pytest.mark.parametrize("path", CHAPTERS)
def test_solutions_are_printed_by_choice(open_page, path):
    page = open_page(path, theme="dark")
    page.evaluate(WATCH)
    solutions = page.locator("details.solution")
    assert solutions.count()
    page.emulate_media(media="print")
    assert solutions.locator("visible=true").count() == 0
    page.evaluate("document.querySelector('details.solution').open = true")
    assert solutions.locator("visible=true").count() == 1
    page.emulate_media(media="screen")
    closed = count_pages(page.pdf(format="A4"))
    assert page.evaluate("printed") == {"theme": "light", "open": 1}
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    press(page, "Print, solutions too")
    folds = page.locator("article details:is(.folded, .sd-dropdown)").count()
    assert page.evaluate("asked") == folds
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert count_pages(page.pdf(format="A4")) > closed


def press(page, words):
    """Press an entry of the download menu, and note what is open when it prints."""
    page.evaluate(
        """() => { window.print = () => {
          const open = document.querySelectorAll(
            "article details[open]:is(.folded, .sd-dropdown)");
          window.asked = open.length;
          window.dispatchEvent(new Event("beforeprint"));
          window.dispatchEvent(new Event("afterprint"));
        } }"""
    )
    page.get_by_role("button", name="Download this page").click()
    page.get_by_role("button", name=words, exact=True).click()


def count_pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_pages_without_folds_are_printed_one_way(site):
    labels = [
        button.get_text(strip=True)
        for button in parse(site, "book/glossary.html").select("[data-action]")
    ]
    assert labels == ["Print"]


def test_the_cheat_sheet_is_one_sheet(open_page):
    page = open_page("book/cheat_sheet.html", theme="dark")
    assert page.locator("article mjx-container").count() >= 20
    assert count_pages(page.pdf(format="A4")) == 1
    margin = dict.fromkeys(("top", "right", "bottom", "left"), "15mm")
    assert count_pages(page.pdf(format="A4", margin=margin)) == 1
