"""Every recorded prefill and decoding peaks at what transformers has alive."""

import pytest

from llm_memory import decode_peak, load_model, prefill_peak
from llm_memory.check import record

INFERENCE = record("inference_peaks")["cases"]


@pytest.mark.parametrize("name", INFERENCE)
def test_inference_peaks_at_what_transformers_has_alive(name):
    case = INFERENCE[name]
    model, batch = load_model(case["config"]), case["b"]
    mask = case.get("mask", "given")
    if case["phase"] == "prefill":
        peak = prefill_peak(model, case["attention"], case["logits"], mask=mask)
        assert peak.evaluate(b=batch, s=case["tokens"]) == case["peak"]
    else:
        peak = decode_peak(model, case["attention"], mask=mask)
        assert peak.evaluate(b=batch, t=case["tokens"]) == case["peak"]
