"""OPT: GPT-2's layer with separate projections, and a narrow embedding in one size.

Source: Zhang et al. (2022) and transformers' modeling_opt.py.
"""

from ..operations import Activation, Cached
from ..symbols import b
from ..tape import Tape
from .llama import head

POSITION_OFFSET = 2  # OPT's position table starts two rows late


def forward(tape: Tape, model) -> Activation:
    """Token and position embedding, layers, final norm, head."""
    with tape.scope("model.decoder."):
        x = tape.embedding("embed_tokens", model.V, model.h_e)
        embedding = tape.parameters[0]
        rows = model.C + POSITION_OFFSET
        numbers = tape.positions(b)
        late = tape.make("positions, late", numbers.shape, "int64")
        positions = tape.embedding(
            "embed_positions", rows, model.h, "table", split=None, positions=late
        )
        if model.projected:
            x = tape.linear(x, "project_in", model.h, role="projection")
        x = tape.add(x, positions)
        for layers in model.layers:
            with tape.scope("layers.{i}.", layers.count):
                x = tape.block(layer, model, tape.carried(x))
        if model.final_norm:
            x = _norm(tape, model, x, "final_layer_norm")
        if model.projected:
            x = tape.linear(x, "project_out", model.h_e, role="projection")
    return head(tape, model, x, embedding)


def layer(tape: Tape, model, x: Activation) -> Activation:
    """Two residual branches; the norm stands before each, or after it (OPT-350M)."""
    y = _norm(tape, model, x, "self_attn_layer_norm") if model.norm_first else x
    with tape.scope("self_attn.", part="attention"):
        y = attention(tape, model, y)
    y = tape.dropout(y, model.dropout["residual"])
    x = tape.add(x, y)
    if not model.norm_first:
        x = _norm(tape, model, x, "self_attn_layer_norm")
    y = _norm(tape, model, x, "final_layer_norm") if model.norm_first else x
    with tape.scope(part="MLP"):
        y = tape.linear(y, "fc1", model.f, bias=model.bias, split="output")
        y = tape.activate(y, model.activation)
        y = tape.linear(y, "fc2", model.h, bias=model.bias, split="input")
        y = tape.dropout(y, model.dropout["residual"])
    x = tape.add(x, y)
    return x if model.norm_first else _norm(tape, model, x, "final_layer_norm")


def attention(tape: Tape, model, x: Activation) -> Activation:
    """Multi-head attention with four separate projections."""
    h, a, d, bias = model.h, model.a, model.d, model.bias
    q = tape.linear(x, "q_proj", h, bias=bias, split="output", heads=(a,))
    q = tape.scale(q)
    key = tape.linear(x, "k_proj", h, bias=bias, split="output", heads=(a,))
    value = tape.linear(x, "v_proj", h, bias=bias, split="output", heads=(a,))
    key, value = tape.cache(
        (key, Cached("keys", "keys", a, d)), (value, Cached("values", "values", a, d))
    )
    dropout = model.dropout["attention"]
    y, _map = tape.attention(q, key, value, a, a, dropout=dropout)
    return tape.linear(y, "out_proj", h, bias=bias, split="input", heads=(a,))


def _norm(tape: Tape, model, x: Activation, name: str) -> Activation:
    return tape.norm(x, name, "layer_norm", affine=model.norm_affine)
