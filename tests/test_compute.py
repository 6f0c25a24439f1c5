"""FLOPs are what PyTorch's counter counts; times are bounds; wrong input is refused."""

from fractions import Fraction

import pytest
import sympy

import llm_memory as lm
from llm_memory.check import record
from llm_memory.compute import necessary_flops
from llm_memory.count import Count, Product
from llm_memory.hardware import Hardware
from llm_memory.symbols import L, V, a, b, d, f, h, k, s, t

CASES = record("flops")["cases"]


def numbers(shape: str) -> tuple[int, int]:
    first, second = map(int, shape.split(","))
    return first, second


def choices(case) -> dict:
    return {name: case["choices"][name] for name in ("attention", "recompute")}


# ---- Equal to what PyTorch counts.


@pytest.mark.parametrize("name", CASES)
def test_forward_backward_and_decoding_are_what_pytorch_counts(name):
    case = CASES[name]
    model, kernel = lm.load_model(case["config"]), case["choices"]["attention"]
    forward = lm.flops(model, attention=kernel)
    backward = lm.flops(model, "backward", **choices(case))
    decode = lm.flops(model, "decode", kernel)
    for shape, measured in case["steps"].items():
        batch, tokens = numbers(shape)
        derived = [each.evaluate(b=batch, s=tokens) for each in (forward, backward)]
        assert derived == measured, shape
    for shape, measured in case["decode"].items():
        batch, tokens = numbers(shape)
        assert decode.evaluate(b=batch, t=tokens) == measured, shape


@pytest.mark.parametrize("name", CASES)
def test_every_row_belongs_to_a_module_that_does_that_work(name):
    case = CASES[name]
    batch, tokens = numbers(case["modules"]["shape"])
    expected = case["modules"]["flops"]
    work = lm.flops(
        lm.load_model(case["config"]), attention=case["choices"]["attention"]
    )
    derived = dict.fromkeys(expected, 0)
    for row in work.substitute({"b": batch, "s": tokens}).rows:
        name = row.name
        derived[name if name in derived else name.rpartition(".")[0]] += int(row.flops)
    assert derived == expected


def test_there_are_enough_cases():
    steps = [shape for case in CASES.values() for shape in case["steps"]]
    decodes = [shape for case in CASES.values() for shape in case["decode"]]
    assert len(steps) >= 250 and len(decodes) >= 150
    types = {case["config"]["model_type"] for case in CASES.values()}
    assert types | {"qwen3_next"} == set(lm.fields.table()["families"])
    layers = {case["config"].get("num_hidden_layers") for case in CASES.values()}
    heads = {case["config"].get("num_key_value_heads") for case in CASES.values()}
    assert 1 in layers and 1 in heads


@pytest.mark.parametrize("phase", ["forward", "backward", "decode"])
def test_linear_attention_is_refused_by_name(phase):
    with pytest.raises(lm.ConfigError, match=r"^model_type = 'qwen3_next': the FLOPs"):
        lm.flops(lm.symbolic("qwen3_next"), phase)


# ---- The closed forms.


A, K = a * d, k * d
N = L * (2 * h * A + 2 * h * K + 3 * h * f) + V * h
FAMILY = lm.symbolic("llama")


def difference(count, expected):
    return sympy.expand(count.total - expected)


def test_the_forward_is_two_for_each_weight_and_the_pairs_of_tokens():
    assert difference(lm.flops(FAMILY), 2 * b * s * N + 4 * b * s**2 * A * L) == 0


@pytest.mark.parametrize(
    ("kernel", "pairs"), [("eager", 8), ("math", 8), ("flash", 10), ("efficient", 10)]
)
def test_the_backward_is_twice_the_forward_and_flash_computes_scores_again(
    kernel, pairs
):
    backward = lm.flops(FAMILY, "backward", kernel)
    assert difference(backward, 4 * b * s * N + pairs * b * s**2 * A * L) == 0


