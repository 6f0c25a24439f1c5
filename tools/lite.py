"""Build _build/html/lite: every chapter live in the browser, with nothing to install.

JupyterLite, with Pyodide and the library's packages in the site itself: derivations and
explorers run without a network. Figures need matplotlib, which has no build to host
here: it comes from the public CDN, or a sentence stands in its place.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import lite_packages
import lite_prose
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "sphinx_extension"))
from every_byte_policy import secure  # noqa: E402

TARGET = ROOT / "_build" / "html" / "lite"
WORK = ROOT / "_build" / "lite"
KERNEL = {"display_name": "Python (Pyodide)", "language": "python", "name": "python"}
SETTINGS = "@jupyterlite/pyodide-kernel-extension:kernel"
OPTIONS = "--apps lab --no-sourcemaps --no-unused-shared-packages --no-libarchive"
# JupyterLab compiles its checks of settings (eval), anywidget loads modules from blobs.
POLICY = (
    "default-src 'self'; script-src {scripts} 'unsafe-eval' 'wasm-unsafe-eval' blob:; "
    "worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob: "
    "https://cdn.jsdelivr.net https://pypi.org https://files.pythonhosted.org; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
# Modules do not load from file://; without this the reader would see an empty page.
SERVER = """<p id="server" hidden style="margin: 3em; font: 1.2em sans-serif">This part
of the book needs a server: <code>make serve</code>, then http://localhost:8000</p>
<script>
  document.getElementById("server").hidden = location.protocol !== "file:";
</script>
"""
NOTE = """*This copy of the chapter runs in your browser: choose
**Run → Run All Cells**. Python needs a few seconds to start. Change what you like;
changes stay in this browser.*"""
FIGURES = """# In the browser figures need matplotlib, fetched if the network allows.
from in_browser import prepare_figures

await prepare_figures()

"""


def main() -> None:
    """Build in a folder of its own, then put the result into the site."""
    source, built = WORK / "source", WORK / "built"
    for folder in (source, built):
        shutil.rmtree(folder, ignore_errors=True)
    start = lite_packages.gather(WORK / "cache", source / "static" / "pyodide")
    files = source / "files"
    files.mkdir()
    for path in sorted(ROOT.glob("book/[0-9][0-9]_*.ipynb")):
        text = json.dumps(
            live(json.loads(path.read_text("utf-8")), path.stem), indent=1
        )
        (files / path.name).write_text(text + "\n", encoding="utf-8")
    configure(source, start)
    program = Path(sys.executable).with_name("jupyter-lite")
    command = (program, "build", *OPTIONS.split(), "--contents", files,
               "--lite-dir", source, "--output-dir", built)  # fmt: skip
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    for page in built.rglob("*.html"):
        protect(page)
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    built.rename(TARGET)


def live(notebook: dict, stem: str) -> dict:
    """Return a chapter for the browser: plain prose, no outputs, figures prepared."""
    values, codes = lite_prose.glued(notebook), []
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])  # which may be stored in lines
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
            codes.append(cell)
        else:
            cell["source"] = lite_prose.plain(cell["source"], values)
    drawing = [cell for cell in codes if re.search(r"\bfigures\b", cell["source"])]
    for cell in drawing[:1]:  # the one that imports them
        cell["source"] = FIGURES + cell["source"]
    first = {
        "cell_type": "markdown",
        "id": f"{stem}-live",
        "metadata": {},
        "source": NOTE,
    }
    notebook["cells"].insert(0, first)
    notebook["metadata"] = {"kernelspec": KERNEL}
    return notebook


def configure(source: Path, start: list[str]) -> None:
    """Name the packages that Python starts with."""
    kernel = {"loadPyodideOptions": {"packages": start}}
    data = {"appName": "Every Byte", "litePluginSettings": {SETTINGS: kernel}}
    settings = {"jupyter-lite-schema-version": 0, "jupyter-config-data": data}
    (source / "jupyter-lite.json").write_text(json.dumps(settings), encoding="utf-8")


def protect(path: Path) -> None:
    """Add the policy to a page of JupyterLite."""
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    if not page.head.find("meta", charset=True):
        page.head.insert(0, page.new_tag("meta", charset="utf-8"))
    if page.body:
        page.body.append(BeautifulSoup(SERVER, "html.parser"))
    path.write_text(secure(str(page), POLICY), encoding="utf-8")


if __name__ == "__main__":
    main()
