"""A slow, obvious packer: what fits on ranks, counted in plain integers.

Every layer of every stage is written out, every cached token is counted by itself, and
sequences and tokens are added one at a time until some rank is full. Written without
the library. The rank that is counted is the fullest of its stage.
"""

from math import ceil
from typing import NamedTuple

from by_hand import windows


class Ranks(NamedTuple):
    """How ranks share a model; `layers` of each pipeline stage, in order."""

    tp: int
    attention_dp: int
    layers: tuple
    expert_parallel: bool = False


def matrix(rows: int, columns: int, packing: str, count: int = 1) -> int:
    """Count the bytes of a matrix of a layer (out × in), `count` times."""
    if packing == "int8":  # one byte each, and an fp32 scale per output
        return count * (rows * columns + 4 * rows)
    return count * 2 * rows * columns


def attention(c: dict, tp: int, packing: str) -> int:
    """Count a rank's attention matrices and the norms inside attention."""
    h, a = c["hidden_size"], c["num_attention_heads"] // tp
    if "kv_lora_rank" in c:
        latent, rotary = c["kv_lora_rank"], c["qk_rope_head_dim"]
        plain, value = c["qk_nope_head_dim"], c["v_head_dim"]
        return (
            matrix(a * (plain + rotary), h, packing)
            + matrix(latent + rotary, h, packing)
            + 2 * latent
            + matrix(a * (plain + value), latent, packing)
            + matrix(h, a * value, packing)
        )
    d, k = c["head_dim"], max(1, c["num_key_value_heads"] // tp)
    norms = 2 * 2 * d if c["model_type"] == "qwen3" else 0
    return (
        matrix(a * d, h, packing)
        + matrix(k * d, h, packing, 2)
        + matrix(h, a * d, packing)
        + norms
    )


def gated_mlp(c: dict, width: int, packing: str, count: int = 1) -> int:
    """Count the matrices gate, up and down of `count` MLPs."""
    h = c["hidden_size"]
    return matrix(width, h, packing, 2 * count) + matrix(h, width, packing, count)


def mlp(c: dict, layer: int, ranks: Ranks, packing: str) -> int:
    """Count a rank's share of one layer's MLP or experts, router included."""
    everyone = ranks.tp * ranks.attention_dp
    if c["model_type"] == "mixtral":
        experts, width, dense = c["num_local_experts"], c["intermediate_size"], False
    elif c["model_type"] == "deepseek_v2":
        experts, width = c["n_routed_experts"], c["moe_intermediate_size"]
        dense = layer < c["first_k_dense_replace"]
    else:
        dense = True
    if dense:
        return gated_mlp(c, c["intermediate_size"] // ranks.tp, packing)
    router = 2 * experts * c["hidden_size"]
    if ranks.expert_parallel:
        routed = gated_mlp(c, width, packing, ceil(experts / everyone))
    else:
        routed = gated_mlp(c, width // everyone, packing, experts)
    if "n_shared_experts" not in c:
        return router + routed
    shared = c["n_shared_experts"] * width // ranks.tp
    return router + routed + gated_mlp(c, shared, packing)


def loaded(c: dict, ranks: Ranks, packing: str = "bf16") -> list[int]:
    """Count the weights on a rank of each stage, layer by layer."""
    h, stages, layer = c["hidden_size"], [], 0
    vocabulary = 2 * h * ceil(c["vocab_size"] / ranks.tp)
    norms = 4 if c["model_type"] == "gemma2" else 2
    for number, length in enumerate(ranks.layers):
        size = vocabulary if number == 0 else 0
        for _ in range(length):
            size += attention(c, ranks.tp, packing) + mlp(c, layer, ranks, packing)
            size += norms * 2 * h
            layer += 1
        if number == len(ranks.layers) - 1:
            one_rank_has_both = c["tie_word_embeddings"] and number == 0
            size += 2 * h + (0 if one_rank_has_both else vocabulary)
        stages.append(size)
    return stages


def per_token_and_layer(c: dict, tp: int, cache: str) -> int:
    """Count the bytes that one layer keeps of one token on a rank."""
    if "kv_lora_rank" in c:
        heads, widths = 1, (c["kv_lora_rank"], c["qk_rope_head_dim"])
    else:
        heads = max(1, c["num_key_value_heads"] // tp)
        widths = (c["head_dim"], c["head_dim"])
    if cache == "int8":  # a scale and a zero point in fp16 for each token and head
        return sum(heads * (width + 4) for width in widths)
    return sum(heads * width for width in widths) * {"bf16": 2, "fp8": 1}[cache]


def slots(t: int, window: int | None, block: int | None) -> int:
    """Count the slots one layer keeps after t tokens, token by token."""
    kept = [i for i in range(t) if window is None or i >= t - window]
    return block * len({i // block for i in kept}) if block else len(kept)


def sequence(c: dict, ranks: Ranks, cache: str, t: int, block=None) -> list[int]:
    """Count what t tokens of one sequence take on a rank of each stage."""
    kept, stages, layer = windows(c), [], 0
    each = per_token_and_layer(c, ranks.tp, cache)
    for length in ranks.layers:
        span = kept[layer : layer + length]
        stages.append(each * sum(slots(t, window, block) for window in span))
        layer += length
    return stages


def pack(budget: int, used: list[int], sizes, context: int, prefix: int = 0):
    """Add sequences, then tokens of one more, one at a time, while every stage fits.

    `sizes(t)` gives the bytes of t tokens of a sequence on each stage. The first
    `prefix` tokens are held once. Return sequences and tokens, or (0, 0).
    """

    def fits(number: int, rest: int) -> bool:
        own, more = sizes(context - prefix), sizes(rest)
        rows = zip(used, own, more, strict=True)
        return all(u + number * o + m <= budget for u, o, m in rows)

    if max(used) > budget:
        return 0, 0
    sequences = 0
    while fits(sequences + 1, prefix):
        sequences += 1
    rest = 0
    while rest + 1 < context and fits(sequences, rest + 1):
        rest += 1
    return sequences, sequences * (context - prefix) + rest
