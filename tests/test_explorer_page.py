"""The explorer in a real browser, from file:// and under a strict policy."""

import base64
import json
import re
import shutil
from fractions import Fraction
from itertools import product
from random import Random
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT
from explorer_demo import BUDGETS, LAYOUTS, MODELS, demo, demo_ledger
from random_trees import oracle, random_tree, random_values
from test_expression import MALFORMED, WITHOUT_VALUE, nested
from test_site import CHAPTERS, OVERFLOW

from llm_memory import ConfigError, load_model, roofline
from llm_memory.explorer import Explorer, module_source
from llm_memory.explorer_page import unit_pair
from llm_memory.tree import LARGEST_DEPTH
from llm_memory.units import format_bytes, format_decimal, in_unit

LIBRARY = ROOT / "book" / "llm_memory"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'"
PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head>
<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Demo</title>
<link rel="stylesheet" href="page.css"><link rel="stylesheet" href="explorer.css">
<script defer src="exact.js"></script><script defer src="explorer.js"></script></head>
<body><main><h1 id="top">Demo</h1>{body}</main></body></html>"""
STYLE = """html { color-scheme: light; }
html[data-theme=dark] { color-scheme: dark; --pst-color-text-base: #ced6dd;
  --pst-color-text-muted: #9ca4af; --pst-color-background: #14181e;
  --pst-color-border: #48566b; --pst-color-primary: #3fb1c5; background: #14181e;
  color: #ced6dd; }
body { margin: 1rem; font-family: sans-serif; }"""
READ = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const text = selector => document.querySelector(selector).textContent;
  const shown = node => node.checkVisibility();
  const cells = row => [row.cells[0].childNodes[1].textContent,
    ...[...row.cells].slice(1).map(cell => cell.textContent)];
  return {
    total: text(".ebx-total"), exact: text(".ebx-exact"),
    verdict: text(".ebx-verdict"), largest: text(".ebx-largest"),
    parts: all(".ebx-table tbody tr:first-child").filter(shown).map(cells),
    sum: all(".ebx-table tfoot td").map(cell => cell.textContent),
    units: all(".ebx-table thead th").map(cell => cell.textContent),
    bars: all(".ebx-bar > g:not([hidden]) > line:first-child")
      .map(line => ["x1", "x2"].map(end => parseFloat(line.getAttribute(end)))),
  };
}"""


@pytest.fixture(scope="module")
def context(browser):
    """One browser context for all pages of this file."""
    running = browser.new_context()
    yield running
    running.close()


@pytest.fixture
def show(context, tmp_path):
    """A function that opens a page with the HTML of explorers."""
    pages = []

    def show(*bodies, theme="light", width=1280, fragment="", policy=POLICY):
        for name in ("exact.js", "explorer.js", "explorer.css"):
            shutil.copy(LIBRARY / name, tmp_path)
        (tmp_path / "page.css").write_text(STYLE)
        body = "".join(bodies) or DEMO._repr_html_()
        text = PAGE.format(theme=theme, policy=policy, body=body)
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        page = context.new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": 900})
        page.problems = []
        page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("dialog", lambda dialog: page.problems.append("a dialog"))
        page.goto(f"file://{tmp_path}/page.html{fragment}")
        return page

    yield show
    for page in pages:
        page.close()


def expected(explorer, values):
    """What Python says the page must show at a setting."""
    if explorer.ratio:
        return expected_ratio(explorer, values)
    ledger = explorer.ledger_of(values)
    sizes = {str(symbol): values[str(symbol)] for symbol in ledger.symbols}
    total = ledger.evaluate(**sizes)
    si, iec = unit_pair(total)

    def cells(count):
        return [f"{count:,}", *(decimal(count, unit) for unit in (si, iec))]

    return {
        "total": short(total),
        "exact": f"{format_bytes(total, iec)}, exactly {total:,} bytes",
        "verdict": verdict(total, explorer.budgets.get(values.get("budget"))),
        "largest": largest_words(explorer, values),
        "parts": sorted(
            [name or "all", *cells(part.evaluate(**sizes))]
            for name, part in ledger.parts.items()
        ),
        "sum": cells(total),
        "units": ["part", "bytes", si, iec],
    }


def expected_ratio(explorer, values):
    """The same for FLOPs per byte, from FLOPs and bytes that are whole numbers."""
    step = explorer.ledger_of(values)
    sizes = {str(symbol): values[str(symbol)] for symbol in step.symbols}
    moved = step.traffic.evaluate(**sizes)
    work = {k: part.evaluate(**sizes) for k, part in step.work.parts.items()}
    total = sum(work.values())
    balance = int(explorer.budgets[values["budget"]] * moved)

    def text(count, of=moved):
        shown = format_decimal(Fraction(count, of))
        return "< 0.01" if shown == "0.00" and count else shown

    if total <= balance:
        said = f"Bound by memory: computing takes {text(100 * total, balance)} % of "
        said += "the time that the bytes take."
    else:
        said = f"Bound by compute: the bytes take {text(100 * balance, total)} % of "
        said += "the time that computing takes."
    largest = explorer.largest_of(values)
    batch = f"Largest batch that memory binds, with these settings: {largest or 0:,}"
    if largest is None:
        batch = "No batch is bound by compute with these settings: memory binds all "
        batch += "of them."
    return {
        "total": f"{text(total)} FLOPs per byte",
        "exact": "",
        "verdict": said,
        "largest": batch,
        "parts": sorted([name, text(count)] for name, count in work.items()),
        "sum": [text(total)],
        "units": ["part", "FLOPs per byte"],
    }


def verdict(total, budget):
    if budget is None:
        return ""
    if total <= budget:
        return f"Fits. {short(budget - total)} stay free."
    times = format_decimal(Fraction(total, budget))
    over = short(total - budget)
    return f"Does not fit: {over} too much, {times} times the budget."


def largest_words(explorer, values):
    name = explorer.searched
    if name is None:
        return ""
    largest = explorer.largest_of(values)
    if largest is None:
        return f"Any {name} fits: the total stays below the budget."
    if largest == 0:
        return f"Not even {name} = 1 fits with these settings."
    return f"Largest {name} that fits with these settings: {largest:,}"


def decimal(count, unit):
    text = format_decimal(in_unit(count, unit))
    return "< 0.01" if text == "0.00" and count else text


def short(count):
    unit = unit_pair(count)[0]
    return f"{decimal(count, unit)} {unit}"


DEMO = demo()


def compare(page, values, explorer=DEMO):
    """The page shows what Python says, a refusal too."""
    try:
        wanted = expected(explorer, values)
    except ConfigError as error:
        words = page.locator(".ebx-verdict").text_content()
        assert words == f"This choice does not exist: {error}"
        assert page.locator(".ebx-total").text_content() == "no total"
        assert page.locator(".ebx-table").is_hidden()
        return
    shown = page.evaluate(READ)
    bars = shown.pop("bars")
    # Parts keep their rows, so that another model does not reorder them.
    assert shown | {"parts": sorted(shown["parts"])} == wanted
    assert len(bars) == len(wanted["parts"])
    assert all(start <= end for start, end in bars)
    assert [start for start, _ in bars] == [0, *(end for _, end in bars)][: len(bars)]
    assert all(end <= 100 for _, end in bars)


def set_controls(page, values):
    """Set every control as a reader does."""
    for name, value in values.items():
        if page.locator(f"select[name={name}]").count():
            page.locator(f"select[name={name}]").select_option(str(value))
        else:
            page.locator(f"input[id$=-{name}-exact]").fill(str(value))


START = {"model": "small", "dtype": "bf16", "layout": "whole", "b": 3, "t": 2048,
         "budget": "phone"}  # fmt: skip


# ---- The evaluator


def evaluated(page, cases):
    """The page's answers, text or "refused"."""
    return page.evaluate(
        """cases => JSON.parse(cases).map(([tree, values]) => {
          try { return EveryByte.evaluate(tree, values); } catch { return "refused"; }
        })""",
        json.dumps(cases),
    )


def test_the_evaluator_equals_sympy(show):
    page, random = show(), Random(2)
    cases = [(random_tree(random, 3), random_values(random)) for _ in range(4000)]
    texts = [[tree, {k: str(v) for k, v in values.items()}] for tree, values in cases]
    wanted = [str(oracle(tree, values)) for tree, values in cases]
    assert evaluated(page, texts) == wanted
    assert sum(len(text) > 16 for text in wanted) > 500
    assert sum("/" in text for text in wanted) > 300


@pytest.mark.parametrize("trees", [MALFORMED, WITHOUT_VALUE], ids=["form", "value"])
def test_the_evaluator_refuses_what_python_refuses(show, trees):
    cases = [[tree, {"b": "1"}] for tree in trees]
    answers = evaluated(show(), cases)
    accepted = [t for t, a in zip(trees, answers, strict=True) if a != "refused"]
    assert accepted == []


def test_the_evaluator_limits_depth_and_reads_lazily(show):
    guarded = ["and", ["!=", "b", 0], ["==", ["mod", 8, "b"], 0]]
    cases = [
        [nested(LARGEST_DEPTH), {"b": "3"}],
        [nested(LARGEST_DEPTH + 1), {"b": "3"}],
        [guarded, {"b": "0"}],
        [["piecewise", [1, True], [["/", 1, 0], True]], {}],
    ]
    assert evaluated(show(), cases) == ["3", "refused", "false", "1"]


# ---- The page


def test_it_starts_with_pythons_values_and_no_error(show):
    page = show()
    compare(page, START)
    assert page.problems == []
    assert page.locator(".ebx-plain").is_hidden()
    assert page.locator(".ebx-title").text_content() == "A <demo> & more"


@pytest.mark.parametrize("seed", range(6))
def test_every_setting_shows_pythons_values(show, seed):
    page, random = show(), Random(seed)
    for _ in range(12):
        values = {
            "model": random.choice(list(MODELS)),
            "dtype": random.choice(["bf16", "fp32", "int4"]),
            "layout": random.choice(LAYOUTS),
            "b": random.randint(1, 4096),
            "t": random.choice([1, 7, 49, 4096, 4097, random.randint(1, 2**20)]),
            "budget": random.choice(list(BUDGETS)),
        }
        set_controls(page, values)
        compare(page, values)
    assert page.problems == []


RATIO = Explorer(
    "ratio",
    "FLOPs per byte",
    lambda model: roofline(load_model(model), "H200").intensity,
    selects={"model": ["LLaMA-7B", "DeepSeek-V3", "Gemma-2-9B"]},
    sliders={"b": (1, 4096, 1, 1), "t": (1, 2**20, 64, "power of two")},
    budgets=["H100-80G", "V100-32G"],
    largest="b",
    ratio="FLOPs per byte",
)


def test_a_ratio_shows_pythons_values_and_no_error(show):
    page, random = show(RATIO._repr_html_()), Random(5)
    compare(page, RATIO.values, RATIO)
    moods = set()
    for _ in range(40):
        values = {name: draw(random, each) for name, each in RATIO.controls.items()}
        values["t"] = random.choice([1, 60, values["t"]])
        set_controls(page, values)
        compare(page, values, RATIO)
        moods.add(page.locator(".ebx-verdict").get_attribute("data-mood"))
    assert moods == {"below", "above"}
    assert page.problems == []


def test_the_keyboard_moves_it(show):
    page = show()
    page.locator("input[type=range][id$=-b]").focus()
    page.keyboard.press("ArrowRight")
    compare(page, START | {"b": 4})
    page.keyboard.press("End")
    compare(page, START | {"b": 4096})
    page.keyboard.press("Home")
    compare(page, START | {"b": 1})
    page.locator("input[type=range][id$=-t]").focus()
    page.keyboard.press("ArrowRight")
    compare(page, START | {"b": 1, "t": 4096})
    page.keyboard.press("End")
    compare(page, START | {"b": 1, "t": 2**20})
    page.locator("select[name=model]").focus()
    page.keyboard.press("ArrowDown")
    compare(page, START | {"b": 1, "t": 2**20, "model": "large"})
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    compare(page, START)


def test_the_mouse_moves_it(show):
    page = show()
    box = page.locator("input[type=range][id$=-b]").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 8, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, y, steps=5)
    page.mouse.up()
    b = int(page.locator("input[id$=-b-exact]").input_value())
    assert 2500 < b < 3300
    compare(page, START | {"b": b})


