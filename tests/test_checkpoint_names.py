"""Rows name the published tensors where transformers calls them otherwise."""

import pytest

from llm_memory import load_model, weights

LAYER = "model.layers.{i}."
NAMES = {
    "Mixtral-8x7B": {
        "mlp.gate.weight": ("block_sparse_moe.gate.weight",),
        "mlp.experts.gate_up_proj": (
            "block_sparse_moe.experts.{j}.w1.weight",
            "block_sparse_moe.experts.{j}.w3.weight",
        ),
        "mlp.experts.down_proj": ("block_sparse_moe.experts.{j}.w2.weight",),
        "self_attn.q_proj.weight": (),
    },
    "gpt-oss-20b": {
        "mlp.router.weight": (),
        "mlp.experts.gate_up_proj": (),
        "mlp.experts.down_proj_bias": (),
    },
    "DeepSeek-V3": {
        "mlp.gate.weight": (),
        "mlp.experts.gate_up_proj": (
            "mlp.experts.{j}.gate_proj.weight",
            "mlp.experts.{j}.up_proj.weight",
        ),
        "mlp.experts.down_proj": ("mlp.experts.{j}.down_proj.weight",),
        "mlp.shared_experts.gate_proj.weight": (),
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_the_checkpoint_names_of_experts(name):
    ledger = weights(load_model(name))
    for row, stored in NAMES[name].items():
        expected = tuple(LAYER + each for each in stored)
        assert ledger[LAYER + row].checkpoint == expected, row


def test_scales_are_named_after_the_published_matrices():
    ledger = weights(load_model("DeepSeek-V3"), quantization="fp8")
    scales = ledger[LAYER + "mlp.experts.down_proj_scale_inv"]
    assert scales.checkpoint == (LAYER + "mlp.experts.{j}.down_proj.weight_scale_inv",)


def test_the_mtp_layer_stands_behind_the_last():
    ledger = weights(load_model("DeepSeek-V3"), mtp=True)
    row = ledger["model.layers.{L+i}.mlp.experts.down_proj"]
    assert row.checkpoint == ("model.layers.{L+i}.mlp.experts.{j}.down_proj.weight",)
    assert row.part == "MTP"
