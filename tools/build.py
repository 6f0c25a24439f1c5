"""Build the site, as `jupyter-book build . -n -W --keep-going` does, faster.

jsonschema imports rfc3987_syntax for formats that no file here has, and that import
compiles 38 grammars: more than a second of every build.
"""

import sys

sys.modules["rfc3987_syntax"] = None  # jsonschema goes on without it

from jupyter_book.cli.main import main  # noqa: E402

if __name__ == "__main__":
    options = "--path-output . --quiet --nitpick --warningiserror --keep-going"
    main(["build", ".", *options.split()])
