"""The page "The article, checked": every claim is there, with and without a script."""

import re

import pytest
from test_site import CHAPTERS as PAGES
from test_site import parse

from llm_memory import claims
from llm_memory.claims_page import CHAPTERS

QUOTED = re.compile(r"\[(S\d[\w.-]*)\]")
PAGE = "book/article.html"
RECORDS = {record.id: record for record in claims.judge()}
CHAPTER = {name: claim["chapter"] for name, claim in claims.load().items()}


def test_every_claim_is_listed_once_with_its_verdict(site):
    page = parse(site, PAGE)
    items = {item["id"]: item for item in page.select(".claims li")}
    assert items.keys() == RECORDS.keys()
    assert len(page.select(".claims li")) == len(RECORDS)
    assert {name: item["data-chapter"] for name, item in items.items()} == CHAPTER
    for name, item in items.items():
        assert item["data-verdict"] == item.b.text == RECORDS[name].verdict
        assert item.a["href"].split("#")[1], "the address of a derivation"


def test_it_is_light(site):
    assert (site / PAGE).stat().st_size <= 200_000


def test_without_a_script_all_is_there(open_page):
    page = open_page(PAGE, java_script_enabled=False)
    assert page.locator(".claims li:visible").count() == len(RECORDS)
    assert not page.locator("#claims-filter").is_visible()


@pytest.mark.parametrize(
    ("chapter", "verdict"),
    [("", "wrong"), ("kv-cache", ""), ("units", "unit-mixup"), ("compute", "rounding")],
)
def test_the_filter_shows_what_it_says(open_page, chapter, verdict):
    page = open_page(PAGE, width=390)
    page.select_option("select[name=chapter]", chapter)
    page.select_option("select[name=verdict]", verdict)
    expected = {
        record.id
        for record in RECORDS.values()
        if CHAPTER[record.id] == (chapter or CHAPTER[record.id])
        and record.verdict == (verdict or record.verdict)
    }
    shown = page.locator(".claims li:visible").evaluate_all("all => all.map(e => e.id)")
    assert set(shown) == expected
    headings = page.locator(".claims h3:visible").all_inner_texts()
    assert headings == [
        title
        for name, title in CHAPTERS.items()
        if any(CHAPTER[each] == name for each in expected)
    ]
    announced = page.get_by_role("status").inner_text()
    assert announced == f"{len(expected)} of {len(RECORDS)} claims"
    assert page.problems == []


def test_the_keyboard_chooses_and_the_address_keeps_it(open_page):
    page = open_page(PAGE)
    verdict = page.get_by_label("Verdict")
    verdict.focus()
    page.keyboard.type("wrong")
    assert verdict.input_value() == "wrong"
    assert page.url.endswith("#verdict=wrong")
    page.reload()
    assert page.get_by_label("Verdict").input_value() == "wrong"
    page.evaluate("location.hash = '#S2.5.1-weights'")
    claim = page.locator("[id='S2.5.1-weights']")
    claim.wait_for(state="visible")
    assert page.get_by_label("Verdict").input_value() == ""
    page.evaluate("location.hash = '#verdict=nonsense'")
    page.wait_for_function(
        "document.querySelectorAll('.claims li[hidden]').length == 0"
    )
    assert page.problems == []


@pytest.mark.parametrize("path", [*PAGES, PAGE])
def test_a_quoted_claim_leads_to_its_verdict(site, path):
    page = parse(site, path)
    links = {link.text: link["href"] for link in page.select("article a[href]")}
    prose = page.select("article :is(p, li):not(pre *, .claims *)")
    quoted = {name for each in prose for name in QUOTED.findall(each.text)}
    assert quoted <= RECORDS.keys()
    assert all(links[f"[{name}]"] == f"article.html#{name}" for name in quoted)
