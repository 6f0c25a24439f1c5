"""The slides of the talk: the book's own numbers, in a deck that works offline."""

import json
import re

import pytest
import slides_book
import slides_guide
import yaml
from bs4 import BeautifulSoup
from conftest import ROOT, SITE
from test_accessibility import violations
from test_print import count_pages
from test_site import PAGES, ids

import slides
from llm_memory import model
from llm_memory.hardware import accelerators

DECK = "slides/talk.html"
PLAN = yaml.safe_load((ROOT / "slides" / "talk.yml").read_text(encoding="utf-8"))
GUIDE = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
SLIDES = [slide for row in PLAN["rows"].values() for slide in row]
# What runs out of its place, below the title and above the footer.
OUTSIDE = """() => {
  const slide = Reveal.getCurrentSlide();
  const title = slide.querySelector("h2").getBoundingClientRect();
  const foot = slide.querySelector("footer").getBoundingClientRect();
  const parts = [...slide.querySelectorAll(".evidence *")].filter(node =>
    !node.closest("mjx-assistive-mml, svg *, .evidence > figure > img"));
  const out = parts.filter(node => {
    const box = node.getBoundingClientRect();
    return box.top < title.bottom - 1 || box.bottom > foot.top + 1
      || box.left < 0 || box.right > innerWidth || node.scrollWidth > innerWidth;
  });
  const image = slide.querySelector("img")?.getBoundingClientRect();
  const isSmall = image && (image.height < 300 || image.bottom > foot.top);
  const isOut = title.top < 0 || title.right > innerWidth || foot.bottom > innerHeight;
  return [...out.map(node => node.outerHTML.slice(0, 120)),
          ...(isSmall ? ["the figure"] : []), ...(isOut ? ["the slide"] : [])];
}"""


@pytest.fixture
def deck(open_page):
    """The deck, in a window of its own size."""
    return opened(open_page)


def opened(open_page, **options):
    assert (SITE / "slides" / ".built").exists(), "not built yet: run `make slides`"
    page = open_page(DECK, **options)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    page.wait_for_load_state("networkidle")
    return page


def walk(page):
    """Go through all slides by the arrow key; yield the index of each."""
    for index in range(len(SLIDES)):
        assert page.evaluate("Reveal.getIndices().h") == index
        yield index
        page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.isLastSlide()")


def parsed() -> BeautifulSoup:
    return BeautifulSoup((SITE / DECK).read_text(encoding="utf-8"), "html.parser")


def committed() -> dict[str, dict]:
    """Return name -> texts by kind of all that the notebooks glue."""
    found = {}
    for path in ROOT.glob("book/*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if about := output.get("metadata", {}).get("scrapbook"):
                    found[about["name"]] = {
                        kind.rpartition("record/")[2]: "".join(text)
                        for kind, text in output["data"].items()
                    }
    return found


@pytest.mark.parametrize("origin", ["file", "http"])
def test_the_deck_loads_alone_and_without_errors(open_page, site, server, origin):
    base = server if origin == "http" else f"file://{site}"
    page = opened(open_page, base=base)
    for _ in walk(page):
        pass
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith((base, "data:"))] == []


