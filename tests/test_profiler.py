"""What is derived equals what the profiler saw tiny models allocate on the CPU."""

from dataclasses import replace
from functools import cache
from itertools import accumulate

import pytest

from llm_memory import (
    Ledger,
    decode_peak,
    load_model,
    prefill_peak,
    training_activations,
    training_peak,
    weights,
)
from llm_memory.check import record
from llm_memory.training_peak import training_moments

CASES = record("profiler")["cases"]
STATISTICS = (" mean", " 1/std")
SUMS = ("gradients, summed", "gradient of both halves")


def cases(*phases):
    return [name for name in CASES if CASES[name]["phase"] in phases]


def on_cpu(model, ledger):
    """The CPU's LayerNorm keeps mean and deviation in bf16, a GPU's in fp32."""
    narrow = model.model_type == "gpt2"
    rows = (
        replace(row, dtype="bf16") if row.name.endswith(STATISTICS) and narrow else row
        for row in ledger
    )
    return Ledger(rows, ledger.symbols)


def sizes(case):
    return {key: case[key] for key in ("b", "s") if key in case}


@pytest.mark.parametrize("name", cases("prefill", "decode"))
def test_inference_peaks_at_what_the_profiler_saw(name):
    case = CASES[name]
    model = load_model(case["config"])
    peak, tokens = {"prefill": (prefill_peak, "s"), "decode": (decode_peak, "t")}[
        case["phase"]
    ]
    at = {"b": case["b"], tokens: case["tokens"]}
    moments = peak(model).moments.values()
    assert max(on_cpu(model, m).evaluate(**at) for m in moments) == case["peak"]


@pytest.mark.parametrize("name", cases("forward"))
def test_a_forward_leaves_what_the_profiler_saw(name):
    case = CASES[name]
    model = load_model(case["config"])
    ledger = on_cpu(model, training_activations(model, **case["choices"]))
    assert ledger.evaluate(**sizes(case)) == case["alive"]


@cache
def moments(name):
    """Name and ledger after every operation; PyTorch tells of each once."""
    case = CASES[name]
    model = load_model(case["config"])
    derived = training_moments(model, recompute=case["choices"]["recompute"])
    derived = list(derived.items())
    last = [end - 1 for end in accumulate(case["looked at"]["made"])]
    assert last[-1] == len(derived) - 1
    chosen = (derived[index] for index in last)
    return [(name, on_cpu(model, ledger)) for name, ledger in chosen]


@pytest.mark.parametrize("name", cases("training"))
def test_after_every_operation_the_profiler_saw_what_is_derived(name):
    case = CASES[name]
    alive = [ledger.evaluate(**sizes(case)) for _, ledger in moments(name)]
    assert alive == case["looked at"]["alive"]


@pytest.mark.parametrize("name", cases("training"))
def test_alone_pytorch_only_sums_some_gradients_in_place(name):
    """It then lacks the sum, and nothing else; the peak is the same."""
    case, in_place = CASES[name], 0
    alone = zip(*case["alone"].values(), strict=True)
    for (moment, ledger), (alive, made) in zip(moments(name), alone, strict=True):
        missing = ledger.evaluate(**sizes(case)) - alive
        assert bool(missing) == (not made), moment
        if missing:
            assert missing in sums(ledger, case), moment
            assert any(name in moment for name in SUMS)
            in_place += 1
    assert in_place
    assert max(case["alone"]["alive"]) == max(case["looked at"]["alive"])


def sums(ledger, case):
    """The sizes of the sums of gradients that are alive."""
    rows = [row for row in ledger if row.name.endswith(SUMS)]
    whole = Ledger(rows, ledger.symbols).substitute(sizes(case))
    return {int(row.bytes / row.count) for row in whole}


@pytest.mark.parametrize(
    "name", [name for name in cases("training") if name.endswith("eager")]
)
def test_a_step_peaks_at_what_the_profiler_saw(name):
    case = CASES[name]
    model = load_model(case["config"])
    peak = training_peak(model, optimizer="none")
    every = [on_cpu(model, each) for each in peak.moments.values()]
    derived = max(moment.evaluate(**sizes(case)) for moment in every)
    assert derived == weights(model).bytes + max(case["alone"]["alive"])


def test_every_phase_and_family_is_anchored():
    kinds = {(case["phase"], case["config"]["model_type"]) for case in CASES.values()}
    families = ("llama", "qwen3", "gpt2")
    phases = ("prefill", "decode", "forward", "training")
    assert kinds == {(phase, family) for phase in phases for family in families}
    choices = [case["choices"] for case in CASES.values() if "choices" in case]
    assert {each["precision"] for each in choices} == {"bf16", "autocast"}
