"""What a training forward keeps equals what PyTorch keeps, tensor by tensor."""

import json
from dataclasses import replace

import pytest
import sympy

from llm_memory import (
    ConfigError,
    Ledger,
    layer_activations,
    load_model,
    symbolic,
    training_activations,
    weights,
)
from llm_memory.activations import REST
from llm_memory.check import record
from llm_memory.layers import first_layers
from llm_memory.measure.cases import UNCAPPED
from llm_memory.symbols import L, a, b, d, f, h, k, s, symbol

ADAPTERS = record("adapters")["cases"]
CASES = record("activations")["cases"] | ADAPTERS


def shapes(case):
    for shape, measured in case["shapes"].items():
        batch, tokens = map(int, shape.split(","))
        yield batch, tokens, measured


def first_layer(model, choices):
    """What the first layer keeps, which is the one that was measured."""
    group = first_layers(model, 1).index(1)
    return layer_activations(model, sparse=model.layers[group].sparse, **choices)


@pytest.mark.parametrize("name", CASES)
def test_a_layer_and_the_model_keep_what_pytorch_keeps(name):
    case = CASES[name]
    model = load_model(case["config"])
    layer = first_layer(model, case["choices"])
    whole = training_activations(model, **case["choices"])
    for batch, tokens, measured in shapes(case):
        assert layer.evaluate(b=batch, s=tokens) == measured["layer"], (batch, tokens)
        assert whole.evaluate(b=batch, s=tokens) == measured["model"], (batch, tokens)


@pytest.mark.parametrize(
    "name", [name for name in CASES if CASES[name]["choices"]["recompute"] == "none"]
)
def test_every_row_is_a_tensor_that_autograd_packed(name):
    case = CASES[name]
    ledger = first_layer(load_model(case["config"]), case["choices"])
    for batch, tokens, measured in shapes(case):
        rows = ledger.substitute({"b": batch, "s": tokens}).rows
        rows = [row for row in rows if not row.name.endswith(REST)]
        derived = [[row.dtype.torch, int(row.bytes / row.count)] for row in rows]
        counts = [int(row.count) for row in rows]
        each = [row for row, n in zip(derived, counts, strict=True) for _ in range(n)]
        assert sorted(each) == measured["tensors"], (batch, tokens)


def test_there_are_enough_cases():
    measured = [shape for case in CASES.values() for shape in case["shapes"]]
    assert len(measured) >= 800
    assert len(ADAPTERS) >= 128
    frozen = [case for case in CASES.values() if case["choices"].get("frozen")]
    assert len(frozen) >= 33
    others = [
        case
        for name, case in CASES.items()
        if case not in frozen and name not in ADAPTERS
    ]
    assert {json.dumps(case["choices"], sort_keys=True) for case in others} == {
        json.dumps(choices, sort_keys=True)
        for choices in (
            {"attention": kernel, "recompute": recompute, "precision": precision}
            for kernel, recompute, precision in (
                ("eager", "none", "bf16"),
                ("flash", "none", "bf16"),
                ("efficient", "none", "bf16"),
                ("math", "none", "bf16"),
                ("eager", "full", "bf16"),
                ("eager", "core_attention", "bf16"),
                ("flash", "matmuls", "bf16"),
                ("eager", "none", "autocast"),
                ("eager", "full", "autocast"),
            )
        )
    }


def closed(ledger):
    """The ledger of b >= 2 as a polynomial."""
    return sympy.expand(ledger.bytes.subs(sympy.Eq(b, 1), sympy.false))


LLAMA = 16 * b * s * h + 8 * b * s + 8 * b * s * f
A, K = a * d, k * d


@pytest.mark.parametrize(
    ("attention", "core"),
    [
        ("eager", 8 * b * s * A + 6 * a * b * s**2),
        ("flash", 4 * b * s * A + 4 * b * s * K + 4 * a * b * s + 24),
        ("math", 14 * b * s * A + 4 * a * b * s**2),
    ],
)
def test_the_closed_forms_of_a_llama_layer(attention, core):
    ledger = layer_activations(symbolic("llama"), attention=attention)
    assert sympy.expand(closed(ledger) - LLAMA - core) == 0


