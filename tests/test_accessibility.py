"""axe-core finds nothing, on any page, in either theme, wide or narrow."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_site import PAGES


def violations(page) -> list[str]:
    # preload would read style sheets by XMLHttpRequest, which file:// forbids
    found = Axe().run(page, options={"preload": False}).response["violations"]
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


def test_axe_would_find_something(open_page):
    page = open_page("book/index.html")
    page.evaluate("document.querySelector('article').append(new Image())")
    assert any(text.startswith("image-alt") for text in violations(page))
