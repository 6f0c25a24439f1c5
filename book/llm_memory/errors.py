"""The one error that every reader of a config, an argument or a size can raise."""

from numbers import Real


class ConfigError(ValueError):
    """An input that is not understood: names the field, its value and the rule.

    Args:
        field: the config field, argument or symbol that is wrong.
        value: what was found there.
        rule: what would have been right, as a full clause.

    >>> raise ConfigError("num_hidden_layers", 0, "must be an integer >= 1")
    Traceback (most recent call last):
    llm_memory.errors.ConfigError: num_hidden_layers = 0: must be an integer >= 1
    """

    def __init__(self, field: str, value: object, rule: str):
        self.field, self.value, self.rule = field, value, rule
        super().__init__(f"{field} = {_short(value)}: {rule}")


def choose(field: str, value: object, options):
    """Return `options[value]`, or raise a `ConfigError` that lists the options.

    >>> choose("layout", "latent", {"latent": 1, "expanded": 2})
    1
    """
    if not isinstance(value, str) or value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ConfigError(field, value, f"must be one of {listed}")
    return options[value]


def check_flag(field: str, value: object) -> bool:
    """Return a value that is True or False, or raise a `ConfigError`.

    >>> check_flag("mtp", True)
    True
    """
    if not isinstance(value, bool):
        raise ConfigError(field, value, "must be True or False")
    return value


def check_positive(field: str, value: object):
    """Return a number above 0, an infinite one included, or raise a `ConfigError`.

    >>> check_positive("latency", 0.05)
    0.05
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not value > 0:
        raise ConfigError(field, value, "must be a number above 0")
    return value


def _short(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