def test_gpt2_is_the_published_formula_and_the_norms_moments():
    """Korthikanti et al. (2022): sbh(34 + 5as/h); PyTorch adds means and deviations."""
    gelu = load_model(
        {
            "model_type": "gpt2",
            "vocab_size": 10,
            "n_embd": 64,
            "n_layer": 1,
            "n_head": 4,
            "n_positions": 32,
            "activation_function": "gelu",
        }
    )
    batch, tokens, width, heads = 3, 32, 64, 4
    published = tokens * batch * width * 34 + 5 * heads * batch * tokens**2
    ledger = layer_activations(gelu)
    assert ledger.evaluate(b=batch, s=tokens) == published + 16 * batch * tokens


def test_stock_gpt2_keeps_58_instead_of_34():
    ledger = layer_activations(symbolic("gpt2")).substitute({f: 4 * h})
    expected = 58 * b * s * h + 5 * a * b * s**2 + 16 * b * s
    assert sympy.expand(ledger.bytes - expected) == 0


def test_qwen3_adds_the_norms_of_queries_and_keys():
    extra = layer_activations(symbolic("qwen3")).bytes
    extra -= layer_activations(symbolic("llama")).bytes
    expected = 6 * b * s * (A + K) + 4 * b * s * (a + k)
    assert sympy.expand(extra - expected) == 0


def test_gemma_norms_twice_as_often_in_fp32_and_caps():
    """A norm keeps x and x/rms in fp32, 1/rms and 1 + w: 8bsh + 4bs + 4h bytes."""
    family = symbolic("gemma2")
    capped = replace(family, caps={"scores": 50.0})
    llama = layer_activations(symbolic("llama")).bytes
    norms = 4 * (8 * b * s * h + 4 * b * s + 4 * h) - 2 * (6 * b * s * h + 4 * b * s)
    for model, tanh in ((replace(family, caps={}), 0), (capped, 2 * a * b * s**2)):
        extra = layer_activations(model).bytes - llama
        assert sympy.expand(extra - norms - tanh) == 0


def test_capped_scores_have_no_kernel_but_eager():
    model = load_model("Gemma-2-9B")
    for attention in ("flash", "efficient", "math"):
        with pytest.raises(ConfigError, match=r"^attention = .* capped scores"):
            training_activations(model, attention)
    uncapped = load_model({**model.values, "model_type": "gemma2"} | UNCAPPED)
    assert training_activations(uncapped, "flash").evaluate(b=1, s=8) > 0


def test_experts_keep_a_row_for_each_token_and_expert():
    """By hand: bf16 rows of width h and m, ids in int64, ends in int32, the router."""
    E, E_k, m = map(symbol, ("E", "E_k", "m"))
    family = symbolic("mixtral")
    extra = layer_activations(family).bytes - layer_activations(symbolic("llama")).bytes
    rows = b * s * E_k
    experts = rows * (2 * 2 * h + 2 * 4 * m + 4 + 3 * 8) + 4 * E
    router = 4 * b * s * E + 8 * rows + 4 * b * s + 4 * rows
    # LLaMA's MLP: gate, up, activated and product of width f.
    assert sympy.expand(extra - experts - router + 8 * b * s * f) == 0


def test_values_of_latent_attention_hold_the_keys_they_were_made_with():
    """By hand: a view of kv_b_proj's output is saved if b, s or a is 1; else a copy."""
    model = load_model("DeepSeek-V3")
    ledger = layer_activations(model, sparse=False)
    rest = next(row for row in ledger.rows if row.name.endswith(REST))
    heads, nope = 128, 128
    for batch, tokens, held in ((1, 9, True), (9, 1, True), (2, 9, False)):
        (row,) = Ledger([rest], symbols=(b, s)).substitute({"b": batch, "s": tokens})
        assert row.bytes == held * 2 * batch * tokens * heads * nope
    with pytest.raises(ConfigError, match=r"^attention = 'flash': .* latent attention"):
        layer_activations(model, "flash", sparse=False)


def test_a_model_with_two_kinds_of_layers_is_asked_which():
    model = load_model("Qwen3-30B-A3B")
    mixed = load_model(
        model.values | {"model_type": "qwen3_moe"} | {"mlp_only_layers": [0]}
    )
    with pytest.raises(ConfigError, match=r"sparse = None: .* False and True"):
        layer_activations(mixed)
    dense, sparse = (layer_activations(mixed, sparse=each) for each in (False, True))
    total = training_activations(mixed).bytes - training_activations(model).bytes
    assert sympy.expand(total - dense.bytes + sparse.bytes) == 0
    assert sparse.bytes == layer_activations(model, sparse=True).bytes
    with pytest.raises(ConfigError, match=r"^sparse = False"):
        layer_activations(model, sparse=False)


