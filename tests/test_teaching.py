"""The teaching guide adds up, quotes claims that exist, and its example is true."""

import contextlib
import io
import re

from conftest import ROOT

from llm_memory import claims

TEXT = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")


def minutes(heading: str) -> int:
    part = TEXT.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    return sum(int(each) for each in re.findall(r"^\| (\d+) \|", part, re.M))


def test_the_minutes_of_a_path_add_up():
    assert minutes("A talk of 60 minutes") == 60
    assert minutes("Half a day") == 4 * 60


def test_the_quoted_claims_exist():
    quoted = re.findall(r"\[(S\d[\w.-]*)\]", TEXT)
    assert quoted and set(quoted) <= claims.load().keys()


def test_the_example_prints_what_the_page_says():
    (source,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(source, {})
    assert f"*{printed.getvalue().strip()}*" in TEXT
