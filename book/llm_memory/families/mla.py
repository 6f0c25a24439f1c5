"""DeepSeek's multi-head latent attention (MLA), with MoE layers and MTP.

Keys and values of all heads are made from one latent of width c_kv and one rotated
key of width d_r. The two are all that needs to be cached.
Source: DeepSeek-V2 (2024) and transformers' modeling_deepseek_v3.py.
"""

from ..errors import ConfigError
from ..operations import Activation, Cached
from ..tape import Tape
from . import llama


def forward(tape: Tape, model) -> Activation:
    """LLaMA's frame around latent attention."""
    return llama.forward(tape, model, attention)


def attention(tape: Tape, model, layers, x: Activation, tables) -> tuple:
    """Queries through a latent if there is one; keys and values through c_kv."""
    a, c_kv, d_n, d_r = model.a, model.c_kv, model.d_n, model.d_r
    bias, queries = model.bias, a * (d_n + d_r)
    by_head = {"split": "output", "heads": (a,), "by_head": (a,)}
    if model.c_q is None:
        q = tape.linear(x, "q_proj", queries, **by_head)
    else:
        latent = tape.linear(x, "q_a_proj", model.c_q, bias=bias)
        latent = tape.norm(latent, "q_a_layernorm")
        q = tape.linear(latent, "q_b_proj", queries, **by_head)
        del latent
    passed, turned = tape.columns(
        q, {"passed queries": a * d_n, "rotated queries": a * d_r}
    )
    packed = tape.linear(x, "kv_a_proj_with_mqa", c_kv + d_r, bias=bias)
    latent, rotated = tape.columns(packed, {"latent": c_kv, "rotary key": d_r})
    latent = tape.norm(latent, "kv_a_layernorm")
    if model.values.get("rope_interleave", True):
        turned, rotated = tape.rotate_pairs((turned, rotated), tables)
    else:
        turned, rotated = (tape.rotate(each, tables) for each in (turned, rotated))
    latent, rotated = tape.cache(
        (latent, Cached("latent", "keys", 1, c_kv, layout="latent", split=False)),
        (rotated, Cached("rotary key", "values", 1, d_r, layout="latent", split=False)),
    )
    joined = tape.join("queries", (passed, turned), q.shape)
    keys, values = expand(tape, model, latent, rotated)
    keys, values = tape.cache(
        (
            keys,
            Cached("keys", "keys", a, d_n + d_r, layout="expanded"),
        ),
        (
            values,
            Cached("values", "values", a, model.d_v, layout="expanded"),
        ),
    )
    dropout = model.dropout["attention"]
    y, weights = tape.attention(  # (b, s, a·d_v)
        joined, keys, values, a, a, dropout=dropout, sorted=True, joined=False
    )
    y = tape.linear(y, "o_proj", model.h, bias=bias, split="input", heads=(a,))
    del packed, q, passed, turned, joined
    return y, weights


def expand(tape: Tape, model, latent: Activation, rotated: Activation) -> tuple:
    """Keys and values of all heads, from the latent and the one rotated key."""
    a, d_n, d_v = model.a, model.d_n, model.d_v
    expanded = tape.linear(
        latent, "kv_b_proj", a * (d_n + d_v), split="output", heads=(a,), by_head=(a,)
    )
    passed, values = tape.columns(
        expanded, {"passed keys": a * d_n, "values": a * d_v}, parts=True
    )
    shape = (*latent.shape[:-1], a * (d_n + model.d_r))
    return tape.fill("keys", (passed, rotated), shape, a), values


def multi_token_prediction(tape: Tape, model) -> None:
    """The layers after the last one that predict further tokens.

    transformers builds none of them; the published checkpoint holds each with its
    own copy of the embedding and the head.

    Raises:
        ConfigError: the model has no such layers.
    """
    if not model.mtp:
        rule = "there are no multi-token-prediction layers to add"
        raise ConfigError("mtp", True, f"{model.name}: {rule}")
    sparse = next(layers for layers in model.layers if layers.sparse)
    with tape.scope("model.layers.{L+i}.", model.mtp, whole="MTP"):
        x = tape.embedding("embed_tokens", model.V, model.h)
        tape.norm(x, "enorm")
        joined = tape.view(tape.norm(x, "hnorm"), "pair", 2 * model.h)
        x = tape.linear(joined, "eh_proj", model.h, role="projection")
        tables = tape.rotary_tables(x, tape.positions(), model.d_r)
        x = llama.layer(tape, model, sparse, x, tables, attention)
        x = tape.norm(x, "shared_head.norm")
        tape.linear(x, "shared_head.head", model.V, role="head")