@pytest.mark.parametrize("kernel", ["eager", "flash"])
def test_full_recomputation_stops_before_the_down_projection(kernel):
    extra = lm.flops(FAMILY, "backward", kernel, "full")
    expected = lm.flops(FAMILY, "backward", kernel).total
    expected += 2 * b * s * (N - V * h - L * h * f) + 4 * b * s**2 * A * L
    assert difference(extra, expected) == 0


def test_one_token_reads_the_cache():
    assert (
        difference(lm.flops(FAMILY, "decode"), 2 * b * N + 4 * b * (t + 1) * A * L) == 0
    )


def test_a_prompt_needs_half_of_the_pairs_and_one_row_of_logits():
    matrices = 2 * b * s * (N - V * h) + 2 * b * V * h
    expected = matrices + 2 * b * s * (s + 1) * A * L
    assert difference(necessary_flops(FAMILY, "prefill"), expected) == 0


@pytest.mark.parametrize("tokens", [1, 8, 9, 10, 40])
def test_pairs_inside_a_window_are_counted_one_by_one(tokens):
    window, layers = 9, 3
    config = {
        "model_type": "mistral", "vocab_size": 20, "hidden_size": 8,
        "num_hidden_layers": layers, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 12, "sliding_window": window,
    }  # fmt: skip
    core = necessary_flops(lm.load_model(config), "prefill").parts["attention core"]
    pairs = sum(
        1
        for query in range(tokens)
        for key in range(tokens)
        if 0 <= query - key < window
    )
    each = 2 * 2 * 8  # two products, multiply and add, four heads of width two
    assert core.evaluate(b=3, s=tokens) == 3 * layers * pairs * each


def test_latent_attention_decodes_on_the_latent():
    """Counted from the einsums of an absorbed step, head by head."""
    config = CASES["deepseek_v3 uneven, eager"]["config"]
    heads, latent = config["num_attention_heads"], config["kv_lora_rank"]
    plain, rotated = config["qk_nope_head_dim"], config["qk_rope_head_dim"]
    values, batch, cached = config["v_head_dim"], 3, 17
    per_head = plain * latent + latent * values  # into the latent, and out of it
    per_head += (cached + 1) * (latent + rotated)  # scores
    per_head += (cached + 1) * latent  # weighted sum of latents
    work = necessary_flops(lm.load_model(config), "decode")
    rows = [
        row
        for row in work.substitute({"b": batch, "t": cached})
        if row.part == "attention core" or "kv_b_proj" in row.name
    ]
    expected = 2 * batch * heads * per_head * config["num_hidden_layers"]
    assert sum(int(row.flops) for row in rows) == expected


# ---- The roofline.


CARD = Hardware(bytes=10**9, bandwidth=1000, flops=50_000)
TINY = {
    "model_type": "llama", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 1, "intermediate_size": 16,
}  # fmt: skip


def by_hand(batch, cached):
    """FLOPs and bytes of a decoding step of TINY, matrix by matrix."""
    matrices = 2 * (2 * 8 * 8 + 2 * 8 * 2 + 3 * 8 * 16) + 30 * 8
    norms = 2 * 2 * 8 + 8
    work = 2 * batch * matrices + 4 * batch * (cached + 1) * 8 * 2
    moved = 2 * (matrices + norms) + batch * (cached + 1) * 2 * 2 * 2 * 2
    return work, moved


@pytest.mark.parametrize("batch", [1, 2, 7, 100])
@pytest.mark.parametrize("cached", [1, 5, 300])
def test_a_step_takes_the_longer_of_computing_and_moving(batch, cached):
    bound = lm.roofline(lm.load_model(TINY), CARD).at(b=batch, t=cached)
    work, moved = by_hand(batch, cached)
    assert (bound.flops, bound.bytes) == (work, moved)
    seconds = max(Fraction(work, 50_000), Fraction(moved, 1000))
    assert bound.seconds == seconds
    assert bound.tokens_per_second == batch / seconds
    assert bound.limit == ("compute" if work > 50 * moved else "memory")
    assert bound.intensity == Fraction(work, moved)


