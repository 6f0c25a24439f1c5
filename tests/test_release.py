"""What is released opens and runs alone, and the same sources give the same files."""

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from zipfile import ZipFile

import execute
import pytest
import release
import yaml
from conftest import ROOT

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
NAME = f"every-byte-{CITATION['version']}"


@pytest.fixture(scope="module")
def released(site, tmp_path_factory):
    """The two files, unpacked: a folder with the site, one with the notebooks."""
    folder = tmp_path_factory.mktemp("dist")
    for path in release.release(folder):
        with ZipFile(path) as archive:
            assert archive.testzip() is None
            archive.extractall(folder / path.stem.rpartition("-")[2])
    return folder


def test_the_files_have_the_version(released):
    names = {path.name for path in released.glob("*.zip")}
    assert names == {f"{NAME}-site.zip", f"{NAME}-notebooks.zip"}


def test_the_site_opens_offline(released, browser):
    context = browser.new_context(offline=True)
    page, problems = context.new_page(), []
    page.on("requestfailed", lambda request: problems.append(request.url))
    page.on("console", lambda m: m.type == "error" and problems.append(m.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    folder = released / "site" / NAME
    page.goto(f"file://{folder}/index.html")
    page.wait_for_url("**/book/index.html")
    page.locator("nav.bd-docs-nav a", has_text="The KV cache").click()
    page.wait_for_url("**/07_kv_cache.html")
    page.wait_for_load_state("networkidle")
    assert page.locator("mjx-container").count()
    assert page.locator(".ebx-total").first.text_content()
    assert problems == []
    context.close()


def test_every_page_of_the_site_is_in_it(released, site):
    packed = released / "site" / NAME
    for path in site.rglob("*.*"):
        name = path.relative_to(site)
        hidden = any(part[0] == "." for part in name.parts)
        if path.is_file() and not hidden and name.parts[0] != "lite":
            assert (packed / name).read_bytes() == path.read_bytes(), name
    assert (packed / "LICENSE-TEXT").exists()


def test_a_notebook_of_the_release_gives_the_published_results(released):
    folder = released / "notebooks" / NAME
    assert (folder / "requirements.txt").exists()
    code = (
        "import llm_memory as lm; print(lm.weights(lm.load_model('LLaMA-13B')).bytes)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = (sys.executable, "-c", code)
    printed = subprocess.check_output(command, cwd=folder / "book", env=environment)
    assert int(printed) == 26_031_728_640  # 13,015,864,320 parameters in bf16
    path = folder / "book" / "01_units.ipynb"
    assert execute.execute(path) == path.read_text(encoding="utf-8")


def test_the_same_files_give_the_same_bytes(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, names in (first, "ab"), (second, "ba"):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(f"text of {name}")
    shutil.copy(first / "a", first / ".hidden")
    os.utime(second / "a", (10**9, 10**9))
    (second / "a").chmod(0o600)
    zips = [
        release.pack(
            tmp_path / f"{folder.name}.zip",
            {path.name: path for path in folder.iterdir()},
            "top",
            date(2026, 1, 2),
        ).read_bytes()
        for folder in (first, second)
    ]
    assert zips[0] == zips[1]
    with ZipFile(tmp_path / "first.zip") as archive:
        assert archive.namelist() == ["top/a", "top/b"]
        assert {entry.date_time[:3] for entry in archive.infolist()} == {(2026, 1, 2)}


def test_the_version_has_one_place():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+) \((\S+)\)$", changes, re.M)
    released = str(CITATION["date-released"])
    assert newest.groups() == (CITATION["version"], released)
    assert re.fullmatch(r"\d+\.\d+\.\d+", CITATION["version"])
