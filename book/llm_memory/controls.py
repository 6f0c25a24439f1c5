"""The controls of an explorer: what may be chosen, and how it is called."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from fractions import Fraction

from .errors import ConfigError
from .hardware import load_hardware
from .symbols import TABLE
from .tree import LARGEST_PLAIN


@dataclass(frozen=True)
class Ratio:
    """What an explorer of a ratio is called, and what a reader is told.

    Attributes:
        unit, caption: of the numbers, of their table.
        budget: what the line in the bar is.
        fits, over: said below and above the line; {} is the smaller as % of the larger.
        largest, any: the largest value of a slider below the line; there is no largest.
        column: head of the largest values in the plain table.
        limit: an accelerator's value.
    """

    unit: str
    caption: str
    budget: str
    fits: str
    over: str
    largest: str
    any: str
    column: str
    limit: Callable

    @property
    def spec(self) -> dict:
        names = ("unit", "caption", "budget", "fits", "over", "largest", "any")
        return {name: getattr(self, name) for name in names}


RATIOS = {
    "FLOPs per byte": Ratio(
        "FLOPs per byte",
        "FLOPs per byte moved, by part",
        "the accelerator balances at",
        "Bound by memory: computing takes {} % of the time that the bytes take.",
        "Bound by compute: the bytes take {} % of the time that computing takes.",
        "Largest batch that memory binds, with these settings: {}",
        "No batch is bound by compute with these settings: memory binds all of them.",
        "largest batch that memory binds",
        lambda card: Fraction(card.flops, card.bandwidth),
    )
}
LABELS = {
    "model": "Model",
    "dtype": "Data type",
    "quantization": "Quantization",
    "layout": "Layout of the cache",
    "tp": "Tensor-parallel ranks",
    "budget": "Accelerator",
}
POWER_OF_TWO = "power of two"


@dataclass(frozen=True)
class Select:
    """A control with listed options; it starts at the first."""

    name: str
    label: str
    options: tuple

    @property
    def start(self):
        return self.options[0]

    def check(self, value):
        """Return `value` if it is an option, or raise a `ConfigError`."""
        for option in self.options:
            if type(option) is type(value) and option == value:
                return option
        listed = ", ".join(map(repr, self.options))
        raise ConfigError(self.name, value, f"must be one of {listed}")

    @property
    def spec(self) -> dict:
        return {"name": self.name, "label": self.label, "options": self.options}


@dataclass(frozen=True)
class Slider:
    """A control for a size: any integer from `minimum` to `maximum`.

    `step` is how far a slider moves at once: an integer, or "power of two".
    """

    name: str
    minimum: int
    maximum: int
    start: int
    step: int | str

    @property
    def label(self) -> str:
        size = TABLE[self.name]
        return f"{self.name}, {size.meaning}"

    def check(self, value) -> int:
        """Return `value` as an int if it is in range, or raise a `ConfigError`."""
        is_integer = hasattr(value, "__index__") and not isinstance(value, bool)
        if not is_integer or not self.minimum <= int(value) <= self.maximum:
            rule = f"must be an integer from {self.minimum:,} to {self.maximum:,}"
            raise ConfigError(self.name, value, rule)
        return int(value)

    @property
    def spec(self) -> dict:
        return {
            "name": self.name,
            "label": self.label,
            "unit": TABLE[self.name].unit,
            "min": self.minimum,
            "max": self.maximum,
            "start": self.start,
            "step": self.step,
        }


class Values(MutableMapping):
    """The values of an explorer's controls; setting one checks it."""

    def __init__(self, explorer):
        self._explorer = explorer

    def __getitem__(self, name: str):
        return getattr(self._explorer, self._explorer.control(name).name)

    def __setitem__(self, name: str, value):
        setattr(self._explorer, self._explorer.control(name).name, value)

    def __delitem__(self, name: str):
        raise ConfigError("control", name, "cannot be removed")

    def __iter__(self):
        return iter(self._explorer.controls)

    def __len__(self) -> int:
        return len(self._explorer.controls)

    def __repr__(self) -> str:
        return repr(dict(self))


def make_select(name: str, options: Iterable, labels: Mapping | None = None) -> Select:
    """Return a select with a label from `labels`, the book, or its own name."""
    options = tuple(options)
    if not options or len({str(option) for option in options}) < len(options):
        raise ConfigError(name, options, "must hold options, each once")
    known = f"{name}, {TABLE[name].meaning}" if name in TABLE else name
    label = (LABELS | dict(labels or {})).get(name, known)
    return Select(name, label, options)


def make_slider(name: str, ranged: tuple) -> Slider:
    """Return a slider of (minimum, maximum, start, step), checked."""
    if name not in TABLE:
        raise ConfigError("slider", name, "must be a symbol of the book")
    minimum, maximum, start, step = ranged
    lowest = TABLE[name].minimum
    if not lowest <= minimum <= start <= maximum <= LARGEST_PLAIN:
        raise ConfigError(
            name, ranged, f"must be {lowest} <= minimum <= start <= maximum"
        )
    if step != POWER_OF_TWO and not (type(step) is int and step > 0):
        raise ConfigError(
            name, step, f"the step must be an integer or {POWER_OF_TWO!r}"
        )
    return Slider(name, minimum, maximum, start, step)


def make_budgets(
    budgets: "Mapping[str, int] | Iterable[str]", ratio: Ratio | None = None
) -> dict[str, int | Fraction]:
    """Return name -> budget; accelerators by what their driver reports, or a ratio."""
    if isinstance(budgets, Mapping):
        return dict(budgets)
    limit = ratio.limit if ratio else lambda card: card.bytes
    return {name: limit(load_hardware(name)) for name in budgets}


def make_trait(control: Select | Slider):
    """Return a trait that takes what the control takes."""
    from traitlets import TraitType

    class Control(TraitType):
        def validate(self, owner, value):
            return control.check(value)

    return Control(default_value=control.start)
