"""`python -m llm_memory` in a shell: its numbers, its complaints, its help."""

import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from llm_memory.measure.cases import SWITCHES

# By hand: 40 layers, h = 5120, 40 heads of 128, f = 13824, V = 32000, untied; 4 + 7·40
# - 1 tensors. Per token 2·2·40·5120 bytes of cache.
LAYER = 4 * 5120**2 + 3 * 5120 * 13824 + 2 * 5120
PARAMETERS = 2 * 32000 * 5120 + 40 * LAYER + 5120
TENSORS = 3 + 40 * 9
TOKEN = 2 * 2 * 40 * 5120
H200 = 143771 * 2**20


def run(*arguments):
    """Run the command in another process, from the folder that README names."""
    command = (sys.executable, "-m", "llm_memory", *map(str, arguments))
    environment = os.environ | {"COLUMNS": "80"}
    return subprocess.run(
        command, cwd=ROOT / "book", capture_output=True, text=True, env=environment
    )


def numbers(*arguments) -> dict[str, int]:
    """Return the exact bytes of each line of a report."""
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    lines = re.findall(r"^ *(\S.*?)  +([\d,]+) bytes  ", done.stdout, re.M)
    return {name: int(digits.replace(",", "")) for name, digits in lines}


def test_the_sizes_of_a_bundled_model():
    found = numbers("LLaMA-13B", "--context", 3000, "--batch", 2)
    assert found["weights, bf16"] == 2 * PARAMETERS == 26_031_728_640
    assert found["cache, bf16, one token"] == TOKEN == 819_200
    assert found["2 × 3,000 cached tokens"] == 2 * 3000 * TOKEN
    assert found["master"] == 4 * PARAMETERS
    assert found["optimizer"] == 8 * PARAMETERS + 4 * TENSORS
    states = "training states, bf16_mixed, adamw"
    assert found[states] == 16 * PARAMETERS + 4 * TENSORS


def test_a_config_is_the_same_by_path(tmp_path):
    bundled = ROOT / "book" / "llm_memory" / "data" / "models" / "LLaMA-13B.json"
    path = tmp_path / "config.json"
    path.write_text(bundled.read_text(encoding="utf-8"), encoding="utf-8")
    assert numbers(path) == numbers("LLaMA-13B")


def test_activations_by_attention_and_recomputation():
    whole = ("LLaMA-13B", "--attention", "flash", "--tokens", 2048)
    kept = numbers(*whole, "--recompute", "full")
    # each layer's input; embedding's ids and shifted labels, final norm, head, loss
    s, h, vocabulary = 2048, 5120, 32000
    norm = 6 * s * h + 4 * s
    outside = norm + 2 * s * h + 6 * s * vocabulary + 4 * s * 128 + 8 * s
    labels = 8 * (s + 1) + 8
    expected = 40 * 2 * s * h + outside + labels
    assert kept["activations, flash, 1 × 2,048 tokens"] == expected


def test_the_peaks_of_inference():
    """Of flash attention the gated MLP's moment, and the cache joined once more."""
    found = numbers("LLaMA-13B", "--attention", "flash")
    s, h, f, d = 2048, 5120, 13824, 128
    mlp = s * TOKEN + 4 * s * d + 8 * s + 8 * s * h + 6 * s * f
    prefill = "prefill at its peak, flash, 1 × 2,048 tokens"
    assert found[prefill] == 2 * PARAMETERS + mlp
    joined = (s + 1) * TOKEN + 2 * s * h + 12 * h + 4 * d + 8
    decode = "decode at its peak, flash, 1 × 2,048 tokens"
    assert found[decode] == 2 * PARAMETERS + joined


def test_the_peak_of_a_step_with_adapters():
    """At the loss: 14 bytes a logit, layers' inputs, a norm without its weight's."""
    found = numbers("Llama-3.1-8B", *("--attention", "flash", "--recompute", "full"),
                    *("--lora", 16))  # fmt: skip
    s, h, kv, f, vocabulary, layers = 2048, 4096, 1024, 14336, 128256, 32
    adapters = layers * 16 * (2 * (h + h) + 2 * (h + kv) + 3 * (h + f))
    states = 4 * adapters * (1 + 2) + 4 * layers * 7 * 2
    rest = layers * 2 * s * h + 4 * s * h + 4 * s + 14 * s * vocabulary
    rest += 4 * s * 128 + 8 * s + 8
    peak = "training step at its peak, LoRA of rank 16, 1 × 2,048 tokens"
    assert found[peak] == 2 * 8_030_261_248 + states + rest
    assert found["gradients"] == 2 * adapters


def test_a_step_that_is_not_derived_says_so():
    text = run("Mixtral-8x7B", "--lora", 16).stdout
    assert "training step: model_type = 'mixtral': its peak is not derived" in text


def test_peaks_of_another_cache_are_refused():
    text = run("LLaMA-13B", "--cache", "int8").stdout
    assert "prefill and decode: --cache = 'int8': its peak is derived" in text
    assert "at its peak" not in text


def test_what_fits():
    text = run("LLaMA-13B", "--hardware", "H200", "--context", 8192).stdout
    assert "H200: 150,754,820,096 bytes = 150.75 GB = 140.40 GiB" in text
    fits = (H200 - 2 * PARAMETERS) // (8192 * TOKEN)
    assert f"sequences of 8,192 tokens that fit: {fits}\n" in text
    assert f"tokens that fit: {(H200 - 2 * PARAMETERS) // TOKEN:,}\n" in text
    assert "note: context = 8,192 is beyond the 2,048 positions" in text
    text = run("LLaMA-13B", "--hardware", "RTX 4090").stdout
    over = 2 * PARAMETERS - 24564 * 2**20
    assert f"the weights alone do not fit: {over:,} bytes" in text


def test_a_family_without_activations_says_so_and_gives_the_rest(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SWITCHES["gptj"]), encoding="utf-8")
    done = run(str(path), "--weights", "int4")
    assert done.returncode == 0
    assert "activations: model_type = 'gptj': its activations" in done.stdout
    assert "weights, int4" in done.stdout


WRONG = {
    "no such model": (["LLaMA-14B"], "model = 'LLaMA-14B': is no file"),
    "no argument": ([], "required: config"),
    "a context of nothing": (["GPT-2", "--context", "0"], "--context = 0: must be"),
    "a context beyond a size": (["GPT-2", "--context", 2**63], "--context = 9223"),
    "a batch below one": (["GPT-2", "--batch", "-1"], "--batch = -1: must be"),
    "a share of a token": (["GPT-2", "--tokens", "1.5"], "--tokens"),
    "no rank": (["GPT-2", "--lora", "-1"], "lora = -1: must be a rank"),
    "no such card": (["GPT-2", "--hardware", "Abacus"], "'Abacus'"),
    "no such format": (["GPT-2", "--weights", "int3"], "'int3'"),
    "an unknown option": (["GPT-2", "--size", "1"], "--size"),
    "a choice that does not exist": (
        ["GPT-2", "--recompute", "everything"], "'everything'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_line_and_status_2(name):
    arguments, words = WRONG[name]
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("llm_memory: ") and words in done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n")


def test_a_bad_config_is_one_line_with_field_value_and_rule(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llama", "vocab_size": "9"}))
    done = run(path)
    assert done.returncode == 2
    rule = "is missing, and a size has no default"
    assert done.stderr == f"llm_memory: hidden_size = None: {rule}\n"


def test_help_names_every_choice():
    done = run("--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    for word in ("config.json", "RTX 4090", "Qwen3-0.6B", "adamw", "flash", "latent"):
        assert word in text, word
