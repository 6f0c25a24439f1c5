"""GPT-2: LayerNorm, learned positions, one fused projection, biases everywhere.

Source: Radford et al. (2019) and transformers' modeling_gpt2.py. Its Conv1D stores a
matrix as (in, out).
"""

from ..operations import Activation, Cached
from ..tape import Tape
from .llama import head


def forward(tape: Tape, model) -> Activation:
    """Token and position embedding, layers, final norm, head."""
    x = tape.embedding("transformer.wte", model.V, model.h)
    embedding = tape.parameters[0]
    positions = tape.embedding("transformer.wpe", model.C, model.h, "table", split=None)
    x = tape.dropout(tape.add(x, positions), model.dropout["embedding"])
    for layers in model.layers:
        with tape.scope("transformer.h.{i}.", layers.count):
            x = layer(tape, model, x)
    x = tape.norm(x, "transformer.ln_f", "layer_norm")
    return head(tape, model, x, embedding)


def layer(tape: Tape, model, x: Activation) -> Activation:
    """Attention and MLP, each a residual branch with a norm before it."""
    y = tape.norm(x, "ln_1", "layer_norm")
    with tape.scope("attn.", part="attention"):
        y, _map = attention(tape, model, y)
    x = tape.add(x, y)
    y = tape.norm(x, "ln_2", "layer_norm")
    with tape.scope("mlp.", part="MLP"):
        y = _linear(tape, y, "c_fc", model.f, "output")
        y = tape.activate(y, model.activation)
        y = _linear(tape, y, "c_proj", model.h, "input")
        y = tape.dropout(y, model.dropout["residual"])
    return tape.add(x, y)


def attention(tape: Tape, model, x: Activation) -> tuple:
    """Multi-head attention: every query head has its own keys and values."""
    a, d = model.a, model.d
    packed = _linear(tape, x, "c_attn", 3 * model.h, "output", (a, a, a))
    q, key, value = (tape.view(packed, name, model.h) for name in ("q", "k", "v"))
    key, value = tape.cache(
        (key, Cached("keys", "keys", a, d)), (value, Cached("values", "values", a, d))
    )
    dropout = model.dropout["attention"]
    y, weights = tape.attention(
        q, key, value, a, a, softmax="bf16", dropout=dropout, packed=True
    )
    y = _linear(tape, y, "c_proj", model.h, "input", (a,))
    return tape.dropout(y, model.dropout["residual"]), weights


def _linear(tape, x: Activation, name: str, width, split, heads=()) -> Activation:
    return tape.linear(
        x, name, width, bias=True, split=split, heads=heads, transposed=True
    )
