"""Capacity against a slow packer, hand-made sums and what must be refused."""

import packer
import pytest
from by_hand import windows
from configs import STATELESS, configs
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import llm_memory as lm
from llm_memory.layers import first_layers
from llm_memory.placement import Placement, stage_weights
from llm_memory.serving import rank_bytes
from llm_memory.units import GiB

settings.register_profile("serving", deadline=None, max_examples=60)
settings.load_profile("serving")
FEW = settings(max_examples=25)
LOAD = lm.load_model


@st.composite
def deployments(draw, families=("llama", "qwen3", "mixtral", "gemma2", "deepseek_v2")):
    """Draw a small config, and ranks that can share it."""
    tp, groups = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1, 2]))
    kind, layers = draw(st.sampled_from(families)), draw(st.integers(1, 5))
    heads = tp * draw(st.integers(1, 2))
    grouped = [
        k
        for k in range(1, heads + 1)
        if heads % k == 0 and (k % tp == 0 or tp % k == 0)
    ]
    config = {
        "model_type": kind, "vocab_size": draw(st.integers(1, 30)),
        "hidden_size": heads * draw(st.integers(1, 3)), "num_hidden_layers": layers,
        "num_attention_heads": heads, "intermediate_size": 8 * draw(st.integers(1, 4)),
        "tie_word_embeddings": draw(st.booleans()), "max_position_embeddings": 64,
        "num_key_value_heads": draw(st.sampled_from(grouped)),
        "head_dim": 2 * draw(st.integers(1, 3)), "sliding_window": None,
    }  # fmt: skip
    if kind == "deepseek_v2":
        del config["head_dim"], config["sliding_window"]
        config |= {
            "num_key_value_heads": heads, "q_lora_rank": None,
            "kv_lora_rank": draw(st.integers(1, 9)),
            "qk_nope_head_dim": draw(st.integers(1, 5)),
            "qk_rope_head_dim": 2 * draw(st.integers(1, 2)),
            "v_head_dim": draw(st.integers(1, 5)), "num_experts_per_tok": 1,
            "n_routed_experts": draw(st.integers(1, 4)),
            "moe_intermediate_size": 8 * draw(st.integers(1, 3)),
            "n_shared_experts": draw(st.integers(0, 2)),
            "first_k_dense_replace": draw(st.integers(0, layers - 1)),
        }  # fmt: skip
    if kind == "llama":
        del config["sliding_window"]
    if kind == "mixtral":
        config |= {
            "num_local_experts": draw(st.integers(1, 4)), "num_experts_per_tok": 1,
        }  # fmt: skip
    if kind == "gemma2" or (kind == "mixtral" and draw(st.booleans())):
        config["sliding_window"] = draw(st.integers(1, 9))
    if kind == "qwen3":
        config |= {
            "use_sliding_window": draw(st.booleans()), "max_window_layers": layers // 2,
            "sliding_window": draw(st.integers(1, 9)),
        }  # fmt: skip
    split = draw(st.integers(0, layers - 1))
    stages = (layers - split, split) if split else (layers,)
    whole = draw(st.booleans())
    return config, packer.Ranks(tp, groups, stages, whole)


@given(
    deployments(),
    st.sampled_from(["bf16", "int8"]),
    st.sampled_from(["bf16", "fp8", "int8"]),
    st.integers(1, 12),
    st.none() | st.integers(1, 5),
    st.integers(-50, 30_000),
    st.integers(1, 3),
)
def test_what_fits_is_what_a_packer_packs(
    case, packing, cache, context, block, spare, engines
):
    config, ranks = case
    used = packer.loaded(config, ranks, packing)
    budget = max(1, max(used) + spare)
    found = lm.capacity(
        LOAD(config), lm.Hardware(bytes=budget),
        engines * ranks.tp * ranks.attention_dp * len(ranks.layers), context,
        packing, cache, ranks.tp, len(ranks.layers), ranks.attention_dp, block=block,
        stages=ranks.layers, expert_parallel=ranks.expert_parallel,
    )  # fmt: skip
    known = {t: packer.sequence(config, ranks, cache, t, block) for t in range(13)}
    sequences, tokens = packer.pack(budget, used, known.get, context)
    groups = engines * ranks.attention_dp
    assert (found.sequences, found.tokens) == (groups * sequences, groups * tokens)
    assert found.missing == max(0, max(used) - budget)
    held = [
        mine + sequences * each for mine, each in zip(used, known[context], strict=True)
    ]
    assert [int(each.bytes) for each in found.stages] == held
    assert found.ledger.bytes == max(held)
    assert found.unused == max(0, budget - max(held))


