"""GPT-2: LayerNorm, learned positions, one fused projection, biases everywhere.

Source: Radford et al. (2019) and transformers' modeling_gpt2.py. Its Conv1D stores a
matrix as (in, out).
"""

from ..operations import Activation, Cached, Parameter
from ..tape import Tape
from .llama import head


def forward(tape: Tape, model) -> Activation:
    """Token and position embedding, layers, final norm, head."""
    x, embedding = body(tape, model)
    return head(tape, model, x, embedding)


def body(tape: Tape, model) -> tuple[Activation, Parameter]:
    """All but the head: the normed hidden states, and the embedding's matrix."""
    tokens = tape.embedding("transformer.wte", model.V, model.h)
    tape.ask(tokens)
    embedding = tape.parameters[0]
    numbers = tape.positions()
    positions = tape.embedding(
        "transformer.wpe", model.C, model.h, "table", split=None, positions=numbers
    )
    x = tape.add(tokens, positions)
    mask = tape.mask()
    x = tape.dropout(x, model.dropout["embedding"])
    for layers in model.layers:
        with tape.scope("transformer.h.{i}.", layers.count):
            x = tape.carried(x)
            x = tape.block(layer, model, x)
    x = tape.norm(x, "transformer.ln_f", "layer_norm")
    del mask
    return x, embedding


def layer(tape: Tape, model, x: Activation) -> Activation:
    """Attention and MLP, each a residual branch with a norm before it."""
    residual = x
    x = tape.norm(x, "ln_1", "layer_norm")
    with tape.scope("attn.", part="attention"):
        attended, _map = attention(tape, model, x)
    x = tape.add(attended, residual)
    residual = x
    x = tape.norm(x, "ln_2", "layer_norm")
    with tape.scope("mlp.", part="MLP"):
        y = mlp(tape, model, x)
    return tape.add(residual, y)


def mlp(tape: Tape, model, x: Activation) -> Activation:
    """A wider layer, an activation function, and back."""
    x = _linear(tape, x, "c_fc", model.f, "output")
    x = tape.activate(x, model.activation)
    x = _linear(tape, x, "c_proj", model.h, "input")
    return tape.dropout(x, model.dropout["residual"])


def attention(tape: Tape, model, x: Activation) -> tuple:
    """Multi-head attention: every query head has its own keys and values."""
    a, d = model.a, model.d
    packed = _linear(tape, x, "c_attn", 3 * model.h, "output", (a, a, a))
    q, key, value = tape.columns(packed, dict.fromkeys(("q", "k", "v"), model.h))
    del packed
    value, q = tape.by_token(value, a), tape.by_token(q, a)
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
