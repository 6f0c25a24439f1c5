"""Peaks of steps with adapters equal what PyTorch has alive with peft's."""

import pytest

from llm_memory import (
    ConfigError,
    load_model,
    training_activations,
    training_peak,
    training_states,
    weights,
)
from llm_memory.check import record
from llm_memory.training_peak import ADAPTED, training_moments

PEAKS = record("adapter_peaks")["cases"]
MOMENTS = record("adapter_moments")["cases"]
BYTES = {"fp32": 4, "bf16": 2}
LLAMA = "Llama-3.1-8B"
H, F, KV, LAYERS = 4096, 14336, 1024, 32  # of Llama-3.1-8B, from its config


def choices_of(case):
    return case["choices"] | {k: case[k] for k in ("loss", "chunks") if k in case}


@pytest.mark.parametrize("name", PEAKS)
def test_steps_peak_at_what_pytorch_has_alive(name):
    case = PEAKS[name]
    model, choices = load_model(case["config"]), choices_of(case)
    later = case.get("micro_steps", 1) > 1
    peak = training_peak(
        model, **choices, optimizer="none", micro_step="later" if later else "first"
    )
    loaded = weights(model).bytes + adapters_of(model, choices)
    measured = max(case["forward"], case["backward"])
    assert peak.evaluate(b=case["b"], s=case["s"]) == loaded + measured


def adapters_of(model, choices):
    """Bytes of the adapters' weights."""
    if "lora" not in choices:
        return 0
    trained = {key: choices[key] for key in ("lora", "targets")}
    states = training_states(model, choices["adapters"], "sgd", **trained)
    return states.select(part="gradients").bytes  # which are alike


def test_cases_are_many_and_reach_the_corners():
    assert len(PEAKS) >= 122 and len(MOMENTS) >= 95
    cases = [{**each, **each["config"], **each["choices"]} for each in PEAKS.values()]
    for field, wanted in (
        ("model_type", set(ADAPTED)),
        ("num_hidden_layers", {1, 2, 3, 5}),
        ("num_key_value_heads", {1, 2, 3}),
        ("b", {1, 2, 3}),
        ("s", {1, 2, 33, 100}),
        ("micro_steps", {1, 2}),
        ("lora", {None, 1, 2, 3, 8, 40}),
        ("lora_dropout", {0.0, 0.1}),
        ("adapters", {"fp32", "bf16"}),
        ("attention", {"eager", "flash", "efficient"}),
        ("recompute", {"none", "full", "core_attention"}),
        ("loss", {None, "chunked"}),
    ):
        assert wanted <= {each.get(field) for each in cases}, field


def adapted_elements(rank):
    """Elements of adapters on every linear module of Llama-3.1-8B, by hand."""
    wide = (H + H, H + KV, H + KV, H + H, H + F, H + F, F + H)
    return LAYERS * rank * sum(wide)


@pytest.mark.parametrize("dtype", BYTES)
def test_an_optimizer_step_sees_adapters_alone(dtype):
    """AdamW's two moments and the square roots are of the adapters' data type."""
    model = load_model(LLAMA)
    base, trained = weights(model).bytes, adapted_elements(16) * BYTES[dtype]
    counters = 4 * LAYERS * 7 * 2
    lora = {"lora": 16, "adapters": dtype}
    for implementation, copies in (("foreach", 5), ("fused", 4)):
        peak = training_peak(model, "flash", implementation=implementation, **lora)
        step = peak.moments["optimizer step"]
        assert step.evaluate(b=1, s=1) == base + copies * trained + counters


def test_steps_differ_by_states_and_gradients_of_adapters():
    model, sizes = load_model(LLAMA), {"b": 1, "s": 2048}
    options = {"attention": "flash", "recompute": "full", "lora": 16}
    first, step, micro_step = (
        training_peak(model, **options, **more)
        for more in ({}, {"step": "later"}, {"micro_step": "later"})
    )
    trained = 4 * adapted_elements(16)
    states = 2 * trained + 4 * LAYERS * 7 * 2
    assert step.evaluate(**sizes) - first.evaluate(**sizes) == states
    name, _ = first.at(**sizes)
    assert "log-softmax" in name  # where no gradient is there yet
    assert micro_step.evaluate(**sizes) - first.evaluate(**sizes) == trained


def test_frozen_weights_have_no_gradient():
    model = load_model("Qwen3-0.6B")
    for options in ({"lora": 4, "targets": ["v_proj"]}, {"frozen": True}):
        moments = training_moments(model, "flash", **options)
        ends = {
            row.name
            for moment in moments.values()
            for row in moment
            if row.name.endswith(".grad")
        }
        pair = {
            f"model.layers.{{i}}.self_attn.v_proj.lora_{x}.weight.grad" for x in "AB"
        }
        assert ends == (pair if "lora" in options else set())


def test_the_loss_is_what_is_kept_and_two_gradients():
    """As without adapters: 8bsV in fp32 more than what the forward leaves."""
    model, rank = load_model(LLAMA), {"lora": 16, "lora_dropout": 0.05}
    kept = training_activations(model, "flash", **rank).evaluate(b=2, s=512)
    peak = training_peak(model, "flash", optimizer="none", **rank)
    loaded = weights(model).bytes + 4 * adapted_elements(16)
    logits, labels = 8 * 2 * 512 * 128256, 8 * 2 * 512 + 4
    assert peak.evaluate(b=2, s=512) == loaded + kept + logits - labels + 4


@pytest.mark.parametrize(
    ("model", "options", "field"),
    [
        ("Qwen3-0.6B", {"frozen": True}, "optimizer"),
        ("Qwen3-0.6B", {"frozen": 1, "optimizer": "none"}, "frozen"),
        ("Qwen3-0.6B", {"lora": 0}, "lora"),
        ("Qwen3-0.6B", {"targets": ["q_proj"]}, "lora"),
        ("Qwen3-0.6B", {"lora": 8, "targets": ["c_attn"]}, "targets"),
        ("Qwen3-0.6B", {"lora": 8, "lora_dropout": 1}, "lora_dropout"),
        ("Qwen3-0.6B", {"lora": 8, "adapters": "fp16"}, "adapters"),
        ("Qwen3-0.6B", {"lora": 8, "precision": "autocast"}, "precision"),
        (
            "Qwen3-0.6B",
            {"lora": 8, "attention": "flash", "recompute": "matmuls"},
            "recompute",
        ),
        ("Gemma-2-9B", {"lora": 8, "attention": "flash"}, "attention"),
        ("Mixtral-8x7B", {"lora": 8}, "model_type"),
        ("Qwen3-30B-A3B", {"frozen": True, "optimizer": "none"}, "model_type"),
    ],
)
def test_what_is_not_described_is_refused_by_name(model, options, field):
    with pytest.raises(ConfigError, match=f"^{field}"):
        training_peak(load_model(model), **options)
