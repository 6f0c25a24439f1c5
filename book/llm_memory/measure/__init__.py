"""The only room that imports torch: what the framework really allocates.

`python -m llm_memory.measure` measures again and compares with `data/measured/`;
`--write` records. Nothing else of the library imports this package.
"""

import os

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler does not log its runs
