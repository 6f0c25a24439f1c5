"""The library against slow counts, published numbers, and properties that must hold.

Expected values are written here or counted in `by_hand.py`, never by the library.
"""

from math import ceil, prod

import by_hand
import pytest
from configs import (
    FLAG,
    GROUPED,
    LATENT_FAMILIES,
    SIZES,
    SMALL,
    SPARSE,
    STATELESS,
    WINDOWED,
    configs,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import Max, Min, Symbol, ceiling, floor

import llm_memory as lm
from llm_memory.kv_cache import CacheFormat, CacheLayers, State, cache_ledger
from llm_memory.layers import first_layers
from llm_memory.operations import Cached
from llm_memory.symbols import L, V, W, a, b, d, f, h, k, s, t
from llm_memory.units import dtype

BITS = {"fp32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "int4": 4}
BATCH, TOKENS = st.integers(1, 4), st.integers(1, 60)
PLAIN = st.sampled_from(["fp32", "fp16", "bf16"])
settings.register_profile("library", deadline=None, max_examples=50)
settings.load_profile("library")
FAMILY = pytest.mark.parametrize("family", SIZES)  # each gets examples of its own
FEW = settings(max_examples=10)


def slow_bytes(ledger, **sizes) -> int:
    """Multiply every shape, tensor by tensor; a tensor ends on a whole byte."""
    total = 0
    for row in ledger.rows:
        shape = [value(size, sizes) for size in row.shape]
        for _ in range(value(row.count, sizes)):
            total += ceil(prod(shape) * BITS[str(row.dtype)] / 8)
    return total


def value(size, sizes: dict) -> int:
    """Put numbers in the place of symbols."""
    return int(size.subs({each: sizes[str(each)] for each in size.free_symbols}))


# ---- A ledger is the sum of its shapes.


SIZE = st.sampled_from(
    [b, s, t, h, s + 1, 3 * h, b * s, Min(t, W), Max(s - t, 1), 16 * ceiling(t / 16),
     floor(s / 2) + 1, 7, 128]
)  # fmt: skip
TENSOR = st.builds(
    lm.Tensor,
    st.sampled_from(["keys", "values", "weight"]),
    st.lists(SIZE, max_size=3).map(tuple),
    st.sampled_from(sorted(BITS)),
    st.sampled_from([1, 2, 5, b, L]),
    st.sampled_from(["", "attention", "MLP"]),
)
NAMES = ("b", "s", "t", "h", "W", "L")


@st.composite
def ledgers_and_sizes(draw):
    ledger = lm.Ledger(draw(st.lists(TENSOR, max_size=6)))
    names = sorted(str(each) for each in ledger.symbols)
    return ledger, {name: draw(st.integers(1, 20)) for name in names}


@given(ledgers_and_sizes())
def test_evaluate_is_a_loop_that_multiplies_shapes(case):
    ledger, sizes = case
    assert ledger.evaluate(**sizes) == slow_bytes(ledger, **sizes)


@given(ledgers_and_sizes(), ledgers_and_sizes())
def test_ledgers_add_split_and_substitute_without_a_loss(one, two):
    sizes = one[1] | two[1]
    joined = one[0] + two[0]
    whole = slow_bytes(one[0], **sizes) + slow_bytes(two[0], **sizes)
    assert joined.evaluate(**sizes) == whole
    assert sum(part.evaluate(**sizes) for part in joined.parts.values()) == whole
    assert joined.substitute(sizes).evaluate() == whole


def test_a_substitution_is_simultaneous_and_keeps_what_is_declared():
    ledger = lm.Ledger([lm.Tensor("x", (b, s), "int8", count=b * s**2)], symbols=(t,))
    swapped = ledger.substitute({b: s, s: b})
    assert swapped.evaluate(b=2, s=3, t=1) == 3**2 * 2**3
    with pytest.raises(lm.ConfigError, match=r"^t = None: is missing"):
        swapped.evaluate(b=2, s=3)


def test_rows_alike_become_one_and_a_size_of_ones_own_works():
    q = Symbol("q")
    rows = [lm.Tensor("x", (q, 3), "int4"), lm.Tensor("x", (q, 3), "int4", count=4)]
    ledger = lm.Ledger(rows)
    assert len(ledger) == 1
    assert ledger.evaluate(q=3) == 5 * 5  # 9 elements of half a byte are 5 bytes
    with pytest.raises(lm.ConfigError, match=r"^q = None: is missing"):
        ledger.evaluate()


BAD_SIZES = {
    "missing": ({"b": 1}, "t", None),
    "undeclared": ({"b": 1, "t": 1, "s": 5}, "s", 5),
    "zero": ({"b": 0, "t": 1}, "b", 0),
    "negative": ({"b": 1, "t": -3}, "t", -3),
    "float": ({"b": 1, "t": 2.0}, "t", 2.0),
    "bool": ({"b": True, "t": 1}, "b", True),
    "string": ({"b": 1, "t": "8"}, "t", "8"),
    "none": ({"b": None, "t": 1}, "b", None),
}


@pytest.mark.parametrize("name", BAD_SIZES)
def test_evaluate_refuses_a_bad_size_by_name_and_value(name):
    sizes, field, value = BAD_SIZES[name]
    with pytest.raises(lm.ConfigError) as caught:
        lm.kv_cache(lm.load_model("Qwen3-0.6B")).evaluate(**sizes)
    assert (caught.value.field, caught.value.value) == (field, value)
    assert str(caught.value).startswith(f"{field} = {value!r}: ")


def test_evaluate_is_exact_beyond_every_float():
    ledger = lm.kv_cache(lm.load_model("Qwen3-0.6B"))
    assert ledger.evaluate(b=2**61 + 1, t=3**40) == 114_688 * (2**61 + 1) * 3**40


# ---- Weights.


@FAMILY
@FEW
@given(st.data(), st.sampled_from(sorted(BITS)))
def test_weights_are_the_shapes_counted_by_hand(family, data, kind):
    config = data.draw(configs((family,)))
    ledger = lm.weights(lm.load_model(config), dtype=kind)
    assert ledger.elements == by_hand.elements(config)
    assert ledger.evaluate() == slow_bytes(ledger)
    if kind != "int4":
        assert ledger.evaluate() == by_hand.elements(config) * BITS[kind] // 8


@FAMILY
@FEW
@given(st.data(), st.sampled_from(["int8", "fp8", "int4"]))
def test_quantised_weights_are_the_shapes_counted_by_hand(family, data, packing):
    config = data.draw(configs((family,)))
    ledger = lm.weights(lm.load_model(config), quantization=packing)
    assert ledger.evaluate() == by_hand.quantised_bytes(config, packing)


LAYER = {
    "model_type": "llama", "vocab_size": 10, "hidden_size": 256,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 128, "intermediate_size": 300,
}  # fmt: skip
# q (256, 256), k and v (128, 256), o (256, 256), gate and up (300, 256),
# down (256, 300); embedding, head and three norms stay in bf16.
REST = 2 * (2 * 10 * 256 + 3 * 256)
MATRIX = 2 * 256 * 256 + 2 * 128 * 256 + 3 * 300 * 256
LAYER_BYTES = {
    "int8": MATRIX + 4 * (256 + 128 + 128 + 256 + 300 + 300 + 256),
    "fp8": MATRIX + 4 * (2 * 2 + 1 * 2 + 1 * 2 + 2 * 2 + 3 * 2 + 3 * 2 + 2 * 3),
    # groups of 128 columns: two in 256, three in 300; 2 bytes of scale, half of zero
    "int4": MATRIX // 2 + 2.5 * (2 * (256 + 128 + 128 + 256 + 300 + 300) + 3 * 256),
}


@pytest.mark.parametrize("packing", LAYER_BYTES)
def test_one_quantised_layer_written_out(packing):
    ledger = lm.weights(lm.load_model(LAYER), quantization=packing)
    assert ledger.evaluate() == LAYER_BYTES[packing] + REST


@given(configs(families=SPARSE))
def test_active_weights_are_those_of_the_chosen_experts(config):
    model = lm.load_model(config)
    active = lm.active_weights(model)
    assert active.elements == by_hand.active_elements(config)
    assert active.elements <= lm.weights(model).elements


@given(configs(families=("llama", "gpt2", "phi3")))
def test_a_dense_model_uses_all_its_weights(config):
    model = lm.load_model(config)
    assert lm.active_weights(model).elements == by_hand.elements(config)


PUBLISHED = {
    "Qwen3-0.6B": 596_049_920,
    "Qwen3-8B": 8_190_735_360,
    "Qwen3-30B-A3B": 30_532_122_624,
    "LLaMA-7B": 6_738_415_616,
    "LLaMA-13B": 13_015_864_320,
    "Llama-3.1-8B": 8_030_261_248,
    "Llama-3.1-70B": 70_553_706_496,
    "Mistral-7B": 7_241_732_096,
    "Mixtral-8x7B": 46_702_792_704,
    "Gemma-2-9B": 9_241_705_984,
    "gpt-oss-20b": 20_914_757_184,
    "GPT-2": 124_439_808,
    "GPT-2-xl": 1_557_611_200,
    "DeepSeek-V3": 671_026_404_352,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name):
    assert lm.weights(lm.load_model(name)).elements == PUBLISHED[name]


def test_published_active_counts():
    assert lm.active_weights(lm.load_model("Mixtral-8x7B")).elements == 12_879_925_248


def test_the_published_fp8_checkpoint_of_deepseek_v3():
    model = lm.load_model("DeepSeek-V3")
    elements = dict.fromkeys(("fp8", "bf16", "fp32"), 0)
    for row in lm.weights(model, quantization="fp8", mtp=True).rows:
        elements[str(row.dtype)] += row.elements
    assert elements == {
        "fp8": 680_571_043_840, "bf16": 3_918_786_560, "fp32": 41_555_600,
    }  # fmt: skip


def test_the_published_mxfp4_checkpoint_of_gpt_oss():
    model = lm.load_model("gpt-oss-20b")
    ledger = lm.weights(model, quantization="mxfp4")
    assert ledger.evaluate() == 13_761_264_768  # total_size of its safetensors index
    layer = "model.layers.{i}.mlp.experts."
    scales = ledger[layer + "gate_up_proj_scales"]
    assert (scales.shape, scales.count) == ((32, 5760, 90), 24)
    assert ledger[layer + "down_proj_blocks"].elements == 24 * 32 * 2880 * 90 * 16 * 2
    assert str(ledger["model.layers.{i}.mlp.router.weight"].dtype) == "bf16"


def test_a_format_that_packs_nothing_is_refused():
    with pytest.raises(lm.ConfigError, match=r"^quantization = 'mxfp4': packs experts"):
        lm.weights(lm.load_model("Qwen3-0.6B"), quantization="mxfp4")


# ---- The KV cache.


@FAMILY
@FEW
@given(st.data(), BATCH, TOKENS, PLAIN)
def test_the_cache_is_counted_token_by_token(family, data, batch, tokens, kind):
    config = data.draw(configs((family,)))
    ledger = lm.kv_cache(lm.load_model(config), dtype=kind)
    elements = by_hand.cached_elements(config, batch, tokens)
    states = by_hand.state_bytes(config, batch, BITS[kind])
    assert ledger.evaluate(b=batch, t=tokens) == elements * BITS[kind] // 8 + states


@given(configs(families=LATENT_FAMILIES), BATCH, TOKENS)
def test_the_expanded_cache_is_counted_token_by_token(config, batch, tokens):
    ledger = lm.kv_cache(lm.load_model(config), layout="expanded")
    elements = by_hand.cached_elements(config, batch, tokens, "expanded")
    assert ledger.evaluate(b=batch, t=tokens) == 2 * elements


@given(configs(families=STATELESS, window=False), BATCH, BATCH, TOKENS, TOKENS)
def test_the_cache_is_linear_in_b_and_without_a_window_in_t(config, b1, b2, t1, t2):
    cache = lm.kv_cache(lm.load_model(config))
    at = cache.evaluate
    assert at(b=b1 + b2, t=t1) == at(b=b1, t=t1) + at(b=b2, t=t1)
    assert at(b=b1, t=t1 + t2) == at(b=b1, t=t1) + at(b=b1, t=t2)


@given(configs(families=WINDOWED, window=True), TOKENS)
def test_a_windowed_layer_holds_no_more_than_its_window(config, tokens):
    at = lm.kv_cache(lm.load_model(config)).evaluate
    window, layers = config["sliding_window"], by_hand.windows(config)
    sliding = sum(each is not None for each in layers)
    per_token = 2 * by_hand.elements_per_token(config)
    held = sliding * min(tokens, window) + (len(layers) - sliding) * tokens
    assert at(b=1, t=tokens) == per_token * held
    full = window + tokens
    growth = at(b=1, t=full + 1) - at(b=1, t=full)
    assert growth == per_token * (len(layers) - sliding)


@given(configs(families=GROUPED))
def test_mha_is_gqa_with_as_many_kv_heads_as_query_heads(config):
    config |= {"num_key_value_heads": config["num_attention_heads"]}
    model, width = lm.load_model(config), config["head_dim"]
    heads = config["num_attention_heads"]
    per_token = 2 * 2 * heads * width * config["num_hidden_layers"]
    assert lm.kv_cache(model).evaluate(b=1, t=1) == per_token
    by_row = {row.name.split(".")[-2]: row.elements for row in lm.weights(model).rows}
    if "k_proj" in by_row:
        assert by_row["k_proj"] == by_row["v_proj"] == by_row["q_proj"]


def test_mha_is_gqa_with_k_for_a_in_symbols():
    family = lm.symbolic("llama")
    assert (lm.kv_cache(family).substitute({k: a}).bytes - 4 * L * b * t * a * d) == 0
    layers = L * (4 * h * a * d + 3 * h * f + 2 * h)
    model = 2 * V * h + layers + h
    assert (lm.weights(family).substitute({k: a}).elements - model).expand() == 0


KNOWN = {
    ("Qwen3-0.6B", "latent"): 114_688,
    ("LLaMA-13B", "latent"): 819_200,
    ("DeepSeek-V3", "latent"): 70_272,
    ("DeepSeek-V3", "expanded"): 4_997_120,
}


@pytest.mark.parametrize(("name", "layout"), KNOWN)
def test_known_bytes_per_token(name, layout):
    ledger = lm.kv_cache(lm.load_model(name), layout=layout)
    assert ledger.evaluate(b=1, t=1) == KNOWN[name, layout]
    assert round(4_997_120 / 70_272, 1) == 71.1


FALCON_40B = {
    "model_type": "falcon", "hidden_size": 8192, "num_hidden_layers": 60,
    "num_attention_heads": 128, "num_kv_heads": 8, "vocab_size": 65024,
    "multi_query": True, "new_decoder_architecture": True, "parallel_attn": True,
    "alibi": False, "bias": False,
}  # fmt: skip


def test_falcon_40b_is_cached_repeated_or_grouped():
    model = lm.load_model(FALCON_40B)
    heads = {"latent": 128, "expanded": 128, "grouped": 8}  # transformers repeats
    for layout, count in heads.items():
        cache = lm.kv_cache(model, layout=layout)
        assert cache.evaluate(b=1, t=1) == 60 * 2 * count * 64 * 2


@pytest.mark.parametrize("name", ["Qwen3-0.6B", "DeepSeek-V3"])
def test_a_layout_that_a_model_does_not_have_is_refused(name):
    with pytest.raises(lm.ConfigError, match=r"^layout = 'grouped': must be one of"):
        lm.kv_cache(lm.load_model(name), layout="grouped")


# int8 and int4 keep an fp16 scale and an fp16 zero point per token and head.
CACHE_BYTES = {"fp8": lambda width: width, "int8": lambda width: width + 4,
               "int4": lambda width: ceil(width / 2) + 4}  # fmt: skip


@given(configs(families=("llama",)), st.sampled_from(sorted(CACHE_BYTES)), TOKENS)
def test_a_quantised_cache_brings_its_scales(config, kind, tokens):
    heads = 2 * config["num_key_value_heads"] * config["num_hidden_layers"]
    size = heads * tokens * CACHE_BYTES[kind](config["head_dim"])
    ledger = lm.kv_cache(lm.load_model(config), dtype=kind)
    assert ledger.evaluate(b=1, t=tokens) == size


def test_a_scale_for_each_group_of_elements():
    grouped = CacheFormat(dtype("int8"), scale=dtype("fp32"), group=48)
    ledger = lm.kv_cache(lm.load_model("Qwen3-0.6B"), dtype=grouped)
    assert ledger.evaluate(b=1, t=1) == 28 * 2 * 8 * (128 + 3 * 4)


# ---- Paged caches.


@given(configs(families=STATELESS), BATCH, TOKENS, st.integers(1, 20))
def test_blocks_are_those_with_a_token_still_in_use(config, batch, tokens, block):
    model, layers = lm.load_model(config), by_hand.windows(config)
    per_slot = 2 * by_hand.elements_per_token(config)
    slots = sum(by_hand.slots_in_use(tokens, block, each) for each in layers)
    paged = lm.kv_cache(model, block=block).evaluate(b=batch, t=tokens)
    assert paged == batch * slots * per_slot
    assert paged >= lm.kv_cache(model).evaluate(b=batch, t=tokens)


@given(configs(families=STATELESS, window=False), BATCH, TOKENS, st.integers(1, 20))
def test_less_than_a_block_per_sequence_is_wasted(config, batch, tokens, block):
    model = lm.load_model(config)
    exact, paged = lm.kv_cache(model), lm.kv_cache(model, block=block)
    full = block * tokens
    assert paged.evaluate(b=batch, t=full) == exact.evaluate(b=batch, t=full)
    at = {"b": batch, "t": tokens}
    wasted = paged.evaluate(**at) - exact.evaluate(**at)
    slot = 2 * by_hand.elements_per_token(config) * len(by_hand.windows(config))
    assert wasted % (batch * slot) == 0
    assert wasted // (batch * slot) < block
    if wasted:
        assert paged.parts["empty slots"].evaluate(**at) == wasted


# ---- Tensor parallelism.


@given(
    configs(families=STATELESS),
    st.sampled_from([1, 2, 3, 4, 6, 8, 12]),
    BATCH,
    TOKENS,
)
def test_ranks_together_hold_at_least_the_whole_cache(config, tp, batch, tokens):
    model, at = lm.load_model(config), {"b": batch, "t": tokens}
    whole = lm.kv_cache(model).evaluate(**at)
    latent = "kv_lora_rank" in config
    heads = by_hand.kv_heads(config)
    if not latent and heads % tp and tp % heads:
        with pytest.raises(lm.ConfigError, match=r"^tp = \d+: must divide"):
            lm.kv_cache(model, tp=tp)
        return
    rank = lm.kv_cache(model, tp=tp, per="rank").evaluate(**at)
    together = lm.kv_cache(model, tp=tp).evaluate(**at)
    assert together == tp * rank >= whole
    if latent:
        assert rank == whole
    elif heads % tp == 0:
        assert together == whole
    else:
        assert together == whole * tp // heads


@given(configs(families=LATENT_FAMILIES), TOKENS)
def test_an_expanded_cache_has_heads_to_divide(config, tokens):
    model, heads = lm.load_model(config), config["num_attention_heads"]
    ranks = lm.kv_cache(model, layout="expanded", tp=heads, per="rank")
    whole = lm.kv_cache(model, layout="expanded")
    assert heads * ranks.evaluate(b=1, t=tokens) == whole.evaluate(b=1, t=tokens)


@given(configs(families=("llama", "mistral", "qwen3")), st.sampled_from([2, 4]), FLAG)
def test_ranks_together_hold_at_least_all_weights(config, tp, many):
    if many:
        config |= {"num_key_value_heads": 1}
    config["intermediate_size"] *= 4
    model = lm.load_model(config)
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    assume(heads % tp == 0 and (kv % tp == 0 or tp % kv == 0))
    rank, whole = lm.weights(model, tp=tp), lm.weights(model)
    assert tp * rank.evaluate() >= whole.evaluate()
    for row in rank.rows:
        kind, full = row.name.split(".")[-2], whole[row.name].elements
        if kind in ("q_proj", "o_proj", "gate_proj", "up_proj", "down_proj"):
            replicated = kind in ("o_proj", "down_proj") and row.name.endswith("bias")
            assert row.elements * (1 if replicated else tp) == full, row.name
        elif kind in ("k_proj", "v_proj"):
            assert row.elements * min(tp, kv) == full, row.name
        elif "norm" in kind:
            assert row.elements == full, row.name


BAD_ARGUMENTS = {
    "cache dtype": (lm.kv_cache, {"dtype": "int64"}, "dtype"),
    "layout": (lm.kv_cache, {"layout": "compressed"}, "layout"),
    "per": (lm.kv_cache, {"per": "gpu"}, "per"),
    "block of none": (lm.kv_cache, {"block": 0}, "block"),
    "block that is a bool": (lm.kv_cache, {"block": True}, "block"),
    "half a block": (lm.kv_cache, {"block": 0.5}, "block"),
    "no rank": (lm.kv_cache, {"tp": 0}, "tp"),
    "a float of ranks": (lm.kv_cache, {"tp": 2.0}, "tp"),
    "ranks that do not divide": (lm.kv_cache, {"tp": 3}, "tp"),
    "weights dtype": (lm.weights, {"dtype": "float16"}, "dtype"),
    "format": (lm.weights, {"quantization": "gguf"}, "quantization"),
    "no MTP layers": (lm.weights, {"mtp": True}, "mtp"),
    "no rank for weights": (lm.weights, {"tp": 0}, "tp"),
    "weights that do not divide": (lm.weights, {"tp": 3}, "tp"),
    "active dtype": (lm.active_weights, {"dtype": "bfloat16"}, "dtype"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_a_bad_argument_is_named(name):
    function, arguments, field = BAD_ARGUMENTS[name]
    with pytest.raises(lm.ConfigError) as caught:
        function(lm.load_model("Qwen3-0.6B"), **arguments)
    assert (caught.value.field, caught.value.value) == (field, arguments[field])


# ---- Hybrids: layers with a fixed state, and layers that share.


@given(SMALL, SMALL, SMALL, SMALL, SMALL, BATCH, TOKENS)
def test_linear_attention_keeps_a_state_and_nothing_per_token(
    full, linear, n_k, d_k, n_v, batch, tokens
):
    conv = 4 * (2 * n_k * d_k + n_v * d_k)  # bf16: four columns of q, k and v
    recurrent = n_v * d_k * d_k  # fp32
    kept = (Cached("keys", "keys", n_k, d_k), Cached("values", "values", n_k, d_k))
    layers = [
        CacheLayers(full, kept),
        CacheLayers(
            linear,
            states=(
                State("conv", (4, 2 * n_k * d_k + n_v * d_k), dtype("bf16")),
                State("recurrent", (n_v, d_k, d_k), dtype("fp32")),
            ),
        ),
    ]
    per_token, fixed = full * 2 * 2 * n_k * d_k, linear * (2 * conv + 4 * recurrent)
    ledger = cache_ledger(layers)
    assert ledger.evaluate(b=batch, t=tokens) == batch * (per_token * tokens + fixed)
    paged = cache_ledger(layers, block=tokens)
    assert paged.evaluate(b=batch, t=1) == batch * (per_token * tokens + fixed)


@given(configs(families=("qwen3_next",)), BATCH, TOKENS)
def test_a_state_is_neither_quantised_nor_paged(config, batch, tokens):
    model, states = lm.load_model(config), by_hand.state_bytes(config, batch)
    for kind in ("bf16", "fp8", "int8", "int4"):
        cache = lm.kv_cache(model, dtype=kind, block=16)
        kept = cache.select(part="state").evaluate(b=batch, t=tokens)
        assert kept == states


@given(configs(families=("qwen3_next",)), st.integers(0, 5))
def test_the_first_layers_of_a_hybrid_are_counted_one_by_one(config, number):
    model = lm.load_model(config)
    linear = by_hand.linear(config)[:number]
    kinds = [(each, by_hand._sparse(config, i)) for i, each in enumerate(linear)]
    groups = [(each.linear, each.sparse) for each in model.layers]
    number = min(number, config["num_hidden_layers"])
    assert first_layers(model, number) == tuple(kinds.count(each) for each in groups)
    assert sum(each.count for each in model.layers) == config["num_hidden_layers"]


@given(configs(families=("qwen3_next",)), st.sampled_from([2, 3, 4]), TOKENS)
def test_ranks_share_the_heads_of_a_state(config, tp, tokens):
    model = lm.load_model(config)
    kv, heads = config["num_key_value_heads"], config["linear_num_key_heads"]
    assume(kv % tp == 0 or tp % kv == 0)
    if heads % tp and any(by_hand.linear(config)):
        with pytest.raises(lm.ConfigError, match=r"^tp = \d: must divide .* heads of"):
            lm.kv_cache(model, tp=tp)
        return
    together = lm.kv_cache(model, tp=tp).select(part="state")
    whole = lm.kv_cache(model).select(part="state")
    assert together.evaluate(b=1, t=tokens) == whole.evaluate(b=1, t=tokens)


@given(SMALL, st.integers(2, 5), SMALL, TOKENS)
def test_layers_that_share_a_cache_take_it_once(count, readers, width, tokens):
    kept = (Cached("keys", "keys", 1, width), Cached("values", "values", 1, width))
    shared = cache_ledger([CacheLayers(count, kept, readers=readers)])
    assert shared.evaluate(b=1, t=tokens) == count * tokens * 2 * 2 * width


# ---- Symbolic families.


FLAGS = {
    "tied": "tie_word_embeddings", "mlp_bias": "mlp_bias",
    "norm_affine": "layer_norm_elementwise_affine",
    "norm_first": "do_layer_norm_before",
}  # fmt: skip


def structure(config) -> dict:
    """Give the flags of a config, from its own fields."""
    kind = config["model_type"]
    flags = {flag: config[name] for flag, name in FLAGS.items() if name in config}
    if "attention_bias" in config:
        flags["bias"] = config["attention_bias"]
        whole = kind in (*GROUPED, "qwen3_next") and kind != "glm4"
        flags["output_bias"] = config["attention_bias"] and whole
    if kind == "opt":
        flags["bias"] = config["enable_bias"]
        flags["projected"] = config["word_embed_proj_dim"] != config["hidden_size"]
        last = config["do_layer_norm_before"] and not config["_remove_final_layer_norm"]
        flags["final_norm"] = last
    if kind == "falcon":
        new, parallel = config["new_decoder_architecture"], config["parallel_attn"]
        flags |= {"bias": config["bias"], "parallel": parallel, "repeated": new}
        flags["multi_query"] = config["multi_query"] and not new
        flags["two_norms"] = parallel and config["num_ln_in_parallel_attn"] == 2
    if "q_lora_rank" in config:
        flags["query_latent"] = config["q_lora_rank"] is not None
    if kind in WINDOWED:
        flags["window"] = any(by_hand.windows(config))
    return flags


def sizes_of(config, *ledgers) -> dict:
    """Give each symbol of the ledgers its value in a config."""
    fields = {
        "V": ("vocab_size",), "h": ("hidden_size", "n_embd"),
        "L": ("num_hidden_layers", "n_layer"), "a": ("num_attention_heads", "n_head"),
        "k": ("num_key_value_heads", "num_kv_heads"), "d": ("head_dim",),
        "f": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
        "W": ("sliding_window",),
        "C": ("max_position_embeddings", "n_positions"),
        "h_e": ("word_embed_proj_dim",), "m": ("moe_intermediate_size",),
        "E": ("n_routed_experts", "num_experts", "num_local_experts"),
        "E_k": ("num_experts_per_tok",), "E_s": ("n_shared_experts",),
        "c_q": ("q_lora_rank",), "c_kv": ("kv_lora_rank",),
        "d_v": ("v_head_dim", "linear_value_head_dim"),
        "d_k": ("linear_key_head_dim",), "n_k": ("linear_num_key_heads",),
        "n_v": ("linear_num_value_heads",), "W_c": ("linear_conv_kernel_dim",),
        "m_s": ("shared_expert_intermediate_size",),
        "d_n": ("qk_nope_head_dim",), "d_r": ("qk_rope_head_dim",),
    }  # fmt: skip
    values = {
        size: config[name]
        for size, names in fields.items()
        for name in names
        if config.get(name) is not None
    }
    if config["model_type"] in ("mixtral", "gpt_oss"):
        values["m"] = config["intermediate_size"]
    layers = range(config.get("num_hidden_layers", 0))
    values["D"] = sum(not by_hand._sparse(config, i) for i in layers)
    values["L_w"] = sum(each is not None for each in by_hand.windows(config))
    wanted = {str(each) for ledger in ledgers for each in ledger.symbols} - {"b", "t"}
    return {name: values[name] for name in wanted}


@FAMILY
@FEW
@given(st.data(), BATCH, TOKENS)
def test_a_symbolic_family_with_numbers_is_the_model(family, data, batch, tokens):
    config = data.draw(configs((family,)))
    if "sliding_window_pattern" in config:
        config["sliding_window_pattern"] = 6  # the family's own
    if family == "qwen3_next":
        config.pop("layer_types", None)
        config["full_attention_interval"] = 4
    model = lm.symbolic(family, **structure(config))
    weights, cache = lm.weights(model), lm.kv_cache(model)
    sizes = sizes_of(config, weights, cache)
    assert weights.substitute(sizes).elements == by_hand.elements(config)
    held = cache.substitute(sizes).evaluate(b=batch, t=tokens)
    states = by_hand.state_bytes(config, batch)
    assert held == 2 * by_hand.cached_elements(config, batch, tokens) + states
    if config["model_type"] in SPARSE:
        active = lm.active_weights(model)
        sizes = sizes_of(config, active)
        count = by_hand.active_elements(config)
        assert active.substitute(sizes).elements == count


def test_a_symbolic_opt_has_a_second_width_only_if_it_projects():
    for projected, names in (
        (False, "CLVfh"),
        (True, ["C", "L", "V", "f", "h", "h_e"]),
    ):
        ledger = lm.weights(lm.symbolic("opt", projected=projected))
        assert sorted(str(each) for each in ledger.symbols) == list(names)


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        ({"biased": True}, "flag"),
        ({"tied": 1}, "tied"),
        ({"window": True}, "window"),
        ({"multi_query": True}, "multi_query"),
        ({"query_latent": False}, "query_latent"),
    ],
)
def test_a_symbolic_family_refuses_an_unknown_structure(flags, field):
    with pytest.raises(lm.ConfigError) as caught:
        lm.symbolic("llama", **flags)
    assert caught.value.field == field


@pytest.mark.parametrize("model", ["Qwen3-0.6B", None, {"model_type": "llama"}])
@pytest.mark.parametrize("quantity", [lm.weights, lm.kv_cache, lm.flops])
def test_what_is_no_model_is_named(quantity, model):
    with pytest.raises(lm.ConfigError, match=r"^model = .*load_model"):
        quantity(model)


@pytest.mark.parametrize("mtp", [1, "yes", None])
def test_mtp_is_true_or_false(mtp):
    with pytest.raises(lm.ConfigError, match=r"^mtp = .*True or False"):
        lm.weights(lm.load_model("DeepSeek-V3"), mtp=mtp)


# ---- Accelerators.


def test_an_accelerator_has_a_label_and_a_driver():
    card = lm.load_hardware("RTX 4090")
    assert (card.label_bytes, card.bytes) == (24 * 10**9, 24_564 * 2**20)
    with pytest.raises(lm.ConfigError, match=r"^hardware = 'RTX 5': .*'RTX 4090'"):
        lm.load_hardware("RTX 5")


@pytest.mark.parametrize("field", ["bytes", "bandwidth", "flops", "label_bytes"])
@pytest.mark.parametrize("value", [0, -5, 1.5e12, "24 GB"])
def test_an_accelerator_of_ones_own_has_whole_numbers(field, value):
    with pytest.raises(lm.ConfigError) as caught:
        lm.Hardware(**{"bytes": 1} | {field: value})
    assert caught.value.field == field