@pytest.mark.parametrize("text", ["0", "-1", "4097", "1.5", "1e2", ""])
def test_a_number_out_of_range_is_refused_in_words(show, text):
    page = show()
    field = page.locator("input[id$=-b-exact]")
    field.fill(text)
    assert field.get_attribute("aria-invalid") == "true"
    assert page.locator(".ebx-hint:visible").text_content() == (
        "an integer from 1 to 4,096"
    )
    compare(page, START)
    page.keyboard.press("Tab")
    assert field.input_value() == "3"
    assert page.locator(".ebx-hint:visible").count() == 0


def test_over_the_budget_is_said_in_words_and_pattern(show):
    page = show()
    set_controls(page, START | {"budget": "cluster"})
    assert page.locator(".ebx-over").is_hidden()
    set_controls(page, START | {"model": "large"})
    over = page.locator(".ebx-over")
    assert over.is_visible()
    assert over.get_attribute("fill").startswith("url(#")
    total = demo_ledger("large", "bf16", "whole").evaluate(b=3, t=2048)
    at = float(over.get_attribute("x")[:-1])
    assert at == pytest.approx(100 * BUDGETS["phone"] / total, abs=0.01)
    assert "Does not fit" in page.locator(".ebx-verdict").text_content()


def test_digits_may_wrap_on_a_phone_also_when_it_is_turned(show):
    page = show()
    page.set_viewport_size({"width": 1280, "height": 900})
    set_controls(page, {"b": 4096})
    assert page.locator(".ebx-table tfoot wbr").count() == 0
    page.set_viewport_size({"width": 390, "height": 900})
    page.wait_for_selector(".ebx-table tfoot wbr", state="attached", timeout=5000)
    compare(page, START | {"b": 4096})


