"""The page "Size your own model" says what Python says, in numbers and in messages."""

import json
import re
import warnings
from random import Random
from urllib.parse import quote

import pytest
from conftest import ROOT
from test_accessibility import violations
from test_config import (
    ALIASES,
    CHANGES_MEMORY,
    NO_SIZES,
    REAL,
    REQUIRED,
    TEXTS,
    WRONG,
    minimal,
)
from test_site import OVERFLOW

import llm_memory as lm
from llm_memory import config_page, fields
from llm_memory.activations import RECOMPUTE
from llm_memory.explorer_page import unit_pair
from llm_memory.hardware import accelerators
from llm_memory.kernels import KERNELS
from llm_memory.kv_cache import FORMATS as CACHE_FORMATS
from llm_memory.kv_cache import LAYOUTS
from llm_memory.measure.cases import DESCRIBED, TRAINED
from llm_memory.measure.cases import configs as measured_configs
from llm_memory.optimizers import OPTIMIZERS
from llm_memory.training import RECIPES
from llm_memory.units import format_bytes

PAGE = "book/your_model.html"
# The page refuses these by name; none at the moment.
UNSUPPORTED = [
    name
    for name in fields.table()["families"]
    if set(fields.family(name)) - config_page.KEYS
]
PLAIN = config_page.PLAIN
START = {
    "t": 2048, "b": 1, "s": 2048, "hardware": "RTX 4090", "weights": "bf16",
    "cache": "bf16", "layout": "latent", "recipe": "bf16_mixed", "optimizer": "adamw",
    "attention": "eager", "recompute": "none",
}  # fmt: skip
GOOD = {
    **{
        n: c
        for n, c in measured_configs().items()
        if c["model_type"] not in UNSUPPORTED
    },
    **{f"trained {name}": config for name, config in (TRAINED | DESCRIBED).items()},
    **{
        f"published {name}": config
        for name, (config, *_) in REAL.items()
        if config["model_type"] not in UNSUPPORTED
    },
    "huge": minimal("llama", vocab_size=2**63 - 1, intermediate_size=2**53 + 1),
    "fp8 of its own": minimal(
        "llama",
        quantization_config={"quant_method": "fp8", "weight_block_size": [3, 7]},
    ),
    "fp8 whole": minimal("qwen3", quantization_config={"quant_method": "fp8"}),
    "an unknown function": minimal("llama", hidden_act="<b>quick</b>"),
    "relu": minimal("mistral", hidden_act="relu", num_key_value_heads=2),
    "some dropout": minimal("gpt2", attn_pdrop=0, embd_pdrop=0.5, resid_pdrop=0.0),
    "no layer sparse": minimal("deepseek_v3", first_k_dense_replace=7),
}
NUMBERS = """([texts, settings]) => texts.map((text, i) => {
  const { text: { ConfigError, repr }, models } = EveryByte;
  try {
    const model = models.read(text, "config.json");
    const assumed = [...model.assumed].map(([name, each]) => `${name} = ${repr(each)}`);
    const found = settings[i].map(({ t, b, s, ...names }) => {
      const sizes = { t: BigInt(t), b: BigInt(b), s: BigInt(s) };
      const report = models.report(model, { ...names, ...sizes });
      const bytes = (one) => one.message ?? String(one.bytes);
      const { fits } = report;
      return {
        weights: bytes(report.weights), token: bytes(report.token),
        cache: bytes(report.cache), states: bytes(report.states),
        parts: [...report.states.parts].map(([name, sum]) => [name, String(sum)]),
        activations: bytes(report.activations), parameters: String(report.parameters),
        active: String(report.active ?? report.parameters),
        fits: fits.message ?? `(${fits.sequences}, ${fits.tokens})`,
      };
    });
    return { assumed, found };
  } catch (error) {
    const isTold = error instanceof ConfigError;
    return { refused: isTold ? error.message : String(error.stack) };
  }
})"""


TIMED = """text => {
  const before = performance.now();
  try {
    EveryByte.models.read(text, "config.json");
  } catch (error) {
    return [error.message, performance.now() - before];
  }
}"""


def attempt(make):
    """Return a number as text, or the message of why there is none."""
    try:
        return str(make())
    except lm.ConfigError as error:
        return str(error)


