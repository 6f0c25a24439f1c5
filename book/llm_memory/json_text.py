"""JSON as a config.json must be: each key once, whole numbers exact, nothing deep.

The page "Size your own model" has the same rules, in your_model_text.js.
"""

import json
import re
from itertools import accumulate

from .errors import ConfigError
from .tree import LARGEST_DEPTH, LARGEST_DIGITS

LARGEST_TEXT = 1_000_000
STRING = re.compile(r'"[^"\\]*(?:\\[\s\S][^"\\]*)*"')

MESSAGES = {
    "long": f"must have at most {LARGEST_TEXT} characters",
    "deep": f"is nested deeper than {LARGEST_DEPTH}",
    "digits": f"has more than {LARGEST_DIGITS} digits",
    "constant": "is no JSON number",
    "twice": "is given twice",
    "invalid": "must be valid JSON",
    "bytes": "must be a text in UTF-8",
}


def read_json(text: str, name: str):
    """Return the content of a JSON text.

    Args:
        text: the text.
        name: what to call it in a message.

    Raises:
        ConfigError: not JSON, a key given twice, NaN or Infinity, an integer of more
            than 4000 digits, a nesting deeper than 100, more than a million
            characters.

    >>> read_json('{"vocab_size": 9007199254740993}', "config.json")
    {'vocab_size': 9007199254740993}
    """
    if len(text) > LARGEST_TEXT:
        raise ConfigError(name, len(text), MESSAGES["long"])
    if _depth(text) > LARGEST_DEPTH:
        raise ConfigError(name, text, MESSAGES["deep"])

    def refuse(constant):
        raise ConfigError(name, constant, MESSAGES["constant"])

    def whole(digits):
        if len(digits) > LARGEST_DIGITS:
            raise ConfigError(name, digits, MESSAGES["digits"])
        return int(digits)

    hooks = {"parse_constant": refuse, "parse_int": whole, "object_pairs_hook": _once}
    try:
        return json.loads(text, **hooks)
    except json.JSONDecodeError as error:
        raise ConfigError(name, str(error), MESSAGES["invalid"]) from None


def _depth(text: str) -> int:
    """Return how deep brackets are nested, outside of strings."""
    steps = {"[": 1, "{": 1, "]": -1, "}": -1}
    brackets = (steps.get(character, 0) for character in STRING.sub("", text))
    return max(accumulate(brackets), default=0)


def _once(pairs: list[tuple]) -> dict:
    found: dict = {}
    for key, value in pairs:
        if key in found:
            raise ConfigError(key, value, MESSAGES["twice"])
        found[key] = value
    return found