@pytest.mark.parametrize(
    ("facts", "choices"),
    [
        ({}, {"attention": "flash", "recompute": "matmuls"}),
        ({}, {"precision": "autocast"}),
        ({}, {"profile": "fused"}),
        ({"output_router_logits": True}, {}),
        ({"router_jitter_noise": 0.01}, {}),
    ],
)
def test_what_is_not_derived_for_experts_is_refused(facts, choices):
    config = load_model("Mixtral-8x7B").values | {"model_type": "mixtral"} | facts
    with pytest.raises(ConfigError, match="routed experts") as error:
        training_activations(load_model(config), **choices)
    assert error.value.field in {*facts, *choices}


def test_an_activation_function_that_is_not_known_is_refused():
    """Weights and cache do not depend on it; what it keeps is never guessed."""
    values = load_model("LLaMA-7B").values | {"model_type": "llama"}
    model = load_model(values | {"hidden_act": "snake"})
    assert weights(model).bytes == weights(load_model("LLaMA-7B")).bytes
    with pytest.raises(ConfigError, match=r"^hidden_act = 'snake': .*'gelu'.*'relu2'"):
        layer_activations(model)
    composed = load_model(values | {"hidden_act": "quick_gelu"})
    with pytest.raises(ConfigError, match=r"^hidden_act = 'quick_gelu': .*autocast"):
        layer_activations(composed, precision="autocast")


def test_what_a_function_keeps_beside_its_gated_product():
    """quick_gelu is x·sigmoid(1.702·x): one tensor more; relu's output is the gate."""
    values = load_model("LLaMA-7B").values | {"model_type": "llama"}

    def kept(name):
        return layer_activations(load_model(values | {"hidden_act": name})).bytes

    one = 2 * b * s * 11008
    assert sympy.expand(kept("quick_gelu") - kept("silu") - one) == 0
    assert sympy.expand(kept("silu") - kept("relu") - one) == 0
    assert kept("linear") == kept("relu")  # the gate itself, in place of relu's output


def test_recomputation():
    family = symbolic("llama")
    assert layer_activations(family, recompute="full").bytes == 2 * b * s * h
    kept = layer_activations(family, "flash", recompute="matmuls")
    expected = 6 * b * s * h + 4 * b * s * (A + K + f) + 4 * a * b * s + 24
    assert sympy.expand(kept.bytes - expected) == 0


def test_autocast_keeps_copies_of_weights_and_inputs():
    ledger = layer_activations(symbolic("llama"), precision="autocast")
    matrices = 2 * h * A + 2 * h * K + 3 * h * f
    expected = 26 * b * s * h + 8 * b * s + 8 * b * s * f + 2 * matrices
    expected += 8 * b * s * A + 6 * a * b * s**2
    assert sympy.expand(closed(ledger) - expected) == 0


def test_a_fused_profile_keeps_only_inputs():
    ledger = layer_activations(symbolic("llama"), "flash", profile="fused")
    norms = 2 * (2 * b * s * h + 4 * b * s) + 2 * 2 * b * s * h
    core = 4 * b * s * A + 4 * b * s * K + 4 * a * b * s + 24
    assert sympy.expand(ledger.bytes - norms - 6 * b * s * f - core) == 0


