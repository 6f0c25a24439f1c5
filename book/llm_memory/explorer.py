"""The explorer: a ledger that readers move.

In a page without Python explorer.js shows what explorer_page.py wrote. In a live kernel
the same script is the view of an anywidget, and the controls are traits.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path

from .controls import RATIOS, Values, make_budgets, make_select, make_slider, make_trait
from .errors import ConfigError, choose
from .explorer_page import describe, html, make_spec
from .expression import evaluate_tree, to_tree
from .ledger import Ledger, largest_fitting

HERE = Path(__file__).parent
SCRIPTS = ("exact.js", "explorer.js")
SLUG = re.compile(r"[a-z][a-z0-9-]*")
VIEW = "application/vnd.jupyter.widget-view+json"


class Explorer:
    """Controls, and the ledger that they choose.

    In a live kernel every control is a trait: `explorer.t = 8192`,
    `explorer.values["t"] = 8192` and `explorer.observe(callback, names="t")` work, and
    `ipywidgets.link((slider, "value"), (explorer, "t"))` does too.

    Args:
        id: lower-case letters, digits and hyphens; its settings in the page's address
            begin with it.
        title: what is shown above it.
        cases: gives the ledger of a selection: a function called with the name of each
            select as keyword, or a mapping from a tuple of their values. A
            `ConfigError` that the function raises is shown to the reader as it is.
        selects: name -> options, the first being the start.
        sliders: name of a size -> (minimum, maximum, start, step); the step is an
            integer or "power of two".
        budgets: names of accelerators, or name -> bytes, to compare the total with.
        largest: a slider's name; the explorer tells its largest value that fits.
        table: the select and the options of the plain table; the first five options of
            the first select if not given.
        labels: name -> label, for selects that the book has no label for.
        ratio: what the cases are, if not ledgers: "FLOPs per byte" of a roofline's
            `Intensity`. An accelerator's budget is then its own ratio.

    Raises:
        ConfigError: a name that cannot be used, an empty list of options, a range that
            is none, a budget that is no accelerator, a ledger with a symbol that no
            slider sets.

    >>> from llm_memory import kv_cache, load_model
    >>> explorer = Explorer(
    ...     "cache", "KV cache", lambda model: kv_cache(load_model(model)),
    ...     selects={"model": ["Qwen3-0.6B", "LLaMA-13B"]},
    ...     sliders={"b": (1, 64, 1, 1), "t": (1, 2**20, 2048, "power of two")},
    ...     budgets=["RTX 4090"], largest="b")
    >>> explorer.values["t"] = 8192
    >>> explorer.total, explorer.fits, explorer.largest
    (939524096, True, 27)
    """

    def __new__(cls, *arguments, **options):
        live = _with_traits(cls)
        return super(Explorer, live).__new__(live)

    def __init__(
        self,
        id: str,
        title: str,
        cases: "Callable[..., Ledger] | Mapping[tuple, Ledger]",
        selects: Mapping[str, Iterable] | None = None,
        sliders: Mapping[str, tuple] | None = None,
        budgets: "Mapping[str, int] | Iterable[str]" = (),
        largest: str | None = None,
        table: tuple[str, Iterable] | None = None,
        labels: Mapping[str, str] | None = None,
        ratio: str | None = None,
    ):
        super().__init__()
        self.id, self.title, self._cases, self._ledgers = id, title, cases, {}
        if not SLUG.fullmatch(id):
            raise ConfigError("id", id, "must be lower-case letters, digits, hyphens")
        self.selects = tuple(
            make_select(*item, labels) for item in (selects or {}).items()
        )
        self.sliders = tuple(make_slider(*item) for item in (sliders or {}).items())
        self.ratio = choose("ratio", ratio, RATIOS) if ratio else None
        self.budgets = make_budgets(budgets, self.ratio)
        self.controls = {each.name: each for each in (*self.selects, *self.sliders)}
        if self.budgets:
            self.controls["budget"] = make_select("budget", self.budgets, labels)
        if largest is not None and (largest not in (sliders or {}) or not self.budgets):
            raise ConfigError("largest", largest, "must be a slider, beside a budget")
        self.searched = largest
        self._add_traits()
        self.table = self._check_table(table)

    # ---- The current setting.

    @property
    def values(self) -> "Values":
        """The value of each control by name; can be set, and checks what is set."""
        return Values(self)

    @property
    def ledger(self) -> Ledger:
        """The ledger of the current selection; may raise its `ConfigError`."""
        return self.ledger_of(self.values)

    @property
    def total(self) -> int:
        """Bytes of the ledger at the current sizes."""
        return self.total_of(self.values)

    @property
    def fits(self) -> bool | None:
        """Whether the total is within the budget; None if there is no budget."""
        if not self.budgets:
            return None
        return self.total <= self.budgets[self.values["budget"]]

    @property
    def largest(self) -> int | None:
        """The largest value that fits, beyond its slider too; 0: none; None: any."""
        return self.largest_of(self.values)

    # ---- Any setting.

    def control(self, name: str):
        """Return a control by its name."""
        return choose("control", name, self.controls)

    def ledger_of(self, values: Mapping) -> Ledger:
        """Return the ledger of a selection; may raise its `ConfigError`."""
        choice = tuple(values[each.name] for each in self.selects)
        if choice not in self._ledgers:
            self._ledgers[choice] = self._make_ledger(choice)
        result = self._ledgers[choice]
        if isinstance(result, ConfigError):
            raise result
        return result

    def total_of(self, values: Mapping) -> int:
        """Return the bytes at a setting."""
        ledger = self.ledger_of(values)
        names = {str(symbol) for symbol in ledger.symbols}
        return ledger.evaluate(**{k: v for k, v in values.items() if k in names})

    def largest_of(self, values: Mapping) -> int | None:
        """Return the largest value that fits at a setting, as `largest` does."""
        if self.searched is None:
            raise ConfigError("largest", None, "was not given to this explorer")
        budget, sizes = self.budgets[values["budget"]], dict(values)
        result = self.ledger_of(values)
        tree = to_tree(result.total if self.ratio else result.bytes)
        return largest_fitting(
            lambda size: evaluate_tree(tree, sizes | {self.searched: size}) <= budget
        )

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.values.items())
        try:
            total = describe(self)
        except ConfigError as error:
            total = str(error)
        return f"Explorer {self.id}: {shown}: {total}"

    # ---- The page.

    @cached_property
    def spec(self) -> dict:
        """What the page needs: controls, and the trees of every selection."""
        return make_spec(self)

    def _repr_html_(self) -> str:
        return html(self)

    def _repr_mimebundle_(self, **options) -> dict:
        bundle = {"text/plain": repr(self), "text/html": self._repr_html_()}
        if _in_kernel():
            bundle[VIEW] = self.widget._repr_mimebundle_()[0][VIEW]
        return bundle

    @cached_property
    def widget(self):
        """The view in a live kernel, an anywidget that follows the traits."""
        spec = json.dumps(self.spec, ensure_ascii=False)
        widget = _view_class()(spec=spec, state=dict(self.values))

        def to_view(change):
            widget.state = dict(self.values)

        def from_view(change):
            for name, value in change["new"].items():
                self.values[name] = value

        self.observe(to_view, names=list(self.controls))
        widget.observe(from_view, names="state")
        return widget

    # ---- Inside.

    def _add_traits(self):
        for name in self.controls:
            taken = hasattr(type(self), name) or name in vars(self)
            if taken or not name.isidentifier():
                raise ConfigError("control", name, "is taken, or is not a name")
        traits = {each.name: make_trait(each) for each in self.controls.values()}
        self.add_traits(**traits)

    def _check_table(self, table: tuple | None) -> tuple:
        if table is None and not self.selects:
            return "", ("total",)
        name, options = table or (self.selects[0].name, self.selects[0].options[:5])
        return name, tuple(self.control(name).check(option) for option in options)

    def _make_ledger(self, choice: tuple) -> "Ledger | ConfigError":
        names = [each.name for each in self.selects]
        try:
            if callable(self._cases):
                ledger = self._cases(**dict(zip(names, choice, strict=True)))
            else:
                ledger = self._cases[choice]
        except ConfigError as error:
            return error
        except KeyError:
            return ConfigError(", ".join(names), choice, "is not offered here")
        set_by_sliders = {each.name for each in self.sliders}
        unset = {str(symbol) for symbol in ledger.symbols} - set_by_sliders
        if unset:
            raise ConfigError("sliders", sorted(unset), "are symbols without a slider")
        return ledger


def module_source() -> str:
    """Return exact.js and explorer.js as the ES module that anywidget loads."""
    source = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return source + "\nexport default { render: globalThis.EveryByte.render };\n"


def _in_kernel() -> bool:
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None


@cache
def _with_traits(cls: type) -> type:
    from traitlets import HasTraits

    if issubclass(cls, HasTraits):
        return cls
    return type(cls.__name__, (cls, HasTraits), {"__module__": cls.__module__})


@cache
def _view_class() -> type:
    import anywidget
    from traitlets import Dict, Unicode

    class ExplorerView(anywidget.AnyWidget):
        _esm = module_source()
        _css = (HERE / "explorer.css").read_text(encoding="utf-8")
        spec = Unicode().tag(sync=True)
        state = Dict().tag(sync=True)

    return ExplorerView
