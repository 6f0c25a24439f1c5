"""The article's claims: each number from plain arithmetic, and what may be data."""

import json
import re
from dataclasses import asdict
from fractions import Fraction
from math import ceil

import chapter_rules
import pytest
from conftest import ROOT

from llm_memory import ConfigError, claims, load_model
from llm_memory.claim_rules import VERDICTS
from llm_memory.fields import DATA

FILE = json.loads((DATA / "claims.json").read_text(encoding="utf-8"))
CLAIMS = {claim["id"]: claim for claim in FILE["claims"]}
RECORDS = {record.id: record for record in claims.judge()}
COMPUTED = {name: claim for name, claim in CLAIMS.items() if "recompute" in claim}

# The sizes of the models as the file of claims gives them, not as the library does.
LLAMA, QWEN, DEEPSEEK = FILE["models"].values()
CARDS = FILE["gpus"]
GIB = 2**30


def llama_weights(m, tied):
    """Parameters of a gated model of d-wide heads, counted by hand."""
    h, d, f = m["hidden"], m["head_dim"], m["ffn"]
    attention = 2 * h * m["heads"] * d + 2 * h * m["kv_heads"] * d
    norms = 2 * h + (2 * d if tied else 0)  # Qwen3 norms its heads, LLaMA does not
    layer = attention + 3 * h * f + norms
    return m["layers"] * layer + h + m["vocab"] * h * (1 if tied else 2)


def token(m):
    return 2 * 2 * m["layers"] * m["kv_heads"] * m["head_dim"]


PARAMETERS = {"llama": llama_weights(LLAMA, False), "qwen": llama_weights(QWEN, True)}
W_LLAMA, W_QWEN = (2 * each for each in PARAMETERS.values())
LATENT = 2 * DEEPSEEK["layers"] * (DEEPSEEK["kv_lora_rank"] + DEEPSEEK["qk_rope"])
NODE = (8 * 32 * 10**9, 8 * CARDS["V100-32G"]["bytes"])


def square(m, s):
    """What eager attention has alive: 10abs² and the queries, repeated K and V."""
    a, d = m["heads"], m["head_dim"]
    repeated = 0 if a == m["kv_heads"] else 4 * s * a * d
    return 10 * a * s**2 + 2 * s * a * d + repeated


def decoded(m, tokens):
    """FLOPs of one token that attends to `tokens`: matrices twice, 4ad per layer."""
    h, d, n = m["hidden"], m["head_dim"], m["layers"]
    matrices = 2 * h * d * (m["heads"] + m["kv_heads"]) + 3 * h * m["ffn"]
    return 2 * (n * matrices + m["vocab"] * h) + 4 * m["heads"] * d * n * tokens