HEIGHTS = """() => [".ebx-frame", ".ebx-outcome"].map(
  selector => document.querySelector(selector).getBoundingClientRect().height)"""


def test_moves_do_not_push_the_text_below(show):
    page = show()
    page.set_viewport_size({"width": 1280, "height": 900})
    first, held = page.evaluate(HEIGHTS)
    assert first == held > 0
    set_controls(page, {"model": "large"})
    highest, held = page.evaluate(HEIGHTS)
    assert highest == held > first
    set_controls(page, START)
    frame, held = page.evaluate(HEIGHTS)
    assert (frame, held) == (highest, first)
    page.set_viewport_size({"width": 390, "height": 900})
    page.wait_for_function(f"() => {{ const [x, y] = ({HEIGHTS})(); return x === y; }}")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function(f"() => ({HEIGHTS})().every(height => height === {first})")
    set_controls(page, {"model": "large"})
    page.get_by_role("button", name="Reset").click()
    assert page.evaluate(HEIGHTS) == [first, first]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_extremes_neither_overflow_nor_break(show, theme, width):
    page = show(theme=theme, width=width)
    settings = product(["small", "large"], [1, 4096], [1, 2**20], ["phone", "cluster"])
    for model, b, t, budget in settings:
        chosen = {"model": model, "dtype": "fp32", "b": b, "t": t, "budget": budget}
        set_controls(page, chosen)
        compare(page, START | chosen)
        text = page.locator(".ebx-live").inner_text()
        assert not re.search("NaN|undefined|Infinity|null", text)
        assert page.evaluate(OVERFLOW) == []
    assert page.problems == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(show, theme, width):
    page = show(theme=theme, width=width, policy="")
    settings = (START, START | {"model": "large", "t": 2**20, "b": 4096},
                START | {"layout": "split"}, START | {"budget": "cluster"})  # fmt: skip
    for values in settings:
        set_controls(page, values)
        page.locator("input[id$=-b-exact]").fill("-1")
        found = Axe().run(page, options={"preload": False}).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def stop_clock(page):
    """Let timers wait for `page.clock.run_for`."""
    page.clock.install(time="2026-01-01T00:00:00Z")
    page.clock.pause_at("2026-01-02T00:00:00Z")


