"""OPT: GPT-2's layer with separate projections, and a narrow embedding in one size.

Source: Zhang et al. (2022) and transformers' modeling_opt.py.
"""

from .. import attention_gradients
from ..kernels import RECOMPUTES_SCORES
from ..operations import Activation, Cached
from ..symbols import b
from ..tape import Tape
from .llama import head

POSITION_OFFSET = 2  # OPT's position table starts two rows late


def forward(tape: Tape, model) -> Activation:
    """Token and position embedding, layers, final norm, head."""
    with tape.scope("model.decoder."):
        embedded = tape.embedding("embed_tokens", model.V, model.h_e)
        embedding = tape.parameters[0]
        rows = model.C + POSITION_OFFSET
        numbers, mask = tape.masked_positions()
        late = tape.make("positions, late", (b, tape.run.tokens), "int64")
        positions = tape.embedding(
            "embed_positions", rows, model.h, "table", split=None, positions=late
        )
        del late
        if model.projected:
            embedded = tape.linear(embedded, "project_in", model.h, role="projection")
        x = tape.add(embedded, positions)
        for layers in model.layers:
            with tape.scope("layers.{i}.", layers.count):
                x = tape.carried(x)
                x = tape.block(layer, model, x)
        if model.final_norm:
            x = _norm(tape, model, x, "final_layer_norm")
        if model.projected:
            x = tape.linear(x, "project_out", model.h_e, role="projection")
        del embedded, positions, numbers, mask
    return head(tape, model, x, embedding)


def layer(tape: Tape, model, x: Activation) -> Activation:
    """Two residual branches; the norm stands before each, or after it (OPT-350M)."""
    residual = x
    if model.norm_first:
        x = _norm(tape, model, x, "self_attn_layer_norm")
    with tape.scope("self_attn.", part="attention"):
        x, _map = attention(tape, model, x)
    x = tape.dropout(x, model.dropout["residual"])
    x = tape.add(residual, x)
    if not model.norm_first:
        x = _norm(tape, model, x, "self_attn_layer_norm")
    residual = x
    if model.norm_first:
        x = _norm(tape, model, x, "final_layer_norm")
    with tape.scope(part="MLP"):
        x = tape.linear(x, "fc1", model.f, bias=model.bias, split="output")
        x = tape.activate(x, model.activation)
        x = tape.linear(x, "fc2", model.h, bias=model.bias, split="input")
        x = tape.dropout(x, model.dropout["residual"])
    x = tape.add(residual, x)
    return x if model.norm_first else _norm(tape, model, x, "final_layer_norm")


def attention(tape: Tape, model, x: Activation) -> tuple:
    """Multi-head attention with four separate projections."""
    h, a, d, bias = model.h, model.a, model.d, model.bias
    q = tape.linear(x, "q_proj", h, bias=bias, split="output", heads=(a,))
    q = tape.by_token(tape.scale(q), a)
    key = tape.linear(x, "k_proj", h, bias=bias, split="output", heads=(a,))
    if tape.run.attention not in RECOMPUTES_SCORES:
        key = tape.look(key, attention_gradients.sorted_by_row)
    value = tape.linear(x, "v_proj", h, bias=bias, split="output", heads=(a,))
    value = tape.by_token(value, a)
    key, value = tape.cache(
        (key, Cached("keys", "keys", a, d)), (value, Cached("values", "values", a, d))
    )
    dropout = model.dropout["attention"]
    y, weights = tape.attention(q, key, value, a, a, dropout=dropout)
    y = tape.linear(y, "out_proj", h, bias=bias, split="input", heads=(a,))
    return y, weights


def _norm(tape: Tape, model, x: Activation, name: str) -> Activation:
    return tape.norm(x, name, "layer_norm", affine=model.norm_affine)
