"""Remake each requirements*.txt from its .in file.

torch is written without its build's local version (2.13.0, not 2.13.0+cpu), and without
the CUDA packages that only some builds need.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

OPTIONS = (
    "--quiet", "--strip-extras", "--allow-unsafe",
    "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host",
)  # fmt: skip


def main() -> None:
    """Write the locks."""
    lock("requirements.in", "requirements.txt")
    lock("requirements-lite.in", "requirements-lite.txt")
    lock("requirements-classroom.in", "requirements-classroom.txt")
    lock("requirements-measure.in", "requirements-measure.txt")
    path = Path("requirements-measure.txt")
    text = re.sub(r"^(torch==[\d.]+)\+\w+", r"\1", path.read_text(), flags=re.M)
    about = Path("requirements-measure.in").read_text().partition("\n\n")[0]
    path.write_text(f"{about}\n{text}")


def lock(source: str, target: str) -> None:
    """Resolve `source` into exact versions."""
    environment = os.environ | {"CUSTOM_COMPILE_COMMAND": "make lock"}
    compiler = (sys.executable, "-m", "piptools", "compile")
    subprocess.run(
        (*compiler, *OPTIONS, "-o", target, source), env=environment, check=True
    )


if __name__ == "__main__":
    main()
