"""`glue` without the rest of myst_nb, which needs Sphinx."""

from IPython import get_ipython
from IPython.display import display as show

HIDDEN = "application/papermill.record/"


def glue(name: str, variable, display: bool = True) -> None:
    """Show a value, or record it unseen; only the book puts it into a sentence."""
    shown, about = get_ipython().display_formatter.format(variable)
    prefix = "" if display else HIDDEN
    record = {prefix + kind: data for kind, data in shown.items()}
    about["scrapbook"] = {"name": name, "mime_prefix": prefix}
    show(record, raw=True, metadata=about)
