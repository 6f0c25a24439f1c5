"""Configs: real ones load, bad ones are refused with field, value and rule."""

import json

import by_hand
import pytest
from configs import LATENT_FAMILIES, SIZES, SPARSE, configs
from hypothesis import given, settings
from hypothesis import strategies as st

import llm_memory as lm

SMALL = {
    "vocab_size": 96, "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 24,
}  # fmt: skip
LATENT = SMALL | {
    "q_lora_rank": 6, "kv_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 2,
    "v_head_dim": 4, "moe_intermediate_size": 5, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_shared_experts": 1,
}  # fmt: skip
MINIMAL = {
    "gpt2": {"vocab_size": 96, "n_embd": 16, "n_layer": 2, "n_head": 4,
             "n_positions": 32},
    "opt": {"vocab_size": 96, "hidden_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 4, "ffn_dim": 24, "max_position_embeddings": 32},
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2"), SMALL),
    **dict.fromkeys(("gemma3_text", "glm4"), SMALL),
    "qwen3_moe": SMALL | {"moe_intermediate_size": 5, "num_experts": 4,
                          "num_experts_per_tok": 2},
    "mixtral": SMALL | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_next": SMALL | {
        "moe_intermediate_size": 5, "num_experts": 4, "num_experts_per_tok": 2,
        "shared_expert_intermediate_size": 6, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 3,
        "linear_value_head_dim": 5, "linear_conv_kernel_dim": 4,
    },
    "gptj": {"vocab_size": 96, "n_embd": 16, "n_layer": 2, "n_head": 4},
    "falcon": {"vocab_size": 96, "hidden_size": 16, "num_hidden_layers": 2,
               "num_attention_heads": 4},
    "gpt_oss": SMALL | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "kimi_k2": LATENT,
}  # fmt: skip
# A class default that does not fit sizes as small as these.
FITTING = {
    "mistral": {"num_key_value_heads": 4}, "qwen2": {"num_key_value_heads": 4},
    "qwen3": {"num_key_value_heads": 4}, "mixtral": {"num_key_value_heads": 4},
    "deepseek_v3": {"num_key_value_heads": 4}, "gpt_oss": {"num_key_value_heads": 4},
    "kimi_k2": {"num_key_value_heads": 4}, "gptj": {"rotary_dim": 2},
}  # fmt: skip


def minimal(model_type: str, **fields) -> dict:
    """Give a config with the required sizes alone, and the given fields."""
    config = MINIMAL[model_type] | FITTING.get(model_type, {})
    return {"model_type": model_type} | config | fields


def refused(config) -> lm.ConfigError:
    """Return the error that a config raises; its text names field, value and rule."""
    with pytest.raises(lm.ConfigError) as caught:
        lm.load_model(config)
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.rule
    assert str(error) == f"{error.field} = {shortened(error.value)}: {error.rule}"
    return error


def shortened(value) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


# ---- Sizes: what is required has no default, and must be a size.

REQUIRED = [(kind, name) for kind, names in SIZES.items() for name in names]
REQUIRED += [(k, "q_lora_rank") for k in LATENT_FAMILIES]
REQUIRED += [(k, "n_shared_experts") for k in LATENT_FAMILIES]
NO_SIZES = [0, -1, 1.5, 2.0, True, "8", None, 2**63, 10**400, [8], {}, float("nan")]


@pytest.mark.parametrize("model_type", SIZES)
def test_the_required_sizes_are_enough(model_type):
    assert lm.weights(lm.load_model(minimal(model_type))).evaluate() > 0


@pytest.mark.parametrize(("model_type", "name"), REQUIRED)
def test_a_required_size_that_is_missing_or_no_size_is_refused(model_type, name):
    config = minimal(model_type)
    del config[name]
    error = refused(config)
    assert (error.field, error.value) == (name, None)
    assert error.rule == "is missing, and a size has no default"
    for value in NO_SIZES:
        allowed = {"q_lora_rank": [None], "n_shared_experts": [0]}.get(name, [])
        if value in allowed and type(value) in map(type, allowed):
            continue
        error = refused(config | {name: value})
        assert error.field == name
        assert repr(error.value) == repr(value)
        low = 0 if name == "n_shared_experts" else 1
        assert error.rule.startswith(f"must be an integer from {low} to 2^63 - 1")