def test_two_accelerators_take_half_the_time():
    model = lm.load_model(TINY)
    one, two = (lm.roofline(model, CARD, count=n).at(b=3, t=9) for n in (1, 2))
    assert one.seconds == 2 * two.seconds


def test_a_prefill_moves_weights_and_the_cache_that_it_writes():
    bound = lm.roofline(lm.load_model(TINY), CARD, "prefill").at(b=3, s=11)
    layers = 2 * (2 * 8 * 8 + 2 * 8 * 2 + 3 * 8 * 16)
    assert bound.flops == 3 * (2 * 11 * layers + 2 * 240 + 2 * 11 * 12 * 8 * 2)
    assert bound.bytes == by_hand(3, 10)[1]
    assert bound.tokens == 33


@pytest.mark.parametrize("cached", [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 40])
@pytest.mark.parametrize("ridge", [1, 2, 3, 5, 8, 20])
def test_the_crossover_is_the_first_batch_that_a_search_finds(cached, ridge):
    card = Hardware(bytes=10**9, bandwidth=7, flops=7 * ridge)
    found = lm.roofline(lm.load_model(TINY), card).compute_bound_batch(t=cached)
    first = None
    for batch in range(1, 3000):
        work, moved = by_hand(batch, cached)
        if work > ridge * moved:
            first = batch
            break
    assert found.batch == first
    (work, moved), (more, moved_more) = by_hand(1, cached), by_hand(2, cached)
    assert found.limit == Fraction(more - work, moved_more - moved)
    assert found.ridge == ridge
    when = "never" if first is None else f"from batch {first} on"
    assert repr(found).startswith(f"bound by compute: {when}.")


@pytest.mark.parametrize(
    ("name", "ratio"), [("LLaMA-7B", 1), ("Llama-3.1-8B", 4), ("Qwen3-0.6B", 2)]
)
def test_attention_has_as_many_flops_per_byte_as_heads_share_a_cache(name, ratio):
    model = lm.load_model(name)
    core = necessary_flops(model, "decode").parts["attention core"].total
    cache = lm.kv_cache(model).bytes.subs(t, t + 1)
    assert sympy.simplify(core / cache) == ratio == model.a / model.k


def test_quantised_weights_are_read_packed_and_a_tied_head_once():
    model = lm.load_model("Qwen3-0.6B")
    whole, packed = (
        lm.roofline(model, "RTX 4090", quantization=each).at(b=1, t=1).bytes
        for each in (None, "int8")
    )
    matrices = lm.weights(model).select(dtype="bf16")
    assert whole == matrices.bytes + 2 * 114_688
    stored = lm.weights(model, quantization="int8").bytes
    assert packed == stored + 2 * 114_688


def test_an_untied_embedding_is_not_read():
    model = lm.load_model("LLaMA-7B")
    bound = lm.roofline(model, "H200").at(b=1, t=1)
    table = 2 * 32_000 * 4_096
    assert bound.bytes == lm.weights(model).bytes - table + 2 * 4 * 32 * 4_096


def test_of_the_experts_the_fewest_are_read():
    model = lm.load_model("Mixtral-8x7B")
    read = lm.roofline(model, "H200").traffic.parts["weights"].elements
    assert read == lm.active_weights(model).elements - 32_000 * 4_096


def test_experts_of_uniform_routing_are_counted_over_all_choices():
    from itertools import combinations, product

    config = CASES["mixtral, eager"]["config"]  # 2 of 5 experts
    sets = list(combinations(range(5), 2))
    for tokens in (1, 2, 3):
        chosen = [set().union(*each) for each in product(sets, repeat=tokens)]
        mean = Fraction(sum(map(len, chosen)), len(chosen))
        found = lm.expected_experts(lm.load_model(config), tokens)
        assert found.uniform == mean
        assert (found.fewest, found.most) == (2, max(map(len, chosen)))
        assert found.error == max(mean - 2, found.most - mean)


