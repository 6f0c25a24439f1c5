"""Peaks equal what PyTorch has alive, on real and on random shapes."""

import pytest
import sympy

from llm_memory import (
    ConfigError,
    Ledger,
    Tensor,
    decode_peak,
    load_model,
    prefill_peak,
    symbolic,
    total_inference,
    training_activations,
    training_peak,
    training_states,
    weights,
)
from llm_memory.check import record
from llm_memory.fields import family, table
from llm_memory.peak import Peak
from llm_memory.symbols import b, s
from llm_memory.training_peak import training_moments
from llm_memory.training_timeline import Place, extremes

INFERENCE = record("inference_peaks")["cases"]
TRAINING = record("training_peaks")["cases"]
MOMENTS = record("training_moments")["cases"]
OPTIMIZER = record("optimizer_peaks")["cases"]
STORED = {"bf16": "bf16", "autocast": "fp32"}
RECOMPUTED_UNDER_AUTOCAST = [
    name
    for name, case in TRAINING.items()
    if case["choices"]["precision"] == "autocast"
    and case["choices"]["recompute"] in ("full", "matmuls")
    and case["config"]["num_hidden_layers"] > 1
    and case.get("micro_steps", 1) == 1
]


@pytest.mark.parametrize("name", TRAINING)
def test_training_peaks_at_what_pytorch_has_alive(name):
    case = TRAINING[name]
    model, sizes = load_model(case["config"]), {"b": case["b"], "s": case["s"]}
    choices = case["choices"]
    later = case.get("micro_steps", 1) > 1
    peak = training_peak(
        model, **choices, optimizer="none", micro_step="later" if later else "first"
    )
    measured = max(case["forward"], case["backward"])
    parameters = weights(model, STORED[choices["precision"]]).bytes
    assert peak.evaluate(**sizes) == parameters + measured


def test_random_cases_are_many_and_reach_the_corners():
    assert len(INFERENCE) >= 690 and len(TRAINING) >= 200
    for cases in (INFERENCE.values(), TRAINING.values()):
        every = [case["config"] for case in cases]
        configs = [config for config in every if config["model_type"] != "gpt2"]
        gpt2 = [config for config in every if config["model_type"] == "gpt2"]
        assert len(gpt2) >= 60
        for field in ("n_layer", "n_head"):
            assert {1, 2, 3} <= {config[field] for config in gpt2}
        assert {0, 0.1} == {config["embd_pdrop"] for config in gpt2}
        for field in ("num_hidden_layers", "num_key_value_heads"):
            assert {1, 2, 3} <= {config.get(field) for config in configs}
        assert {1, 2, 3} <= {case["b"] for case in cases}
    wanted = {"product", "softmax", "lm_head", "attention", "weighted, by token"}
    for case in INFERENCE.values():
        if case["phase"] == "prefill" and wanted:
            peak = prefill_peak(load_model(case["config"]), case["attention"])
            name, _ = peak.at(b=case["b"], s=case["tokens"])
            wanted.discard(name.rpartition(".")[2].split(" (")[0])
    assert not wanted


def test_every_family_is_measured_in_its_corners():
    for kind in table()["families"]:
        if not family(kind).get("inference"):
            continue
        cases = [e for e in INFERENCE.values() if e["config"]["model_type"] == kind]
        assert {"eager", "efficient"} <= {case["attention"] for case in cases}
        assert {"prefill", "decode"} == {case["phase"] for case in cases}
        assert {1, 2, 3} <= {case["b"] for case in cases}
        assert {1, 2, 100} <= {case["tokens"] for case in cases}
        for name, values in CORNERS.get(kind, {}).items():
            assert values <= {case["config"].get(name) for case in cases}, name


