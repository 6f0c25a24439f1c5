"""The build refuses what is broken, and the API page leaves out no public module."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from every_byte_moved import redirect_page
from every_byte_page import repair

INTERNAL = {
    "__init__", "__main__", "claims_page", "config_page", "controls", "explorer_page",
    "json_text", "structures", "tree",
}  # fmt: skip
BROKEN = (
    "{ref}`nowhere`", "{cite}`Nobody1900`", "{eq}`eq-nothing`", "{term}`no such term`",
    "{class}`llm_memory.Nothing`", "{glue:text}`nothing`", "![](nothing.png)",
)  # fmt: skip


def test_the_api_page_has_every_public_module():
    text = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"automodule:: llm_memory\.(\w+)", text))
    modules = {path.stem for path in (ROOT / "book" / "llm_memory").glob("*.py")}
    assert listed == modules - INTERNAL


@pytest.fixture(scope="module")
def small_book(tmp_path_factory) -> Path:
    """A book with the real settings and one page."""
    return make_book(tmp_path_factory.mktemp("book"))


def make_book(book: Path) -> Path:
    """Make a folder a book with the real settings and no page."""
    for name in ("_config.yml", "sphinx_extension", "tools"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, book / name)
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    shutil.copytree(ROOT / "book" / "assets", book / "book" / "assets")
    shutil.copy(ROOT / "book" / "references.bib", book / "book")
    return book


def build(book: Path, line: str) -> subprocess.CompletedProcess:
    """Build the small book with one line on its page."""
    (book / "book" / "index.md").write_text(f"(index)=\n# Title\n\n{line}\n")
    return build_again(book)


def build_again(book: Path) -> subprocess.CompletedProcess:
    """Build the small book as it is."""
    command = (sys.executable, "tools/build.py")
    return subprocess.run(command, cwd=book, capture_output=True, text=True)


def test_the_build_refuses_what_is_broken(small_book):
    assert build(small_book, "{ref}`index`").returncode == 0
    done = build(small_book, "\n\n".join(BROKEN))
    assert done.returncode != 0
    for line in BROKEN:
        target = re.search(r"[`(](.+?)[`)]", line)[1]
        assert target in done.stderr + done.stdout, line


def test_a_change_of_style_alone_reaches_the_site(small_book):
    source = small_book / "book" / "assets" / "every_byte.css"
    copy = small_book / "_build" / "html" / "_static" / source.name
    assert build(small_book, "{ref}`index`").returncode == 0
    source.write_text(source.read_text("utf-8") + ".a-new-rule { margin: 0; }\n")
    assert build_again(small_book).returncode == 0
    assert ".a-new-rule" in copy.read_text("utf-8")


def test_a_page_that_is_not_written_again_is_still_searched(tmp_path):
    book = make_book(tmp_path)
    toc, terms = book / "_toc.yml", book / "book" / "glossary.md"
    toc.write_text(toc.read_text("utf-8") + "chapters: [{file: book/glossary}]\n")
    terms.write_text("# Glossary\n\n```{glossary}\na term\n  Its meaning.\n```\n")
    for line in ("first", "second"):
        assert build(book, line).returncode == 0
        index = (book / "_build" / "html" / "searchindex.js").read_text("utf-8")
        assert re.search(r'"indexentries": *{"a term"', index), line


def test_a_page_is_repaired():
    page = repair(
        "<html><head><meta charset='utf-8'/><script>kernelName = 'x'</script>"
        "<script>mode = 1</script><script src='_static/scripts/fontawesome.js'>"
        "</script></head><body><article><button onclick='window.print()'>p</button>"
        "<i class='fa-solid fa-sun theme-switch'></i><table></table>"
        "<div class='admonition dropdown'><p class='admonition-title'>S"
        "<a href='#e'>E</a></p>\n\n  <p>text</p></div><pre><span class='k'>if</span> "
        '<span class="n">x</span><b>:</b>\n\n  <b>;</b></pre></article></body></html>'
    )
    assert "kernelName" not in page and "fontawesome" not in page
    assert "onclick" not in page and 'data-action="window.print"' in page
    assert 'class="theme-switch icon icon-sun"' in page
    assert '<div class="pst-scrollable-table-container"><table>' in page
    assert '<summary class="admonition-title">SE</summary>' in page
    assert "</span> x<b>:</b>\n\n  <b>;</b></pre>" in page
    assert "</summary>\n<p>text</p>" in page
    assert page.count("'sha256-") == 1


def test_the_policy_covers_the_redirect():
    assert "script-src 'self';" in redirect_page("book/index.html", "a.js", "Title")
