"""Loss heads keep what PyTorch keeps: each storage, and their sum."""

from collections import Counter

import pytest
import sympy

from llm_memory import (
    ConfigError,
    load_model,
    symbolic,
    training_activations,
    training_peak,
    weights,
)
from llm_memory.check import record
from llm_memory.fused_loss import Rows
from llm_memory.symbols import V, b, h, s
from llm_memory.training_peak import training_moments

CASES = record("losses")["cases"]
PEAKS = record("loss_peaks")["cases"]


def shapes(name):
    case = CASES[name]
    ledger = training_activations(load_model(case["config"]), **case["choices"])
    for shape, alive in case["shapes"].items():
        batch, tokens = map(int, shape.split(","))
        yield ledger, {"b": batch, "s": tokens}, alive


@pytest.mark.parametrize("name", CASES)
def test_what_is_alive_after_the_loss_is_what_pytorch_has(name):
    for ledger, shape, alive in shapes(name):
        total = sum(int(size) * count for size, count in alive.items())
        assert ledger.evaluate(**shape) == total, shape


# GPT-2 saves queries, keys and values as three views of one storage.
@pytest.mark.parametrize("name", [each for each in CASES if "gpt2" not in each])
def test_every_row_is_a_storage_that_pytorch_has_alive(name):
    for ledger, shape, alive in shapes(name):
        derived = Counter()
        for row in ledger.substitute(shape).rows:
            derived[str(row.bytes / row.count)] += int(row.count)
        del derived["0"]
        assert derived == alive, shape


def test_there_are_enough_cases():
    measured = {
        (case["choices"]["loss"], case["chunks"], shape)
        for case in CASES.values()
        for shape in case["shapes"]
    }
    assert {loss for loss, _, _ in measured} == {"plain", "chunked", "fused"}
    assert {1, 3, 8} <= {chunks for loss, chunks, _ in measured if loss == "chunked"}
    assert {"1,1", "1,5", "2,7", "3,33", "8,2048"} <= {shape for *_, shape in measured}
    assert {True, False} <= {
        bool(case["config"].get("tie_word_embeddings")) for case in CASES.values()
    }


@pytest.mark.parametrize("tied", [True, False])
def test_what_a_head_keeps_in_closed_form(tied):
    """By hand, for b > 1: bf16 logits and fp32 log-probabilities; or neither."""
    kept = {
        loss: training_activations(symbolic("llama", tied=tied), loss=loss).bytes
        for loss in ("plain", "chunked", "fused")
    }
    several = {sympy.Eq(b, 1): False}
    chunked = sympy.expand((kept["plain"] - kept["chunked"]).subs(several))
    assert chunked == 6 * b * s * V + 8 - 8 - 4
    fused = sympy.expand((kept["plain"] - kept["fused"]).subs(several))
    assert fused == 6 * b * s * V - 2 * V * h + 8 * b * s + 8 - 2


@pytest.mark.parametrize("name", PEAKS)
def test_a_step_with_another_loss_peaks_at_what_pytorch_has_alive(name):
    case = PEAKS[name]
    model, sizes = load_model(case["config"]), {"b": case["b"], "s": case["s"]}
    choices = {key: case["choices"][key] for key in ("attention", "recompute")}
    choices |= {"loss": case["loss"], "chunks": case["chunks"]}
    later = case.get("micro_steps", 1) > 1
    choices["micro_step"] = "later" if later else "first"
    peak = training_peak(model, **choices, optimizer="none")
    measured = max(case["forward"], case["backward"])
    assert peak.evaluate(**sizes) == weights(model).bytes + measured
    if not later:
        moments = training_moments(model, **choices).items()
        forward = [each for name, each in moments if "backward" not in name]
        assert max(each.evaluate(**sizes) for each in forward) == case["forward"]


def test_peaks_are_of_many_kinds():
    cases = PEAKS.values()
    for loss in ("chunked", "fused"):
        chunks = [case["chunks"] for case in cases if case["loss"] == loss]
        assert len(chunks) >= 50 and {1, 2, 3, 5, 8} <= {*chunks}
    fused = [case for case in cases if case["loss"] == "fused"]
    assert sum(case["chunks"] is None for case in fused) >= 30
    assert {7, 320, 5000} <= {case["config"]["vocab_size"] for case in fused}
    assert {1, 2} == {case["micro_steps"] for case in fused if "micro_steps" in case}
    assert any(case["b"] * case["s"] < (case["chunks"] or 0) for case in cases)
    tied = {case["config"].get("tie_word_embeddings") for case in cases}
    assert {True, False} <= tied
    assert {"none", "full", "core_attention"} == {
        case["choices"]["recompute"] for case in cases
    }


def test_loss_heads_that_are_not_described_are_refused():
    model = load_model("Qwen3-0.6B")
    with pytest.raises(ConfigError, match=r"^loss = 'liger': .*plain.*chunked.*fused"):
        training_activations(model, loss="liger")
    with pytest.raises(ConfigError, match=r"^loss = 'fused': does not cap logits"):
        training_activations(load_model("Gemma-2-9B"), loss="fused")
    with pytest.raises(ConfigError, match=r"^loss = 'fused': .*bf16"):
        training_activations(model, loss="fused", precision="autocast")
    with pytest.raises(ConfigError, match=r"^loss = 'fused': its peak is not derived"):
        training_peak(load_model("Gemma-2-9B"), loss="fused")
    with pytest.raises(ConfigError, match=r"^loss = 'fused': .*: plain, chunked$"):
        training_peak(model, loss="fused", precision="autocast")
    with pytest.raises(ConfigError, match=r"^chunks = None: must be given"):
        training_peak(model, loss="chunked")
    with pytest.raises(ConfigError, match=r"^chunks = 2: belongs to"):
        training_peak(model, chunks=2)
    for chunks in (0, 1.5, True):
        for loss in ("chunked", "fused"):
            with pytest.raises(ConfigError, match=r"^chunks = .*integer >= 1"):
                training_peak(model, loss=loss, chunks=chunks)


@pytest.mark.parametrize(
    ("tokens", "classes", "width", "rows"),
    # By hand: tokens over how often classes hold the width, to a power of two, halved.
    [
        (16384, 151936, 1024, 64),  # / 149 = 110, to 128
        (4096, 32000, 4096, 256),  # / 8 = 512
        (4097, 32000, 4096, 512),  # / 8 = 513, to 1024
        (1, 320, 48, 1),  # / 7 = 1, of which half would be none
        (100, 7, 160, 64),  # / 1 = 100, to 128
        (3, 7, 160, 2),  # / 1 = 3, to 4
    ],
)
def test_the_fused_loss_takes_a_power_of_two_of_rows(tokens, classes, width, rows):
    assert Rows(tokens, -(-classes // width)) == rows


def test_the_fused_loss_peaks_in_closed_form():
    """By hand, n tokens in chunks of r, the backward's zeros winning or the forward."""
    model = load_model("Qwen3-0.6B")
    moments = training_moments(model, "flash", loss="fused", chunks=8)
    n, r, words, width = 8 * 2048, 2048, 151936, 1024
    before = moments["shares of the rows"]
    first, second = (
        moments[f"probabilities in bf16{again}"].evaluate(b=8, s=2048)
        for again in ("", " (2)")
    )
    assert second - first == 2 * r * words
    of_rows = 4 * r * words + 2 * r * words + 4 * r + 4 * r + 4 * r * width
    spent = before.evaluate(b=8, s=2048) - 4 * r * words - 4 * r - n
    assert first == spent + of_rows
