"""Pin the newest version of every direct dependency in the requirements*.in files.

What that changes is a difference to read; `make test` and `make measure` say whether it
holds. Reasons stay beside their packages.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

FILES = ("requirements.in", "requirements-measure.in")
BELOW = {"jupyter-book": "<2"}  # 2.x is another tool
PIN = re.compile(r"^([\w.-]+)==(\S+)( *)", re.M)


def main() -> None:
    """Rewrite the pins of both files."""
    for name in FILES:
        path = Path(name)
        text = path.read_text(encoding="utf-8")
        path.write_text(pinned(text, newest(loosened(text))), encoding="utf-8")


def loosened(text: str) -> str:
    """Return the requirements without their pins.

    >>> loosened("jupyter-book==1.0  # builds\\nruff==0.1 # lint")
    'jupyter-book<2  # builds\\nruff # lint'
    """
    return PIN.sub(lambda pin: pin[1] + BELOW.get(pin[1], "") + pin[3], text)


def newest(requirements: str) -> dict[str, str]:
    """Return the versions that pip would install now, by name."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "loose.in"), Path(folder, "loose.txt")
        source.write_text(requirements, encoding="utf-8")
        options = ("--quiet", "--strip-extras", "--allow-unsafe", "-o", target, source)
        compiler = (sys.executable, "-m", "piptools", "compile")
        subprocess.run((*compiler, *options), check=True)
        lines = target.read_text(encoding="utf-8")
    return {pin[1].lower(): pin[2].partition("+")[0] for pin in PIN.finditer(lines)}


def pinned(text: str, versions: dict[str, str]) -> str:
    """Return the text with other versions, and its comments where they were.

    >>> pinned("ruff==0.1    # lint", {"ruff": "0.17.6"})
    'ruff==0.17.6 # lint'
    """

    def pin(found: re.Match) -> str:
        new = f"{found[1]}=={versions[found[1].lower()]}"
        return new.ljust(len(found[0]) - 1) + " " * bool(found[3])

    return PIN.sub(pin, text)


if __name__ == "__main__":
    main()
