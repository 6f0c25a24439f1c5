"""Glossary terms: linked where a page uses them first, and listed in the index.

The glossary is their only list: a term is a line of its directive that starts at the
margin. "head, output" is read as "output head", and "head" alone then has two meanings
and is not linked. Code, headings, links, equations, tables, cards, outputs and folded
boxes are left as they are.
"""

import re

from docutils import nodes
from sphinx import addnodes

GLOSSARY = "book/glossary"
LEFT_ALONE = (
    nodes.title, nodes.subtitle, nodes.reference, nodes.literal, nodes.math,
    nodes.caption, nodes.table, nodes.system_message, addnodes.pending_xref,
    addnodes.desc,
)  # fmt: skip
LEFT_ALONE_CLASSES = {"dropdown", "cell"}


def link_terms(app, doctree):
    """Link the first use of each term, and enter it in the index."""
    page = app.env.docname
    source = app.env.doc2path(GLOSSARY)
    if page == GLOSSARY or GLOSSARY not in app.env.found_docs:
        return
    app.env.note_dependency(source)  # a new term is linked on every page
    with open(source, encoding="utf-8") as file:
        spellings = terms_of(file.read())
    entries = app.env.domaindata["index"]["entries"].setdefault(page, [])
    for term, place in link(doctree, page, spellings):
        title = app.env.titles[page].astext().replace(";", ",")
        entries.append(("single", f"{term}; {title}", place, "", None))


def list_index(app, doctree):
    """Put the index, which no file stands for, at the end of the contents."""
    if app.env.docname == app.config.root_doc:
        for toctree in list(doctree.findall(addnodes.toctree))[-1:]:
            toctree["entries"].append(("Index", "genindex"))


def terms_of(glossary: str) -> dict[str, str]:
    """Return each way to write a term, and the term.

    >>> terms_of("```{glossary}\\nhead\\n\\nhead, output\\n  A matrix.\\n```")
    {'output head': 'head, output'}
    """
    block = re.search(r"^```\{glossary\}\n(.*?)^```", glossary, re.M | re.S)[1]
    terms = re.findall(r"^\S.*$", block, re.M)
    parts = [term.partition(", ") for term in terms]
    shared = {noun for noun, comma, _ in parts if comma}  # says too little alone
    return {
        f"{qualifier} {noun}" if comma else noun: noun + comma + qualifier
        for noun, comma, qualifier in parts
        if comma or noun not in shared
    }


def link(doctree, page: str, spellings: dict[str, str]):
    """Link first uses in place; yield each term with the id of its link."""
    pattern, used = pattern_of(spellings), set()
    for text in list(doctree.findall(nodes.Text)):
        if not is_prose(text):
            continue
        pieces, end = [], 0
        for match in pattern.finditer(text):
            term = spellings[spelling(match[1], spellings)]
            if term not in used:
                used.add(term)
                place = "term-" + nodes.make_id(term)
                pieces += [nodes.Text(text[end : match.start()])]
                pieces += [link_node(match[0], term, page, place)]
                end = match.end()
                yield term, place
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(text[end:])])


def pattern_of(spellings) -> re.Pattern:
    """Match every spelling, longest first, also capitalised or with a plural s."""
    words = sorted(spellings, key=len, reverse=True)
    each = "|".join(f"(?i:{word[0]}){re.escape(word[1:])}" for word in words)
    return re.compile(rf"(?<![\w-])({each})s?(?![\w-])")


def spelling(found: str, spellings) -> str:
    """Return `found` as the glossary writes it, whose first letter may differ."""
    return next(s for s in (found, found[0].swapcase() + found[1:]) if s in spellings)


def is_prose(text) -> bool:
    """Say whether the text stands in a paragraph where links are welcome."""
    in_paragraph, node = False, text.parent
    while node is not None:
        if isinstance(node, LEFT_ALONE) or "design_component" in node:
            return False
        if LEFT_ALONE_CLASSES.intersection(node["classes"]):
            return False
        in_paragraph |= isinstance(node, nodes.paragraph)
        node = node.parent
    return in_paragraph


def link_node(words: str, term: str, page: str, place: str):
    """Return a reference to the glossary, which Sphinx resolves."""
    shown = nodes.inline(words, words, classes=["xref", "std", "std-term"])
    options = {"reftype": "term", "reftarget": term, "refexplicit": True}
    link = addnodes.pending_xref(
        words, shown, refdomain="std", refdoc=page, refwarn=True, **options
    )
    return nodes.inline(words, "", link, ids=[place])