def test_a_screen_reader_hears_one_sentence_at_rest(show):
    page = show()
    status = page.locator(".ebx-spoken")
    assert status.get_attribute("aria-live") == "polite"
    assert page.locator("output:not([aria-live=off])").count() == 0
    page.evaluate(
        """() => {
          window.heard = [];
          const status = document.querySelector(".ebx-spoken");
          new MutationObserver(() => heard.push(status.textContent))
            .observe(status, {childList: true, characterData: true, subtree: true});
        }"""
    )
    stop_clock(page)
    page.locator("input[type=range][id$=-b]").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
        page.clock.run_for(600)
    assert page.evaluate("heard") == []
    page.clock.run_for(600)
    wanted = expected(DEMO, START | {"b": 13})
    sentence = f"Total {wanted['total']}. {wanted['verdict']} {wanted['largest']}"
    assert page.evaluate("heard") == [sentence]


def test_paper_shows_the_table(show):
    page = show()
    page.emulate_media(media="print")
    assert page.locator(".ebx-plain").is_visible()
    assert page.locator(".ebx-live").is_hidden()
    cells = (
        page.locator(".ebx-plain tbody tr").first.locator("th, td").all_inner_texts()
    )
    total = demo_ledger("small", "bf16", "whole").evaluate(b=3, t=2048)
    assert cells[:2] == ["small", f"{total:,}"]