WRONG = {
    "a flag as a string": ("llama", {"tie_word_embeddings": "true"}),
    "a flag as a number": ("gpt2", {"tie_word_embeddings": 1}),
    "a flag that is null": ("qwen3", {"attention_bias": None}),
    "a window of nothing": ("mistral", {"sliding_window": 0}),
    "a window as a float": ("gemma2", {"sliding_window": 4096.0}),
    "a window that is null": ("gemma3_text", {"sliding_window": None}),
    "a pattern of no layer": ("gemma3_text", {"sliding_window_pattern": 0}),
    "an encoder": ("gemma3_text", {"use_bidirectional_attention": True}),
    "more turned than a head is wide": ("gptj", {"rotary_dim": 6}),
    "an odd part of a head": ("gptj", {"rotary_dim": 3}),
    "KV heads without multi-query": ("falcon", {"num_kv_heads": 2}),
    "KV heads that do not divide": ("falcon", {"num_kv_heads": 3}),
    "a new decoder in series": ("falcon", {"parallel_attn": False}),
    "two norms in the old decoder": ("falcon", {"num_ln_in_parallel_attn": 2}),
    "three norms": ("falcon", {"num_ln_in_parallel_attn": 3}),
    "an alibi that is null": ("falcon", {"alibi": None}),
    "no KV heads": ("llama", {"num_key_value_heads": 0}),
    "a head of no width": ("qwen3", {"head_dim": -128}),
    "dropout above one": ("gpt2", {"resid_pdrop": 1.5}),
    "layer types as a string": ("gemma2", {"layer_types": "full_attention"}),
    "an unknown layer type": ("qwen3", {"layer_types": ["full_attention", "mamba"]}),
    "linear layers": ("qwen3", {"layer_types": ["linear_attention"] * 2}),
    "sliding layers": ("qwen3_next", {"layer_types": ["sliding_attention"] * 2}),
    "too few hybrid types": ("qwen3_next", {"layer_types": ["full_attention"]}),
    "no full layer ever": ("qwen3_next", {"full_attention_interval": 0}),
    "key heads that do not divide": ("qwen3_next", {"linear_num_key_heads": 3}),
    "too few layer types": ("qwen3", {"layer_types": ["full_attention"]}),
    "a quantisation that is a string": ("llama", {"quantization_config": "fp8"}),
    "a negative index": ("qwen3_moe", {"mlp_only_layers": [-1]}),
    "an index that is a bool": ("qwen3_moe", {"mlp_only_layers": [True]}),
    "negative dense layers": ("deepseek_v3", {"first_k_dense_replace": -1}),
    "every second layer": ("deepseek_v2", {"moe_layer_freq": 2}),
    "no shared expert": ("deepseek_v3", {"n_shared_experts": -1}),
    "KV heads that are not the heads": ("deepseek_v3", {"num_key_value_heads": 2}),
    "heads that do not divide": ("llama", {"num_key_value_heads": 3}),
    "more KV heads than heads": ("qwen3", {"num_key_value_heads": 8}),
    "more experts than there are": ("mixtral", {"num_experts_per_tok": 5}),
    "more chosen than routed": ("deepseek_v2", {"num_experts_per_tok": 5}),
    "more chosen than experts": ("qwen3_moe", {"num_experts_per_tok": 5}),
    "a query width of its own": ("deepseek_v3", {"qk_head_dim": 7}),
    "more than a head turned": ("phi3", {"partial_rotary_factor": 1.5}),
    "no share of a head turned": ("glm4", {"partial_rotary_factor": 0}),
    "less than an element turned": ("phi3", {"partial_rotary_factor": 0.2}),
    "a router's unknown method": ("deepseek_v2", {"topk_method": "noaux_tc"}),
    "a router without a method": ("deepseek_v2", {"topk_method": None}),
    "a share that is null": ("phi3", {"partial_rotary_factor": None}),
    "a share that is a flag": ("glm4", {"partial_rotary_factor": True}),
    "a share as a string": ("glm4", {"partial_rotary_factor": "0.5"}),
}


