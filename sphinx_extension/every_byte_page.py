"""Repairs to one page: light, accessible, and under a strict Content-Security-Policy.

Each repair is a function that changes the parsed page. The order is that of REPAIRS.
"""

import re
from copy import deepcopy

from every_byte_policy import secure
from lxml import html

# Scripts and styles that no page needs, or only pages whose HTML has the mark.
NEVER = ("fontawesome.js", "sphinx-thebe", "togglebutton")
ONLY_WITH = {
    "design-tabs.js": "sd-tab-set",
    "sphinx-design.min.css": 'class="sd-',
    "clipboard.min.js": 'class="highlight',
    "copybutton": 'class="highlight',
    "exercise.css": "exercise",
    "proof.css": 'class="proof',
    "mystnb": 'class="cell',
    "mathjax/": ('class="math', " math notranslate"),
    "claims.": "id='claims-filter'",
    "exact.js": "<every-byte-",
    "explorer.": "<every-byte-explorer",
    "_static/your_model": "<every-byte-model",
    "searchtools.js": 'id="search-results"',
    "language_data.js": 'id="search-results"',
    "searchindex.js": 'id="search-results"',
}
NEVER_INLINE = ("toggleHint", "togglebutton", "toggleOpen", "THEBE", "kernelName")
# Highlighted names, operators and punctuation get the colour of plain text.
PLAIN_CODE = re.compile(r'<span class="(?:n|nn|o|p|w)">([^<]*)</span>')
PARSER = html.HTMLParser(remove_comments=True)
AS_WRITTEN = re.compile(r"(<(pre|script|textarea)\b.*?</\2>)", re.S)
BETWEEN_TAGS = re.compile(r"(?<=>)\s*\n\s*(?=<)")


def repair(text: str) -> str:
    """Return the page's HTML, repaired; what is only a part of a page as it is."""
    if "</body>" not in text:
        return text
    text = PLAIN_CODE.sub(r"\1", text)
    page = html.document_fromstring(text, PARSER)
    drop_unneeded(page, text)
    for step in REPAIRS:
        step(page)
    text = html.tostring(page, encoding="unicode", doctype="<!DOCTYPE html>")
    return secure(without_indents(text))


def drop_unneeded(page, text):
    """Remove scripts and styles that this page does not need."""
    for tag in list(page.iter("script", "link")):
        source = tag.get("src") or tag.get("href") or ""
        inline = tag.text or ""
        marks = next((v for k, v in ONLY_WITH.items() if k in source), "")
        marks = marks if isinstance(marks, tuple) else (marks,)
        if (
            any(name in source for name in NEVER)
            or any(name in inline for name in NEVER_INLINE)
            or tag.get("type") == "text/x-thebe-config"
            or tag.get("rel") == "preload"
            or not any(mark in text for mark in marks)
        ):
            tag.drop_tree()


def fold(page):
    """Make folded admonitions native `details`: no script, found by a page search."""
    for box in page.find_class("admonition"):
        if "dropdown" in box.classes:
            (title,) = (each for each in box if "admonition-title" in each.classes)
            box.tag, title.tag = "details", "summary"
            box.classes -= {"dropdown", "toggle"}
            box.classes.add("folded")
            for link in title.findall(".//a"):  # inside a button it is out of reach
                link.drop_tag()


def draw_icons(page):
    """Let our own style sheet draw the icons instead of a 1.5 MB script."""
    for tag in page.xpath("//*[contains(@class, 'fa-')]"):
        names = [c[3:] for c in tag.classes if c.startswith("fa-")]
        kept = [c for c in tag.get("class").split() if not c.startswith("fa")]
        kept += ["icon", *(f"icon-{n}" for n in names if n not in STYLES)]
        tag.set("class", " ".join(kept))
        tag.set("aria-hidden", "true")
        tag.attrib.pop("title", None)


STYLES = {"solid", "regular", "brands", "lg"}


def drop_print_header(page):
    """Drop the theme's second h1, a table of contents that only paper shows."""
    for tag in page.xpath("//div[@id='jb-print-docs-body']"):
        tag.drop_tree()


def move_handlers(page):
    """Replace the theme's inline event handlers; every_byte.js listens instead."""
    for tag in page.xpath("//*[@onclick]"):
        tag.set("data-action", tag.attrib.pop("onclick").partition("(")[0])


def offer_paper(page):
    """Offer a page's paper as it is, and with all that is folded."""
    for item in page.xpath("//li[button[@data-action='window.print']]"):
        choices = {"window.print": "Print"}
        if any(FOLDED & set(box.classes) for box in page.iter("details")):
            choices["print-unfolded"] = "Print, solutions too"
        for action, words in choices.items():
            copied = deepcopy(item)
            button = copied.find("button")
            button.set("data-action", action)
            button.set("title", words)
            (shown,) = copied.find_class("btn__text-container")
            shown[:], shown.text = [], words
            item.addprevious(copied)
        item.drop_tree()


FOLDED = {"folded", "sd-dropdown"}


def name_parts(page):
    """Give landmarks and buttons the names and roles that assistive software needs."""
    for tag in page.find_class("sidebar-toggle"):
        tag.set("aria-label", tag.get("title"))
    for tag in page.xpath("//*[@id='pst-primary-sidebar']"):
        tag.set("role", "complementary")
        tag.set("aria-label", "Book")
    for tag in page.xpath("//*[@role='doc-biblioentry']"):
        tag.set("role", "listitem")


def scroll_tables(page):
    """Let a wide table scroll in its own box."""
    for table in page.xpath("//article//table"):
        if not any(SCROLL in each.classes for each in table.iterancestors()):
            box = html.Element("div", {"class": SCROLL})
            table.addprevious(box)
            box.tail, table.tail = table.tail, None
            box.append(table)


SCROLL = "pst-scrollable-table-container"


def tidy_head(page):
    """Keep one viewport."""
    for tag in page.xpath("//meta[@name='viewport']")[1:]:
        tag.drop_tree()


def without_indents(text: str) -> str:
    """Return HTML with one line break where a template has indents and empty lines."""
    pieces = AS_WRITTEN.split(text)  # what is between, what is kept, the kept one's tag
    pieces[::3] = (BETWEEN_TAGS.sub("\n", piece) for piece in pieces[::3])
    pieces[2::3] = [""] * len(pieces[2::3])
    return "".join(pieces)


REPAIRS = (
    fold,
    draw_icons,
    drop_print_header,
    move_handlers,
    offer_paper,
    name_parts,
    scroll_tables,
    tidy_head,
)
