"""A rank's step against transformers' own tensor parallelism, and against the whole."""

from collections import Counter

import pytest
from configs import configs
from hypothesis import given, settings
from hypothesis import strategies as st

import llm_memory as lm
from llm_memory.check import record
from llm_memory.ranks import FAMILIES, rank_activations, rank_model, step_moments
from llm_memory.tape import CACHE

settings.register_profile("ranks", deadline=None, max_examples=40)
settings.load_profile("ranks")
FEW = settings(max_examples=8)
CASES = record("rank_steps")["cases"]


def largest(moments) -> int:
    return max(each.evaluate(b=1) for each in moments.values())


@pytest.mark.parametrize("name", CASES)
def test_a_rank_has_alive_what_transformers_has(name):
    case = CASES[name]
    model = lm.load_model(case["config"])
    step = case["tokens"], case["logits"], case["tp"]
    if case["cache"] == "static":  # which was there before the step
        assert rank_activations(model, *step).bytes == case["peak"]
    else:
        assert largest(step_moments(model, *step, "dynamic")) == case["peak"]


def test_measured_cases_reach_the_corners():
    every = list(CASES.values())
    assert len(every) >= 120
    kinds = Counter(case["config"]["model_type"] for case in every)
    assert set(kinds) == set(FAMILIES) and min(kinds.values()) >= 20
    assert min(Counter(case["cache"] for case in every).values()) >= 50
    heads = [case["config"]["num_key_value_heads"] - case["tp"] for case in every]
    assert min(heads) < 0 and max(heads) > 0  # they replicate, and they divide
    assert any(case["config"]["vocab_size"] % case["tp"] for case in every)
    assert {1} < {case["logits"] for case in every}


@st.composite
def divided(draw, tp, evenly=False):
    """Draw a config whose heads and widths `tp` divides.

    KV heads may divide `tp` instead, and the vocabulary have a rest: not `evenly`.
    """
    config = draw(configs(families=FAMILIES))
    heads = tp * draw(st.integers(1, 2))
    groups = [k for k in range(1, heads + 1) if heads % k == 0]
    groups = [k for k in groups if k % tp == 0 or (tp % k == 0 and not evenly)]
    config |= {
        "vocab_size": config["vocab_size"] * (tp if evenly else 1),
        "num_attention_heads": heads,
        "num_key_value_heads": draw(st.sampled_from(groups)),
        "intermediate_size": tp * draw(st.integers(1, 40)),
        "hidden_size": heads * draw(st.integers(1, 5)),
        "head_dim": 2 * draw(st.integers(1, 3)),
    }  # fmt: skip
    biases = ("attention_bias", "mlp_bias")
    return {name: each for name, each in config.items() if name not in biases}


@given(st.sampled_from([2, 4]), st.data())
def test_a_ranks_model_loads_and_caches_what_a_rank_does(tp, data):
    model = lm.load_model(data.draw(divided(tp)))
    rank = rank_model(model, tp)
    assert lm.weights(rank).rows == lm.weights(model, tp=tp).rows
    mine = lm.kv_cache(rank).evaluate(b=3, t=7)
    assert mine == lm.kv_cache(model, tp=tp, per="rank").evaluate(b=3, t=7)


@FEW
@given(divided(4, evenly=True), st.integers(1, 40))
def test_what_is_divided_is_divided_and_the_rest_is_whole_on_each_rank(config, tokens):
    """Bytes at every moment are c + v / T: three T have two unknowns."""
    model = lm.load_model(config)
    one, two, four = (step_moments(model, tokens, tp=tp) for tp in (1, 2, 4))
    assert set(one) <= set(two) and set(two) == set(four)
    for name in one:
        alone, half, quarter = (each[name].evaluate(b=1) for each in (one, two, four))
        assert 3 * (alone - half) == 2 * (alone - quarter)
        assert alone <= 4 * quarter