@FEW
@given(
    deployments(families=("llama", "deepseek_v2")),
    st.integers(2, 12),
    st.none() | st.integers(1, 3),
    st.integers(0, 9000),
    st.data(),
)
def test_a_shared_prefix_is_held_once(case, context, block, spare, data):
    config, ranks = case
    prefix = data.draw(st.integers(0, context - 1))
    used = packer.loaded(config, ranks)
    budget = max(used) + spare
    found = lm.capacity(
        LOAD(config), lm.Hardware(bytes=budget),
        ranks.tp * ranks.attention_dp * len(ranks.layers), context, tp=ranks.tp,
        pp=len(ranks.layers), attention_dp=ranks.attention_dp, block=block,
        prefix=prefix, stages=ranks.layers, expert_parallel=ranks.expert_parallel,
    )  # fmt: skip
    shared = prefix - prefix % block if block else prefix
    known = {t: packer.sequence(config, ranks, "bf16", t, block) for t in range(13)}
    sequences, tokens = packer.pack(budget, used, known.get, context, shared)
    assert found.sequences == ranks.attention_dp * sequences
    assert found.tokens == ranks.attention_dp * tokens


@given(
    deployments(families=("gemma2", "qwen3", "mixtral")),
    st.integers(2, 12),
    st.integers(2, 5),
    st.integers(0, 3),
    st.integers(0, 11),
    st.integers(-1, 1),
)
def test_blocks_that_windows_leave_and_enter_are_packed_one_by_one(
    case, context, block, number, rest, delta
):
    config, ranks = case
    tp, layers = ranks.tp, len(ranks.layers)
    ranks = ranks._replace(attention_dp=1)
    known = {t: packer.sequence(config, ranks, "bf16", t, block) for t in range(13)}
    used = packer.loaded(config, ranks)
    wanted = [
        loaded + number * whole + part
        for loaded, whole, part in zip(used, known[context], known[rest], strict=True)
    ]
    budget = max(max(wanted) + delta, 1)  # exactly enough, or one byte off
    found = lm.capacity(
        LOAD(config), lm.Hardware(bytes=budget), tp * layers, context, tp=tp, pp=layers,
        block=block, stages=ranks.layers, expert_parallel=ranks.expert_parallel,
    )  # fmt: skip
    expected = packer.pack(budget, used, known.get, context)
    assert (found.sequences, found.tokens) == expected


# ---- By hand.


def test_a_sequence_grows_no_further_than_its_worst_moment():
    config = {
        "model_type": "mixtral", "vocab_size": 8, "hidden_size": 4, "head_dim": 2,
        "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 2, "sliding_window": 2, "num_local_experts": 1,
        "num_experts_per_tok": 1,
    }  # fmt: skip
    model = LOAD(config)
    block = 4 * 2 * 2 * 2 * 2  # slots, heads, width, keys and values, bytes
    # After 5 tokens the window of 2 lies in two blocks, after 8 in one again.
    assert lm.kv_cache(model, block=4).evaluate(b=1, t=5) == 2 * block
    assert lm.kv_cache(model, block=4).evaluate(b=1, t=8) == block
    room = lm.Hardware(bytes=int(lm.weights(model).bytes) + block)
    found = lm.capacity(model, room, context=9, block=4)
    assert (found.sequences, found.tokens) == (0, 4)


def test_the_simple_budget_of_one_card():
    one = lm.capacity(LOAD("LLaMA-13B"), "A100-40G", context=512, capacity="label")
    assert one.tokens == (40_000_000_000 - 26_031_728_640) // 819_200 == 17_051
    assert one.sequences == 17_051 // 512 == 33
    assert (one.missing, one.groups, one.budget) == (0, 1, 40_000_000_000)


def test_what_the_caller_adds_is_a_row_and_leaves_less():
    model = LOAD("Qwen3-0.6B")
    plain = lm.capacity(model, "RTX 4090", context=1024)
    less = lm.capacity(
        model, "RTX 4090", context=1024, reserve=2 * GiB, activations=114_688
    )
    assert plain.tokens - less.tokens in (18_726, 18_725)  # 2 GiB + 1 token
    sizes = {name: int(part.bytes) for name, part in less.ledger.parts.items()}
    assert sizes.pop("KV cache") == less.sequences * 1024 * 114_688
    assert sizes == {
        "weights": 1_192_099_840, "activations": 114_688, "reserve": 2_147_483_648,
    }  # fmt: skip


def test_capacity_is_read_in_three_ways():
    assert [rank_bytes("A100-40G", each) for each in ("label", "binary", "driver")] == [
        40_000_000_000, 42_949_672_960, 42_505_076_736,
    ]  # fmt: skip
    assert rank_bytes(lm.Hardware(bytes=7)) == 7