BY_HAND = {
    "S2.1-12nh2": PARAMETERS["llama"],
    "S2.1-qwen-weights-value": Fraction(W_QWEN, 10**9),
    "S2.2.1-out": 2 * 512 * QWEN["heads"] * QWEN["head_dim"],
    "S2.2.1-peak": square(QWEN, 512),
    "S2.2.2-peak": 6 * 512 * QWEN["ffn"],
    "S2.2.2-trad-mem": 2 * 512 * 4 * LLAMA["hidden"],
    "S2.2.3-code-attn": square(LLAMA, 512),
    "S2.2.3-total-trad": square(LLAMA, 2048),
    "S2.2.3-80pct": Fraction(100 * 100, 120),
    "S2.3.3-2.25": Fraction(LATENT, DEEPSEEK["layers"] * 2 * 2 * DEEPSEEK["v_head"]),
    "S2.3.4-qwen-112KB": Fraction(token(QWEN), 1000),
    "S2.3.4-ds-69KB": Fraction(LATENT, 1000),
    "S2.5.1-total": Fraction(W_QWEN + 1024 * token(QWEN), 10**9),
    "S2.5.3-llama-kv": 64 * 1024 * token(LLAMA),
    "S2.5.3-llama-1.6": Fraction(64 * 1024 * token(LLAMA), W_LLAMA),
    "S2.5.3-llama-26": Fraction(W_LLAMA, 10**9),
    "S3-13b-1MB": Fraction(token(LLAMA), 10**6),
    "S3-a100-tokens": Fraction(14 * 10**9, token(LLAMA)),
    "S3-4090-tokens": Fraction(228 * 10**8, token(QWEN)),
    "S3-4090-199": Fraction(203_500, 1024),
    "S4.2-24.6": Fraction(W_LLAMA, 10**9),
    "S4.2-2GB": Fraction(2048 * token(LLAMA), 10**9),
    "S4.2-fp16-115.7": (256 * 10**9 - Fraction("24.6") * GIB) / (2 * 10**9),
    "S4.2-int8": (256 * 10**9 - Fraction("12.3") * GIB) / (2 * 10**9),
    "S4.3-229MB": Fraction(2048 * token(QWEN), 10**6),
    "S4.3-100": Fraction(24 * 10**9 - W_QWEN, 2048 * token(QWEN)),
    "S4.3-vs-200": ceil(10_000 / ((24 * 10**9 - W_QWEN) // (2048 * token(QWEN)))),
    "S4.4-141MB": Fraction(2048 * LATENT, 10**6),
    "S4.4-4319": Fraction(1280 - 671) / Fraction("0.141"),
    "S5.1-qwen-15nh2": PARAMETERS["qwen"],
    "S5.2-flops-trad": decoded(LLAMA, 2048),
    "S5.2-flops-qwen": decoded(QWEN, 2048),
    "S5.2-decode": decoded(QWEN, 1024),
    "S5.2-prefill": 2048 * decoded(LLAMA, 2048),
    "S5q.2-66-33": Fraction(200, 3),
    "S5q.3-ds": Fraction(LATENT, 1000),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_number_is_recomputed_from_its_inputs(name):
    expected, record = BY_HAND[name], RECORDS[name]
    exact = Fraction(expected)
    if exact.denominator == 1:
        assert record.recomputed == int(exact)
    else:
        assert record.recomputed == float(exact)
    printed = Fraction(str(CLAIMS[name].get("published", {}).get("value", 0)))
    if printed:
        assert record.published == float(printed)
        assert record.relative_difference == pytest.approx(float(printed / exact - 1))


def test_every_claim_has_a_verdict_and_a_reason():
    assert list(RECORDS) == list(CLAIMS)
    assert len(CLAIMS) == 177
    for record in RECORDS.values():
        assert record.verdict in VERDICTS
        assert len(record.explanation) > 15, record.id
        assert record["id"] == record.id
    names = "id verdict published recomputed unit relative_difference explanation"
    assert list(asdict(RECORDS["S1-figure"])) == names.split()
    with pytest.raises(ConfigError, match="key"):
        RECORDS["S1-figure"]["source"]


@pytest.mark.parametrize(
    ("name", "found"),
    {
        "S1-grad-eq-act": "wrong",
        "S2.2.3-80pct": "wrong",
        "S2.3.4-qwen-112KB": "unit-mixup",
        "S2.3.4-qwen-kv-per-token": "exact",
        "S2.5.1-weights": "rounding",
        "S2.5.3-llama-1.6": "wrong",
        "S2.5.3-llama-kv": "wrong",
        "S3-13b-1MB": "approximation",
        "S4.2-fp16-115.7": "unit-mixup",
        "S4.2-measured-50": "undetermined",
        "S4.3-229MB": "unit-mixup",
        "S5.3-total": "exact",
    }.items(),
)
def test_what_the_book_says_elsewhere(name, found):
    assert RECORDS[name].verdict == found


def test_the_states_of_llama_13b_are_16_bytes_per_parameter():
    assert "208.3 GB" in RECORDS["S1-total-2act"].explanation
    assert round(16 * PARAMETERS["llama"] / 10**9, 1) == 208.3


def test_no_more_is_said_of_the_measured_50_than_the_article_allows():
    record = RECORDS["S4.2-measured-50"]
    assert record.recomputed is None and "consistent with" in record.explanation


# The data: premises, hedges and reasons, but no verdict that a rule can find.


def test_no_verdict_on_a_number_or_formula_is_data():
    for name, claim in CLAIMS.items():
        assert not {"number", "formula"} & {claim["kind"]} or "verdict" not in claim
        assert ("verdict" in claim) != ("recompute" in claim) or name in lost()
        if "verdict" in claim:
            assert claim["verdict"] in VERDICTS and claim["reason"]
    typed = {"id": "x", "kind": "number", "verdict": "exact", "reason": "so"}
    with pytest.raises(ConfigError, match="found by rule"):
        claims.judge([typed])


def lost():
    return {
        name
        for name, claim in CLAIMS.items()
        if RECORDS[name].verdict == "undetermined" and "recompute" not in claim
    }


def test_what_is_lost_says_why():
    assert all(CLAIMS[name]["reason"] for name in lost())
    low = {
        name
        for name, claim in CLAIMS.items()
        if claim.get("reconstruction_confidence") == "low"
    }
    assert low <= lost()


def test_hedges_and_premises_have_reasons():
    for claim in CLAIMS.values():
        for key in ("hedge", "premise"):
            assert key not in claim or claim[key]["reason"]
        assert "premise" not in claim or "hedge" in claim


@pytest.mark.parametrize("name", [n for n in CLAIMS if "states" in CLAIMS[n]])
def test_a_stated_formula_gives_the_printed_number(name):
    claim = CLAIMS[name]
    if "published" in claim:
        assert RECORDS[name].published == claim["published"]["value"]


def test_the_letters_of_stated_formulas_are_those_of_the_models():
    for name, model in (("LLaMA-13B", LLAMA), ("Qwen3-0.6B", QWEN)):
        sizes = load_model(name).sizes
        ours = [sizes[letter] for letter in "LhakdfV"]
        assert ours == list(model.values())[:7]
    inputs, model = CLAIMS["S2.1-qwen-config"]["inputs"], load_model("Qwen3-0.6B")
    letters = dict(zip(("n", "n_h", "n_kv"), "Lak", strict=True))
    for name in ("n", "h", "n_h", "n_kv", "d", "f", "V"):
        assert model.sizes[letters.get(name, name)] == inputs[name]
    assert model.tied and inputs["max_position"] == model.C


def test_every_derivation_is_there():
    labels = {
        label
        for path in (*ROOT.glob("book/*.ipynb"), *ROOT.glob("book/*.md"))
        for label in re.findall(r"\(([\w.-]+)\)=(?:\\n|\n)", path.read_text("utf-8"))
    }
    assert {claim["derivation"] for claim in CLAIMS.values()} <= labels


def test_no_result_is_typed_in_a_reason():
    quoted = [claim["claim"] for claim in CLAIMS.values()]
    for claim in CLAIMS.values():
        for number in chapter_rules.BYTES.finditer(claim.get("reason", "")):
            assert any(number[0] in text for text in quoted), claim["id"]
        holes = set(re.findall(r"\{(\w+)\}", claim.get("reason", "")))
        assert holes == set(claim.get("shows", {})), claim["id"]