@FEW
@given(divided(2), st.integers(1, 40), st.data())
def test_the_cache_is_whole_from_the_start_and_left_out(config, tokens, data):
    model, logits = lm.load_model(config), data.draw(st.integers(1, tokens))
    moments = step_moments(model, tokens, logits, 2)
    cached = {each.select(part=CACHE).evaluate(b=1) for each in moments.values()}
    assert len(cached) == 1
    found = rank_activations(model, tokens, logits, 2)
    assert found.bytes == largest(moments) - cached.pop()
    assert CACHE not in found.parts


def test_more_ranks_do_not_divide_hidden_states():
    model = lm.load_model("LLaMA-13B")
    h, f, d, tokens = 5120, 13_824, 128, 2048
    kept = 3 * 2 * h + 2 * 2 * d + 8  # embedding, input and sum; tables; positions
    alone = kept + 2 * h + 3 * 2 * f  # normed; silu, up and their product
    eighth = kept + 2 * 4 * h + 2 * 4  # the norm's copies in fp32, mean and 1 / rms
    assert rank_activations(model, tokens).bytes == tokens * alone
    assert rank_activations(model, tokens, tp=8).bytes == tokens * eighth


def test_logits_are_gathered_and_sorted_by_token():
    model = lm.load_model("Qwen3-0.6B")
    vocabulary, share = 151_936, 151_936 // 16
    many = rank_activations(model, 64, 64, 16)
    assert many.bytes == 64 * 2 * (1024 + 2 * vocabulary + share)
    one = rank_activations(model, 1, 1, 16)  # one row is in order already
    assert one.bytes == 2 * (1024 + vocabulary + share)


def test_a_capacity_lists_a_steps_tensors_as_its_bytes():
    model, node = lm.load_model("LLaMA-13B"), ("V100-32G", 8)
    step = rank_activations(model, 8192, 256, 8)
    rows = lm.capacity(model, *node, tp=8, activations=step)
    plain = lm.capacity(model, *node, tp=8, activations=int(step.bytes))
    assert (rows.tokens, rows.stages[0].bytes) == (plain.tokens, plain.stages[0].bytes)
    part = rows.ledger.parts["activations"]
    assert part.bytes == step.bytes and len(part) == len(step) > 5
    assert len(plain.ledger.parts["activations"]) == 1
    assert rows.tokens < lm.capacity(model, *node, tp=8).tokens


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("Qwen3-0.6B", {"tokens": 0}, "tokens"),
        ("Qwen3-0.6B", {"tokens": 2.5}, "tokens"),
        (
            "Qwen3-0.6B",
            {"tokens": 8, "logits": 9},
            "logits = 9: must be at most tokens = 8",
        ),
        ("Qwen3-0.6B", {"tokens": 8, "logits": 0}, "logits"),
        ("Qwen3-0.6B", {"tokens": 8, "tp": 0}, "tp"),
        ("Qwen3-0.6B", {"tokens": 8, "tp": 3}, "tp = 3: must divide a = 16"),
        ("LLaMA-13B", {"tokens": 8, "tp": 16}, "tp"),
        ("GPT-2-xl", {"tokens": 8, "tp": 5}, "model_type = 'gpt2'"),
        ("DeepSeek-V3", {"tokens": 8, "tp": 8}, "model_type = 'deepseek_v3'"),
        ("Gemma-2-9B", {"tokens": 8, "tp": 8}, "model_type = 'gemma2'"),
    ],
)
def test_what_is_not_derived_is_refused_by_name(name, options, message):
    with pytest.raises(lm.ConfigError, match=message):
        rank_activations(lm.load_model(name), **options)


def test_biases_after_the_sum_and_open_ledgers_are_refused():
    config = CASES[next(iter(CASES))]["config"]
    small = {"model_type": "llama", "attention_bias": True, "num_attention_heads": 2}
    model = lm.load_model(config | small | {"num_key_value_heads": 2})
    with pytest.raises(lm.ConfigError, match="added after the ranks' sum"):
        rank_activations(model, 8, tp=2)
    _, free = lm.prefill_peak(model, "flash").at(b=1, s=8)
    with pytest.raises(lm.ConfigError, match=r"activations = 'a ledger of b, s'"):
        lm.capacity(model, "A100-80G", activations=free)