def test_a_model_that_does_not_fit_says_what_is_missing():
    fits = lm.capacity(LOAD("LLaMA-13B"), lm.Hardware(bytes=26_031_728_640))
    assert (fits.tokens, fits.sequences, fits.missing) == (0, 0, 0)
    lacks = lm.capacity(LOAD("LLaMA-13B"), lm.Hardware(bytes=26_031_728_639))
    assert (lacks.tokens, lacks.sequences, lacks.missing, lacks.unused) == (0, 0, 1, 0)
    assert "1 bytes missing" in repr(lacks)


def test_more_accelerators_than_an_engine_needs_are_replicas():
    model = LOAD("LLaMA-13B")
    one = lm.capacity(model, "V100-32G", 2, tp=2)
    four = lm.capacity(model, "V100-32G", 8, tp=2)
    assert (four.tokens, four.sequences) == (4 * one.tokens, 4 * one.sequences)
    assert four.ledger.bytes == one.ledger.bytes


def test_what_is_held_more_than_once_is_listed_row_by_row():
    grouped = lm.capacity(LOAD("Llama-3.1-70B"), "A100-80G", 16, tp=16)
    assert grouped.copies["layers.{i}.keys"] == 2  # 8 heads on 16 ranks
    assert grouped.copies["model.norm.weight"] == 16
    assert "model.layers.{i}.mlp.gate_proj.weight" not in grouped.copies
    latent = LOAD("DeepSeek-V3")
    pooled = lm.capacity(latent, "A100-80G", 16, tp=16, weights_dtype="int8")
    assert pooled.copies["layers.{i}.keys"] == 16
    assert "model.layers.{i}.self_attn.q_b_proj.weight" not in pooled.copies
    split = lm.capacity(latent, "A100-80G", 16, attention_dp=16, weights_dtype="int8")
    assert "layers.{i}.keys" not in split.copies
    assert split.copies["model.layers.{i}.self_attn.q_b_proj.weight"] == 16
    assert split.copies["model.embed_tokens.weight"] == 16
    assert "model.layers.{i}.mlp.experts.down_proj" not in split.copies


def test_the_parts_that_groups_divide_are_a_choice():
    model = LOAD("DeepSeek-V3")
    parts = ("routed experts", "head", "embedding")
    rows = {
        held.row.name: held.row.shape[0]
        for held in stage_weights(model, Placement(attention_dp=16, divided=parts))[0]
    }
    assert rows["lm_head.weight"] == rows["model.embed_tokens.weight"] == 8080
    assert rows["model.layers.{i}.self_attn.o_proj.weight"] == 7168


@pytest.mark.parametrize(
    "layers, pp, expected",
    [
        (32, 4, (8, 8, 8, 8)), (22, 4, (5, 6, 6, 5)), (5, 3, (2, 2, 1)),
        (4, 3, (1, 2, 1)), (3, 2, (2, 1)), (61, 2, (31, 30)), (61, 4, (15, 15, 16, 15)),
    ],
)  # fmt: skip
def test_stages_are_those_of_vllm(layers, pp, expected):
    config = {
        "model_type": "llama", "vocab_size": 8, "hidden_size": 4, "head_dim": 2,
        "intermediate_size": 8, "num_hidden_layers": layers, "num_attention_heads": 2,
    }  # fmt: skip
    assert Placement(pp=pp).layers(LOAD(config)) == expected


@given(configs(families=STATELESS), st.data())
def test_the_first_layers_are_counted_one_by_one(config, data):
    model = LOAD(config)
    number = data.draw(st.integers(0, int(model.L)))
    mixed = len({group.sparse for group in model.layers}) > 1
    assume(not mixed)
    first = windows(config)[:number]
    expected = [
        sum(window == group.window for window in first) for group in model.layers
    ]
    assert list(first_layers(model, number)) == expected


def test_listed_layers_are_counted_where_they_stand():
    kinds = ["full", "sliding", "sliding", "full", "sliding"]
    config = {
        "model_type": "qwen3", "vocab_size": 8, "hidden_size": 4, "head_dim": 2,
        "intermediate_size": 8, "num_hidden_layers": 5, "num_attention_heads": 2,
        "num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 3,
        "layer_types": [f"{kind}_attention" for kind in kinds],
    }  # fmt: skip
    model = LOAD(config)
    windowed = [group.window is not None for group in model.layers]
    for number in range(6):
        counts = dict(zip(windowed, first_layers(model, number), strict=True))
        assert counts[True] == kinds[:number].count("sliding")
        assert counts[False] == kinds[:number].count("full")


# ---- Nodes.


