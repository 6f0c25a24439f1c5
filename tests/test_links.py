"""Terms lead to the glossary, the index and the search to pages, old addresses on."""

import re
import shutil

import pytest
from conftest import ROOT
from every_byte_terms import terms_of
from test_build import build, make_book
from test_site import CHAPTERS, PAGES, parse

import llm_memory as lm

GLOSSARY = """(glossary)=
# Glossary

```{glossary}
cell
  A place.

cell, long
  A long place.

KV cache
kv store
  What is kept.

expert
  One of several.
```
"""
PAGE = """An expert-level page: `expert`, $expert$, [expert](https://example.org),
superexpert.

(expert)=
## Expert

| expert |
|---|
| expert |

```{admonition} Folded
:class: dropdown
An expert in a fold.
```

```python
expert = 1
```

Two **Experts** keep a KV cache in a cell. An expert knows kv cache.
Long cells, long cell."""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book whose one page uses the terms of its glossary, and an old address."""
    book = make_book(tmp_path_factory.mktemp("terms"))
    (book / "book" / "glossary.md").write_text(GLOSSARY)
    (book / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters:\n- file: book/glossary\n"
    )
    config = (book / "_config.yml").read_text(encoding="utf-8")
    moved = "every_byte_moved: {book/old: book/glossary, once/first: book/index}"
    config = re.sub("every_byte_moved: .*", moved, config)
    (book / "_config.yml").write_text(config, encoding="utf-8")
    done = build(book, PAGE)
    assert done.returncode == 0, done.stderr
    return book


def test_a_term_is_linked_where_it_is_used_first(book):
    page = parse(book / "_build" / "html", "book/index.html")
    links = page.select("article a:has(> .std-term)")
    assert [(link.text, link["href"].partition("#")[2]) for link in links] == [
        ("Experts", "term-expert"),
        ("KV cache", "term-KV-cache"),
        ("Long cells", "term-cell-long"),
    ]
    assert links[0].find_parent("strong")


def test_the_index_lists_terms_and_where_they_are_used(book):
    page = parse(book / "_build" / "html", "genindex.html")
    text = page.article.get_text(" ", strip=True)
    assert re.search(r"cell cell, long Title E expert Title K KV cache Title", text)
    uses = {link["href"] for link in page.select("article li li a")}
    assert "book/index.html#term-expert" in uses
    home = parse(book / "_build" / "html", "book/index.html")
    assert home.select("nav.bd-docs-nav a")[-1].text.strip() == "Index"


def test_a_new_term_is_linked_on_pages_that_did_not_change(book):
    glossary = book / "book" / "glossary.md"
    glossary.write_text(GLOSSARY.replace("expert\n", "Two\n  2.\n\nexpert\n"))
    assert build(book, PAGE).returncode == 0
    page = parse(book / "_build" / "html", "book/index.html")
    assert page.select_one("a[href$='#term-Two']").text == "Two"


def test_an_old_address_leads_on_and_keeps_what_follows(book, browser):
    page = browser.new_page()
    site = f"file://{book}/_build/html"
    for old, new in ("book/old", "book/glossary"), ("once/first", "book/index"):
        page.goto(f"{site}/{old}.html#demo.t=8")
        page.wait_for_url(f"{site}/{new}.html#demo.t=8")
    page.close()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/book/old.html")
    page.wait_for_url(f"{site}/book/glossary.html")
    context.close()


@pytest.mark.parametrize("moved", ["book/index: book/glossary", "book/old: book/gone"])
def test_a_wrong_move_is_refused(book, tmp_path, moved):
    copy = shutil.copytree(book, tmp_path / "book")
    config = (copy / "_config.yml").read_text(encoding="utf-8")
    config = re.sub("every_byte_moved: .*", f"every_byte_moved: {{{moved}}}", config)
    (copy / "_config.yml").write_text(config, encoding="utf-8")
    done = build(copy, PAGE)
    assert done.returncode != 0
    assert "every_byte_moved" in done.stderr + done.stdout


# ---- The whole site


@pytest.mark.parametrize("path", PAGES)
def test_links_to_terms_are_few_and_not_in_the_way(site, path):
    page = parse(site, path)
    terms = page.select(".std-term")
    targets = [term.find_parent("a")["href"] for term in terms]
    assert len(targets) == len(set(targets))
    places = "h1, h2, h3, h4, pre, code, table, summary, .cell, .math, .sd-card"
    assert [t.text for t in terms if t.find_parent("a").css.closest(places)] == []


def test_chapters_link_what_their_answers_are_about(site):
    linked = {path: {t.find_parent("a")["href"].partition("#term-")[2]
                     for t in parse(site, path).select(".std-term")}
              for path in CHAPTERS}  # fmt: skip
    assert "KV-cache" in linked["book/07_kv_cache.html"]
    assert {"GB", "GiB"} <= linked["book/01_units.html"]
    assert all(linked.values()), linked


def test_every_term_is_in_the_index(site):
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    page = parse(site, "genindex.html")
    names = {entry.text for entry in page.select("article li > a:first-child")}
    assert set(terms_of(text).values()) <= names
    for path in PAGES:
        assert parse(site, path).select("nav.bd-docs-nav a")[-1].text == "Index", path


SEARCHES = {
    "KV cache": ["book/glossary.html", "book/07_kv_cache.html"],
    "c_kv": ["book/glossary.html", "book/notation.html", "book/07_kv_cache.html"],
    "c_{kv}": ["book/notation.html"],
    "GiB": ["book/glossary.html", "book/01_units.html"],
    "ZeRO": ["book/03_training_states.html"],
    "kv_cache": ["book/07_kv_cache.html", "book/api.html"],
    "sliding window": ["book/glossary.html", "book/07_kv_cache.html"],
}


@pytest.mark.parametrize("query", SEARCHES)
def test_search_finds_symbols_and_terms(open_page, query):
    page = open_page("book/index.html")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+k")
    page.keyboard.type(query)
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    page.wait_for_timeout(300)  # results come one by one
    links = page.locator("#search-results li a").evaluate_all(
        "links => links.map(link => new URL(link.href).pathname)"
    )
    found = list(dict.fromkeys(re.search(r"book/[^/]*$", link)[0] for link in links))
    assert set(SEARCHES[query]) <= set(found[:8]), found
    chapters = [page for page in found if page in CHAPTERS]
    if query in lm.__all__:
        assert found[0] == "book/api.html"
    elif "book/api.html" in found:  # explanations come first
        assert found.index(chapters[0]) < found.index("book/api.html")
    assert page.problems == []
