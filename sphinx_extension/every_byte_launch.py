"""Where a chapter runs live: a line of links under its title.

The first leads into this site, to lite/, which `make lite` builds. Binder and Colab
need to know where the repository is public: `repository` in _config.yml, nowhere else.

Where a link leads to what another command builds, a notice stands until that is done.
"""

import re
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from every_byte_page import repair

CHAPTER = re.compile(r"book/(\d\d_\w+)")
BINDER = "https://mybinder.org/v2/gh/{name}/{branch}?urlpath=lab/tree/{page}.ipynb"
COLAB = "https://colab.research.google.com/github/{name}/blob/{branch}/{page}.ipynb"
UNKNOWN = "ADDRESS-OF-THE-REPOSITORY"
NOTICE = (
    "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'/>"
    "<title>Not built yet</title></head><body><main><h1>Not built yet</h1>"
    "<p>{} not part of this copy of the book. {}</p></main></body></html>"
)
NOT_BUILT = {
    "lite/lab/index.html": (
        "The chapters that run in the browser are",
        "<code>make lite</code> adds them, <code>make serve</code> shows them.",
    ),
    "slides/talk.html": ("The slides are", "<code>make slides</code> adds them."),
}


def add_links(app, pagename, templatename, context, doctree):
    """Put the line under a chapter's title, and the address into the setup cell."""
    if chapter := CHAPTER.fullmatch(pagename):
        lite = context["pathto"]("lite/lab/index.html", 1)
        links = {"Run this chapter in the browser": f"{lite}?path={chapter[1]}.ipynb"}
        links |= elsewhere(app, pagename)
        line = " · ".join(
            f'<a href="{escape(link)}">{text}</a>' for text, link in links.items()
        )
        line = f'</h1>\n<p class="run-live">{line}</p>'
        context["body"] = context["body"].replace("</h1>", line, 1)
    elif pagename == "book/live":
        address = repository(app) or UNKNOWN
        context["body"] = context["body"].replace(UNKNOWN, escape(address))


def repository(app) -> str:
    """Return the repository's address without a slash at its end, or nothing."""
    return (app.config.html_theme_options.get("repository_url") or "").rstrip("/")


def elsewhere(app, page: str) -> dict[str, str]:
    """Return links to services that run a public repository on GitHub."""
    address = urlsplit(repository(app))
    if address.netloc != "github.com":
        return {}
    branch = app.config.html_theme_options.get("repository_branch") or "main"
    parts = {"name": address.path.strip("/"), "branch": branch, "page": page}
    return {"on Binder": BINDER.format(**parts), "in Colab": COLAB.format(**parts)}


def write_notices(site: Path):
    """Say what to do where links lead, unless the live book or the slides are there."""
    for name, words in NOT_BUILT.items():
        page = site / name
        if not page.exists():
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(repair(NOTICE.format(*words)), encoding="utf-8")
