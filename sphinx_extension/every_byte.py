"""What the book needs of Sphinx beyond its settings.

MathJax comes from a pinned package, one file of it. Every page is repaired as it is
written (see `every_byte_page`), and what no page loads is not kept in the site.
"""

import hashlib
import pickle
import re
import shutil
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import every_byte_models
import pybtex.plugin
from every_byte_claims import link_claims
from every_byte_launch import add_links, write_notices
from every_byte_moved import write_redirects
from every_byte_page import repair
from every_byte_search import Words
from every_byte_terms import link_terms, list_index
from sphinx import search
from sphinx.application import ENV_PICKLE_FILENAME
from sphinx.jinja2glue import BuiltinTemplateLoader

HERE = Path(__file__).parent
BOOK = HERE.parent / "book"
EXPLORER = ("exact.js", "explorer.js", "explorer.css")
UNUSED = (
    "scripts/fontawesome.js*", "vendor/fontawesome", "sphinx-thebe.*", "togglebutton.*",
    "**/*.map", "**/*webpack-macros.html", "locales", "images/logo_*", "play-solid.svg",
)  # fmt: skip

# Rules and fonts of the icon font, a quarter of the theme's style sheet.
ICON = r"\.fa-[\w-]+(?::before)?"
ICON_FONT = re.compile(rf"(?<=\}})(?:@font-face|{ICON}(?:,{ICON})*)\{{[^{{}}]*\}}")


class Templates(BuiltinTemplateLoader):
    """Sphinx's own templates, with every HTML page repaired before it is written."""

    def render(self, template, context):
        text = super().render(template, context)
        return repair(text) if template.endswith(".html") else text


def add_explorer(app, config):
    """Offer the explorer's files to every page; `repair` drops them where unused."""
    for name in EXPLORER:
        source = BOOK / "llm_memory" / name
        if source.exists():
            config.html_static_path.append(str(source.relative_to(app.confdir)))
            add = app.add_css_file if name.endswith("css") else app.add_js_file
            add(name, **({} if name.endswith("css") else {"defer": "defer"}))


def shrink(app, exception):
    """Take what only authors read out of the explorer's copies in the site."""
    for name in EXPLORER:
        path = Path(app.outdir) / "_static" / name
        if exception is None and path.exists():
            shorter = short_css if path.suffix == ".css" else short_script
            path.write_text(shorter(path.read_text("utf-8")), encoding="utf-8")


def short_script(text: str) -> str:
    """Return a script without comment lines and indentation."""
    lines = (line.strip() for line in text.splitlines())
    kept = (line for line in lines if line and not line.startswith("//"))
    return "\n".join(kept) + "\n"


def short_css(text: str) -> str:
    """Return a style sheet without comments and the space around its signs.

    Not for one whose strings hold a brace, a semicolon or a colon with a space.
    """
    rules = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\s*([{};])\s*", r"\1", rules).replace(": ", ":").replace(";}", "}")


def prepare_docstring(app, what, name, obj, options, lines):
    """Read Markdown's {role}`text`, which autodoc takes for reStructuredText.

    An empty comment keeps napoleon from reading "What it is: …" of a property as
    "type: description".
    """
    lines[:] = [re.sub(r"\{([\w:]+)\}(?=`)", r":\1:", line) for line in lines]
    if what == "property":
        lines[:0] = ["..", ""]


def split_shared(app, what, name, obj, options, lines):
    """Give attributes documented on one line ("heads, width: …") a line each."""
    for line in [line for line in lines if re.match(r":ivar \w+(, \w+)+: ", line)]:
        names, text = line.removeprefix(":ivar ").split(": ", 1)
        index = lines.index(line)
        each = [f":ivar {name}: {text}" for name in names.split(", ")]
        lines[index : index + 1] = each


def skip_foreign(app, what, name, obj, skip, options):
    """Pass over a class of another library before autodoc parses the source of it."""
    if isinstance(obj, type) and not obj.__module__.startswith("llm_memory."):
        return True


def store_search(app, exception):
    """Store the environment again: pages that are written later are still searched.

    Sphinx stores it when pages are read, and finds their terms when they are written.
    """
    if exception is None and app.builder.name == "html":
        with open(Path(app.doctreedir, ENV_PICKLE_FILENAME), "wb") as file:
            pickle.dump(app.env, file, pickle.HIGHEST_PROTOCOL)


def finish(app, exception):
    """Copy MathJax, drop what no page loads, and lead on from old addresses."""
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    package = Path(find_spec("sphinx-mathjax-offline").origin).parent
    target = static / app.config.mathjax_path
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(package / "static" / app.config.mathjax_path, target)
    for pattern in UNUSED:
        for path in static.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    style = static / "styles" / "pydata-sphinx-theme.css"
    style.write_text(ICON_FONT.sub("", style.read_text("utf-8")), encoding="utf-8")
    write_redirects(app)
    write_notices(Path(app.outdir))


def digest(files):
    """Return what changes when one of the files does."""
    contents = b"".join(path.read_bytes() for path in sorted(files))
    return hashlib.sha256(contents).hexdigest()


def setup(app):
    """Register everything with Sphinx."""
    sys.path.insert(0, str(BOOK))  # for autodoc: import llm_memory
    # A change here must read and write all pages again; one of what they load, write.
    app.add_config_value("every_byte_digest", digest(HERE.glob("*.*")), "env")
    loaded = [*BOOK.glob("assets/*.*"), *BOOK.glob("llm_memory/*.*s")]  # .js, .css
    app.add_config_value("every_byte_loaded", digest(loaded), "html")
    app.add_config_value("every_byte_moved", {}, "")
    app.config.template_bridge = "every_byte.Templates"
    app.config.mathjax_path = "mathjax/tex-svg.js"
    search.languages["en"] = Words
    # Each citation would search all that is installed for the plugin that writes it.
    pybtex.plugin.find_plugin = cache(pybtex.plugin.find_plugin)
    app.connect("config-inited", add_explorer)
    app.connect("build-finished", shrink)
    app.connect("config-inited", every_byte_models.offer)
    app.connect("doctree-read", list_index, priority=400)  # before it is collected
    app.connect("doctree-read", link_claims)
    app.connect("doctree-read", link_terms, priority=600)  # titles are known
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", prepare_docstring, priority=400)
    app.connect("autodoc-process-docstring", split_shared, priority=600)
    app.connect("html-page-context", add_links)
    app.connect("build-finished", store_search)
    app.connect("build-finished", finish, priority=400)  # before the toc's redirect
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