def expected(model, setting) -> dict:
    """What Python says of a model at a setting."""
    s = setting
    kind = {"dtype" if s["weights"] in PLAIN else "quantization": s["weights"]}
    cache = lm.kv_cache(model, s["cache"], s["layout"])
    states = lm.training_states(model, s["recipe"], s["optimizer"])
    return {
        "weights": attempt(lambda: lm.weights(model, **kind).evaluate()),
        "token": str(cache.evaluate(b=1, t=1)),
        "cache": str(cache.evaluate(b=s["b"], t=s["t"])),
        "states": str(states.evaluate()),
        "parts": [[name, str(part.evaluate())] for name, part in states.parts.items()],
        "activations": attempt(
            lambda: lm.training_activations(
                model, s["attention"], s["recompute"]
            ).evaluate(b=s["b"], s=s["s"])
        ),
        "parameters": str(lm.weights(model).elements),
        "active": str(lm.active_weights(model).elements),
        "fits": attempt(lambda: fits(model, s)),
    }


def fits(model, setting) -> tuple[int, int]:
    """Return sequences and tokens beside the weights, as the library counts them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more tokens than the model has positions
        found = lm.capacity(
            model, setting["hardware"], context=setting["t"],
            weights_dtype=setting["weights"], cache_dtype=setting["cache"],
            layout=setting["layout"],
        )  # fmt: skip
    return found.sequences, found.tokens


def draw(random: Random) -> dict:
    """Return a setting."""
    return {
        "t": random.choice([1, 8, 9, 10, 129, 4097, 2**40 + 1]),
        "b": random.choice([1, 2, 7]),
        "s": random.choice([1, 31, 32, 65, 4096]),
        "hardware": random.choice(list(accelerators())),
        "weights": random.choice([*PLAIN, *config_page.PACKED]),
        "cache": random.choice(list(CACHE_FORMATS)),
        "layout": random.choice(LAYOUTS),
        "recipe": random.choice(list(RECIPES)),
        "optimizer": random.choice(list(OPTIMIZERS)),
        "attention": random.choice(list(KERNELS)),
        "recompute": random.choice(RECOMPUTE),
    }


def python_says(text: str, folder) -> "lm.Model | str":
    """Return the model of a text as Python reads it from a file, or its message."""
    path = folder / "config.json"
    path.write_bytes(text.encode("utf-8"))
    try:
        return lm.load_model(path)
    except lm.ConfigError as error:
        return str(error)


# ---- Numbers.


def test_the_pages_data_is_the_librarys(site):
    text = (site / "_static" / "your_model_data.js").read_text(encoding="utf-8")
    assert text == config_page.script()
    assert len(text) < 600_000


def test_every_number_is_pythons(open_page, tmp_path):
    page, random = open_page(PAGE), Random(1)
    settings = [[START, *(draw(random) for _ in range(6))] for _ in GOOD]
    texts = [json.dumps(config) for config in GOOD.values()]
    found = page.evaluate(NUMBERS, [texts, settings])
    for name, text, tried, shown in zip(GOOD, texts, settings, found, strict=True):
        model = python_says(text, tmp_path)
        assumed = [f"{field} = {value!r}" for field, value in model.assumed.items()]
        assert shown["assumed"] == assumed, name
        for setting, numbers in zip(tried, shown["found"], strict=True):
            assert numbers == expected(model, setting), (name, setting)
    assert len(texts) > 50


def test_a_family_that_the_data_cannot_express_is_named(monkeypatch, open_page):
    page = open_page(PAGE)
    page.evaluate("EveryByteData.families.llama = { unsupported: 'hyper_layers' }")
    fill(page, "A", json.dumps(minimal("llama")))
    assert says(page, "A") == (
        "Refused. model_type = 'llama': this page cannot size it yet (hyper_layers); "
        "python -m llm_memory can"
    )
    assert page.locator(".own-result").count() == 0
    entry = dict(fields.family("llama")) | {"hyper_layers": 2}
    monkeypatch.setattr(fields, "family", lambda name: entry)
    assert config_page._family("llama", {}) == {"unsupported": "hyper_layers"}


# ---- What a reader sees.


def fill(page, letter: str, text: str):
    """Put a text in place of another, as a paste does, and wait until it was read."""
    page.locator(f"#own-model-{letter}").fill(text)
    page.locator(f"#own-model-{letter}-says:not([data-mood=reading])").wait_for(
        state="attached"
    )


def says(page, letter: str) -> str:
    return page.locator(f"#own-model-{letter}-says").text_content()


def exact(page) -> dict:
    """Return quantity → the exact bytes that are shown, one per model."""
    return page.evaluate(
        """() => Object.fromEntries(
          [...document.querySelectorAll("section[data-quantity]")].map(each => {
            const cards = [...each.querySelectorAll(".own-exact")];
            return [each.dataset.quantity, cards.map(card => card.textContent)];
          }))"""
    )


SHOWN = {
    "Weights": "weights", "Cache of one token": "token", "Cache": "cache",
    "Training states": "states", "Saved activations": "activations",
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in measured_configs() if n in GOOD])
def test_a_pasted_config_shows_pythons_bytes(pasting, name, tmp_path):
    text = json.dumps(GOOD[name], indent=1)
    fill(pasting, "A", text)
    model = python_says(text, tmp_path)
    parameters = int(lm.weights(model).elements)
    assert (
        says(pasting, "A") == f"Read as {model.model_type}: {parameters:,} parameters."
    )
    wanted, shown = expected(model, START), exact(pasting)
    for quantity, key in SHOWN.items():
        digits = wanted[key]
        if digits.isdigit():
            assert shown[quantity] == [f"{int(digits):,} bytes"], quantity
        else:
            card = pasting.locator(f"section[data-quantity='{quantity}'] .own-result")
            assert digits in card.text_content()
    assert pasting.problems == []


@pytest.fixture(scope="module")
def pasting(browser, site):
    """One page in which configs are pasted one after the other."""
    page = browser.new_page()
    page.problems = []
    page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("dialog", lambda dialog: page.problems.append("a dialog"))
    page.goto(f"file://{site}/{PAGE}")
    yield page
    page.close()


def test_formulas_add_up_to_what_is_shown(open_page):
    page = open_page(PAGE)
    page.evaluate(
        "document.querySelectorAll('.own-live details').forEach(d => d.open = 1)"
    )
    tables = page.locator(".own-scroll")
    assert tables.count() == 5
    for table in tables.all():
        rows = table.locator("table").last.locator("tbody td").all_text_contents()
        total = table.locator("tfoot td").last.text_content()
        assert sum(map(number, rows)) == number(total)
        for line in table.locator(".own-formula").all_text_contents():
            *_, numbers = line.split(" = ")
            assert re.fullmatch(r"[\d,\s·×()B]+|[\d,\s·×()]+ bits", numbers), line
    row = page.locator("tr", has_text="q_proj.weight").first
    sizes = "(2,048\u202f×\u202f1,024)"
    assert f"= 28 · {sizes} · 2 B" in row.text_content()


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_two_models_side_by_side_and_a_setting(open_page):
    page = open_page(PAGE)
    page.locator("#own-model-B-bundled").select_option("DeepSeek-V3")
    page.locator("#own-t").fill("8,192")
    page.locator("#own-hardware").select_option("H200")
    page.locator("#own-weights").select_option("int8")
    setting = START | {"t": 8192, "hardware": "H200", "weights": "int8"}
    for index, name in enumerate(("Qwen3-0.6B", "DeepSeek-V3")):
        wanted = expected(lm.load_model(name), setting)
        assert exact(page)["Cache"][index] == f"{int(wanted['cache']):,} bytes"
        assert exact(page)["Weights"][index] == f"{int(wanted['weights']):,} bytes"
    cards = page.locator(
        "section[data-quantity^='What fits'] .own-big"
    ).all_inner_texts()
    held, tokens = fits(lm.load_model("Qwen3-0.6B"), setting)
    assert cards[0] == f"{held:,} × 8,192 tokens"
    assert f"{tokens:,} tokens in all" in page.locator(".own-live").text_content()
    over = lm.weights(lm.load_model("DeepSeek-V3"), quantization="int8").evaluate()
    over -= lm.load_hardware("H200").bytes
    units = " · ".join(format_bytes(over, unit) for unit in unit_pair(over))
    assert cards[1] == f"Does not fit: {units} too much."
    page.locator("#own-t").fill("0")
    assert page.locator("#own-t-hint").is_visible()
    assert page.locator("#own-t").get_attribute("aria-invalid") == "true"
    fill(page, "B", "{")
    assert len(exact(page)["Weights"]) == 1
    assert page.problems == []


# ---- What is refused.


def broken_texts() -> list[str]:
    """Return texts that are no config of a known family."""
    configs = [minimal(kind, **wrong) for kind, wrong in WRONG.values()]
    configs += [minimal(k, **{name: value}) for k, name, value in CHANGES_MEMORY]
    configs += [minimal(k) | {alias: other} for k, _, alias, other in ALIASES]
    for kind, name in REQUIRED:
        config = minimal(kind)
        del config[name]
        configs.append(config)
    for name in ("hidden_size", "num_hidden_layers", "head_dim"):
        values = [value for value in NO_SIZES if value == value]
        configs += [minimal("qwen3", **{name: value}) for value in values]
    configs += [minimal("llama", num_attention_heads=3), minimal("gpt2", n_head=3)]
    configs += [minimal("phi3", num_attention_heads=6, num_key_value_heads=3)]
    configs += [minimal("gpt2", activation_function="xielu")]
    configs += [minimal("llama", architectures=each) for each in (7, "x", ["X"], [{}])]
    configs = [each for each in configs if each["model_type"] not in UNSUPPORTED]
    return [json.dumps(config) for config in configs] + [*TEXTS.values(), *SYNTAX]


EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"
SYNTAX = [
    '{"a":"\\x"}', '{"a":"\\u12"}', '{"a":"\\u12g4"}', '{"a":"\\', '{"a":"x', "[1 2]",
    '{"a":\x01}', '{"a":"\x01"}', '{"a" 1}', '{"a":1 "b":2}', '{"a":01}', '{"a":-}',
    '{"a":1.}', '{"a":.5}', "[", "{", '{"a"', '{"a":', '{"a":1', "\ufeff{}", "{}x",
    '{"é😀\\":","":[}', '{"a":tru}', '{"a":\n\n  nul}', "{'a':1}", '{"h":1,"h":2}',
    '{"a": -Infinity}', '{"model_type":"a\'b"}', '{"model_type":1e400}',
    '{"model_type":"a\'b\\"c\\u0007\\u200b\\ud800\\u00e9\\ud83d\\ude00\\u00a0\\\\"}',
    '{"model_type":[1.0,1e16,1e15,1.5e-5,0.0001,-0.0,1e22,5e-324,-1E3,{"a":null}]}',
    '{"model_type": "llama", "x": {"h": 1, "h": [2]}}', '{"__proto__": {"x": 1}}',
    '{"model_type": "__proto__"}', '{"model_type": "constructor"}',
    '{"model_type": "llama", "vocab_size": 1e400}',
    '{"model_type": "llama", "vocab_size": 9007199254740993.0}',
    json.dumps({"model_type": EVIL}), json.dumps({"model_type": "llama", EVIL: 1}),
    json.dumps(minimal("llama", architectures=[EVIL])),
    json.dumps(minimal("llama") | {f"num_{EVIL}": EVIL}),
]  # fmt: skip


def test_what_is_refused_is_refused_in_pythons_words(open_page, tmp_path):
    page, texts = open_page(PAGE), broken_texts()
    found = page.evaluate(NUMBERS, [texts, [[START]] * len(texts)])
    read = 0
    for text, shown in zip(texts, found, strict=True):
        message = python_says(text, tmp_path)
        if isinstance(message, str):
            assert shown == {"refused": message}, text[:200]
        else:
            read += 1
            assert shown.get("found") == [expected(message, START)], (text, shown)
    assert read < 5 and len(texts) > 200
    assert page.problems == []


@pytest.mark.parametrize("text", [each for each in SYNTAX if each[0] == "{"])
def test_a_text_is_never_markup_nor_code(pasting, text, tmp_path):
    fill(pasting, "A", text)
    message = python_says(text, tmp_path)
    assert isinstance(message, str)
    # White space is shown, and compared, as the page keeps it.
    assert says(pasting, "A") == f"Refused. {message}"
    assert pasting.locator(".own-live img, .own-live script").count() == 0
    assert pasting.locator(".own-result").count() == 0
    assert pasting.evaluate("[({}).x, Object.prototype.h]") == [None, None]
    assert pasting.problems == []


def test_hostile_values_in_ignored_fields_are_not_shown(pasting, tmp_path):
    config = minimal("llama", _name_or_path=EVIL, hidden_act=EVIL, torch_dtype=EVIL)
    fill(pasting, "A", json.dumps(config))
    assert says(pasting, "A").startswith("Read as llama")
    pasting.evaluate(
        "document.querySelectorAll('.own-live details').forEach(d => d.open = 1)"
    )
    assert pasting.locator(".own-live img, .own-live script").count() == 0
    assert pasting.problems == []


def test_a_long_or_deep_text_is_refused_at_once(open_page, tmp_path):
    page = open_page(PAGE)
    long = '{"x": "' + "x" * 10_000_000 + '"}'
    for text in (long, "[" * 900_000, '{"a":' * 150_000, '"' + "\\u0041" * 160_000):
        found, took = page.evaluate(TIMED, text)
        assert found == python_says(text, tmp_path)
        assert took < 2000
    page.evaluate(
        """text => {
          const data = new DataTransfer();
          data.setData("text", text);
          document.querySelector("#own-model-A").dispatchEvent(
            new ClipboardEvent("paste", { clipboardData: data, cancelable: true }));
        }""",
        long,
    )
    assert says(page, "A") == f"Refused. {python_says(long, tmp_path)}"
    assert page.locator("#own-model-A").input_value() == ""
    assert page.locator(".own-result").count() == 0


# ---- Files, the address, everybody.


def test_a_file_is_read_and_named(open_page, tmp_path):
    page = open_page(PAGE)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(GOOD["qwen3"]).replace(",", ",\r\n"), newline="")
    page.locator("#own-model-A-file").set_input_files(path)
    page.wait_for_function(
        "document.querySelector('#own-model-A').value.includes('qwen3')"
    )
    parameters = int(lm.weights(lm.load_model(path)).elements)
    assert says(page, "A") == f"Read as qwen3: {parameters:,} parameters."
    for content in (b'{"model_type": "\xff"}', b"\xef\xbb\xbf{}", b"{\r\n\r\n]"):
        path.write_bytes(content)
        with pytest.raises(lm.ConfigError) as caught:
            lm.load_model(path)
        page.locator("#own-model-A-file").set_input_files([])
        page.locator("#own-model-A-file").set_input_files(path)
        page.wait_for_function(
            "text => document.querySelector('#own-model-A-says').textContent === text",
            arg=f"Refused. {caught.value}",
        )
        assert page.locator(".own-result").count() == 0


def test_a_dropped_file_is_read(open_page):
    page = open_page(PAGE)
    page.evaluate(
        """text => {
          const data = new DataTransfer();
          data.items.add(new File([text], "config.json"));
          document.querySelector(".own-model").dispatchEvent(
            new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }""",
        json.dumps(GOOD["gemma2"]),
    )
    page.locator("#own-model-A-says", has_text="Read as gemma2").wait_for()


def test_the_address_holds_configs_and_setting(open_page):
    page = open_page(PAGE)
    fill(page, "B", json.dumps(GOOD["mixtral"], indent=4))
    page.locator("#own-t").fill("5000")
    page.locator("#own-cache").select_option("int8")
    shown = exact(page)
    assert page.evaluate("location.hash") == ""
    page.get_by_role("button", name="Put this into the address").click()
    address = page.evaluate("location.hash")
    again = open_page(PAGE + address)
    assert exact(again) == shown
    assert again.locator("#own-model-A-bundled").input_value() == "Qwen3-0.6B"
    assert json.loads(again.locator("#own-model-B").input_value()) == GOOD["mixtral"]
    assert again.problems == []


def test_a_hostile_address_is_only_a_text(open_page):
    address = (
        f"#own.A={quote(json.dumps({'model_type': EVIL}))}&own.t=-1&own.B=%&own.x=1"
    )
    page = open_page(PAGE + address)
    assert says(page, "A").startswith("Refused. model_type = '<img")
    assert page.locator(".own-live img").count() == 0
    assert page.locator("#own-t").input_value() == "2048"
    assert page.problems == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_it(open_page, theme):
    page = open_page(PAGE, theme=theme)
    page.locator("#own-model-B-bundled").select_option("Mixtral-8x7B")
    opening = "document.querySelectorAll('.own-live details').forEach(d => d.open = 1)"
    page.evaluate(opening)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(OVERFLOW) == []
        page.wait_for_timeout(350)
        assert violations(page) == [], width
    page.locator("#own-model-B-bundled").select_option("")
    fill(page, "A", "{")
    assert violations(page) == []


def test_the_result_is_spoken_once_at_rest(open_page):
    page = open_page(PAGE)
    page.wait_for_timeout(1100)
    spoken = page.locator(".own-spoken")
    assert spoken.get_attribute("role") == "status"
    weights = lm.weights(lm.load_model("Qwen3-0.6B")).bytes
    assert format_bytes(weights) in spoken.text_content()
    assert page.locator("#own-model-A-says").get_attribute("role") == "status"


def test_the_keyboard_alone_is_enough(open_page):
    page = open_page(PAGE)
    page.locator("#own-model-A").focus()
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    for name in ("model-A-bundled", "model-A-file", "model-B", "t", "recompute"):
        assert f"own-{name}" in reached


def test_without_a_script_the_page_says_what_to_do(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{site}/{PAGE}")
    assert (
        "python -m llm_memory config.json"
        in page.locator("every-byte-model").inner_text()
    )
    context.close()


def test_its_scripts_write_text_only():
    for path in sorted((ROOT / "book" / "assets").glob("your_model*.js")):
        script = path.read_text(encoding="utf-8")
        for forbidden in (
            "eval(",
            "Function(",
            "innerHTML",
            "insertAdjacent",
            "fetch(",
        ):
            assert forbidden not in script, path.name
