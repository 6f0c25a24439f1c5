"""Falcon: attention and MLP side by side, one key and value head or a few.

The newer decoder (40B, 180B, 11B) has k heads of keys and values, which transformers
repeats for all query heads before it caches them; serving engines keep the k heads.
Source: Almazrouei et al. (2023) and transformers' modeling_falcon.py.
"""

from ..operations import Activation, Cached, Parameter
from ..tape import Tape
from .llama import head


def forward(tape: Tape, model) -> Activation:
    """Embedding, layers, final norm, head."""
    x, embedding = body(tape, model, "word_embeddings", layer)
    return head(tape, model, x, embedding)


def body(tape: Tape, model, table: str, block) -> tuple[Activation, Parameter]:
    """All but the head: the normed hidden states, and the embedding's matrix."""
    x = tape.embedding(f"transformer.{table}", model.V, model.h)
    embedding = tape.parameters[0]
    tables = tape.rotary_tables(x, tape.positions(), model.d)
    for layers in model.layers:
        with tape.scope("transformer.h.{i}.", layers.count):
            x = block(tape, model, x, tables)
    return tape.norm(x, "transformer.ln_f", "layer_norm"), embedding


def layer(tape: Tape, model, x: Activation, tables) -> Activation:
    """Both branches read the layer's input, or the MLP reads the attention's sum."""
    first = "ln_attn" if model.two_norms else "input_layernorm"
    read = tape.norm(x, first, "layer_norm")
    with tape.scope("self_attention.", part="attention"):
        y = attention(tape, model, read, tables)
    if not model.parallel:
        x = tape.add(x, y)
        read = tape.norm(x, "post_attention_layernorm", "layer_norm")
        return tape.add(x, mlp(tape, model, read))
    if model.two_norms:
        read = tape.norm(x, "ln_mlp", "layer_norm")
    return tape.add(x, tape.add(y, mlp(tape, model, read)))


def attention(tape: Tape, model, x: Activation, tables) -> Activation:
    """One matrix makes q, k and v; k = 1 is multi-query."""
    a, k, d = model.a, model.k, model.d
    packed = tape.linear(
        x, "query_key_value", (a + 2 * k) * d, bias=model.bias, split="output",
        heads=(a, k, k),
    )  # fmt: skip
    q, key, value = (
        tape.view(packed, name, heads * d)
        for name, heads in (("q", a), ("k", k), ("v", k))
    )
    layout = None
    if model.repeated:
        tape.cache(
            (key, Cached("keys", "keys", k, d, layout="grouped")),
            (value, Cached("values", "values", k, d, layout="grouped")),
        )
        key, value = (
            tape.operation("repeat", (each,), f"{name} repeated", q.shape)
            for name, each in (("keys", key), ("values", value))
        )
        k, layout = a, "expanded"
    if model.rotary:
        q, key = tape.rotate(q, tables), tape.rotate(key, tables)
    key, value = tape.cache(
        (key, Cached("keys", "keys", k, d, layout=layout)),
        (value, Cached("values", "values", k, d, layout=layout)),
    )
    y, _map = tape.attention(q, key, value, a, k, softmax="bf16")
    return tape.linear(y, "dense", model.h, bias=model.bias, split="input", heads=(a,))


def mlp(tape: Tape, model, x: Activation) -> Activation:
    """Two projections around an activation function."""
    with tape.scope("mlp.", part="MLP"):
        y = tape.linear(x, "dense_h_to_4h", model.f, bias=model.bias, split="output")
        y = tape.activate(y, model.activation)
        return tape.linear(y, "dense_4h_to_h", model.h, bias=model.bias, split="input")