def test_nodes_are_rounded_up():
    model = LOAD("LLaMA-13B")
    found = lm.nodes_for(10_000, model, "V100-32G", 8, tp=8)
    each = lm.capacity(model, "V100-32G", 8, tp=8).sequences
    assert found.users_per_node == each
    assert (found.nodes - 1) * each < 10_000 <= found.nodes * each
    assert found.accelerators == 8 * found.nodes
    assert lm.nodes_for(each, model, "V100-32G", 8, tp=8).nodes == 1
    assert lm.nodes_for(each + 1, model, "V100-32G", 8, tp=8).nodes == 2


def test_no_number_of_nodes_is_an_answer_with_a_reason():
    found = lm.nodes_for(5, LOAD("DeepSeek-V3"), "RTX 4090")
    assert found.nodes is None and found.users_per_node == 0
    assert "missing per rank" in found.reason
    small = lm.nodes_for(5, LOAD("LLaMA-13B"), lm.Hardware(bytes=26_031_728_640))
    assert small.nodes is None and "one sequence does not fit" in small.reason


# ---- What is refused, and what is warned of.


@pytest.mark.parametrize(
    "field, options",
    [
        ("count", {"count": 0}),
        ("count", {"count": -8}),
        ("count", {"count": 2.0}),
        ("count", {"count": True}),
        ("count", {"count": 3, "tp": 2}),
        ("count", {"tp": 2}),
        ("context", {"context": 0}),
        ("context", {"context": 1.5}),
        ("tp", {"tp": 0}),
        ("tp", {"count": 3, "tp": 3}),
        ("pp", {"pp": -1}),
        ("pp", {"count": 64, "pp": 64}),
        ("attention_dp", {"attention_dp": "2"}),
        ("reserve", {"reserve": -1}),
        ("reserve", {"reserve": 0.1}),
        ("activations", {"activations": None}),
        ("prefix", {"prefix": 2048}),
        ("prefix", {"prefix": -1}),
        ("block", {"block": 0}),
        ("capacity", {"capacity": "nominal"}),
        ("weights_dtype", {"weights_dtype": "int7"}),
        ("cache_dtype", {"cache_dtype": "int7"}),
        ("layout", {"layout": "flat"}),
        ("divided", {"divided": ("attention",)}),
        ("stages", {"count": 2, "pp": 2, "stages": (40,)}),
        ("stages", {"count": 2, "pp": 2, "stages": (20, 19)}),
        ("stages", {"count": 2, "pp": 2, "stages": (40, 0)}),
        ("expert_parallel", {"expert_parallel": 1}),
        ("stages", {"count": 2, "pp": 2, "stages": 20}),
    ],
)
def test_a_wrong_argument_is_named(field, options):
    with pytest.raises(lm.ConfigError) as error:
        lm.capacity(LOAD("LLaMA-13B"), "A100-80G", **options)
    assert error.value.field == field


def test_an_unknown_accelerator_lists_those_that_there_are():
    with pytest.raises(lm.ConfigError, match=r"'A100-40G'.*'RTX 4090'"):
        lm.capacity(LOAD("LLaMA-13B"), "A100-41G")


@pytest.mark.parametrize("size", [0, -5, 1.5, "24 GB", None])
def test_hardware_of_no_size_is_refused(size):
    with pytest.raises(lm.ConfigError):
        lm.capacity(LOAD("Qwen3-0.6B"), lm.Hardware(bytes=size))


def test_hardware_without_a_label_has_no_labelled_capacity():
    with pytest.raises(lm.ConfigError, match="label_bytes"):
        lm.capacity(LOAD("Qwen3-0.6B"), lm.Hardware(bytes=10**10), capacity="label")


def test_a_prefix_is_refused_with_windows_and_a_symbolic_model_always():
    with pytest.raises(lm.ConfigError, match="sliding windows"):
        lm.capacity(LOAD("Mistral-7B"), "A100-80G", prefix=16)
    with pytest.raises(lm.ConfigError, match="must come from a config"):
        lm.capacity(lm.symbolic("llama"), "A100-80G")


@pytest.mark.parametrize("users", [0, -1, 1.5, "many"])
def test_users_are_a_number(users):
    with pytest.raises(lm.ConfigError, match="users"):
        lm.nodes_for(users, LOAD("Qwen3-0.6B"), "RTX 4090")


def test_a_context_beyond_the_positions_is_warned_of_and_counted():
    model = LOAD("LLaMA-13B")
    with pytest.warns(UserWarning, match="4,096 is beyond the 2,048 positions"):
        found = lm.capacity(model, "A100-80G", context=4096)
    assert found.tokens == lm.capacity(model, "A100-80G").tokens
