"""Stop with one clear line if this Python is too old or has no venv.

Written for any Python, so that the message appears instead of a syntax error.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    version = ".".join(str(part) for part in sys.version_info[:2])
    sys.exit(
        "Every Byte needs Python 3.11 or newer; " + sys.executable + " is " + version
        + ". Choose another: make PYTHON=/path/to/python3.11"
    )  # fmt: skip
try:
    import ensurepip  # noqa: F401
except ImportError:
    sys.exit("Python's venv is missing; on Debian: apt-get install python3-venv")