CORNERS = {
    "gemma2": {
        "attn_logit_softcapping": {None, 50.0},
        "sliding_window": {2, 40},
        "num_key_value_heads": {1, 2},
    },
    "gemma3_text": {"sliding_window_pattern": {1, 2, 6}, "num_key_value_heads": {1, 2}},
    "mixtral": {
        "num_local_experts": {1, 8},
        "num_experts_per_tok": {1, 4},
        "sliding_window": {None, 3},
    },
    "qwen3_moe": {
        "norm_topk_prob": {True, False},
        "num_experts": {1, 8},
        "decoder_sparse_step": {1, 2},
    },
    "deepseek_v3": {
        "q_lora_rank": {None},
        "n_group": {1, 2, 4},
        "n_shared_experts": {0, 1, 2},
        "norm_topk_prob": {True, False},
        "rope_interleave": {True, False},
        "first_k_dense_replace": {0, 1, 2},
        "num_attention_heads": {1, 2, 6},
    },
}


TRAINED_CORNERS = {
    "phi3": {"resid_pdrop": {0, 0.1}, "num_key_value_heads": {1, 2}},
    "glm4": {"attention_bias": {True, False}, "num_key_value_heads": {1, 2}},
    "opt": {
        "do_layer_norm_before": {True, False},
        "enable_bias": {True, False},
        "layer_norm_elementwise_affine": {True, False},
        "word_embed_proj_dim": {5},
        "num_attention_heads": {1, 2, 3},
    },
}


@pytest.mark.parametrize("kind", TRAINED_CORNERS)
def test_every_switch_of_a_family_is_trained(kind):
    cases = [e for e in TRAINING.values() if e["config"]["model_type"] == kind]
    chosen = [case["choices"] for case in cases]
    assert {"eager", "flash", "efficient", "math"} == {c["attention"] for c in chosen}
    assert {"none", "full", "core_attention", "matmuls"} == {
        c["recompute"] for c in chosen
    }
    assert {"bf16", "autocast"} == {c["precision"] for c in chosen}
    for name, values in TRAINED_CORNERS[kind].items():
        assert values <= {case["config"].get(name) for case in cases}, name
    if kind != "opt":
        turned = [case["config"]["rope_parameters"] for case in cases]
        assert {0.5, 0.75, 1} == {each["partial_rotary_factor"] for each in turned}


@pytest.mark.parametrize("implementation", OPTIMIZER)
def test_an_adamw_step_makes_what_pytorch_makes(implementation):
    case = OPTIMIZER[implementation]
    states = sum(2 * 2 * size for size in case["sizes"])
    counters = 4 * len(case["sizes"]) * (implementation == "fused")
    roots = sum(2 * size for size in case["sizes"]) * (implementation == "foreach")
    assert case["first, later"] == [states + counters + roots] * 2


def test_the_optimizer_step_is_a_moment():
    model = load_model("Qwen3-0.6B")
    states = training_states(model, "bf16").bytes
    peak = training_peak(model, "flash")
    assert peak.at(b=1, s=64)[0] == "optimizer step"
    assert peak.evaluate(b=1, s=64) == states + weights(model).bytes
    fused = training_peak(model, "flash", implementation="fused")
    assert fused.evaluate(b=1, s=64) == states


def test_a_later_step_has_the_optimizer_states_from_the_start():
    model = load_model("Qwen3-0.6B")
    first, later = (
        training_peak(model, "flash", step=step) for step in ("first", "later")
    )
    states = training_states(model, "bf16").select(part="optimizer").bytes
    sizes = {"b": 8, "s": 2048}
    assert later.evaluate(**sizes) == first.evaluate(**sizes) + states


def test_autocast_keeps_its_copies_of_weights_until_the_forward_ends():
    """Full recomputation saves no bf16 copy, but the cache holds all of them."""
    config = next(c["config"] for n, c in MOMENTS.items() if n == "llama, autocast")
    model = load_model(config)
    h, f, a, k, d, V = 48, 112, 6, 2, 8, 320
    copies = 2 * (h * d * (2 * a + 2 * k) + 3 * h * f + V * h)
    moments = training_moments(model, recompute="full", precision="autocast")
    names = list(moments)
    turned = next(i for i, name in enumerate(names) if name.endswith(", backward"))
    forward, after = (
        sum(
            row.bytes
            for row in moments[names[i]]
            if row.name.endswith("weight in bf16") and row.count != 0
        )
        for i in (turned - 1, turned)
    )
    assert (forward, after) == (copies, 2 * V * h)


