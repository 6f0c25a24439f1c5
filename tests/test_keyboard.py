"""The whole book without a mouse: everything is reached, seen, and can be worked."""

import pytest
from test_site import CHAPTERS, PAGES

PAGES_TO_WALK = [path for path in PAGES if path in CHAPTERS or "/" not in path]
FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex='0']"
# All that a keyboard must reach: what is shown and not taken out of the order.
WANTED = f"""() => [...document.querySelectorAll("{FOCUSABLE}")].filter(node =>
  node.checkVisibility({{visibilityProperty: true}}) && !node.disabled
  && node.tabIndex >= 0).map(node => node.dataset.stop)"""
NUMBER = f"""() => [...document.querySelectorAll("{FOCUSABLE}")].forEach(
  (node, index) => {{ node.dataset.stop = index; }})"""
STOP = """() => {
  const node = document.activeElement;
  if (node === document.body) return null;
  const box = node.getBoundingClientRect(), style = getComputedStyle(node);
  const ring = parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== "none";
  const isInView = box.bottom > 0 && box.top < innerHeight
    && box.right > 0 && box.left < innerWidth && box.width > 1 && box.height > 1;
  return {
    stop: node.dataset.stop, isSeen: isInView && (ring || style.boxShadow !== "none"),
    html: node.outerHTML.slice(0, 150), text: node.textContent.trim(),
  };
}"""


def walk(page):
    """Press Tab from the top of the page to its end; return every stop."""
    page.evaluate(NUMBER)
    stops = []
    for _ in range(2 * page.locator(FOCUSABLE).count()):
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop is None or (stops and stop["stop"] == stops[0]["stop"]):
            return stops
        stops.append(stop)
    raise AssertionError(f"Tab does not come to an end: {stops[-3:]}")


@pytest.mark.parametrize("path", PAGES_TO_WALK)
def test_tab_reaches_everything_and_is_seen(open_page, path):
    theme = ("light", "dark")[PAGES_TO_WALK.index(path) % 2]
    page = open_page(path, theme=theme, reduced_motion="reduce")
    page.wait_for_load_state("networkidle")
    wanted = page.evaluate(f"({NUMBER})(), ({WANTED})()")
    stops = walk(page)
    assert [stop["html"] for stop in stops if not stop["isSeen"]] == []
    assert stops[0]["text"] == "Skip to main content"
    order = [int(stop["stop"]) for stop in stops]
    assert order == sorted(order)
    assert set(wanted) - {stop["stop"] for stop in stops} == set()


def test_the_first_stop_leads_past_the_menus(open_page):
    page = open_page(CHAPTERS[0], reduced_motion="reduce")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    inside = "document.activeElement.closest('main') !== null"
    assert page.evaluate(inside)


def test_a_chapter_is_worked_by_keyboard_alone(open_page):
    page = open_page("book/07_kv_cache.html", reduced_motion="reduce")
    press_until(page, lambda stop: stop["text"] == "Weights", "Enter")
    page.wait_for_url("**/02_weights.html")
    page.go_back()
    page.wait_for_load_state("networkidle")
    mode = "document.documentElement.dataset.mode"
    before = page.evaluate(mode)
    press_until(page, lambda stop: "theme-switch" in stop["html"], "Enter")
    assert page.evaluate(mode) != before
    total = page.locator(".ebx-total").first
    shown = total.text_content()
    press_until(page, lambda stop: 'type="range"' in stop["html"], "ArrowRight")
    assert total.text_content() != shown
    press_until(page, lambda stop: "ebx-reset" in stop["html"], "Enter", back=True)
    assert total.text_content() == shown
    press_until(page, lambda stop: stop["text"].startswith("Solution"), "Enter")
    solution = page.locator("details.solution[open]")
    assert solution.count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('details.solution') !== null")


def press_until(page, is_wanted, key, back=False):
    """Tab on to the stop that is wanted, which must be seen, and press a key there."""
    for _ in range(200):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        stop = page.evaluate(STOP)
        if stop and is_wanted(stop):
            assert stop["isSeen"], stop
            return page.keyboard.press(key)
    raise AssertionError("Tab does not come to it")
