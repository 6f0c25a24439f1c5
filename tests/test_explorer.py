"""The explorer in Python: controls that check, a spec for the page, a live kernel."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import ipywidgets
import nbclient
import nbformat
import pytest
from explorer_demo import BUDGETS, LAYOUTS, MODELS, demo, demo_ledger

import llm_memory as lm
from llm_memory import ConfigError, Ledger, Tensor
from llm_memory.explorer import Explorer, largest_fitting, module_source
from llm_memory.expression import evaluate_tree
from llm_memory.symbols import b, h

BOOK = Path(__file__).parents[1] / "book"
SIZES = {"b": 3, "t": 2048}


class Attributes(HTMLParser):
    """The attributes of the first element of each name."""

    def __init__(self, text):
        super().__init__()
        self.found = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.setdefault(tag, dict(attributes))


def one_ledger(**options):
    ledger = Ledger([Tensor("x", (b, 4), "bf16")])
    return Explorer("one", "One", {(): ledger}, sliders={"b": (1, 9, 2, 1)}, **options)


def test_it_starts_at_the_first_options_and_the_start_values():
    explorer = demo()
    assert dict(explorer.values) == {
        "model": "small", "dtype": "bf16", "layout": "whole",
        "b": 3, "t": 2048, "budget": "phone",
    }  # fmt: skip
    assert explorer.total == demo_ledger("small", "bf16", "whole").evaluate(**SIZES)
    assert explorer.fits is (explorer.total <= BUDGETS["phone"])


def test_every_control_is_a_trait_and_a_value():
    explorer = demo()
    explorer.values["t"] = 8192
    assert explorer.t == 8192
    explorer.b = 5
    assert explorer.values["b"] == 5
    explorer.layout = "paged"
    ledger = demo_ledger("small", "bf16", "paged")
    assert explorer.ledger.bytes == ledger.bytes
    assert explorer.total == ledger.evaluate(b=5, t=8192)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("t", 0), ("t", 2**20 + 1), ("t", 1.0), ("t", "8"), ("t", True), ("t", None),
        ("model", "other"), ("model", 0), ("budget", "other"), ("nothing", 1),
    ],
)  # fmt: skip
def test_values_are_checked(name, value):
    explorer = demo()
    before = dict(explorer.values)
    with pytest.raises(ConfigError, match=name):
        explorer.values[name] = value
    assert dict(explorer.values) == before


def test_a_choice_that_does_not_exist_says_so():
    explorer = demo()
    explorer.values["layout"] = "split"
    for attribute in ("ledger", "total", "fits", "largest"):
        with pytest.raises(ConfigError, match="nothing <b>to split"):
            getattr(explorer, attribute)
    assert "nothing <b>to split" in repr(explorer)


def test_a_mapping_may_hold_only_some_choices():
    ledger = Ledger([Tensor("x", (4,), "bf16")])
    explorer = Explorer(
        "some", "Some", {("a", 1): ledger}, selects={"model": ["a", "b"], "tp": [1, 2]}
    )
    assert explorer.total == 8
    explorer.values["tp"] = 2
    with pytest.raises(ConfigError, match="not offered"):
        explorer.total  # noqa: B018


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_the_largest_value_is_the_last_that_fits(model, budget):
    explorer = demo()
    explorer.model, explorer.budget = model, budget
    explorer.t = 513
    largest, ledger = explorer.largest, explorer.ledger
    if largest:
        assert ledger.evaluate(b=largest, t=513) <= BUDGETS[budget]
    assert ledger.evaluate(b=largest + 1, t=513) > BUDGETS[budget]


def test_a_largest_value_may_not_exist():
    assert largest_fitting(lambda size: False) == 0
    assert largest_fitting(lambda size: True) is None
    assert one_ledger(budgets={"tiny": 7}, largest="b").largest == 0
    assert one_ledger(budgets={"tiny": 8}, largest="b").largest == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"id": "No Slug"},
        {"id": "x'y"},
        {"selects": {"model": []}},
        {"selects": {"model": ["a", "a"]}},
        {"selects": {"model": [1, "1"]}},
        {"selects": {"total": ["a"]}},
        {"selects": {"observe": ["a"]}},
        {"selects": {"not a name": ["a"]}},
        {"sliders": {"b": (0, 5, 1, 1)}},
        {"sliders": {"b": (1, 5, 6, 1)}},
        {"sliders": {"b": (5, 1, 5, 1)}},
        {"sliders": {"b": (1, 2**53, 1, 1)}},
        {"sliders": {"b": (1, 5, 1, 0)}},
        {"sliders": {"b": (1, 5, 1, "power of three")}},
        {"sliders": {"zz": (1, 5, 1, 1)}},
        {"budgets": ["No such card"]},
        {"largest": "b"},
        {"largest": "q", "budgets": {"a": 1}},
        {"table": ("nothing", ["a"])},
        {"selects": {"model": ["a"]}, "table": ("model", ["b"])},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments):
    sound = {"id": "x", "title": "X", "cases": {}, "sliders": {"b": (1, 5, 1, 1)}}
    Explorer(**sound)
    with pytest.raises(ConfigError):
        Explorer(**sound | arguments)


def test_a_symbol_without_a_slider_is_refused():
    ledger = Ledger([Tensor("x", (b, h), "bf16")])
    explorer = Explorer("x", "X", {(): ledger}, sliders={"b": (1, 5, 1, 1)})
    with pytest.raises(ConfigError, match="'h'"):
        explorer.total  # noqa: B018


def test_the_spec_holds_every_choice():
    explorer = demo()
    spec = json.loads(json.dumps(explorer.spec))
    choices = list(product(MODELS, ("bf16", "fp32", "int4"), LAYOUTS))
    assert len(spec["cases"]) == len(choices)
    for choice, form in zip(choices, spec["cases"], strict=True):
        form = spec["forms"][form]
        try:
            ledger = demo_ledger(*choice)
        except ConfigError as error:
            assert form == str(error)
            continue
        assert [spec["parts"][part] for part, _ in form] == list(ledger.parts)
        for sizes in (SIZES, {"b": 4096, "t": 2**20}, {"b": 1, "t": 1}):
            trees = [spec["trees"][tree] for _, tree in form]
            total = sum(evaluate_tree(tree, sizes) for tree in trees)
            assert total == ledger.evaluate(**sizes)


def test_the_page_gets_the_spec_and_a_table():
    explorer = demo()
    text = explorer._repr_html_()
    element = Attributes(text).found["every-byte-explorer"]
    assert json.loads(element["data-spec"]) == json.loads(json.dumps(explorer.spec))
    assert "<script" not in text
    small = demo_ledger("small", "bf16", "whole").evaluate(**SIZES)
    assert f"<th scope='row'>small</th><td>{small:,}</td>" in text
    assert "A &lt;demo&gt; &amp; more" in text
    assert "<b>" not in text


def test_the_table_says_what_does_not_exist():
    selects = {"layout": ["split"], "model": list(MODELS), "dtype": ["bf16"]}
    explorer = demo(selects=selects, table=("model", ["small", "large"]))
    text = explorer._repr_html_().partition("class='ebx-plain'")[2]
    assert "nothing &lt;b&gt;to split" in text
    large = demo_ledger("large", "bf16", "split").evaluate(**SIZES)
    assert f"<td>{large:,}</td>" in text


def test_outputs_are_the_same_in_every_process():
    code = (
        "from explorer_demo import demo; explorer = demo(); "
        "print(explorer._repr_mimebundle_())"
    )
    paths = os.pathsep.join([str(BOOK), str(Path(__file__).parent)])
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "3")
    }
    assert len(printed) == 1
    assert b"model_id" not in printed.pop()


def test_widgets_are_imported_only_when_used():
    code = (
        "import sys, llm_memory, llm_memory.explorer\n"
        "names = {'anywidget', 'ipywidgets', 'traitlets', 'matplotlib'}\n"
        "print(sorted(names & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(BOOK)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert result.stdout.decode().strip() == "[]"


def test_observers_hear_of_changes():
    explorer, heard = demo(), []
    explorer.observe(lambda change: heard.append((change.old, change.new)), names="t")
    explorer.values["t"] = 4096
    explorer.values["t"] = 4096
    assert heard == [(2048, 4096)]


def test_a_plain_widget_can_be_linked():
    explorer = demo()
    slider = ipywidgets.IntSlider(min=1, max=4096)
    menu = ipywidgets.Dropdown(options=list(MODELS))
    ipywidgets.link((explorer, "b"), (slider, "value"))
    ipywidgets.link((menu, "value"), (explorer, "model"))
    assert slider.value == 3
    slider.value = 17
    menu.value = "large"
    assert explorer.total == demo_ledger("large", "bf16", "whole").evaluate(
        b=17, t=2048
    )
    explorer.b = 18
    assert slider.value == 18


def test_the_view_follows_and_is_followed():
    explorer = demo()
    view = explorer.widget
    assert json.loads(view.spec) == json.loads(json.dumps(explorer.spec))
    explorer.values["t"] = 64
    assert view.state["t"] == 64
    view.state = {**view.state, "t": 128, "model": "large"}
    assert (explorer.t, explorer.model) == (128, "large")
    with pytest.raises(ConfigError):
        view.state = {**view.state, "t": -1}
    assert explorer.t == 128


def test_one_source_for_page_and_kernel():
    for name in ("exact.js", "explorer.js"):
        script = (BOOK / "llm_memory" / name).read_text(encoding="utf-8")
        assert script in module_source()
        for forbidden in ("eval(", "Function(", "innerHTML", "insertAdjacentHTML"):
            assert forbidden not in script
    assert module_source().count("\nexport ") == 1


CELLS = [
    "import ipywidgets\nimport llm_memory as lm\n"
    "from llm_memory.explorer import Explorer\n"
    "seen = []",
    "ex = Explorer('live', 'Live', lambda model: lm.kv_cache(lm.load_model(model)),\n"
    "    selects={'model': ['Qwen3-0.6B', 'LLaMA-13B']},\n"
    "    sliders={'b': (1, 64, 1, 1), 't': (1, 2**20, 2048, 'power of two')})\n"
    "ex",
    "ex.observe(lambda change: seen.append(change.new), names='t')\n"
    "ex.values['t'] = 8192\n"
    "slider = ipywidgets.IntSlider(min=1, max=64)\n"
    "ipywidgets.link((slider, 'value'), (ex, 'b'))\n"
    "slider.value = 2\n"
    "seen, ex.values['b'], ex.widget.state['b'], ex.total",
]


@pytest.fixture(scope="module")
def executed():
    """A notebook with an explorer, executed twice."""
    notebooks = []
    for _ in range(2):
        cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
        notebook = nbformat.v4.new_notebook(cells=cells)
        nbclient.NotebookClient(
            notebook, timeout=60, resources={"metadata": {"path": str(BOOK)}}
        ).execute()
        notebooks.append(notebook)
    return notebooks


def test_a_live_kernel_shows_and_moves_it(executed):
    shown, values = (cell.outputs[0].data for cell in executed[0].cells[1:])
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert shown["text/html"].startswith("<every-byte-explorer")
    assert shown["text/plain"].startswith(
        "Explorer live: model=Qwen3-0.6B, b=1, t=2048"
    )
    assert values["text/plain"] == f"([8192], 2, 2, {2 * 8192 * 114688})"


def test_what_a_notebook_stores_is_reproducible(executed):
    first, second = (notebook.cells[1].outputs[0].data for notebook in executed)
    model = first["application/vnd.jupyter.widget-view+json"]["model_id"]
    for kind in ("text/html", "text/plain"):
        assert first[kind] == second[kind]
        assert model not in first[kind]


def test_a_ratio_of_a_step_is_compared_with_the_accelerators_own():
    model = lm.load_model("Llama-3.1-70B")
    explorer = lm.Explorer(
        "ratio",
        "FLOPs per byte",
        {(): lm.roofline(model, "H200").intensity},
        sliders={"b": (1, 4096, 1, 1), "t": (1, 2**20, 1, 1)},
        budgets=["H100-80G", "RTX 4090"],
        largest="b",
        ratio="FLOPs per byte",
    )
    for card in ("H100-80G", "RTX 4090"):
        step = lm.roofline(model, card)
        for tokens in (1, 200, 5000):
            explorer.budget, explorer.t, explorer.b = card, tokens, 300
            first = step.compute_bound_batch(t=tokens).batch
            assert explorer.largest == (first and first - 1)
            bound = step.at(b=300, t=tokens)
            assert explorer.fits == (bound.limit == "memory")
            assert explorer.total == bound.intensity
    assert "FLOPs per byte" in repr(explorer)
    assert "GB" not in explorer._repr_html_()


def test_an_unknown_ratio_is_refused():
    with pytest.raises(ConfigError, match="FLOPs per byte"):
        Explorer("ratio", "x", {}, ratio="bytes per FLOP")
