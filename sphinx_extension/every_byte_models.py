"""The page "Size your own model": its scripts, and the library as data beside them.

Another process makes the data while pages are read; it is kept while the library is
unchanged.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

LIBRARY = Path(__file__).parents[1] / "book" / "llm_memory"
DATA = "your_model_data.js"
SCRIPTS = (
    DATA, "your_model_text.js", "your_model_reader.js", "your_model_report.js",
    "your_model_inputs.js", "your_model.js",
)  # fmt: skip
MAKE = "from llm_memory.config_page import script; print(script(), end='')"


def offer(app, config):
    """Name the scripts to every page; `repair` drops them from all but one."""
    for name in SCRIPTS:
        app.add_js_file(name, defer="defer")
    app.add_css_file("your_model.css")


def start(app):
    """Begin to make the data, unless the library is the one it was made from."""
    kept = _kept(app)
    app.every_byte_maker = None
    if LIBRARY.exists() and not kept.exists():
        command = (sys.executable, "-X", "utf8", "-c", MAKE)
        app.every_byte_maker = subprocess.Popen(
            command, cwd=LIBRARY.parent, stdout=subprocess.PIPE
        )


def write(app, exception):
    """Write the data where the page loads it.

    Raises:
        CalledProcessError: the library could not make it.
    """
    maker, kept = app.every_byte_maker, _kept(app)
    if maker:
        text, _ = maker.communicate()
        if maker.returncode:
            raise subprocess.CalledProcessError(maker.returncode, maker.args)
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.glob("your_model_*.js"):
            old.unlink()
        kept.write_bytes(text)
    if not exception and app.builder.format == "html" and kept.exists():
        Path(app.outdir, "_static", DATA).write_bytes(kept.read_bytes())


def _kept(app) -> Path:
    digest = hashlib.sha256()
    for path in sorted(LIBRARY.rglob("*")):
        if path.suffix in (".py", ".json"):
            digest.update(path.read_bytes())
    return Path(app.doctreedir, f"your_model_{digest.hexdigest()[:16]}.js")