@pytest.mark.parametrize("name", RECOMPUTED_UNDER_AUTOCAST)
def test_the_forward_peaks_by_itself_where_copies_are_kept_for_it(name):
    case = TRAINING[name]
    moments = training_moments(load_model(case["config"]), **case["choices"])
    forward = max(
        moment.evaluate(b=case["b"], s=case["s"])
        for name, moment in moments.items()
        if ", backward" not in name
    )
    assert forward == case["forward"]


def test_known_moments():
    small = training_peak(load_model("Qwen3-0.6B"), "flash", optimizer="none")
    held = weights(load_model("Qwen3-0.6B")).bytes
    assert small.evaluate(b=1, s=64) - held == 1_833_877_512
    model = load_model("LLaMA-13B")
    full = training_peak(model, "flash", "full", optimizer="none")
    assert full.evaluate(b=8, s=2048) - weights(model).bytes == 31_330_310_176


def test_usual_shapes_have_the_closed_forms():
    model = load_model("LLaMA-13B")
    h, f, layers, d = 5120, 13824, 40, 128
    batch, tokens = 2, 4096
    flash = 4 * batch * tokens * h * layers + 4 * tokens * d + 8 * tokens
    flash += 8 * batch * tokens * h + 6 * batch * tokens * f
    assert prefill_peak(model, "flash").evaluate(b=batch, s=tokens) == flash


def test_a_peak_is_the_largest_moment_and_keeps_no_dominated_one():
    small, large = (Ledger([Tensor("x", (b, s), kind)]) for kind in ("bf16", "fp32"))
    fixed = Ledger([Tensor("table", (100,), "fp32")])
    peak = Peak({"small": small, "large": large, "fixed": fixed, "again": large})
    assert list(peak.moments) == ["large", "fixed"]
    assert peak.at(b=1, s=100) == ("large", large) or peak.at(b=1, s=100)[0] == "large"
    assert peak.at(b=1, s=99)[0] == "fixed"
    assert peak.evaluate(b=3, s=100) == 1200
    assert peak.bytes.subs({b: 1, s: 2}) == 400


def test_symbolic_peaks_hold_for_a_models_sizes():
    model = load_model("Qwen3-0.6B")
    family = prefill_peak(symbolic("qwen3", tied=True), "flash")
    sizes = {"V": 151936, "h": 1024, "L": 28, "a": 16, "k": 8, "d": 128, "f": 3072}
    for batch, tokens in ((1, 1), (1, 512), (3, 33)):
        expected = prefill_peak(model, "flash").evaluate(b=batch, s=tokens)
        assert family.evaluate(b=batch, s=tokens, **sizes) == expected
    assert isinstance(family.bytes, sympy.Max)


def test_a_static_cache_is_not_joined():
    model = load_model("Qwen3-0.6B")
    sizes = {"b": 1, "t": 8192}
    joined = decode_peak(model, "flash").evaluate(**sizes)
    in_place = decode_peak(model, "flash", cache="static").evaluate(**sizes)
    per_layer = 2 * 8192 * 8 * 128
    assert joined - in_place > per_layer * 9 // 10


def test_a_chunk_needs_what_its_tokens_need():
    model = load_model("Qwen3-0.6B")
    peak = prefill_peak(model, "flash", cache="static", chunked=True)
    cached = 2 * 2 * 28 * 8 * 128
    spent = {
        t: peak.evaluate(b=1, s=512, t=t) - cached * (t + 512) for t in (512, 4096)
    }
    assert spent[512] == spent[4096]


