"""Build the site, as `jupyter-book build . -n -W --keep-going` does, faster.

jsonschema imports rfc3987_syntax for formats that no file here has, and that import
compiles 38 grammars: more than a second of every build. Looking for garbage among
millions of nodes would take a fifth of the time, and the memory is there; to free them
one by one at the end, a tenth.
"""

import gc
import os
import shutil
import sys

gc.disable()
sys.modules["rfc3987_syntax"] = None  # jsonschema goes on without it

from jupyter_book.cli.main import main  # noqa: E402

OPTIONS = "--path-output . --quiet --nitpick --warningiserror --keep-going"

if __name__ == "__main__":
    try:
        main(["build", ".", *OPTIONS.split()])
    except SystemExit as end:
        if end.code:  # pages once read are not read again: the warning would be gone
            shutil.rmtree("_build/.doctrees", ignore_errors=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(bool(end.code))
