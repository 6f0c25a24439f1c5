"""A config's fields, read by the table in data/fields.json and checked.

The table says for each `model_type` which fields there are, their other names, their
defaults in the pinned transformers and the rules between them. Pydantic models are
made from it; nothing about a field is written in Python.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from .errors import ConfigError, choose
from .expression import evaluate_tree

DATA = Path(__file__).parent / "data"
MESSAGES = {
    "object": "must be a JSON object",
    "missing": "is missing, and a size has no default",
    "implied": "is implied by {tree}, which is not whole: {value}",
    "contradicts": "contradicts {name} = {value}",
    "unknown": "is not a field of {model_type} and could change memory",
    "architectures": "must be a list of names, or null",
    "architecture": "must be a causal language model",
    "parameters": "has parameters of its own in each layer, which are not derived",
}
LARGEST_SIZE = 2**63 - 1  # PyTorch holds a size in a signed 64-bit integer
CAUSAL = ("ForCausalLM", "LMHeadModel")
ATTENTION_TYPES = ("full_attention", "sliding_attention")
HYBRID_TYPES = ("full_attention", "linear_attention")


@cache
def table() -> dict:
    """Return data/fields.json."""
    return json.loads((DATA / "fields.json").read_text(encoding="utf-8"))


def family(model_type: str) -> Mapping:
    """Return one family's entry, its groups of fields joined into `fields`.

    Raises:
        ConfigError: no such `model_type`; the message lists those that there are.

    >>> family("qwen3")["fields"]["head_dim"]["default"]
    128
    """
    choose("model_type", model_type, table()["families"])
    return _family(model_type)


@cache
def _family(model_type: str) -> Mapping:
    own = table()["families"][model_type]
    entry = table()["families"].get(own.get("like"), {}) | own
    for name in ("like", "source"):
        entry.pop(name, None)
    fields: dict = {}
    for group in entry["groups"]:
        fields |= table()["groups"][group]
    return MappingProxyType({**entry, "fields": fields | entry.get("fields", {})})


def read(config: Mapping) -> tuple[dict, dict]:
    """Return the value of every field of a config, and those that were filled in.

    Args:
        config: the content of a Hugging Face config.json.

    Returns:
        `(values, assumed)`: field name → value, all fields of the family; and the
        part of it that the config left out, as transformers fills it in.

    Raises:
        ConfigError: naming field, value and rule.

    >>> values, assumed = read({"model_type": "gpt2", "vocab_size": 9, "n_embd": 8,
    ...                         "n_layer": 1, "n_head": 2, "n_positions": 4})
    >>> values["n_inner"], assumed["n_inner"]
    (32, 32)
    """
    if not isinstance(config, Mapping):
        raise ConfigError("config", config, MESSAGES["object"])
    entry = family(config.get("model_type"))
    given = _without_aliases(config, entry)
    _refuse_unknown(given, entry)
    values, assumed = {}, {}
    for name, field in entry["fields"].items():
        if name in given:
            values[name] = given[name]
        elif "default" in field:
            values[name] = assumed[name] = field["default"]
        else:
            raise ConfigError(name, None, MESSAGES["missing"])
    _check_kinds(config["model_type"], entry, values)
    for name, field in entry["fields"].items():
        if values[name] is None and "if_null" in field:
            values[name] = implied(name, field["if_null"], values)
            if name in assumed:
                assumed[name] = values[name]
    _check_rules(entry, values)
    return values, {name: each for name, each in assumed.items() if each is not None}


def check_derived(model_type: str, reading: str, what: str) -> None:
    """Refuse a family whose entry does not say that a reading of its tape is derived.

    Args:
        model_type: of the family.
        reading: the entry's key, "activations" or "inference".
        what: the reading in words.

    Raises:
        ConfigError: naming the families that have it.

    >>> check_derived("qwen3", "inference", "its peak is")
    """
    if not family(model_type).get(reading):
        known = [each for each in table()["families"] if family(each).get(reading)]
        rule = f"{what} not derived yet; there are: {', '.join(known)}"
        raise ConfigError("model_type", model_type, rule)


def implied(name: str, tree, values: Mapping) -> int:
    """Return the size that other fields imply, if it is a whole number.

    >>> implied("head_dim", ["/", "width", "heads"], {"width": 8, "heads": 2})
    4
    """
    value = evaluate_tree(tree, {k: v for k, v in values.items() if v is not None})
    if not isinstance(value, int):
        rule = MESSAGES["implied"].format(tree=tree, value=value)
        raise ConfigError(name, None, rule)
    return value


def _without_aliases(config: Mapping, entry: Mapping) -> dict:
    given = dict(config)
    for name, field in entry["fields"].items():
        for alias in field.get("aliases", ()):
            outer, _, inner = alias.rpartition(".")
            place = given.get(outer) if outer else given
            if not isinstance(place, Mapping) or inner not in place:
                continue
            value = place[inner] if outer else given.pop(alias)
            if given.setdefault(name, value) != value:
                known = {"name": name, "value": repr(given[name])}
                raise ConfigError(alias, value, MESSAGES["contradicts"].format(**known))
    return given


def _refuse_unknown(given: Mapping, entry: Mapping) -> None:
    unknown = table()["unknown"]
    known = {*entry["fields"], *entry.get("ignored", ()), *unknown["ignored"]}
    for name, value in given.items():
        words = set(str(name).lower().split("_"))
        suspicious = words & set(unknown["can change memory"])
        harmless = words & set(unknown["harmless words"])
        off = any(
            value == each and type(value) is type(each) for each in unknown["off"]
        )
        if name not in known and suspicious and not harmless and not off:
            rule = MESSAGES["unknown"].format(model_type=given["model_type"])
            raise ConfigError(str(name), value, rule)
    architectures = given.get("architectures")
    if not isinstance(architectures, list | tuple | None):
        raise ConfigError("architectures", architectures, MESSAGES["architectures"])
    for name in architectures or ():
        if not isinstance(name, str) or not name.endswith(CAUSAL):
            raise ConfigError("architectures", name, MESSAGES["architecture"])


def _check_kinds(model_type: str, entry: Mapping, values: Mapping) -> None:
    from pydantic import ValidationError

    try:
        _schema(model_type)(**{_python_name(name): v for name, v in values.items()})
    except ValidationError as error:
        wrong = error.errors()[0]["loc"][0]
        name = next(each for each in values if _python_name(each) == wrong)
        rule = _rule(entry["fields"][name])
        raise ConfigError(name, values[name], rule) from None


@cache
def _schema(model_type: str):
    """Make the Pydantic model of a family from the table."""
    from pydantic import create_model

    fields = family(model_type)["fields"]
    return create_model(
        model_type,
        **{_python_name(name): _type(field) for name, field in fields.items()},
    )


def _python_name(name: str) -> str:
    return f"field_{name}"  # Pydantic takes no name that starts with an underscore


def _type(field: Mapping):
    from typing import Annotated, Literal

    from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

    low = field.get("minimum", 1)
    size = Annotated[StrictInt, Field(ge=low, le=LARGEST_SIZE)]
    index = Annotated[StrictInt, Field(ge=0)]
    kinds = {
        "size": size,
        "flag": StrictBool,
        "number": Annotated[StrictFloat | StrictInt, Field(ge=0, le=1)],
        "share": Annotated[StrictFloat | StrictInt, Field(gt=0, le=1)],
        "positive": Annotated[StrictFloat | StrictInt, Field(gt=0)],
        "text": StrictStr,
        "choice": Literal[tuple(field.get("choices", ("",)))],
        "object": dict,
        "layers": list[Literal[ATTENTION_TYPES]],
        "hybrid layers": list[Literal[HYBRID_TYPES]],
        "indices": list[index],
    }
    kind = kinds[field["kind"]]
    return (kind | None, ...) if _nullable(field) else (kind, ...)


def _nullable(field: Mapping) -> bool:
    may_be_absent = "default" in field and field["default"] is None
    return field.get("nullable", False) or may_be_absent or "if_null" in field


def _rule(field: Mapping) -> str:
    low = field.get("minimum", 1)
    rules = {
        "size": f"must be an integer from {low} to 2^63 - 1",
        "flag": "must be true or false",
        "number": "must be a number from 0 to 1",
        "share": "must be a number above 0, at most 1",
        "positive": "must be a number above 0",
        "text": "must be a string",
        "choice": f"must be {' or '.join(map(repr, field.get('choices', ())))}",
        "object": "must be an object",
        "layers": f"must be a list of {' and '.join(map(repr, ATTENTION_TYPES))}",
        "hybrid layers": f"must be a list of {' and '.join(map(repr, HYBRID_TYPES))}",
        "indices": "must be a list of integers >= 0",
    }
    return rules[field["kind"]] + (", or null" if _nullable(field) else "")


def numbers(entry: Mapping, values: Mapping) -> dict[str, int]:
    """Return what trees know a config's fields as: integers and flags.

    A share stands for how many elements of its size it is, rounded down, as the
    framework computes it; a choice for its place among the choices.

    >>> entry = {"fields": {"part": {"kind": "share", "of": "width"}}}
    >>> numbers(entry, {"width": 10, "part": 0.7})
    {'width': 10, 'part': 7}
    """
    found = {name: value for name, value in values.items() if isinstance(value, int)}
    for name, field in entry["fields"].items():
        if field["kind"] == "share":
            found[name] = int(values[field["of"]] * values[name])
        if field["kind"] == "choice":
            found[name] = field["choices"].index(values[name])
    return found


def _check_rules(entry: Mapping, values: Mapping) -> None:
    function = entry.get("activation", "hidden_act")
    if values[function] in table()["functions with parameters"]:
        raise ConfigError(function, values[function], MESSAGES["parameters"])
    known = numbers(entry, values)
    for each in entry["rules"]:
        rule = table()["rules"][each] if isinstance(each, str) else each
        if not evaluate_tree(rule["rule"], known):
            raise ConfigError(rule["field"], values[rule["field"]], rule["says"])