def test_fp16_on_cuda_has_one_copy_of_the_map_less():
    model = load_model("LLaMA-13B")
    square = 40 * 8192 * 8192
    usual = prefill_peak(model).evaluate(b=1, s=8192)
    fused = prefill_peak(model, softmax="with the cast").evaluate(b=1, s=8192)
    assert usual - fused == 2 * square


def test_total_inference_adds_weights_and_what_is_no_tensor():
    model = load_model("Qwen3-0.6B")
    plain = total_inference(model, attention="flash")
    peak = prefill_peak(model, "flash").evaluate(b=2, s=100)
    assert plain.evaluate(b=2, s=100) == weights(model).bytes + peak
    more = total_inference(model, attention="flash", context=10, allocator=5, graphs=1)
    assert more.evaluate(b=2, s=100) == plain.evaluate(b=2, s=100) + 16
    _, ledger = plain.at(b=2, s=100)
    assert ledger["CUDA context"].bytes == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: prefill_peak(m, "xla"), "attention"),
        (lambda m: prefill_peak(m, logits="none"), "logits"),
        (lambda m: prefill_peak(m, cache="paper"), "cache"),
        (lambda m: decode_peak(m, softmax="hard"), "softmax"),
        (lambda m: decode_peak(m, mask="worn"), "mask"),
        (lambda m: prefill_peak(load_model("Mistral-7B"), mask="made"), "mask"),
        (lambda m: decode_peak(m, "math", mask="made"), "mask"),
        (lambda m: training_peak(m, recompute="some"), "recompute"),
        (lambda m: training_peak(m, loss="hinge"), "loss"),
        (lambda m: training_peak(m, optimizer="adamax"), "optimizer"),
        (lambda m: training_peak(m, optimizer="sgd"), "implementation"),
        (lambda m: training_peak(m, step="third"), "step"),
        (lambda m: training_peak(m, precision="fp16"), "precision"),
        (
            lambda m: training_peak(load_model("GPT-2"), precision="autocast"),
            "precision",
        ),
        (lambda m: training_peak(load_model("Gemma-2-9B"), "flash"), "attention"),
        (lambda m: training_peak(load_model("Gemma-2-9B"), loss="chunked"), "loss"),
        (lambda m: training_peak(symbolic("gemma3_text")), "model"),
        (lambda m: training_peak(symbolic("qwen3_moe")), "model"),
        (lambda m: training_peak(m, recompute="matmuls"), "recompute"),
        (lambda m: total_inference(m, phase="sleep"), "phase"),
        (lambda m: total_inference(m, context=-1), "context"),
        (lambda m: total_inference(m, graphs=1.5), "graphs"),
        (lambda m: prefill_peak(m, "flash").evaluate(b=1), "s"),
        (lambda m: prefill_peak(m, "flash").at(b=0, s=1), "b"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        call(load_model("Qwen3-0.6B"))


def test_other_families_are_refused_by_name():
    model = load_model("gpt-oss-20b")
    for peak in (prefill_peak, decode_peak, training_peak):
        with pytest.raises(ConfigError, match="not derived yet"):
            peak(model)


def test_some_steps_peak_in_the_second_layer():
    narrow = {"hidden_size": 64, "vocab_size": 7, "num_hidden_layers": 5}
    cases = [x for x in TRAINING.values() if narrow.items() <= x["config"].items()]
    assert len(cases) == 2
    for case in cases:
        peak = training_peak(load_model(case["config"]), "flash", optimizer="none")
        assert "backward of layer 2" in peak.at(b=case["b"], s=case["s"])[0]


def test_between_two_layers_those_halfway_cannot_be_the_peak():
    """But where the kind below changes, a layer stands for itself."""
    below = [(2, 2), (2, 1), (2, 0), (1, 0), (0, 0)]
    places = [Place("", sympy.false, each, ()) for each in below]
    assert [each.below for each in extremes(places)] == [(2, 2), (2, 0), (0, 0)]


def test_steps_of_two_kinds_of_layers_are_measured_in_their_corners():
    """Several dense layers before sparse ones, one sparse, one head, one token …"""
    kinds = {name: set() for name in (*LATENT_CORNERS, "b", "s", "sparse")}
    for case in TRAINING.values():
        config = case["config"]
        if config["model_type"] in ("deepseek_v2", "deepseek_v3", "kimi_k2"):
            dense = min(config["first_k_dense_replace"], config["num_hidden_layers"])
            kinds["sparse"].add((dense, config["num_hidden_layers"] - dense))
            for name in kinds.keys() - {"sparse"}:
                kinds[name].add(case.get(name, config.get(name)))
    assert {1, 2, 3} <= kinds["b"] and {1, 2, 9, 33} <= kinds["s"]
    assert {(0, 1), (1, 1), (2, 1), (1, 0), (3, 2), (0, 5)} <= kinds["sparse"]
    for name, values in LATENT_CORNERS.items():
        assert values <= kinds[name], name


LATENT_CORNERS = CORNERS["deepseek_v3"] | {
    "first_k_dense_replace": {0, 1, 2, 3},
    "n_shared_experts": {0, 1, 2},
}


def test_training_peaks_with_experts_are_refused_where_they_are_not_derived():
    config = next(
        case["config"]
        for case in TRAINING.values()
        if case["config"].get("decoder_sparse_step")
    )
    with pytest.raises(ConfigError, match=r"^output_router_logits"):
        training_peak(load_model(config | {"output_router_logits": True}))
    latent = load_model("DeepSeek-V3")
    for name, value in {"precision": "autocast", "recompute": "matmuls"}.items():
        with pytest.raises(ConfigError, match=f"^{name} = '{value}'"):
            training_peak(latent, **{name: value})
    limited = {"topk_method": "group_limited_greedy"}
    config = MOMENTS["deepseek_v2, eager"]["config"] | limited
    with pytest.raises(ConfigError, match=r"^topk_method = 'group_limited_greedy'"):
        training_peak(load_model(config))


def test_kernels_that_a_model_cannot_run_are_refused_by_name():
    for name in ("Gemma-2-9B", "DeepSeek-V3"):
        for peak in (prefill_peak, decode_peak, training_peak):
            with pytest.raises(ConfigError, match=r"^attention = 'flash'"):
                peak(load_model(name), "flash")
    config = next(
        case["config"]
        for case in INFERENCE.values()
        if case["config"].get("n_group") == 4
    )
    mixtral = next(
        case["config"]
        for case in INFERENCE.values()
        if "num_local_experts" in case["config"]
    )
    with pytest.raises(ConfigError, match=r"^output_router_logits = True"):
        decode_peak(load_model(mixtral | {"output_router_logits": True}))
    with pytest.raises(ConfigError, match=r"^n_group = 3: must part the"):
        sparse = {"n_routed_experts": 8, "first_k_dense_replace": 0}
        prefill_peak(load_model(config | sparse | {"n_group": 3}))


def test_an_activation_function_of_unknown_kernels_is_refused():
    config = next(
        each["config"] for each in MOMENTS.values() if "n_embd" in each["config"]
    )
    model = load_model(config | {"activation_function": "quick_gelu"})
    for peak in (prefill_peak, decode_peak, training_peak):
        with pytest.raises(ConfigError, match=r"^activation function = 'quick_gelu'"):
            peak(model)
    with pytest.raises(ConfigError, match=r"^reorder_and_upcast_attn"):
        load_model(config | {"reorder_and_upcast_attn": True})
    load_model(config | {"reorder_and_upcast_attn": False})


def test_what_is_alive_after_the_forward_is_what_training_activations_say():
    model = load_model("Qwen3-0.6B")
    kept = training_activations(model, "flash").evaluate(b=8, s=2048)
    peak = training_peak(model, "flash", optimizer="none").evaluate(b=8, s=2048)
    logits = 8 * 8 * 2048 * 151936
    labels = 8 * 8 * 2048 + 4
    assert peak == weights(model).bytes + kept + logits - labels + 4
