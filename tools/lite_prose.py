"""A chapter's Markdown for a plain notebook: no directive or role stays as source.

The book's pages are made by Sphinx; JupyterLab shows Markdown and equations only. So
values and equations come from the committed outputs, and the rest becomes plain text.
"""

import re

HIDDEN = "application/papermill.record/"
FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\}[ ]*(?P<title>.*)\n"
    r"(?P<options>(?::[\w-]+:.*\n)*)(?P<body>(?s:.*?))^(?P=fence)[ ]*$",
    re.M,
)
ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
LABEL = re.compile(r"^\([\w-]+\)=\n", re.M)
EMPTY_LINK = re.compile(r"\[\]\(([\w-]+)\)")


def plain(source: str, values: dict[str, dict]) -> str:
    """Return Markdown without directives and roles.

    >>> plain("{glue:text}`n` bytes {cite}`A1`", {"n": {"text/plain": "'12'"}})
    '12 bytes [A1]'
    """
    source = LABEL.sub("", source)
    source = FENCE.sub(lambda match: directive(match, values), source)
    source = ROLE.sub(lambda match: role(*match.groups(), values), source)
    return EMPTY_LINK.sub(r"*\1*", source).strip("\n")


def directive(match: re.Match, values: dict) -> str:
    """Return what stands in the place of a directive."""
    name, title, body = match["name"], match["title"], match["body"].strip("\n")
    if name == "glue:math":
        label = re.search(r":label: (?:eq-)?(.+)", match["options"])
        tag = rf"\tag{{{label[1]}}}" if label else ""
        return f"$${latex(values[title])} {tag}$$"
    if name == "solution-start":
        return "**Solution**"
    if name == "solution-end":
        return ""
    body = plain(body, values)
    if name == "dropdown":
        return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"
    kind = name.rpartition(":")[2].capitalize()
    return f"**{kind}{': ' if title else ''}{title}**\n\n{body}"


def role(name: str, text: str, values: dict) -> str:
    """Return what stands in the place of a role."""
    if name.startswith("glue"):
        return values[text.partition(":")[0]]["text/plain"].strip("'")
    if name.startswith("cite"):
        return f"[{text}]"
    words = text.partition(" <")[0]
    return f"({words.removeprefix('eq-')})" if name == "eq" else words


def latex(value: dict) -> str:
    """Return the equation of a glued value, without its dollars."""
    return value["text/latex"].strip("$").removeprefix(r"\displaystyle").strip()


def glued(notebook: dict) -> dict[str, dict]:
    """Return name -> the kinds of text of every value that the notebook glues."""
    values = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if about := output.get("metadata", {}).get("scrapbook"):
                data = output["data"].items()
                values[about["name"]] = {
                    kind.removeprefix(HIDDEN): "".join(text) for kind, text in data
                }
    return values
