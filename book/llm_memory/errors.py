"""The one error that every reader of a config, an argument or a size can raise."""


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


def _short(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
