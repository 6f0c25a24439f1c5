"""Find a Chromium for the browser tests, or get one; print its path.

In this order: the variable CHROMIUM, an installed Chromium or Chrome, the one that
Playwright downloads for itself, and, as root with apt-get, Debian's package.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def main() -> int:
    """Print the path of a browser; on failure one line that says what to install."""
    for find in (chosen, installed, playwrights, debians):
        if path := find():
            print(path)
            return 0
    print(
        "No browser for the tests: install Chromium or Chrome (Debian: apt-get install "
        "chromium), or give one with CHROMIUM=/path/to/chromium.",
        file=sys.stderr,
    )
    return 1


def chosen() -> str | None:
    """Return the browser that CHROMIUM names, which must exist."""
    path = os.environ.get("CHROMIUM")
    if path and not shutil.which(path):
        sys.exit(f"CHROMIUM={path} is not a program.")
    return path and shutil.which(path)


def installed() -> str | None:
    """Return a Chromium or Chrome of this machine."""
    return next(filter(None, map(shutil.which, (*NAMES, MAC))), None)


def playwrights() -> str | None:
    """Return Playwright's own Chromium, downloading it if need be."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    if not Path(path).exists():
        run(sys.executable, "-m", "playwright", "install", "chromium")
    return path if Path(path).exists() else None


def debians() -> str | None:
    """Install Debian's chromium, where that is possible without asking."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return None
    run("apt-get", "update")
    run("apt-get", "install", "--yes", "--no-install-recommends", "chromium")
    return installed()


def run(*command: str) -> None:
    """Run a command whose failure only means: try the next way."""
    print("trying:", " ".join(command), file=sys.stderr)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    silent = subprocess.DEVNULL
    subprocess.run(command, env=environment, stdout=silent, stderr=silent)


if __name__ == "__main__":
    sys.exit(main())
