"""Training states, row by row, against what the frameworks keep."""

import json
import random
from collections import Counter

import pytest
from sympy import symbols as free_symbols

from llm_memory import (
    ConfigError,
    fields,
    load_model,
    symbolic,
    training_states,
    weights,
)
from llm_memory.adapters import PACKED
from llm_memory.model import names
from llm_memory.operations import Parameter
from llm_memory.optimizers import OPTIMIZERS
from llm_memory.symbols import R
from llm_memory.training import RECIPES

MEASURED = fields.DATA / "measured"
STATES = ("weights", "gradients", "master", "optimizer")


def record(name: str) -> dict:
    return json.loads((MEASURED / f"{name}.json").read_text(encoding="utf-8"))["cases"]


def measured(case) -> Counter:
    """The framework's rows: (name, shape, dtype) → how many."""
    return Counter(
        {
            (row["name"], tuple(row["shape"]), row["dtype"]): row["count"]
            for row in case["rows"]
        }
    )


def derived(ledger, *parts: str) -> Counter:
    """The ledger's rows in the framework's terms; layers of equal shape add up."""
    rows = Counter()
    for row in ledger:
        if row.part in parts:
            shape = tuple(int(size) for size in row.shape)
            rows[row.name, shape, row.dtype.torch] += int(row.count)
    return rows


@pytest.mark.parametrize("name", record("optimizers"))
def test_weights_gradients_masters_and_states_are_those_of_the_framework(name):
    case = record("optimizers")[name]
    recipe, optimizer = name.split(", ")[1:]
    ledger = training_states(load_model(case["config"]), recipe, optimizer)
    assert derived(ledger, *STATES) == measured(case)


@pytest.mark.parametrize("name", record("sharded_states"))
def test_the_share_of_the_first_rank_is_that_of_fsdp(name):
    case = record("sharded_states")[name]
    model = load_model(case["config"])
    ledger = training_states(model, "autocast", zero=3, ranks=case["ranks"])
    assert derived(ledger, *STATES) == measured(case)


@pytest.mark.parametrize("name", record("sharded_states"))
def test_what_fsdp_holds_for_a_moment(name):
    case = record("sharded_states")[name]
    model = load_model(case["config"])
    ledger = training_states(model, "autocast", zero=3, ranks=case["ranks"])
    held = {row.name: int(row.bytes) for row in ledger.select(part="transient")}
    assert held == {key: size for key, size in case["moment"].items() if size}


@pytest.mark.parametrize("name", sorted(set(record("bitsandbytes")) - {"version"}))
def test_eight_and_four_bits_are_stored_as_bitsandbytes_does(name):
    case = record("bitsandbytes")[name]
    if "config" in case:
        model = load_model(case["config"])
        ledger = training_states(model, "bf16", "adamw_8bit")
        assert derived(ledger, "optimizer") == measured(case)
    else:
        base, shape = name.split(", ")
        matrix = Parameter("", tuple(map(int, shape.split(" x "))), "matrix")
        rows = [*PACKED[base].rows(matrix), *PACKED[base].shared]
        assert {row.name: int(row.bytes) for row in rows} == case


def test_eight_bits_begin_at_4096_elements():
    sizes = {
        "model_type": "llama", "vocab_size": 63, "hidden_size": 64,
        "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 8,
    }  # fmt: skip
    ledger = training_states(load_model(sizes), "bf16", "adamw_8bit")
    small = ledger["model.embed_tokens.weight.state1"]
    exact = ledger["model.layers.{i}.self_attn.q_proj.weight.state1"]
    assert (small.elements, small.dtype) == (4032, "fp32")
    assert (exact.elements, exact.dtype) == (4096, "uint8")


def total(ledger, *parts: str) -> int:
    return sum(int(ledger.select(part=part).bytes) for part in parts or STATES)