def test_nothing_moves_for_readers_who_do_not_want_it():
    style = (LIBRARY / "explorer.css").read_text(encoding="utf-8")
    assert "transition" not in style
    assert "animation" not in style


# ---- The address


def test_the_address_holds_the_setting(show):
    page = show(fragment="#top")
    stop_clock(page)
    values = START | {"model": "windowed", "layout": "paged", "t": 5000}
    set_controls(page, values)
    assert page.evaluate("location.hash") == "#top"
    page.clock.run_for(500)
    fragment = page.evaluate("location.hash")
    assert fragment == (
        "#demo.model=windowed&demo.dtype=bf16&demo.layout=paged"
        "&demo.b=3&demo.t=5000&demo.budget=phone"
    )
    compare(show(fragment=fragment), values)
    page.evaluate(
        """() => new Promise(resolve => {
          window.addEventListener("hashchange", resolve);
          location.hash = "#demo.t=7";
        }).then(() => null)"""
    )
    compare(page, values | {"t": 7})
    assert page.problems == []


def test_explorers_share_the_address(show):
    other = demo()
    other.id = "other"
    page = show(demo()._repr_html_(), other._repr_html_(), fragment="#other.t=9")
    second = page.locator("every-byte-explorer").nth(1)
    assert second.locator("input[id$=-t-exact]").input_value() == "9"
    stop_clock(page)
    page.locator("select[name=model]").first.select_option("large")
    page.clock.run_for(500)
    assert "demo.model=large" in page.evaluate("location.hash")
    assert "other.t=9" in page.evaluate("location.hash")
    assert second.locator("select[name=model]").input_value() == "small"


BAD_ADDRESSES = [
    "demo.t=0", "demo.t=99999999999", "demo.t=1e3", "demo.t=-5", "demo.t=", "b=9",
    "demo.t=" + "9" * 400, "demo.model=other", "demo.__proto__=x", "demo.x=1", "=",
    "demo.constructor=1", "demo.model=__proto__", "demo.t=%", "%E0%A4%A", "&&&", "demo",
    "demo.model=" + quote("<img src=x onerror=alert(1)>"), "demo.t=8'", "demot=9",
    "demo.model=" + quote('"><script>alert(1)</script>'), "javascript:alert(1)",
]  # fmt: skip


def test_a_bad_address_changes_nothing(show):
    page = show()
    address = page.url
    for fragment in BAD_ADDRESSES:
        page.goto("about:blank")
        page.goto(f"{address}#{fragment}")
        compare(page, START)
        assert page.problems == [], fragment
        assert page.evaluate("({}).x") is None


# ---- The spec


def changed(**changes):
    """The demo's HTML with some of the spec replaced."""
    explorer = demo()
    explorer.__dict__["spec"] = json.loads(json.dumps(explorer.spec)) | changes
    return explorer._repr_html_()


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"id": "x y"},
        {"trees": [["eval", "alert(1)"]]},
        {"trees": [["constructor", 1]]},
        {"trees": [1.5]},
        {"trees": "alert(1)"},
        {"cases": [0]},
        {"cases": [99] * 27},
        {"forms": [[[0, 99999]]] * 27},
        {"forms": [[["__proto__", 0]]] * 27},
        {"selects": [{"name": "a b", "label": "x", "options": ["x"]}]},
        {"sliders": [{"name": "b"}]},
        {"parts": [1]},
        {"title": {}},
    ],
    ids=str,
)
def test_a_spec_outside_the_format_is_refused(show, changes):
    page = show(changed(**changes))
    assert page.locator(".ebx-live").count() == 0
    assert page.locator(".ebx-broken").text_content().startswith("The explorer cannot")
    assert page.locator(".ebx-plain").is_visible()
    assert page.problems == []


