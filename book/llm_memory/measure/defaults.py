"""What the pinned framework's config classes fill in for an absent field."""

import transformers

from .. import fields


def measure() -> dict:
    """Return per model_type the class's own values of the fields in the table.

    A field that the class does not have is left out.
    """
    result = {}
    for model_type in fields.table()["families"]:
        entry = fields.family(model_type)
        own = _class_values(getattr(transformers, entry["class"]))
        result[model_type] = {
            name: own[name]
            for field, facts in entry["fields"].items()
            for name in (field, *facts.get("aliases", ()))
            if name in own
        } | _shares(entry)
    return result


def _shares(entry) -> dict:
    """Return what a config without fields turns of its heads, if not all."""
    names = [n for n, each in entry["fields"].items() if each["kind"] == "share"]
    if not names:
        return {}
    rope = getattr(transformers, entry["class"])().rope_parameters
    return {name: rope[name] for name in names}


def _class_values(config_class) -> dict:
    """Return the annotated defaults of a config class, its parents' last."""
    values = {}
    for parent in reversed(config_class.__mro__):
        for name in getattr(parent, "__annotations__", {}):
            if name in vars(parent):
                values[name] = vars(parent)[name]
    return values
