"""axe-core finds nothing, on any page, in either theme, wide or narrow."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import SITE
from test_site import PAGES

EXPLORER = "every-byte-explorer"
WITH_EXPLORER = [p for p in PAGES if f"<{EXPLORER}" in (SITE / p).read_text("utf-8")]


def violations(page, inside=None) -> list[str]:
    # preload would read style sheets by XMLHttpRequest, which file:// forbids
    found = Axe().run(page, inside, {"preload": False}).response["violations"]
    return [f"{v['id']}: {node['html'][:200]}" for v in found for node in v["nodes"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing(open_page, path, theme):
    page = open_page(path, theme=theme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(350)  # then the theme makes scrolling boxes focusable
        assert violations(page) == [], width


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", WITH_EXPLORER)
def test_axe_finds_nothing_in_a_moved_explorer(open_page, path, theme):
    page = open_page(path, theme=theme, width=390)
    for key, option in ("End", "last"), ("Home", "first"):
        for slider in page.locator(f"{EXPLORER} input[type=range]").all():
            slider.press(key)
        for select in page.locator(f"{EXPLORER} select").all():
            index = 0 if option == "first" else select.locator("option").count() - 1
            select.select_option(index=index)
        assert violations(page, EXPLORER) == [], key
    for number in page.locator(f"{EXPLORER} input[type=number]").all()[:1]:
        number.fill("-1")
        assert page.locator(".ebx-hint:visible").count() == 1
        assert violations(page, EXPLORER) == []


def test_axe_would_find_something(open_page):
    page = open_page("book/index.html")
    page.evaluate("document.querySelector('article').append(new Image())")
    assert any(text.startswith("image-alt") for text in violations(page))