def test_layers_add_up():
    family = symbolic("llama")
    layer = layer_activations(family, "flash").bytes
    model = training_activations(family, "flash").bytes
    assert sympy.expand(sympy.diff(model, L) - layer) == 0


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"attention": "paged"}, "attention"),
        ({"recompute": "some"}, "recompute"),
        ({"precision": "fp16"}, "precision"),
        ({"profile": "megatron"}, "profile"),
        ({"recompute": "matmuls", "attention": "eager"}, "recompute"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(choices, field):
    with pytest.raises(ConfigError) as error:
        layer_activations(symbolic("llama"), **choices)
    assert error.value.field == field


@pytest.mark.parametrize("family", ["falcon", "gptj", "qwen3_next"])
def test_a_family_that_is_not_derived_is_refused_by_name(family):
    with pytest.raises(ConfigError, match=f"^model_type = '{family}'"):
        training_activations(symbolic(family))


def test_sinks_have_no_kernel_but_eager():
    """By hand: a column more in bf16, a place in int64; no score is kept in fp32."""
    model = load_model("gpt-oss-20b")
    for attention in ("flash", "efficient", "math"):
        with pytest.raises(ConfigError, match=r"^attention = .* sinks"):
            layer_activations(model, attention)
    softmax = layer_activations(model).select(part="attention")
    rows = 2 * 64 * 7
    name = "model.layers.{i}.self_attn."
    found = softmax.substitute({"b": 2, "s": 7})
    assert found[name + "softmax"].bytes == 2 * rows * 8
    assert found[name + "place of the largest"].bytes == 8 * rows


def test_a_frozen_matrix_saves_no_input():
    model = load_model("LLaMA-13B")
    trained, kept = (
        layer_activations(model, "flash", frozen=frozen).evaluate(b=1, s=2048)
        for frozen in (False, True)
    )
    tokens, width, wide = 2048, 5120, 13824
    inputs = 2 * 2 * tokens * width  # the two norms' outputs, which the matrices read
    inputs += 2 * 2 * tokens * width  # what the norms' weights are multiplied with
    inputs += 2 * tokens * wide  # the gated product
    assert trained - kept == inputs
    for choice in ({"precision": "autocast"}, {"profile": "fused"}):
        with pytest.raises(ConfigError, match=r"^frozen"):
            layer_activations(model, frozen=True, **choice)
    with pytest.raises(ConfigError, match=r"^frozen"):
        layer_activations(model, frozen="yes")


def test_an_adapter_keeps_its_input_and_what_lies_between_its_maps():
    """By hand: fp32 copies, one byte for each element of the dropout, fp32 ranks."""
    model, rank = load_model("LLaMA-13B"), 16
    base = layer_activations(model, "flash", frozen=True).evaluate(b=1, s=2048)
    tokens, width, wide = 2048, 5120, 13824
    inputs = tokens * (6 * width + wide)  # q, k, v, o, gate, up; down
    between = tokens * 7 * rank
    for dropout, each in ((0, 4), (0.1, 5)):
        kept = layer_activations(model, "flash", lora=rank, lora_dropout=dropout)
        assert kept.evaluate(b=1, s=2048) - base == each * inputs + 4 * between
    some = layer_activations(model, "flash", lora=rank, targets=["q_proj", "v_proj"])
    assert (
        some.evaluate(b=1, s=2048) - base
        == 4 * 2 * tokens * width + 4 * tokens * 2 * rank
    )


def test_bf16_adapters_of_one_input_keep_it_once():
    """By hand: q, k and v read one norm's output, gate and up another's."""
    model, rank, tokens, width, wide = load_model("LLaMA-13B"), 16, 2048, 5120, 13824
    base, kept = (
        layer_activations(model, "flash", **choices).evaluate(b=1, s=tokens)
        for choices in ({"frozen": True}, {"lora": rank, "adapters": "bf16"})
    )
    inputs = 2 * tokens * (2 * width + wide)  # the attention's output is saved anyway
    assert kept - base == inputs + 2 * tokens * 7 * rank


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"lora": 0}, "lora"),
        ({"lora": 8, "targets": ["qkv"]}, "targets"),
        ({"targets": ["q_proj"]}, "lora"),
        ({"lora_dropout": 0.1}, "lora"),
        ({"lora": 8, "lora_dropout": 1}, "lora_dropout"),
        ({"lora": 8, "adapters": "fp16"}, "adapters"),
        ({"lora": 8, "recompute": "matmuls", "attention": "flash"}, "recompute"),
        ({"lora": 8, "precision": "autocast"}, "frozen"),
    ],
)
def test_adapters_that_are_not_described_are_refused(choices, field):
    with pytest.raises(ConfigError) as error:
        layer_activations(load_model("LLaMA-13B"), **choices)
    assert error.value.field == field
    with pytest.raises(ConfigError, match=r"^lora = 8"):
        layer_activations(load_model("Mixtral-8x7B"), lora=8)