def test_a_strict_policy_holds(deck):
    page = parsed()
    (meta,) = page.select("head > meta[http-equiv=Content-Security-Policy]")
    rules = dict(rule.split(" ", 1) for rule in meta["content"].split("; "))
    assert rules["default-src"] == "'none'" and rules["frame-src"] == "'self'"
    assert not re.search(r"unsafe|http|\*|data:", rules["script-src"])
    assert page.select("script:not([src]), [onclick]") == []
    deck.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.injected = true";
          document.body.append(script);
        }"""
    )
    assert deck.evaluate("window.injected") is None
    assert any("Content Security Policy" in text for text in deck.problems)


def test_every_slide_fits_and_is_reached_by_arrow_keys(deck):
    for index in walk(deck):
        assert deck.evaluate(OUTSIDE) == [], SLIDES[index]


def test_a_slide_that_does_not_fit_would_be_found(deck):
    deck.evaluate("document.querySelector('.evidence p').style.fontSize = '200px'")
    assert deck.evaluate(OUTSIDE) != []


def test_every_equation_is_typeset(deck):
    sources = parsed().select(".math")
    assert len(sources) > 20
    assert deck.locator("mjx-container").count() == len(sources)
    assert deck.locator("[data-mml-node=merror]").count() == 0
    text = deck.evaluate("document.querySelector('.slides').innerText")
    assert re.findall(r"\\[(\[]|\$|\{(?:ref|glue|cite)|\[S\d", text) == []


def test_axe_finds_nothing_on_any_slide(deck):
    for index in walk(deck):
        assert violations(deck) == [], SLIDES[index]


def test_numbers_and_equations_are_those_of_the_notebooks():
    glued, shown = committed(), parsed().select("[data-glue]")
    assert len(shown) > 15
    for tag in shown:
        value = glued[tag["data-glue"]]
        if "text/latex" in value:
            latex = tag.text.removeprefix("\\[").removesuffix("\\]")
            assert f"$\\displaystyle {latex}$" == value["text/latex"]
        else:
            assert f"'{tag.text}'" == value["text/plain"]


def test_no_number_is_typed_in_the_plan():
    names = [*model.names(), *accelerators()]
    for slide in SLIDES:
        words = [slide.get("title", ""), slide.get("words", "")]
        words += [each for pair in slide.get("numbers", []) for each in pair]
        words += slide.get("equations", {}).values()
        text = re.sub(r"\{[\w-]+\}", "", " ".join(words))
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, "")
        assert not re.search(r"[\d=$^\\]", text), text


def test_every_number_on_a_slide_is_in_the_notebooks():
    book = "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("book/*.ipynb"))
    known = set(re.findall(r"\d[\d.,]*", book)) | set(re.findall(r"\d+", book))
    for slide in parsed().select("section"):
        slide.aside.decompose()
        found = set(re.findall(r"\d[\d.,]*\d|\d", slide.get_text(" ")))
        assert found <= known, slide.h2.text


def test_figures_are_those_of_the_notebooks_with_their_words():
    images = parsed().select("img")
    assert len(images) == sum("figure" in slide for slide in SLIDES)
    for image in images:
        cell = image["src"].removesuffix(".svg")
        text = (ROOT / "book" / f"{cell.rpartition('-')[0]}.ipynb").read_text("utf-8")
        (found,) = (c for c in json.loads(text)["cells"] if c["id"] == cell)
        assert image["alt"] == found["metadata"]["mystnb"]["image"]["alt"]
        svg = (SITE / "slides" / image["src"]).read_text(encoding="utf-8")
        drawn = [out.get("data", {}).get("image/svg+xml") for out in found["outputs"]]
        assert svg in ["".join(lines) for lines in drawn if lines]


def test_the_minutes_are_those_of_the_guide():
    part = GUIDE.partition(f"### {PLAN['path']}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (\d+) \|.*\{ref\}`(.+?)` \|$", part, re.M)
    planned = [
        (str(sum(slide["minutes"] for slide in row)), label)
        for label, row in PLAN["rows"].items()
    ]
    assert planned == rows
    assert sum(slide["minutes"] for slide in SLIDES) == 60
    assert 15 <= len(SLIDES) <= 25
    timings = [int(tag["data-timing"]) for tag in parsed().select("section")]
    assert timings == [60 * slide["minutes"] for slide in SLIDES]


def test_the_notes_have_minute_question_and_misconception():
    start = 0
    for slide, tag in zip(SLIDES, parsed().select("section"), strict=True):
        end = start + slide["minutes"]
        first, *rest = [line.get_text() for line in tag.select("aside.notes p")]
        assert first.startswith(f"Minute {start} to {end}: ")
        assert "guess" in slide or end == 60 or any("Ask: " in line for line in rest)
        for line in rest:
            words = line.partition(": ")[2] or line
            assert words.partition(" $")[0].split("\\(")[0].strip() in GUIDE, line
        start = end
    for label, row in PLAN["rows"].items():
        dispels = [slide for slide in row if "misconception" in slide]
        assert dispels or label in ("units", "errata"), label


def test_the_speaker_has_a_window_that_follows(deck):
    with deck.expect_popup() as popup:
        deck.keyboard.press("s")
    window, notes = popup.value, ".speaker-controls-notes .value"
    window.wait_for_selector(f"{notes}:has-text('Minute 0 to 1')", timeout=60_000)
    deck.keyboard.press("ArrowRight")
    window.wait_for_selector(f"{notes}:has-text('Minute 1 to 3')", timeout=60_000)
    assert window.locator(".pacing").is_visible()
    assert deck.problems == []


def test_paper_has_a_slide_a_page(deck):
    options = {"prefer_css_page_size": True, "print_background": True}
    assert count_pages(deck.pdf(**options)) == len(SLIDES)
    deck.emulate_media(media="print")
    assert deck.locator("h2:visible").count() == len(SLIDES)
    assert deck.locator(".controls:visible, .notes:visible").count() == 0


def test_links_lead_into_the_book():
    links = {tag["href"] for tag in parsed().select("footer a")}
    assert len(links) > 10
    for link in links:
        path, fragment = link.split("#")
        assert fragment in ids((SITE / "slides" / path).resolve()), link


def test_the_guide_leads_to_the_deck_and_no_other_page_loads_it(open_page):
    page = open_page("book/teaching.html")
    page.get_by_role("link", name="The slides of this talk").click()
    page.wait_for_selector("h2:has-text('Every Byte')")
    assert page.problems == []
    for name in PAGES:
        text = (SITE / name).read_text(encoding="utf-8")
        soup = BeautifulSoup(text, "html.parser")
        loaded = soup.select("script[src], link[rel=stylesheet], img[src], iframe")
        assert not any("slides/" in str(tag) for tag in loaded), name


def test_a_plan_that_is_not_the_guides_is_refused():
    row = {"cover": "01_units-01", "minutes": 4, "ask": "box"}
    with pytest.raises(ValueError, match="rows"):
        list(slides.deck({**PLAN, "rows": {"units": [row]}}, "Title"))
    with pytest.raises(ValueError, match="5 min"):
        list(slides.deck({**PLAN, "rows": PLAN["rows"] | {"units": [row]}}, "Title"))
    with pytest.raises(ValueError, match="no path"):
        slides_guide.path("A talk of 61 minutes")
    with pytest.raises(ValueError, match="not in one"):
        slides_book.choose("MLA", 2 * slides_guide.chapter("kv_cache").questions)
    with pytest.raises(KeyError, match="units-nothing"):
        slides_book.fill("{units-nothing}")
