"""Loss heads keep what PyTorch keeps: each storage, and their sum."""

from collections import Counter

import pytest
import sympy

from llm_memory import ConfigError, load_model, symbolic, training_activations
from llm_memory.check import record
from llm_memory.symbols import V, b, h, s

CASES = record("losses")["cases"]


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


def test_loss_heads_that_are_not_described_are_refused():
    model = load_model("Qwen3-0.6B")
    with pytest.raises(ConfigError, match=r"^loss = 'liger': .*plain.*chunked.*fused"):
        training_activations(model, loss="liger")
    with pytest.raises(ConfigError, match=r"^loss = 'fused': does not cap logits"):
        training_activations(load_model("Gemma-2-9B"), loss="fused")
    with pytest.raises(ConfigError, match=r"^loss = 'fused': .*bf16"):
        training_activations(model, loss="fused", precision="autocast")
