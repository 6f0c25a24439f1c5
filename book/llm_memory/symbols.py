"""The one table of sizes: every letter of the book has one meaning, given here.

A size is a SymPy symbol that stands for an integer >= 1 (>= 0 where the table says
so). Chapters write `from llm_memory.symbols import b, h, s` and compute with them.
"""

from dataclasses import dataclass

from sympy import Symbol, latex

from .errors import ConfigError


@dataclass(frozen=True)
class Size:
    """One row of the table: a symbol and what it means."""

    name: str
    meaning: str
    unit: str
    field: str = ""
    minimum: int = 1

    @property
    def symbol(self) -> Symbol:
        """The SymPy symbol; two symbols of the same name are equal."""
        positive = {"positive": True} if self.minimum else {"nonnegative": True}
        return Symbol(self.name, integer=True, **positive)

    @property
    def latex(self) -> str:
        """How the symbol looks in an equation."""
        return latex(self.symbol)


TABLE = {
    size.name: size
    for size in (
        Size("b", "batch", "sequences"),
        Size("s", "tokens processed now", "tokens"),
        Size("t", "tokens cached", "tokens"),
        Size("h", "hidden width", "elements", "hidden_size"),
        Size("L", "decoder layers", "layers", "num_hidden_layers"),
        Size("a", "query heads", "heads", "num_attention_heads"),
        Size("k", "key and value heads", "heads", "num_key_value_heads"),
        Size("d", "width of a head", "elements", "head_dim"),
        Size("f", "width of the MLP", "elements", "intermediate_size"),
        Size("V", "vocabulary", "tokens", "vocab_size"),
        Size("W", "sliding window", "tokens", "sliding_window"),
        Size("L_w", "layers with a sliding window", "layers", "layer_types", 0),
        Size(
            "C", "positions, the longest context", "tokens", "max_position_embeddings"
        ),
        Size("P", "parameters", "elements"),
        Size("h_e", "width of the embedding (OPT)", "elements", "word_embed_proj_dim"),
        Size("E", "routed experts of a layer", "experts", "num_experts"),
        Size(
            "E_k", "routed experts that a token uses", "experts", "num_experts_per_tok"
        ),
        Size("E_s", "shared experts of a layer", "experts", "n_shared_experts", 0),
        Size("G", "groups of routed experts (DeepSeek)", "groups", "n_group"),
        Size("G_k", "groups that a token may use (DeepSeek)", "groups", "topk_group"),
        Size("m", "width of an expert", "elements", "moe_intermediate_size"),
        Size("D", "layers with a dense MLP", "layers", "first_k_dense_replace", 0),
        Size("c_q", "rank of the query latent (MLA)", "elements", "q_lora_rank"),
        Size("c_kv", "rank of the key-value latent (MLA)", "elements", "kv_lora_rank"),
        Size(
            "d_n", "head width without rotation (MLA)", "elements", "qk_nope_head_dim"
        ),
        Size(
            "d_r",
            "head width with rotation",
            "elements",
            "qk_rope_head_dim",
        ),
        Size(
            "d_v",
            "head width of values (MLA, linear attention)",
            "elements",
            "v_head_dim",
        ),
        Size(
            "d_k",
            "head width of keys (linear attention)",
            "elements",
            "linear_key_head_dim",
        ),
        Size("n_k", "key heads (linear attention)", "heads", "linear_num_key_heads"),
        Size(
            "n_v", "value heads (linear attention)", "heads", "linear_num_value_heads"
        ),
        Size(
            "W_c",
            "tokens that the convolution sees (linear attention)",
            "tokens",
            "linear_conv_kernel_dim",
        ),
        Size(
            "m_s",
            "width of a shared expert (Qwen3-Next)",
            "elements",
            "shared_expert_intermediate_size",
        ),
        Size("R", "data-parallel ranks", "ranks"),
        Size("T", "tensor-parallel ranks", "ranks"),
        Size("B", "block of a paged cache", "tokens"),
    )
}


def symbol(name: str) -> Symbol:
    """Return the SymPy symbol of a size by its name.

    >>> symbol("c_kv").is_positive
    True
    """
    if name not in TABLE:
        raise ConfigError("symbol", name, f"must be one of {', '.join(TABLE)}")
    return TABLE[name].symbol


def check_size(name: str, value: object, argument: str = "") -> int:
    """Return `value` as an int if it is a legal value of the size `name`.

    Args:
        name: a size of the table; any other name stands for a size >= 1.
        value: what was given.
        argument: what the caller knows the size as, for the message.

    Raises:
        ConfigError: not an integer, or below the size's minimum (1, or 0).

    >>> check_size("b", 8)
    8
    """
    minimum = TABLE[name].minimum if name in TABLE else 1
    is_integer = hasattr(value, "__index__") and not isinstance(value, bool)
    if not is_integer or int(value) < minimum:
        raise ConfigError(argument or name, value, f"must be an integer >= {minimum}")
    return int(value)


def __getattr__(name: str) -> Symbol:
    if name in TABLE:
        return TABLE[name].symbol
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
