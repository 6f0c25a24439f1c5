"""Stop with one clear line if this Python is too old or has no venv.

Written for any Python, so that the message appears instead of a syntax error.
"""

import sys

if sys.version_info < (3, 11):
    version = "%d.%d" % sys.version_info[:2]  # noqa: UP031
    sys.exit(
        "Every Byte needs Python 3.11 or newer; this is %s (%s). "  # noqa: UP031
        "Choose another with: make PYTHON=/path/to/python3.11" % (version, sys.executable)
    )
try:
    import ensurepip  # noqa: F401
except ImportError:
    sys.exit("Python's venv is missing; on Debian: apt-get install python3-venv")
