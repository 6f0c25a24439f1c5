"""Pages at old addresses that lead to the new ones: `every_byte_moved` in _config.yml.

A script keeps what the address says after "#", an explorer's setting for example.
Without scripts the page leads on all the same.
"""

import os
from html import escape
from pathlib import Path

from every_byte_page import repair
from sphinx.errors import ConfigError


def write_redirects(app):
    """Write a page for every address that was moved, and for /."""
    pages, site = app.env.found_docs, Path(app.outdir)
    for old, new in app.config.every_byte_moved.items():
        if old in pages:
            raise ConfigError(f"every_byte_moved: {old} is still a page")
        if new not in pages:
            raise ConfigError(f"every_byte_moved: {new}, to replace {old}, is no page")
    moved = app.config.every_byte_moved | {"index": app.config.root_doc}
    for old, new in moved.items():
        source, target = site / f"{old}.html", site / f"{new}.html"
        source.parent.mkdir(parents=True, exist_ok=True)
        address = os.path.relpath(target, source.parent)
        script = os.path.relpath(site / "_static" / "moved.js", source.parent)
        page = redirect_page(address, script, app.config.html_title)
        source.write_text(page, encoding="utf-8")


def redirect_page(target: str, script: str, title: str) -> str:
    """Return a page that leads to `target` at once."""
    target, title = escape(target), escape(title)
    return repair(
        f"<!DOCTYPE html>\n<html lang='en' class='moved'><head><meta charset='utf-8'/>"
        f"<title>{title}</title><script src='{escape(script)}' defer></script>"
        f"<noscript><meta http-equiv='refresh' content='0; url={target}'/></noscript>"
        f"</head><body><main><h1>{title}</h1>"
        f"<p><a href='{target}'>Read the book</a></p></main></body></html>"
    )
