"""What the search of the site reads and how it ranks, beyond Sphinx's own."""

import re

from sphinx.search.en import SearchEnglish


class Words(SearchEnglish):
    """English, with a symbol of an equation also as a reader types it: c_kv."""

    def split(self, input: str) -> list[str]:
        """Return the words of a text, "c_kv" and its LaTeX alike."""
        plain = re.sub(r"_\{(\w+)\}", r"_\1", input)
        return super().split(input) + (super().split(plain) if plain != input else [])
