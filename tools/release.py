"""Pack the site, and the notebooks with their library, into two zip files in dist/.

The version and the date are those of CITATION.cff, and nowhere else. The same files
give the same bytes: names are sorted, and every file has the date of the release.
The chapters live in the browser (lite/) need a server and are left out.
"""

import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import yaml

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build" / "html"
ABOUT = ("README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "LICENSE-TEXT")
NOTEBOOKS = ("requirements.txt", "book/*.ipynb", "book/llm_memory/**/*")


def main() -> None:
    """Write both files and say where they are."""
    if not (SITE / "index.html").exists():
        sys.exit("there is no site yet: run `make release` or `make book`")
    for path in release(ROOT / "dist"):
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def release(folder: Path) -> list[Path]:
    """Write every-byte-VERSION-site.zip and -notebooks.zip into `folder`."""
    folder.mkdir(exist_ok=True)
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    name, date = f"every-byte-{about['version']}", about["date-released"]
    text = [ROOT / file for file in ABOUT]
    notebooks = [path for pattern in NOTEBOOKS for path in ROOT.glob(pattern)]
    pages = {path.relative_to(SITE).as_posix(): path for path in SITE.rglob("*")}
    pages = {name: path for name, path in pages.items() if name[:5] != "lite/"}
    sources = {path.relative_to(ROOT).as_posix(): path for path in text + notebooks}
    licences = {path.name: path for path in text if "LICENSE" in path.name}
    packed = {"site": pages | licences, "notebooks": sources}
    return [
        pack(folder / f"{name}-{kind}.zip", files, name, date)
        for kind, files in packed.items()
    ]


def pack(target: Path, files: dict[str, Path], top: str, date) -> Path:
    """Write a zip file of `files`, names to paths, in one folder named `top`."""
    day = (date.year, date.month, date.day, 0, 0, 0)
    with ZipFile(target, "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for name, path in sorted(files.items()):
            if path.is_file() and not is_private(name):
                entry = ZipInfo(f"{top}/{name}", day)
                entry.create_system, entry.external_attr = 3, 0o644 << 16  # Unix
                archive.writestr(entry, path.read_bytes(), ZIP_DEFLATED, 9)
    return target


def is_private(name: str) -> bool:
    """Say whether a file is a cache or a mark of a tool, not part of a release."""
    return any(part[0] == "." or part == "__pycache__" for part in name.split("/"))


if __name__ == "__main__":
    main()
