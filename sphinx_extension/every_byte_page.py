"""Repairs to one page: light, accessible, and under a strict Content-Security-Policy.

Each repair is a function that changes the parsed page. The order is that of REPAIRS.
"""

import base64
import hashlib
import re
from copy import copy

from bs4 import BeautifulSoup, Comment

# 'self' covers a site on a server and, in Chromium, one read from file://. Inline
# scripts are the theme's; each is allowed by its hash, so a changed or injected one
# does not run. Styles stay open because MathJax writes its own style element.
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'"
)
EXECUTED = {None, "", "module", "text/javascript"}

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


def repair(text: str) -> str:
    """Return the page's HTML, repaired."""
    text = PLAIN_CODE.sub(r"\1", text)
    page = BeautifulSoup(text, "html.parser")
    if page.head and page.body:
        drop_unneeded(page, text)
        for step in REPAIRS:
            step(page)
    return str(page)


def drop_unneeded(page, text):
    """Remove scripts and styles that this page does not need."""
    for tag in page.find_all(["script", "link"]):
        source = tag.get("src") or tag.get("href") or ""
        inline = tag.string or ""
        marks = next((v for k, v in ONLY_WITH.items() if k in source), "")
        marks = marks if isinstance(marks, tuple) else (marks,)
        if (
            any(name in source for name in NEVER)
            or any(name in inline for name in NEVER_INLINE)
            or tag.get("type") == "text/x-thebe-config"
            or tag.get("rel") == ["preload"]
            or not any(mark in text for mark in marks)
        ):
            tag.decompose()


def tags(page, test):
    """Return the tags that pass a test; `page.select` takes several times as long."""
    return [tag for tag in page.find_all(True) if test(tag)]


def classes(tag):
    """Return the classes of a tag."""
    return tag.get("class", ())


def fold(page):
    """Make folded admonitions native `details`: no script, found by a page search."""
    for box in tags(page, lambda tag: {"admonition", "dropdown"} <= {*classes(tag)}):
        title = box.find(class_="admonition-title", recursive=False)
        box.name = "details"
        box["class"] = [c for c in box["class"] if c not in ("dropdown", "toggle")]
        box["class"].append("folded")
        title.name = "summary"
        for link in title.find_all("a"):  # a link inside a button is out of reach
            link.unwrap()


def draw_icons(page):
    """Let our own style sheet draw the icons instead of a 1.5 MB script."""
    for tag in tags(page, lambda tag: any("fa-" in c for c in classes(tag))):
        names = [c[3:] for c in tag["class"] if c.startswith("fa-")]
        tag["class"] = [c for c in tag["class"] if not c.startswith("fa")]
        tag["class"] += ["icon", *(f"icon-{n}" for n in names if n not in STYLES)]
        tag["aria-hidden"] = "true"
        tag.attrs.pop("title", None)


STYLES = {"solid", "regular", "brands", "lg"}


def drop_print_header(page):
    """Drop the theme's second h1, a table of contents that only paper shows."""
    for tag in page.find_all("div", id="jb-print-docs-body"):
        tag.decompose()


def move_handlers(page):
    """Replace the theme's inline event handlers; every_byte.js listens instead."""
    for tag in tags(page, lambda tag: tag.has_attr("onclick")):
        tag["data-action"] = tag.attrs.pop("onclick").partition("(")[0]


def offer_paper(page):
    """Offer a page's paper as it is, and with all that is folded."""
    for button in tags(page, lambda tag: tag.get("data-action") == "window.print"):
        if button.parent.name != "li":
            continue
        choices = {"window.print": "Print"}
        if any(FOLDED.intersection(classes(box)) for box in page.find_all("details")):
            choices["print-unfolded"] = "Print, solutions too"
        for action, words in choices.items():
            item = copy(button.parent)
            item.button["data-action"], item.button["title"] = action, words
            item.select_one(".btn__text-container").string = words
            button.parent.insert_before(item)
        button.parent.decompose()


FOLDED = {"folded", "sd-dropdown"}


def name_parts(page):
    """Give landmarks and buttons the names and roles that assistive software needs."""
    for tag in tags(page, lambda tag: "sidebar-toggle" in classes(tag)):
        tag["aria-label"] = tag["title"]
    for tag in tags(page, lambda tag: tag.get("id") == "pst-primary-sidebar"):
        tag["role"], tag["aria-label"] = "complementary", "Book"
    for tag in tags(page, lambda tag: tag.get("role") == "doc-biblioentry"):
        tag["role"] = "listitem"


def scroll_tables(page):
    """Let a wide table scroll in its own box."""
    for table in page.find_all("table"):
        if table.find_parent("article") and not table.find_parent(class_=SCROLL):
            table.wrap(page.new_tag("div", attrs={"class": SCROLL}))


SCROLL = "pst-scrollable-table-container"


def tidy_head(page):
    """Keep one viewport, no comments."""
    for tag in page.find_all("meta", attrs={"name": "viewport"})[1:]:
        tag.decompose()
    for comment in [each for each in page.descendants if isinstance(each, Comment)]:
        comment.extract()


def secure(page, policy=POLICY):
    """Add the policy, with the hash of each inline script that is left."""
    hashes = {
        f"'sha256-{_digest(tag.string)}'": None
        for tag in page.find_all("script")
        if not tag.has_attr("src") and tag.get("type") in EXECUTED
    }
    content = policy.format(scripts=" ".join(["'self'", *hashes]))
    attributes = {"http-equiv": "Content-Security-Policy", "content": content}
    meta = page.new_tag("meta", attrs=attributes)
    page.head.find("meta", charset=True).insert_after(meta)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


REPAIRS = (
    fold,
    draw_icons,
    drop_print_header,
    move_handlers,
    offer_paper,
    name_parts,
    scroll_tables,
    tidy_head,
    secure,
)