# What makes them wrong.
BESIDE = {
    "KV heads without multi-query": {"multi_query": False},
    "KV heads that do not divide": {"new_decoder_architecture": True},
    "a new decoder in series": {"new_decoder_architecture": True},
    "three norms": {"new_decoder_architecture": True},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_field_that_is_present_but_wrong_is_refused(name):
    model_type, wrong = WRONG[name]
    (field,) = wrong
    error = refused(minimal(model_type, **BESIDE.get(name, {}), **wrong))
    assert (error.field, error.value) == (field, wrong[field])


@pytest.mark.parametrize("model_type", ["gpt2", "opt", "llama", "gemma2"])
def test_a_width_that_the_heads_do_not_divide_is_refused(model_type):
    heads = "n_head" if model_type == "gpt2" else "num_attention_heads"
    config = minimal(model_type, **{heads: 3})
    if model_type in ("llama", "gemma2"):
        config |= {"num_key_value_heads": 3, "head_dim": 8}
    error = refused(config)
    assert (error.field, error.value) == (heads, 3)
    assert "must be a multiple of" in error.rule


@pytest.mark.parametrize("model_type", ["mistral", "qwen2", "phi3", "mixtral"])
def test_a_head_width_that_is_implied_must_be_whole(model_type):
    config = minimal(model_type, num_attention_heads=6, num_key_value_heads=3)
    error = refused(config)
    assert error.field in ("head_dim", "num_attention_heads")
    assert lm.load_model(config | {"head_dim": 6}).d == 6


ALIASES = [
    ("gpt2", "n_embd", "hidden_size", 32),
    ("gpt2", "n_layer", "num_hidden_layers", 3),
    ("gpt2", "n_head", "num_attention_heads", 2),
    ("gpt2", "n_positions", "max_position_embeddings", 64),
    ("qwen3_moe", "num_experts", "num_local_experts", 3),
    ("mixtral", "num_local_experts", "num_experts", 3),
    ("gptj", "n_embd", "hidden_size", 32),
    ("gptj", "n_layer", "num_hidden_layers", 3),
    ("falcon", "hidden_size", "n_embed", 32),
    ("kimi_k2", "n_routed_experts", "num_experts", 3),
    ("gpt_oss", "num_local_experts", "num_experts", 3),
    ("gpt_oss", "num_experts_per_tok", "experts_per_token", 1),
    ("deepseek_v2", "n_routed_experts", "num_experts", 3),
    ("deepseek_v3", "n_routed_experts", "num_local_experts", 3),
]


SHARES = [(0.5, 64), (0.29, 100), (0.7, 10), (0.3, 7), (1, 6), (0.9999, 16), (0.6, 5)]


@pytest.mark.parametrize(("share", "width"), SHARES)
def test_a_share_turns_as_many_elements_as_the_framework_turns(share, width):
    """A float's product, cut off, then pairs: int(0.7 * 10) = 7, so 8 elements."""
    config = minimal("phi3", head_dim=width, partial_rotary_factor=share)
    turned = int(width * share)
    assert lm.load_model(config).d_r == turned + turned % 2
    del config["partial_rotary_factor"]
    for name in ("rope_parameters", "rope_scaling"):
        inside = config | {name: {"partial_rotary_factor": share}}
        assert lm.load_model(inside).d_r == turned + turned % 2
        error = refused(inside | {"partial_rotary_factor": 0.8})
        assert (error.field, error.value) == (f"{name}.partial_rotary_factor", share)
        assert error.rule == "contradicts partial_rotary_factor = 0.8"


def test_a_head_of_odd_width_is_not_turned_whole():
    error = refused(minimal("phi3", head_dim=5))
    assert (error.field, error.value) == ("partial_rotary_factor", 1.0)
    assert lm.load_model(minimal("glm4", head_dim=5)).d_r == 2


def test_weights_and_caches_do_not_depend_on_what_turns():
    for kind in ("phi3", "glm4"):
        whole, part = (
            lm.load_model(minimal(kind, partial_rotary_factor=share))
            for share in (1.0, 0.5)
        )
        for reading in (lm.weights, lm.kv_cache):
            assert reading(whole).rows == reading(part).rows


@pytest.mark.parametrize(("model_type", "name", "alias", "other"), ALIASES)
def test_an_alias_is_understood_and_a_contradiction_refused(
    model_type, name, alias, other
):
    config = minimal(model_type)
    elements = lm.weights(lm.load_model(config)).elements
    renamed = {k: v for k, v in config.items() if k != name} | {alias: config[name]}
    assert lm.weights(lm.load_model(renamed)).elements == elements
    both = config | {alias: config[name]}
    assert lm.weights(lm.load_model(both)).elements == elements
    error = refused(config | {alias: other})
    assert (error.field, error.value) == (alias, other)
    assert error.rule == f"contradicts {name} = {config[name]}"


# ---- Unknown fields.

CHANGES_MEMORY = [
    ("llama", "num_kv_shared_layers", 10),
    ("llama", "vision_config", {"hidden_size": 8}),
    ("llama", "text_config", {"hidden_size": 8}),
    ("llama", "audio_config", {"layers": 2}),
    ("llama", "cross_attention_layers", [3, 8]),
    ("llama", "sliding_window", 512),
    ("llama", "sliding_window_pattern", 6),
    ("llama", "attention_chunk_size", 8192),
    ("llama", "q_lora_rank", 64),
    ("llama", "kv_lora_rank", 64),
    ("llama", "num_local_experts", 8),
    ("llama", "moe_intermediate_size", 8),
    ("llama", "num_nextn_predict_layers", 1),
    ("llama", "qk_layernorm", True),
    ("llama", "lm_head_bias", True),
    ("llama", "mamba_d_state", 16),
    ("llama", "encoder_layers", 6),
    ("gpt2", "add_cross_attention", True),
    ("gpt2", "is_encoder_decoder", True),
    ("gpt2", "pruned_heads", {"0": [1]}),
    ("gpt2", "num_key_value_heads", 1),
    ("opt", "num_key_value_heads", 1),
    ("mistral", "attention_bias", True),
    ("qwen2", "vision_config", {}),
    ("qwen3", "num_experts", 8),
    ("qwen3_moe", "shared_expert_intermediate_size", 20),
    ("mixtral", "n_shared_experts", 1),
    ("phi3", "num_experts", 16),
    ("gemma2", "hidden_size_per_layer_input", 256),
    ("gemma2", "vocab_size_per_layer_input", 256),
    ("gemma3_text", "num_kv_shared_layers", 10),
    ("gemma3_text", "vision_config", {"hidden_size": 8}),
    ("glm4", "sliding_window", 512),
    ("gpt_oss", "n_shared_experts", 1),
    ("qwen3_next", "n_shared_experts", 1),
    ("qwen3_next", "sliding_window", 512),
    ("qwen3_next", "linear_attn_config", {"linear_attn_period": 4}),
    ("falcon", "num_key_value_heads", 8),
    ("falcon", "qk_layernorm", True),
    ("gptj", "lm_head_bias", True),
    ("kimi_k2", "index_n_heads", 64),
    ("glm4", "num_nextn_predict_layers", 1),
    ("deepseek_v3", "index_n_heads", 64),
    ("deepseek_v3", "index_head_dim", 128),
]


@pytest.mark.parametrize(("model_type", "name", "value"), CHANGES_MEMORY)
def test_an_unknown_field_that_can_change_memory_is_refused(model_type, name, value):
    if value == {}:  # an empty description describes nothing
        lm.load_model(minimal(model_type, **{name: value}))
        return
    error = refused(minimal(model_type, **{name: value}))
    assert (error.field, error.value) == (name, value)
    assert f"is not a field of {model_type}" in error.rule


# What a config of transformers carried for years beside its own fields.
LEGACY = {
    "return_dict": True, "output_hidden_states": False, "output_attentions": False,
    "torchscript": False, "torch_dtype": "bfloat16", "dtype": "bfloat16",
    "use_bfloat16": False, "tf_legacy_loss": False, "pruned_heads": {},
    "chunk_size_feed_forward": 0, "is_encoder_decoder": False, "is_decoder": False,
    "cross_attention_hidden_size": None, "add_cross_attention": False,
    "tie_encoder_decoder": False, "max_length": 20, "min_length": 0, "do_sample": False,
    "early_stopping": False, "num_beams": 4, "num_beam_groups": 1,
    "diversity_penalty": 0.0, "temperature": 0.7, "top_k": 50, "top_p": 0.9,
    "typical_p": 1.0, "repetition_penalty": 1.05, "length_penalty": 1.0,
    "no_repeat_ngram_size": 3, "encoder_no_repeat_ngram_size": 2, "bad_words_ids": None,
    "num_return_sequences": 2, "output_scores": False, "return_dict_in_generate": False,
    "forced_bos_token_id": None, "forced_eos_token_id": 2,
    "remove_invalid_values": False, "exponential_decay_length_penalty": None,
    "suppress_tokens": None, "begin_suppress_tokens": None, "finetuning_task": None,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "num_labels": 2,
    "label2id": {"LABEL_0": 0, "LABEL_1": 1}, "tokenizer_class": "PreTrainedTokenizer",
    "prefix": " ", "bos_token_id": 1, "pad_token_id": 0, "eos_token_id": [2, 3],
    "sep_token_id": None, "decoder_start_token_id": 2, "task_specific_params": None,
    "problem_type": None, "_name_or_path": "somewhere/weights",
    "transformers_version": "4.57.1", "_commit_hash": "0f1e2d",
    "_attn_implementation_autoset": True, "auto_map": {"AutoConfig": "c.Config"},
    "use_cache": True, "rope_theta": 10000.0, "rms_norm_eps": 1e-05,
    "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "hidden_act": "silu",
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    "initializer_range": 0.02, "attention_dropout": 0.1, "layer_norm_eps": 1e-05,
    "pretraining_tp": 1, "partial_rotary_factor": 0.75, "router_aux_loss_coef": 0.001,
    "output_router_logits": False, "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 256,
    "unsloth_version": "2026.1", "hidden_dropout": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("model_type", SIZES)
def test_harmless_fields_are_ignored(model_type):
    config = minimal(model_type)
    expected = lm.weights(lm.load_model(config))
    for name, value in LEGACY.items():
        model = lm.load_model(config | {name: value})
        assert lm.weights(model).elements == expected.elements, name
    lm.load_model(LEGACY | config)


@pytest.mark.parametrize(
    "name", ["LlamaForSequenceClassification", "LlamaModel", "MllamaForConditional"]
)
def test_an_architecture_without_a_language_head_is_refused(name):
    error = refused(minimal("llama", architectures=[name]))
    assert (error.field, error.value) == ("architectures", name)


@pytest.mark.parametrize("value", [7, "LlamaForCausalLM", {}, [None], [["x"]], True])
def test_architectures_that_are_no_names_are_refused(value):
    assert refused(minimal("llama", architectures=value)).field == "architectures"


@pytest.mark.parametrize(
    ("quantization", "field"),
    [
        ({"quant_method": "gptq", "bits": 4}, "quant_method"),
        ({"bits": 8}, "quant_method"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "weight_block_size"),
        ({"quant_method": "fp8", "weight_block_size": [128, 0]}, "weight_block_size"),
        ({"quant_method": "fp8", "weight_block_size": [True, 1]}, "weight_block_size"),
        ({"quant_method": "fp8", "weight_block_size": 128}, "weight_block_size"),
        ({"quant_method": "fp8", "weight_block_size": "ab"}, "weight_block_size"),
    ],
)
def test_a_checkpoint_format_that_is_not_derived_is_refused(quantization, field):
    error = refused(minimal("llama", quantization_config=quantization))
    assert error.field == field


# ---- Real configs: as published, field by field, and their published parameters.

LLAMA_32_1B = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False,
    "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": 128001,
    "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
    "initializer_range": 0.02, "intermediate_size": 8192,
    "max_position_embeddings": 131072, "mlp_bias": False, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
    "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                     "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "rope_theta": 500000.0, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "transformers_version": "4.45.0.dev0", "use_cache": True, "vocab_size": 128256,
}  # fmt: skip
QWEN_25_05B = {
    "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0,
    "bos_token_id": 151643, "eos_token_id": 151643, "hidden_act": "silu",
    "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864,
    "max_position_embeddings": 32768, "max_window_layers": 24, "model_type": "qwen2",
    "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768,
    "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1", "use_cache": True, "use_mrope": False,
    "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
MISTRAL_V03 = {
    "architectures": ["MistralForCausalLM"], "attention_dropout": 0.0,
    "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096,
    "initializer_range": 0.02, "intermediate_size": 14336,
    "max_position_embeddings": 32768, "model_type": "mistral",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": None,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "transformers_version": "4.42.0.dev0", "use_cache": True, "vocab_size": 32768,
}  # fmt: skip
PHI_3_MINI = {
    "_name_or_path": "Phi-3-mini-4k-instruct", "architectures": ["Phi3ForCausalLM"],
    "attention_bias": False, "attention_dropout": 0.0,
    "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"}, "bos_token_id": 1,
    "embd_pdrop": 0.0, "eos_token_id": 32000, "hidden_act": "silu",
    "hidden_size": 3072, "initializer_range": 0.02, "intermediate_size": 8192,
    "max_position_embeddings": 4096, "model_type": "phi3", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 32,
    "original_max_position_embeddings": 4096, "pad_token_id": 32000,
    "resid_pdrop": 0.0, "rms_norm_eps": 1e-05, "rope_scaling": None,
    "rope_theta": 10000.0, "sliding_window": 2047, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16", "transformers_version": "4.40.2", "use_cache": True,
    "vocab_size": 32064,
}  # fmt: skip
GEMMA_2_2B = {
    "architectures": ["Gemma2ForCausalLM"], "attention_bias": False,
    "attention_dropout": 0.0, "attn_logit_softcapping": 50.0, "bos_token_id": 2,
    "cache_implementation": "hybrid", "eos_token_id": [1, 107],
    "final_logit_softcapping": 30.0, "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 2304, "initializer_range": 0.02, "intermediate_size": 9216,
    "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8,
    "num_hidden_layers": 26, "num_key_value_heads": 4, "pad_token_id": 0,
    "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
    "sliding_window": 4096, "torch_dtype": "bfloat16",
    "transformers_version": "4.42.4", "use_cache": True, "vocab_size": 256000,
}  # fmt: skip
DEEPSEEK_V2_LITE = {
    "architectures": ["DeepseekV2ForCausalLM"], "attention_bias": False,
    "attention_dropout": 0.0, "auto_map": {"AutoConfig": "configuration_deepseek.C"},
    "aux_loss_alpha": 0.001, "bos_token_id": 100000, "eos_token_id": 100001,
    "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048,
    "initializer_range": 0.02, "intermediate_size": 10944, "kv_lora_rank": 512,
    "max_position_embeddings": 163840, "model_type": "deepseek_v2",
    "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_group": 1,
    "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": False,
    "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27,
    "num_key_value_heads": 16, "pretraining_tp": 1, "q_lora_rank": None,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707,
                     "mscale_all_dim": 0.707, "type": "yarn",
                     "original_max_position_embeddings": 4096},
    "rope_theta": 10000, "routed_scaling_factor": 1.0, "scoring_func": "softmax",
    "seq_aux": True, "tie_word_embeddings": False, "topk_group": 1,
    "topk_method": "greedy", "torch_dtype": "bfloat16",
    "transformers_version": "4.33.1", "use_cache": True, "v_head_dim": 128,
    "vocab_size": 102400,
}  # fmt: skip
OPT_350M = {
    "_name_or_path": "opt-350m", "_remove_final_layer_norm": False,
    "activation_dropout": 0.0, "activation_function": "relu",
    "architectures": ["OPTForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 2,
    "do_layer_norm_before": False, "dropout": 0.1, "eos_token_id": 2, "ffn_dim": 4096,
    "hidden_size": 1024, "init_std": 0.02, "layerdrop": 0.0,
    "max_position_embeddings": 2048, "model_type": "opt", "num_attention_heads": 16,
    "num_hidden_layers": 24, "pad_token_id": 1, "prefix": "</s>",
    "torch_dtype": "float16", "transformers_version": "4.20.0.dev0",
    "use_cache": True, "vocab_size": 50272, "word_embed_proj_dim": 512,
}  # fmt: skip
OPT_125M = OPT_350M | {
    "_name_or_path": "opt-125m", "do_layer_norm_before": True, "ffn_dim": 3072,
    "hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 12,
    "word_embed_proj_dim": 768,
}  # fmt: skip
GPT_2 = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1, "bos_token_id": 50256, "embd_pdrop": 0.1,
    "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12,
    "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": None,
    "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
    "summary_type": "cls_index", "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}  # fmt: skip
GEMMA_3_1B = {
    "architectures": ["Gemma3ForCausalLM"], "attention_bias": False,
    "attention_dropout": 0.0, "attn_logit_softcapping": None, "bos_token_id": 2,
    "cache_implementation": "hybrid", "eos_token_id": [1, 106],
    "final_logit_softcapping": None, "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152,
    "initializer_range": 0.02, "intermediate_size": 6912,
    "max_position_embeddings": 32768, "model_type": "gemma3_text",
    "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1,
    "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000,
    "sliding_window": 512, "sliding_window_pattern": 6, "torch_dtype": "bfloat16",
    "transformers_version": "4.50.0.dev0", "use_cache": True, "vocab_size": 262144,
}  # fmt: skip
GLM_4_9B_0414 = {
    "architectures": ["Glm4ForCausalLM"], "attention_bias": True,
    "attention_dropout": 0.0, "eos_token_id": [151329, 151336, 151338],
    "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096,
    "initializer_range": 0.02, "intermediate_size": 13696,
    "max_position_embeddings": 32768, "model_type": "glm4",
    "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 2,
    "pad_token_id": 151329, "partial_rotary_factor": 0.5, "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "transformers_version": "4.52.0.dev0", "use_cache": True, "vocab_size": 151552,
}  # fmt: skip
FALCON_7B = {
    "alibi": False, "apply_residual_connection_post_layernorm": False,
    "architectures": ["FalconForCausalLM"], "attention_dropout": 0.0, "bias": False,
    "bos_token_id": 11, "eos_token_id": 11, "hidden_dropout": 0.0,
    "hidden_size": 4544, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
    "model_type": "falcon", "multi_query": True, "new_decoder_architecture": False,
    "num_attention_heads": 71, "num_hidden_layers": 32, "num_kv_heads": 71,
    "parallel_attn": True, "torch_dtype": "bfloat16",
    "transformers_version": "4.27.4", "use_cache": True, "vocab_size": 65024,
}  # fmt: skip
GPT_J_6B = {
    "activation_function": "gelu_new", "architectures": ["GPTJForCausalLM"],
    "attn_pdrop": 0.0, "bos_token_id": 50256, "embd_pdrop": 0.0,
    "eos_token_id": 50256, "gradient_checkpointing": False,
    "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gptj",
    "n_embd": 4096, "n_head": 16, "n_inner": None, "n_layer": 28,
    "n_positions": 2048, "resid_pdrop": 0.0, "rotary": True, "rotary_dim": 64,
    "scale_attn_weights": True, "summary_activation": None,
    "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
    "summary_type": "cls_index", "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "tie_word_embeddings": False, "tokenizer_class": "GPT2Tokenizer",
    "transformers_version": "4.18.0.dev0", "use_cache": True, "vocab_size": 50400,
}  # fmt: skip
QWEN_3_NEXT = {
    "architectures": ["Qwen3NextForCausalLM"], "attention_bias": False,
    "attention_dropout": 0.0, "bos_token_id": 151643, "decoder_sparse_step": 1,
    "eos_token_id": 151645, "full_attention_interval": 4, "head_dim": 256,
    "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
    "intermediate_size": 5120, "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128, "linear_num_key_heads": 16,
    "linear_num_value_heads": 32, "linear_value_head_dim": 128,
    "max_position_embeddings": 262144, "mlp_only_layers": [],
    "model_type": "qwen3_next", "moe_intermediate_size": 512, "norm_topk_prob": True,
    "num_attention_heads": 16, "num_experts": 512, "num_experts_per_tok": 10,
    "num_hidden_layers": 48, "num_key_value_heads": 2, "output_router_logits": False,
    "partial_rotary_factor": 0.25, "rms_norm_eps": 1e-06, "rope_scaling": None,
    "rope_theta": 10000000, "router_aux_loss_coef": 0.001,
    "shared_expert_intermediate_size": 512, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16", "transformers_version": "4.57.0.dev0",
    "use_cache": True, "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
# A sparse layer with full attention, two norms and a projection before it, one after.
MTP_LAYER = (
    (2 * 2048 + 3) * 2048
    + (2 * 16 + 2 * 2 + 16) * 256 * 2048 + 2 * 256 + 2 * 2048
    + 512 * 2048 + 3 * (512 + 1) * 512 * 2048 + 2048
)  # fmt: skip
REAL = {  # config, parameters, bytes in the bf16 cache of one token
    "Llama-3.2-1B": (LLAMA_32_1B, 1_235_814_400, 32_768),
    "Qwen2.5-0.5B": (QWEN_25_05B, 494_032_768, 12_288),
    "Mistral-7B-v0.3": (MISTRAL_V03, 7_248_023_552, 131_072),
    "Phi-3-mini": (PHI_3_MINI, 3_821_079_552, 393_216),
    "gemma-2-2b": (GEMMA_2_2B, 2_614_341_888, 106_496),
    "DeepSeek-V2-Lite": (DEEPSEEK_V2_LITE, 15_706_484_224, 31_104),
    "gemma-3-1b": (GEMMA_3_1B, 999_885_952, 26_624),
    "GLM-4-9B-0414": (GLM_4_9B_0414, 9_400_279_040, 40_960),
    # Of falcon-7b's 7,217,189,760 published elements, V·h are the tied head's copy.
    "falcon-7b": (FALCON_7B, 7_217_189_760 - 65_024 * 4544, 8_192),
    "gpt-j-6b": (GPT_J_6B, 6_050_882_784, 458_752),
    # Its file holds a layer for multi-token prediction, too, which is not loaded.
    "Qwen3-Next-80B-A3B": (QWEN_3_NEXT, 81_324_862_720 - MTP_LAYER, 77_881_344),
    "opt-350m": (OPT_350M, 331_196_416, 98_304),
    "opt-125m": (OPT_125M, 125_239_296, 36_864),
    "gpt2": (GPT_2, 124_439_808, 36_864),
}


@pytest.mark.parametrize("name", REAL)
def test_a_published_config_loads_and_counts_as_published(name, tmp_path):
    config, parameters, token = REAL[name]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    for source in (config, path, str(path)):
        model = lm.load_model(source)
        assert lm.weights(model).elements == parameters
        assert lm.kv_cache(model).evaluate(b=1, t=1) == token


@pytest.mark.parametrize("name", ["prelu", "xielu"])
@pytest.mark.parametrize(
    ("model_type", "field"), [("llama", "hidden_act"), ("gpt2", "activation_function")]
)
def test_a_function_with_parameters_is_refused(model_type, field, name):
    error = refused(minimal(model_type, **{field: name}))
    assert (error.field, error.value) == (field, name)
    assert "parameters of its own" in error.rule


IGNORED = [  # fields of published configs that transformers does not read
    ("qwen3_moe", "use_qk_norm", True),
    ("gpt2", "_num_labels", 1),
    ("opt", "learned_embeddings", True),
    ("llama", "is_decoder", True),
]


@pytest.mark.parametrize(("model_type", "name", "value"), IGNORED)
def test_a_field_that_the_framework_does_not_read_changes_nothing(
    model_type, name, value
):
    plain = lm.load_model(minimal(model_type))
    assert lm.load_model(minimal(model_type, **{name: value})) == plain


@settings(max_examples=40, deadline=None)
@given(configs(), st.randoms())
def test_the_order_of_the_fields_does_not_matter(config, random):
    shuffled = list(config.items())
    random.shuffle(shuffled)
    model = lm.load_model(dict(shuffled))
    assert lm.weights(model).elements == by_hand.elements(config)


# ---- Layer types, windows, experts: which layer is what.

TYPES = [
    ("qwen3", {"sliding_window": 8, "use_sliding_window": True,
               "layer_types": ["sliding_attention", "full_attention"]}, 1),
    ("qwen3", {"sliding_window": 8, "use_sliding_window": True,
               "max_window_layers": 0}, 2),
    ("qwen3", {"sliding_window": 8, "use_sliding_window": True,
               "max_window_layers": 1}, 1),
    ("qwen2", {"sliding_window": 8, "max_window_layers": 0}, 0),
    ("mistral", {"sliding_window": 8}, 2),
    ("mistral", {"sliding_window": None}, 0),
    ("gemma2", {"sliding_window": 8, "num_key_value_heads": 4}, 1),
    ("gemma2", {"sliding_window": 8, "num_hidden_layers": 3}, 2),
    ("phi3", {"sliding_window": 8}, 2),
    ("gpt_oss", {"sliding_window": 8}, 1),
    ("gpt_oss", {"sliding_window": 8, "num_hidden_layers": 3}, 2),
    ("gemma3_text", {"sliding_window": 8}, 2),
    ("gemma3_text", {"sliding_window": 8, "num_hidden_layers": 13}, 11),
    ("gemma3_text", {"sliding_window": 8, "num_hidden_layers": 7,
                     "sliding_window_pattern": 3}, 5),
    ("gemma3_text", {"sliding_window": 8, "sliding_window_pattern": 3,
                     "layer_types": ["full_attention", "sliding_attention"]}, 1),
]  # fmt: skip


@pytest.mark.parametrize(("model_type", "fields", "sliding"), TYPES)
def test_which_layers_have_a_window(model_type, fields, sliding):
    model = lm.load_model(minimal(model_type, head_dim=4, **fields))
    layers = fields.get("num_hidden_layers", 2)
    assert {int(g.count) for g in model.layers if g.window} <= {sliding}
    grown = lm.kv_cache(model)
    step = grown.evaluate(b=1, t=101) - grown.evaluate(b=1, t=100)
    per_layer = 2 * 2 * 4 * 4
    assert step == (layers - sliding) * per_layer
    short = grown.evaluate(b=1, t=8)
    assert short == 8 * layers * per_layer


def test_a_sliding_layer_needs_a_window():
    fields = {"layer_types": ["sliding_attention"] * 2, "use_sliding_window": False}
    error = refused(minimal("qwen3", **fields))
    assert error.field == "sliding_window"


@pytest.mark.parametrize("model_type", SPARSE)
def test_experts_are_the_ones_of_the_config(model_type):
    config = minimal(model_type)
    model = lm.load_model(config)
    plain = model_type in ("mixtral", "gpt_oss")
    width = config["intermediate_size"] if plain else 5
    three = ("deepseek_v3", "kimi_k2")
    dense = 2 if model_type in three else 0  # three in the class, two layers
    parts = lm.weights(model).parts
    routed = parts["routed experts"].elements if "routed experts" in parts else 0
    biases = 2 * width + 16 if model_type == "gpt_oss" else 0
    assert routed == (2 - dense) * 4 * (3 * 16 * width + biases)


# ---- What a config leaves out.

ASSUMED = {
    "gpt2": {
        "n_inner": 64, "tie_word_embeddings": True, "activation_function": "gelu_new",
        "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
    },
    "llama": {
        "num_key_value_heads": 4, "head_dim": 4, "max_position_embeddings": 2048,
        "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False,
    },
    "qwen2": {
        "head_dim": 4, "max_position_embeddings": 32768, "tie_word_embeddings": False,
        "use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 28,
    },
}  # fmt: skip


@pytest.mark.parametrize("model_type", ASSUMED)
def test_what_was_filled_in_is_listed(model_type):
    assumed = dict(lm.load_model(minimal(model_type)).assumed)
    expected = ASSUMED[model_type]
    assert {name: assumed.get(name) for name in expected} == expected
    assert not set(assumed) & set(minimal(model_type))


def test_a_full_config_assumes_no_size():
    assumed = lm.load_model(MISTRAL_V03).assumed
    assert set(assumed) & set(MISTRAL_V03) == set()
    assert assumed["head_dim"] == 128


# ---- Files and names.

TEXTS = {
    "not JSON": "{model_type: llama}",
    "empty": "",
    "cut off": '{"model_type": "llama", "vocab_size": 3',
    "NaN": '{"model_type": "llama", "vocab_size": NaN}',
    "infinity": '{"model_type": "llama", "rope_theta": -Infinity}',
    "a list": "[1, 2]",
    "a number": "7",
    "null": "null",
    "a bracket in a bracket": "[" * 200_000,
    "a deep value": '{"model_type": "llama", "x": ' + "[" * 101 + "]" * 101 + "}",
    "a long number": '{"model_type": "llama", "vocab_size": 1' + "0" * 4000 + "}",
    "a long text": '{"model_type": "llama", "x": "' + "x" * 1_000_000 + '"}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_is_no_config_is_refused(name, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(TEXTS[name], encoding="utf-8")
    assert refused(path).field in ("bad.json", "config")


@pytest.mark.parametrize("text", ['{"h": 1, "h": 2}', '{"x": {"h": 1, "h": 2}}'])
def test_a_key_given_twice_is_refused(text, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    error = refused(path)
    assert (error.field, error.value, error.rule) == ("h", 2, "is given twice")


def test_brackets_in_strings_are_not_deep(tmp_path):
    path = tmp_path / "config.json"
    tricky = {"tokenizer_class": "[" * 300 + '"' + "\\"}
    path.write_text(json.dumps(minimal("llama") | tricky), encoding="utf-8")
    assert lm.load_model(path).h == SMALL["hidden_size"]


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(b'{"model_type": "\xff\xfe"}')
    assert refused(path).field == "bad.json"


@pytest.mark.parametrize("source", ["LLaMA-14B", "", "no/such/config.json", "."])
def test_a_name_that_is_unknown_lists_what_there_is(source):
    error = refused(source)
    assert (error.field, error.value) == ("model", source)
    assert "Qwen3-0.6B" in error.rule and "DeepSeek-V3" in error.rule


@pytest.mark.parametrize("source", [None, 3, 1.5, ["llama"], b"llama", object])
def test_a_source_of_another_kind_is_refused(source):
    assert refused(source).field == "model"


@pytest.mark.parametrize("kind", ["mamba", "LLAMA", "", None, 3, ["llama"], {}, True])
def test_an_unknown_model_type_lists_what_there_is(kind):
    error = refused(minimal("llama") | {"model_type": kind})
    assert (error.field, error.value) == ("model_type", kind)
    assert all(repr(known) in error.rule for known in SIZES)
    with pytest.raises(lm.ConfigError) as caught:
        lm.symbolic(kind)
    assert caught.value.field == "model_type"


def test_a_config_without_a_model_type_is_refused():
    assert refused({"vocab_size": 8}).field == "model_type"
    assert refused({}).field == "model_type"


def test_a_config_is_not_changed_by_reading_it():
    config = minimal("gpt2", hidden_size=16)
    before = json.dumps(config)
    lm.load_model(config)
    assert json.dumps(config) == before
