"""The page of published numbers that are wrong: all of them, each with its place."""

from pathlib import Path

from bs4 import BeautifulSoup
from conftest import ROOT

from llm_memory import claims
from llm_memory.claims_page import ERRATA, errata, places

CLAIMS = claims.load()
BAD = {
    record.id
    for record in claims.judge()
    if record.verdict in ("wrong", "unit-mixup")
    and CLAIMS[record.id]["kind"] == "number"
}
PLACES = places(Path(ROOT / "book"))


def rows():
    for verdict in ERRATA:
        yield from BeautifulSoup(errata(verdict, PLACES), "html.parser").select(
            "tbody tr"
        )


def test_every_wrong_number_is_there_once():
    listed = [link.text for row in rows() for link in row.td.select("a")]
    stripped = {each for each in BAD if "published" not in CLAIMS[each]}
    assert stripped == {"S2.2.3-ex-attn"}  # the article's own formula gives it
    assert sorted(listed) == sorted(BAD)


def test_a_row_shows_what_is_printed_what_is_right_and_where():
    found = {link.text: row for row in rows() for link in row.td.select("a")}
    row = found["S2.5.3-llama-1.6"]
    assert row.th.text == "1.6 ×"
    assert "Right is 2.06 ×" in row.text
    address, _ = PLACES[CLAIMS["S2.5.3-llama-1.6"]["derivation"]]
    assert row.select("a")[-1]["href"] == address
    row = found["S4.3-229MB"]
    assert row.th.text == "229 MB" and "It is 234.9 MB." in row.text
    assert {"S4.3-229MB", "S4.5-sum-qwen"} <= {a.text for a in row.td.select("a")}


def test_links_lead_to_claims_and_derivations():
    for row in rows():
        *claimed, derived = (link["href"] for link in row.select("a"))
        assert claimed == [f"article.html#{a.text}" for a in row.td.select("a")]
        assert derived in {address for address, _ in PLACES.values()}
