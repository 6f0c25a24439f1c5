"""Lets a chapter run in Colab: `glue` without Sphinx, and widgets of others."""

import sys
from pathlib import Path

sys.path += [str(Path.cwd()), str(Path(__file__).parent / "in_browser")]
try:
    from google.colab import output
except ImportError:
    pass
else:
    output.enable_custom_widget_manager()