@pytest.mark.parametrize(
    "recipe, whole",
    [
        ("fp32", 16), ("autocast", 16), ("bf16_mixed", 16), ("bf16_mixed_18", 18),
        ("bf16_mixed_20", 20), ("bf16", 8),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", names())
def test_bytes_per_parameter_of_each_recipe(name, recipe, whole):
    model = load_model(name)
    ledger = training_states(model, recipe)
    tensors = sum(row.count for row in weights(model))
    assert total(ledger) == whole * weights(model).elements + 4 * tensors
    assert ledger.evaluate() == total(ledger)


def test_the_published_number_of_llama_13b():
    states = training_states(load_model("LLaMA-13B"))
    steps = 4 * 363
    assert states.evaluate() - steps == 208_253_829_120


# Megatron's documentation: bytes per parameter of which some are divided by d ranks.
MEGATRON = {"bf16_mixed_20": (4, 16), "bf16_mixed_18": (6, 12), "fp32": (8, 8)}


@pytest.mark.parametrize("recipe", MEGATRON)
def test_stage_one_is_the_distributed_optimizer_as_documented(recipe):
    whole, divided = MEGATRON[recipe]
    model = load_model("LLaMA-13B")  # 8 ranks divide every tensor of it
    parameters, steps = weights(model).elements, 4 * 363
    states = total(training_states(model, recipe, zero=1, ranks=8))
    assert states == whole * parameters + divided * parameters // 8 + steps


@pytest.mark.parametrize("zero, whole, divided", [(1, 4, 12), (2, 2, 14), (3, 0, 16)])
def test_what_each_stage_divides(zero, whole, divided):
    model = load_model("LLaMA-13B")
    parameters, steps = weights(model).elements, 4 * 363
    states = total(training_states(model, zero=zero, ranks=8))
    assert states == whole * parameters + divided * parameters // 8 + steps


@pytest.mark.parametrize("seed", range(12))
def test_a_share_is_the_fullest_of_a_real_division(seed):
    """Cut each tensor as torch.chunk does, or its elements, and keep the first."""
    draw = random.Random(seed)
    sizes = {"vocab_size": draw.randrange(1, 60), "hidden_size": draw.randrange(1, 40)}
    config = sizes | {
        "model_type": "qwen3", "num_hidden_layers": draw.randrange(1, 4),
        "num_attention_heads": 2, "num_key_value_heads": 1,
        "head_dim": draw.randrange(1, 12), "intermediate_size": draw.randrange(1, 50),
    }  # fmt: skip
    model, ranks = load_model(config), draw.randrange(2, 9)
    for zero in (1, 2, 3):
        expected = 0
        for row in weights(model):
            rows, *rest = map(int, row.shape)
            inner = 1
            for size in rest:
                inner *= size
            share = (
                -(-rows // ranks) * inner if zero == 3 else -(-rows * inner // ranks)
            )
            copies = {1: (2, 2, 0, 12), 2: (2, 0, 2, 12), 3: (0, 0, 4, 12)}[zero]
            whole, gradients, divided, states = copies
            each = (whole + gradients) * rows * inner + (divided + states) * share + 4
            expected += int(row.count) * each
        ledger = training_states(model, zero=zero, ranks=ranks)
        assert total(ledger) == expected, zero
        open_ranks = training_states(model, zero=zero, ranks=R)
        assert open_ranks.evaluate(R=ranks) == ledger.evaluate()


@pytest.mark.parametrize("zero", (0, 1, 2, 3))
def test_one_rank_shares_nothing_and_sends_nothing(zero):
    model = load_model("Qwen3-0.6B")
    alone = training_states(model, zero=zero, ranks=1)
    assert alone.evaluate() == training_states(model).evaluate()
    assert training_states(model, zero=zero, ranks=R).evaluate(R=1) == alone.evaluate()


def test_buckets_double_gradients_unless_they_are_views():
    model = load_model("Qwen3-0.6B")
    copied = training_states(model, ranks=2)
    assert total(copied, "transient") == total(copied, "gradients")
    assert "transient" not in training_states(model, ranks=2, bucket_views=True).parts
    assert "transient" not in training_states(model, "bf16_mixed_18", ranks=2).parts


def test_sums_over_micro_steps_without_exchange_keep_gradients_whole():
    model = load_model("Qwen3-0.6B")
    for zero in (2, 3):
        kept = training_states(model, zero=zero, ranks=8, no_sync=True)
        assert total(kept, "gradients") == 2 * weights(model).elements
        shared = training_states(model, zero=zero, ranks=8)
        for part in ("weights", "master", "optimizer"):
            assert total(kept, part) == total(shared, part)


def test_adapters_are_all_that_is_trained():
    model = load_model("LLaMA-7B")
    ledger = training_states(model, lora=8, targets=["q_proj", "v_proj"])
    adapters = 32 * 8 * 2 * (4096 + 4096)
    assert adapters == 4_194_304  # "trainable params" that PEFT prints for it
    assert ledger.parts["gradients"].elements == adapters
    assert total(ledger, "weights") == weights(model).bytes + 2 * adapters
    assert total(ledger, "optimizer") == 8 * adapters + 4 * (32 * 4)


def test_a_transposed_matrix_has_the_adapters_of_its_linear_form():
    ledger = training_states(load_model("GPT-2"), lora=4, targets="c_fc")
    names = {row.name: row.shape for row in ledger.select(part="gradients")}
    assert names == {
        "transformer.h.{i}.mlp.c_fc.lora_A.weight.grad": (4, 768),
        "transformer.h.{i}.mlp.c_fc.lora_B.weight.grad": (3072, 4),
    }


def test_a_symbolic_family_gives_the_model():
    model, ranks = load_model("LLaMA-13B"), 8
    family = symbolic("llama")
    for zero in (0, 1, 2, 3):
        for optimizer in OPTIMIZERS if not zero else ("adamw", "sgd"):
            sizes = {size: model.sizes[str(size)] for size in weights(family).symbols}
            ledger = training_states(family, "bf16_mixed", optimizer, zero, ranks)
            expected = training_states(model, "bf16_mixed", optimizer, zero, ranks)
            assert ledger.substitute(sizes).evaluate() == expected.evaluate()


def test_a_free_head_can_weigh_more_than_the_layers():
    """A wide vocabulary over narrow layers: the root's own moment is the larger."""
    wide = {
        "model_type": "llama", "vocab_size": 5000, "hidden_size": 8,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8,
    }  # fmt: skip
    held = training_states(load_model(wide), zero=3, ranks=2).select(part="transient")
    assert [row.name for row in held] == ["gathered root", "gradients of the root"]
    assert held["gradients of the root"].elements == 2 * 5000 * 8 + 8


REFUSED = {
    "recipe": ({"recipe": "fp8"}, "'bf16_mixed_18'"),
    "optimizer": ({"optimizer": "lion"}, "'adamw_8bit'"),
    "stage": ({"zero": 4}, "one of 0, 1, 2, 3"),
    "stage as text": ({"zero": "3"}, "one of 0, 1, 2, 3"),
    "stage as flag": ({"zero": True}, "one of 0, 1, 2, 3"),
    "ranks": ({"ranks": 0}, "integer >= 1"),
    "ranks as symbol": ({"ranks": free_symbols("N")}, "or the symbol R"),
    "prefetch": ({"prefetch": -1}, "integer >= 0"),
    "divided matrices": (
        {"optimizer": "muon", "zero": 1, "ranks": 2},
        "must be 0 with muon",
    ),
    "divided factors": (
        {"optimizer": "adafactor", "zero": 3},
        "must be 0 with adafactor",
    ),
    "divided blocks": (
        {"optimizer": "adamw_8bit", "zero": 2},
        "must be 0 with adamw_8bit",
    ),
    "rank of adapters": ({"lora": 0}, "integer >= 1"),
    "targets": ({"lora": 8, "targets": ["query"]}, "'q_proj'"),
    "no targets": ({"lora": 8, "targets": []}, "at least one"),
    "a number of targets": ({"lora": 8, "targets": 3}, "at least one"),
    "base": ({"lora": 8, "base": "fp4"}, "'nf4_double'"),
    "base alone": ({"base": "nf4"}, "needs lora"),
    "packed and gathered": ({"lora": 8, "base": "nf4", "zero": 3}, "not gathered"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_exist_is_refused(name):
    options, message = REFUSED[name]
    with pytest.raises(ConfigError, match=message):
        training_states(load_model("Qwen3-0.6B"), **options)


def test_more_that_is_refused():
    with pytest.raises(ConfigError, match="stacked"):
        training_states(load_model("Mixtral-8x7B"), lora=8, base="nf4")
    with pytest.raises(ConfigError, match="numbers"):
        training_states(symbolic("deepseek_v3"), zero=3, ranks=4)


def test_every_recipe_and_optimizer_says_where_it_is_from():
    known = (fields.DATA.parents[1] / "references.bib").read_text(encoding="utf-8")
    for each in (*RECIPES.values(), *OPTIMIZERS.values(), *PACKED.values()):
        assert f"{{{each.source}," in known