def test_a_spec_is_text_and_never_markup(show):
    evil = "<img src=x onerror=alert(1)>"
    parts = [f"{evil}{i}" for i in range(len(demo().spec["parts"]))]
    page = show(changed(title=evil, parts=parts), policy="")
    assert page.locator("img").count() == 0
    assert page.locator(".ebx-title").text_content() == evil
    assert page.problems == []


def test_a_part_that_is_no_number_of_bytes_says_so(show):
    trees = [["/", "b", 2]] * len(demo().spec["trees"])
    page = show(changed(trees=trees))
    assert "not a number of bytes" in page.locator(".ebx-verdict").text_content()
    assert page.locator(".ebx-total").text_content() == "no total"


# ---- The live view


RENDER = """async ([source, spec, state]) => {
  const module = await import("data:text/javascript;base64," + source);
  const values = {spec, state}, listeners = new Map();
  window.model = {
    saved: 0,
    get: name => values[name],
    set(name, value) { values[name] = value; listeners.get("change:" + name)?.(); },
    save_changes() { this.saved += 1; },
    on: (name, callback) => listeners.set(name, callback),
    off: name => listeners.delete(name),
  };
  const el = document.querySelector("main");
  window.close_view = module.default.render({model, el});
  window.listeners = listeners;
}"""


def test_the_live_view_follows_and_reports(browser):
    page = browser.new_page()
    page.set_content("<main></main>")
    explorer = demo()
    source = base64.b64encode(module_source().encode()).decode()
    state = dict(explorer.values) | {"t": 4096}
    page.evaluate(RENDER, [source, json.dumps(explorer.spec), state])
    compare(page, START | {"t": 4096})
    page.evaluate("model.set('state', {...model.get('state'), t: 64})")
    compare(page, START | {"t": 64})
    page.locator("select[name=model]").select_option("large")
    values = START | {"t": 64, "model": "large"}
    assert page.evaluate("model.get('state')") == values
    assert page.evaluate("model.saved") == 1
    explorer.widget.state = page.evaluate("model.get('state')")
    assert explorer.total == demo_ledger("large", "bf16", "whole").evaluate(b=3, t=64)
    page.evaluate("close_view()")
    assert page.evaluate("listeners.size") == 0
    page.close()


# ---- The chapters


@pytest.fixture
def made(monkeypatch):
    """A function that runs a chapter's code and returns the explorers it makes."""

    def made(path):
        explorers, begin = [], Explorer.__init__
        monkeypatch.setattr(
            Explorer,
            "__init__",
            lambda self, *a, **o: (begin(self, *a, **o), explorers.append(self))[0],
        )
        monkeypatch.setattr("myst_nb.glue", lambda *a, **o: None)
        monkeypatch.chdir(path.parent)
        space = {"display": lambda *a: None}
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), space)
        return explorers

    return made


@pytest.mark.parametrize("page_path", CHAPTERS)
def test_a_chapters_explorer_shows_pythons_values(open_page, made, page_path):
    explorers = made((ROOT / page_path).with_suffix(".ipynb"))
    assert explorers
    page = open_page(page_path, width=390)
    roots = page.locator("every-byte-explorer")
    assert roots.count() == len(explorers)
    for index, explorer in enumerate(explorers):
        spec = json.loads(roots.nth(index).get_attribute("data-spec"))
        assert spec == json.loads(json.dumps(explorer.spec))
        assert len(json.dumps(spec)) < 60_000
        compare(page, explorer.values, explorer)
        random = Random(index)
        for _ in range(8):
            values = {name: draw(random, c) for name, c in explorer.controls.items()}
            set_controls(page, values)
            compare(page, values, explorer)
    assert page.problems == []


def draw(random, control):
    """A legal value of a control."""
    if hasattr(control, "options"):
        return random.choice(control.options)
    return random.randint(control.minimum, control.maximum)
