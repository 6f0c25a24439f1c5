"""GPT-J: attention and MLP side by side under one norm, a head of its own with a bias.

Source: Wang and Komatsuzaki (2021) and transformers' modeling_gptj.py.
"""

from ..operations import Activation, Cached
from ..tape import Tape
from .falcon import body


def forward(tape: Tape, model) -> Activation:
    """Embedding, layers, final norm, head."""
    x, embedding = body(tape, model, "wte", layer)
    with tape.scope(part="head"):
        return tape.linear(
            tape.last_tokens(x), "lm_head", model.V, bias=True, role="head",
            split="output", shared=embedding if model.tied else None,
        )  # fmt: skip


def layer(tape: Tape, model, x: Activation, tables) -> Activation:
    """x + attention + MLP, both of the same normed input."""
    read = tape.norm(x, "ln_1", "layer_norm")
    with tape.scope("attn.", part="attention"):
        y = attention(tape, model, read, tables)
    with tape.scope("mlp.", part="MLP"):
        z = tape.linear(read, "fc_in", model.f, bias=True, split="output")
        z = tape.activate(z, model.activation)
        z = tape.linear(z, "fc_out", model.h, bias=True, split="input")
        z = tape.dropout(z, model.dropout["residual"])
    return tape.add(tape.add(y, z), x)


def attention(tape: Tape, model, x: Activation, tables) -> Activation:
    """Multi-head attention without biases; the first elements of a head turn."""
    h, a, d = model.h, model.a, model.d
    q = tape.linear(x, "q_proj", h, split="output", heads=(a,))
    key = tape.linear(x, "k_proj", h, split="output", heads=(a,))
    value = tape.linear(x, "v_proj", h, split="output", heads=(a,))
    q, key = tape.rotate(q, tables), tape.rotate(key, tables)
    key, value = tape.cache(
        (key, Cached("keys", "keys", a, d)), (value, Cached("values", "values", a, d))
    )
    dropout = model.dropout["attention"]
    y, _map = tape.attention(q, key, value, a, a, dropout=dropout)
    y = tape.linear(y, "out_proj", h, split="input", heads=(a,))
    return tape.dropout(y, model.dropout["residual"])
