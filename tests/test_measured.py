"""Every ledger row equals a tensor of the framework, as `make measure` recorded it."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from llm_memory import fields, kv_cache, load_model, weights
from llm_memory.kv_cache import cache_layers, cache_ledger

MEASURED = fields.DATA / "measured"


def record(name: str) -> dict:
    return json.loads((MEASURED / f"{name}.json").read_text(encoding="utf-8"))["cases"]


def counted(rows) -> Counter:
    """The framework's rows: (name, shape, dtype) → how many."""
    return Counter(
        {(row["name"], tuple(row["shape"]), row["dtype"]): row["count"] for row in rows}
    )


def derived(ledger, **sizes) -> Counter:
    """The ledger's rows in the framework's terms; layers of equal shape add up."""
    result = Counter()
    for row in ledger.rows:
        row = row.substitute({name: sizes[str(name)] for name in ledger.symbols})
        shape = tuple(int(size) for size in row.shape)
        result[row.name, shape, row.dtype.torch] += int(row.count)
    return result


@pytest.mark.parametrize("name", record("parameters"))
def test_every_parameter_is_a_row_and_every_row_a_parameter(name):
    case = record("parameters")[name]
    assert derived(weights(load_model(case["config"]))) == counted(case["rows"])


@pytest.mark.parametrize("name", record("kv_cache"))
def test_every_cached_tensor_is_a_row(name):
    case = record("kv_cache")[name]
    ledger = kv_cache(load_model(case["config"]))
    for shape, rows in case["shapes"].items():
        b, t = map(int, shape.split(","))
        assert derived(ledger, b=b, t=t) == counted(rows), shape


@pytest.mark.parametrize("name", record("latent_expansion"))
def test_the_expanded_layout_is_what_attention_receives(name):
    case = record("latent_expansion")[name]
    one_layer = case["config"] | {"num_hidden_layers": 1}
    ledger = kv_cache(load_model(one_layer), layout="expanded")
    for shape, expanded in case["shapes"].items():
        b, t = map(int, shape.split(","))
        assert derived(ledger, b=b, t=t) == counted(expanded["rows"]), shape


@pytest.mark.parametrize("name", record("windowed_prefill"))
def test_right_after_a_prompt_a_windowed_cache_holds_all_of_it(name):
    case = record("windowed_prefill")[name]
    b, s = case["b"], case["s"]
    layers = cache_layers(load_model(case["config"]))
    whole = [
        replace(group, tokens=[replace(kept, window=None) for kept in group.tokens])
        for group in layers
    ]
    one_less = [
        replace(
            group,
            tokens=[
                replace(kept, window=kept.window and kept.window - 1)
                for kept in group.tokens
            ],
        )
        for group in layers
    ]
    assert cache_ledger(whole).evaluate(b=b, t=s) == case["storages"]
    assert cache_ledger(one_less).evaluate(b=b, t=s) == case["tensors"]


@pytest.mark.parametrize("model_type", record("config_defaults"))
def test_defaults_are_those_of_the_config_class(model_type):
    own = record("config_defaults")[model_type]
    for name, field in fields.family(model_type)["fields"].items():
        names = [name, *field.get("aliases", ())]
        known = [own[each] for each in names if each in own]
        if "default" in field:
            assert field["default"] == (known[0] if known else None), name
        else:
            assert known or model_type == "deepseek_v2", f"{name}: not in the class"


def test_every_default_family_is_measured():
    families = set(fields.table()["families"])
    assert set(record("config_defaults")) == families
    measured = {case["config"]["model_type"] for case in record("parameters").values()}
    assert measured == families
