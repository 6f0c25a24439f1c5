"""Slow, obvious counts in plain integers: what the library's ledgers must equal.

Written from the modeling files of transformers, tensor by tensor, without the library.
Matrices are (out, in); GPT-2 stores them the other way round, which changes no count.
"""

from itertools import compress
from math import ceil, prod
from typing import NamedTuple

FOUR_NORMS = ("gemma2", "gemma3_text", "glm4")


class Stored(NamedTuple):
    """`count` parameters of one shape; `packed` ones are what a format quantises.

    `experts` is how many entries of the first axis are experts; `parts` how many of
    the checkpoint's matrices lie in one matrix.
    """

    shape: tuple
    count: int = 1
    packed: bool = False
    experts: int = 0
    parts: int = 1
    buffer: bool = False


def parameters(c: dict) -> list[Stored]:
    """List every parameter of a config, tied ones once, and the router's buffer."""
    families = {"gpt2": _gpt2, "opt": _opt, "gptj": _gptj, "falcon": _falcon}
    return list(families.get(c["model_type"], _llama)(c))


def elements(c: dict) -> int:
    """Count the parameters."""
    return sum(prod(p.shape) * p.count for p in parameters(c) if not p.buffer)


def active_elements(c: dict) -> int:
    """Count what one token uses: of each stack of experts, those that it visits."""
    total = elements(c)
    for p in parameters(c):
        if p.experts:
            unused = p.experts - c["num_experts_per_tok"]
            total -= unused * prod(p.shape[1:]) * p.count
    return total


def quantised_bytes(c: dict, packing: str) -> int:
    """Count bytes: the layers' matrices packed, the buffer fp32, the rest bf16."""
    total = 0
    for p in parameters(c):
        if p.packed:
            total += p.count * packed_bytes(p, packing)
        else:
            total += p.count * prod(p.shape) * (4 if p.buffer else 2)
    return total


def packed_bytes(p: Stored, packing: str) -> int:
    """Count the bytes of one packed matrix, or stack of matrices, with its scales."""
    *stack, rows, columns = p.shape
    matrices = prod(stack) * p.parts
    rows //= p.parts
    size = matrices * rows * columns
    if packing == "int8":  # one fp32 scale per output
        return size + 4 * matrices * rows
    if packing == "fp8":  # one fp32 scale per block of 128 × 128
        return size + 4 * matrices * ceil(rows / 128) * ceil(columns / 128)
    groups = matrices * rows * ceil(columns / 128)  # fp16 scale, 4-bit zero point
    return ceil(size / 2) + 2 * groups + ceil(groups / 2)


def windows(c: dict) -> list:
    """Give each layer's window; None: the layer keeps every token."""
    layers = c.get("num_hidden_layers") or c.get("n_layer")
    window = c.get("sliding_window")
    if window is None or not c.get("use_sliding_window", True):
        return [None] * layers
    if "sliding_window" in c and "layer_types" in c:
        return [window if "sliding" in each else None for each in c["layer_types"]]
    if c["model_type"] in ("gemma2", "gemma3_text", "gpt_oss"):
        full = c.get("sliding_window_pattern", 2)
        return [window if (i + 1) % full else None for i in range(layers)]
    if c["model_type"] in ("qwen2", "qwen3"):
        start = c["max_window_layers"]
        return [window if i >= start else None for i in range(layers)]
    return [window] * layers


def linear(c: dict) -> list[bool]:
    """Tell of each layer whether its attention is linear."""
    layers = range(c.get("num_hidden_layers") or c["n_layer"])
    if c["model_type"] != "qwen3_next":
        return [False for _ in layers]
    if "layer_types" in c:
        return [each == "linear_attention" for each in c["layer_types"]]
    return [(i + 1) % c["full_attention_interval"] != 0 for i in layers]


def state_bytes(c: dict, b: int, bits: int = 16) -> int:
    """Count the bytes of the states: a convolution, and an fp32 matrix per head."""
    if not any(linear(c)):
        return 0
    key, value = c["linear_key_head_dim"], c["linear_value_head_dim"]
    keys, values = c["linear_num_key_heads"], c["linear_num_value_heads"]
    columns = 2 * keys * key + values * value
    columns *= c["linear_conv_kernel_dim"]
    each = columns * bits // 8 + 4 * values * key * value
    return b * sum(linear(c)) * each


def cached_elements(c: dict, b: int, t: int, layout: str = "latent") -> int:
    """Count cached elements, sequence by sequence, layer by layer, token by token."""
    total = 0
    full = [not each for each in linear(c)]
    for _ in range(b):
        for window in compress(windows(c), full):
            for token in range(t):
                if window is None or token >= t - window:
                    total += elements_per_token(c, layout)
    return total


