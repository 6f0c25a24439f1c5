"""Claims that a page quotes by id, such as [S4.3-229MB], lead to their verdicts."""

import re

from docutils import nodes

PAGE = "book/article"
CLAIM = re.compile(r"\[(S\d[\w.-]*)\]")
LEFT_ALONE = (nodes.literal, nodes.literal_block, nodes.reference, nodes.title)


def link_claims(app, doctree):
    """Link each quoted claim of a page beside the list of all claims."""
    if PAGE not in app.env.found_docs or not app.env.docname.startswith("book/"):
        return
    for text in list(doctree.findall(nodes.Text)):
        inside = text.parent
        while inside is not None and not isinstance(inside, LEFT_ALONE):
            inside = inside.parent
        pieces = CLAIM.split(text)
        if inside is None and len(pieces) > 1:
            text.parent.replace(text, [_piece(*each) for each in enumerate(pieces)])


def _piece(index: int, text: str) -> nodes.Node:
    """Return what stands between claims, or at odd places a claim as a link."""
    if index % 2 == 0:
        return nodes.Text(text)
    address = f"{PAGE.rpartition('/')[2]}.html#{text}"
    return nodes.reference("", f"[{text}]", refuri=address, internal=True)