# ---- Wrong input.


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"phase": "training"}, "phase"),
        ({"phase": None}, "phase"),
        ({"attention": "paged"}, "attention"),
        ({"recompute": "some"}, "recompute"),
        ({"recompute": "full"}, "recompute"),
        ({"recompute": "full", "phase": "decode"}, "recompute"),
        ({"recompute": "matmuls", "phase": "backward"}, "recompute"),
        (
            {"recompute": "core_attention", "phase": "backward", "attention": "flash"},
            "recompute",
        ),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(arguments, field):
    with pytest.raises(lm.ConfigError) as error:
        lm.flops(FAMILY, **arguments)
    assert error.value.field == field


def test_recomputation_of_a_family_without_saved_tensors_is_refused_by_name():
    model = lm.load_model(CASES["gptj, eager"]["config"])
    with pytest.raises(lm.ConfigError, match="gptj"):
        lm.flops(model, "backward", recompute="full")
    with pytest.raises(lm.ConfigError, match="routed experts"):
        lm.flops(lm.load_model("Mixtral-8x7B"), "backward", "flash", "matmuls")


def test_flash_takes_keys_and_values_of_one_width():
    with pytest.raises(lm.ConfigError) as error:
        lm.flops(lm.load_model("DeepSeek-V3"), attention="flash")
    assert error.value.field == "attention"


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2", None])
def test_a_size_that_is_none_is_refused(wrong):
    work = lm.flops(lm.load_model("GPT-2"))
    step = lm.roofline(lm.load_model("GPT-2"), "H200")
    for call in (
        lambda: work.evaluate(b=wrong, s=1),
        lambda: work.evaluate(b=1, s=wrong),
        lambda: step.at(b=1, t=wrong),
        lambda: step.compute_bound_batch(t=wrong),
        lambda: lm.roofline(lm.load_model("GPT-2"), "H200", count=wrong),
        lambda: lm.expected_experts(lm.load_model("Mixtral-8x7B"), wrong),
    ):
        with pytest.raises(lm.ConfigError):
            call()


def test_a_missing_or_foreign_size_is_refused():
    work, step = lm.flops(FAMILY), lm.roofline(lm.load_model("GPT-2"), "H200")
    for call in (
        lambda: work.evaluate(b=1, s=1),
        lambda: step.at(t=5),
        lambda: step.at(b=1, t=5, s=5),
        lambda: step.compute_bound_batch(s=5),
        lambda: step.compute_bound_batch(),
    ):
        with pytest.raises(lm.ConfigError):
            call()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"hardware": "TPU"}, "hardware"),
        ({"phase": "backward"}, "phase"),
        ({"dtype": "fp7"}, "dtype"),
        ({"cache_dtype": "fp7"}, "dtype"),
        ({"quantization": "int3"}, "quantization"),
        ({"hardware": Hardware(bytes=1)}, "flops"),
        ({"hardware": Hardware(bytes=1, flops=1)}, "bandwidth"),
    ],
)
def test_a_roofline_of_nothing_known_is_refused(arguments, field):
    with pytest.raises(lm.ConfigError) as error:
        lm.roofline(**{"model": lm.load_model("GPT-2"), "hardware": "H200"} | arguments)
    assert error.value.field == field


def test_a_model_without_experts_expects_none():
    with pytest.raises(lm.ConfigError, match="GPT-2"):
        lm.expected_experts(lm.load_model("GPT-2"), 4)


# ---- A count.


def test_a_count_adds_up_and_shows_itself():
    count = Count(
        [Product("up", (b, 2, 3), part="MLP"), Product("up", (b, 2, 3), part="MLP")]
    )
    assert count.rows[0].count == 2 and count.total == 24 * b
    assert (count + count).total == 48 * b
    assert count["up"].flops == 24 * b and len(count) == 1
    assert count.substitute({"b": 5}).total == 120
    assert repr(count) == "up: 2 of b × 2 × 3\ntotal: 24*b FLOPs"
    assert "<table" in count._repr_html_()
    with pytest.raises(lm.ConfigError, match="up"):
        count["down"]