def elements_per_token(c: dict, layout: str = "latent") -> int:
    """Count what one layer keeps of one token."""
    if "kv_lora_rank" in c:
        if layout == "latent":
            return c["kv_lora_rank"] + c["qk_rope_head_dim"]
        keys = c["qk_nope_head_dim"] + c["qk_rope_head_dim"]
        return c["num_attention_heads"] * (keys + c["v_head_dim"])
    if c["model_type"] in ("gpt2", "gptj"):
        return 2 * c["n_embd"]
    if c["model_type"] == "falcon":
        return 2 * kv_heads(c) * (c["hidden_size"] // c["num_attention_heads"])
    if c["model_type"] == "opt":
        return 2 * c["hidden_size"]
    return 2 * c["num_key_value_heads"] * c["head_dim"]


def kv_heads(c: dict) -> int:
    """Count the heads of the keys that transformers caches."""
    if c["model_type"] == "falcon":
        one = c["multi_query"] and not c["new_decoder_architecture"]
        return 1 if one else c["num_attention_heads"]  # the new decoder repeats them
    heads = c.get("num_key_value_heads") or c.get("num_attention_heads")
    return heads or c["n_head"]


def slots_in_use(t: int, block: int, window: int | None = None) -> int:
    """Count the slots of all blocks with a token that can still be attended to."""
    first = 0 if window is None else max(t - window, 0)
    return block * len({token // block for token in range(first, t)})


def _gpt2(c):
    h, f, layers = c["n_embd"], c["n_inner"], c["n_layer"]
    yield Stored((c["vocab_size"], h))
    yield Stored((c["n_positions"], h))
    for shape in ((3 * h, h), (h, h), (f, h), (h, f)):
        yield Stored(shape, layers, packed=True)
        yield Stored((shape[0],), layers)
    yield Stored((h,), 4 * layers)  # two norms, each with weight and bias
    yield Stored((h,), 2)
    if not c["tie_word_embeddings"]:
        yield Stored((c["vocab_size"], h))


def _gptj(c):
    h, f, layers = c["n_embd"], c["n_inner"], c["n_layer"]
    yield Stored((c["vocab_size"], h))
    yield Stored((h, h), 4 * layers, packed=True)
    for shape in ((f, h), (h, f)):
        yield Stored(shape, layers, packed=True)
        yield Stored((shape[0],), layers)
    yield Stored((h,), 2 * layers + 2)  # one norm a layer, one at the end
    yield Stored((c["vocab_size"],))  # the head's bias
    if not c["tie_word_embeddings"]:
        yield Stored((c["vocab_size"], h))


def _falcon(c):
    h, f, layers = c["hidden_size"], c["ffn_hidden_size"], c["num_hidden_layers"]
    new, one = c["new_decoder_architecture"], c["multi_query"]
    heads = c["num_kv_heads"] if new else 1 if one else c["num_attention_heads"]
    packed = h + 2 * heads * (h // c["num_attention_heads"])
    yield Stored((c["vocab_size"], h))
    for shape in ((packed, h), (h, h), (f, h), (h, f)):
        yield Stored(shape, layers, packed=True)
        if c["bias"]:
            yield Stored((shape[0],), layers)
    norms = c["num_ln_in_parallel_attn"] if c["parallel_attn"] else 2
    yield Stored((h,), 2 * norms * layers + 2)
    if not c["tie_word_embeddings"]:
        yield Stored((c["vocab_size"], h))


def _opt(c):
    h, f, layers = c["hidden_size"], c["ffn_dim"], c["num_hidden_layers"]
    narrow = c["word_embed_proj_dim"]
    yield Stored((c["vocab_size"], narrow))
    yield Stored((c["max_position_embeddings"] + 2, h))
    if narrow != h:
        yield Stored((h, narrow))
        yield Stored((narrow, h))
    for shape, each in (((h, h), 4), ((f, h), 1), ((h, f), 1)):
        yield Stored(shape, each * layers, packed=True)
        if c["enable_bias"]:
            yield Stored((shape[0],), each * layers)
    if c["layer_norm_elementwise_affine"]:
        last = c["do_layer_norm_before"] and not c["_remove_final_layer_norm"]
        yield Stored((h,), 4 * layers + 2 * last)
    if not c["tie_word_embeddings"]:
        yield Stored((c["vocab_size"], narrow))


def _llama(c):
    h, layers = c["hidden_size"], c["num_hidden_layers"]
    yield Stored((c["vocab_size"], h))
    for i in range(layers):
        if "kv_lora_rank" in c:
            yield from _latent_attention(c)
        else:
            yield from _linear_attention(c) if linear(c)[i] else _attention(c)
        yield from _mlps(c, i)
        yield Stored((h,), 4 if c["model_type"] in FOUR_NORMS else 2)
    yield Stored((h,))
    if not c["tie_word_embeddings"]:
        yield Stored((c["vocab_size"], h))


def _attention(c):
    kind, h, d = c["model_type"], c["hidden_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * d, c["num_key_value_heads"] * d
    if kind == "phi3":
        yield Stored((q + 2 * kv, h), packed=True)
    else:
        gated = 2 if kind == "qwen3_next" else 1  # q_proj makes a gate, too
        yield Stored((gated * q, h), packed=True)
        yield Stored((kv, h), 2, packed=True)
    yield Stored((h, q), packed=True)
    if kind == "qwen2" or c.get("attention_bias"):
        yield Stored((2 * q if kind == "qwen3_next" else q,))
        yield Stored((kv,), 2)
    if c.get("attention_bias") and kind != "glm4":
        yield Stored((h,))
    if kind in ("qwen3", "qwen3_moe", "qwen3_next", "gemma3_text"):
        yield Stored((d,), 2)
    if kind == "gpt_oss":
        yield Stored((c["num_attention_heads"],))  # a sink for each head


def _linear_attention(c):
    h, heads = c["hidden_size"], c["linear_num_value_heads"]
    keys = c["linear_num_key_heads"] * c["linear_key_head_dim"]
    values = heads * c["linear_value_head_dim"]
    yield Stored((2 * keys + 2 * values, h), packed=True)  # q, k, v and z
    yield Stored((2 * heads, h))  # b and a
    yield Stored((2 * keys + values, 1, c["linear_conv_kernel_dim"]))
    yield Stored((heads,), 2)  # A_log and dt_bias
    yield Stored((c["linear_value_head_dim"],))  # the norm of a head
    yield Stored((h, values), packed=True)


def _latent_attention(c):
    h, heads = c["hidden_size"], c["num_attention_heads"]
    rank, rotary = c["kv_lora_rank"], c["qk_rope_head_dim"]
    queries = heads * (c["qk_nope_head_dim"] + rotary)
    if c["q_lora_rank"] is None:
        yield Stored((queries, h), packed=True)
    else:
        yield Stored((c["q_lora_rank"], h), packed=True)
        yield Stored((c["q_lora_rank"],))
        yield Stored((queries, c["q_lora_rank"]), packed=True)
    yield Stored((rank + rotary, h), packed=True)
    yield Stored((rank,))
    yield Stored((heads * (c["qk_nope_head_dim"] + c["v_head_dim"]), rank), packed=True)
    yield Stored((h, heads * c["v_head_dim"]), packed=True)
    if c["attention_bias"]:
        if c["q_lora_rank"] is not None:
            yield Stored((c["q_lora_rank"],))
        yield Stored((rank + rotary,))
        yield Stored((h,))


def _mlps(c, i):
    h, kind = c["hidden_size"], c["model_type"]
    experts = c.get("n_routed_experts") or c.get("num_experts")
    experts = experts or c.get("num_local_experts")
    if not experts or not _sparse(c, i):
        bias = c.get("mlp_bias", False)
        fused = kind in ("phi3", "glm4")
        yield from _gated(h, c["intermediate_size"], bias, fused)
        return
    plain = kind in ("mixtral", "gpt_oss")
    width = c["intermediate_size" if plain else "moe_intermediate_size"]
    yield Stored((experts, h))  # the router
    if kind in ("deepseek_v3", "kimi_k2"):
        yield Stored((experts,), buffer=True)
    yield Stored((experts, 2 * width, h), 1, True, experts, parts=2)
    yield Stored((experts, h, width), 1, True, experts)
    if kind == "qwen3_next":
        yield from _gated(h, c["shared_expert_intermediate_size"])
        yield Stored((1, h))  # the shared expert's gate
    if kind == "gpt_oss":
        yield Stored((experts,))
        yield Stored((experts, 2 * width), experts=experts)
        yield Stored((experts, h), experts=experts)
    if "n_shared_experts" in c:
        bias = c.get("mlp_bias", False)
        yield from _gated(h, width * c["n_shared_experts"], bias)


def _sparse(c, i) -> bool:
    if c["model_type"] in ("qwen3_moe", "qwen3_next"):
        step = c["decoder_sparse_step"]
        return (i + 1) % step == 0 and i not in c["mlp_only_layers"]
    return i >= c.get("first_k_dense_replace", 0)


def _gated(h, width, bias=False, fused=False):
    if fused:
        yield Stored((2 * width, h), packed=True)
    else:
        yield Stored((width, h), 2, packed=True)
    yield Stored((h, width), packed=True)
    if bias:
        yield Stored((width,), 2)
        yield Stored((h,))
