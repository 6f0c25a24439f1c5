"""Every parameter that the framework makes for a config."""

from . import cases, framework


def measure() -> dict:
    """Return for each case its config and its parameters, alike ones counted."""
    return {
        name: {
            "config": config,
            "rows": framework.grouped(framework.build(config).named_parameters()),
        }
        for name, config in cases.configs().items()
    }
