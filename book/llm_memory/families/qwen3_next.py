"""Qwen3-Next: most layers keep a state of fixed size in place of keys and values.

Gated DeltaNet (Yang, Kautz and Hatamizadeh, 2024) in these layers, gated grouped-query
attention in the others, experts beside one shared expert in all.
Source: transformers' modeling_qwen3_next.py.
"""

from ..operations import Activation, Cached, State
from ..symbols import b, s
from ..tape import Tape
from ..units import dtype
from . import llama, moe


def forward(tape: Tape, model) -> None:
    """Embedding, layers, final norm, head."""
    embedded = tape.embedding("model.embed_tokens", model.V, model.h)
    embedding = tape.parameters[0]
    tables = tape.rotary_tables(embedded, tape.positions(), model.d)
    x = embedded
    for layers in model.layers:
        with tape.scope("model.layers.{i}.", layers.count):
            x = layer(tape, model, layers, tape.carried(x), tables)
    llama.head(tape, model, tape.norm(x, "model.norm"), embedding)


def layer(tape: Tape, model, layers, x: Activation, tables) -> Activation:
    """Two residual branches, each normed before."""
    y = tape.norm(x, "input_layernorm")
    if layers.linear:
        with tape.scope("linear_attn.", part="attention"):
            y = linear_attention(tape, model, y)
    else:
        with tape.scope("self_attn.", part="attention"):
            y = attention(tape, model, y, tables)
    x = tape.add(x, y)
    y = tape.norm(x, "post_attention_layernorm")
    with tape.scope("mlp.", part="MLP"):
        dense = not layers.sparse
        y = llama.mlp(tape, model, y, model.f) if dense else mixture(tape, model, y)
    return tape.add(x, y)


def attention(tape: Tape, model, x: Activation, tables) -> Activation:
    """Grouped-query attention; q_proj makes a gate of the output, too."""
    a, k, d, bias = model.a, model.k, model.d, model.bias
    packed = tape.linear(x, "q_proj", 2 * a * d, bias=bias, split="output", heads=(a,))
    q = llama.norm_heads(tape, tape.view(packed, "q", a * d), "q_norm", a, d)
    key = tape.linear(x, "k_proj", k * d, bias=bias, split="output", heads=(k,))
    key = llama.norm_heads(tape, key, "k_norm", k, d)
    value = tape.linear(x, "v_proj", k * d, bias=bias, split="output", heads=(k,))
    q, key = tape.rotate(q, tables), tape.rotate(key, tables)
    key, value = tape.cache(
        (key, Cached("keys", "keys", k, d)), (value, Cached("values", "values", k, d))
    )
    y, _map = tape.attention(q, key, value, a, k, dropout=model.dropout["attention"])
    y = tape.multiply(y, tape.activate(tape.view(packed, "gate", a * d), "sigmoid"))
    return tape.linear(
        y, "o_proj", model.h, bias=model.output_bias, split="input", heads=(a,)
    )


def linear_attention(tape: Tape, model, x: Activation) -> Activation:
    """A convolution over W_c tokens, then a state of n_v matrices of d_k × d_v."""
    n_k, n_v, d_k, d_v = model.n_k, model.n_v, model.d_k, model.d_v
    keys, values = n_k * d_k, n_v * d_v
    packed = tape.linear(x, "in_proj_qkvz", 2 * (keys + values), split="output")
    gates = tape.linear(x, "in_proj_ba", 2 * n_v, split="output", role="gate")
    mixed = _convolution(tape, model, tape.view(packed, "qkv", 2 * keys + values))
    own = [
        tape.parameter(each, (n_v,), "gate", split=0) for each in ("A_log", "dt_bias")
    ]
    decay = tape.operation("decay", (gates,), "decay", (b, s, n_v), own)
    state = State("recurrent_states", (n_v, d_k, d_v), dtype("fp32"), (n_v,))
    y = tape.operation(
        "delta rule", (mixed, decay), "heads", (b, s, n_v, d_v), states=[state]
    )
    y = tape.joined(tape.norm(y, "norm"))
    y = tape.multiply(y, tape.activate(tape.view(packed, "z", values), "silu"))
    return tape.linear(y, "out_proj", model.h, split="input")


def _convolution(tape: Tape, model, x: Activation) -> Activation:
    """Each element of q, k and v is mixed with itself in the W_c - 1 tokens before."""
    width, n_k = x.shape[-1], model.n_k
    own = tape.parameter("conv1d.weight", (width, 1, model.W_c), "convolution", split=0)
    state = State("conv_states", (width, model.W_c), heads=(n_k, n_k, model.n_v))
    return tape.operation("convolution", (x,), "conv1d", x.shape, [own], [state])


def mixture(tape: Tape, model, x: Activation) -> Activation:
    """Router, routed experts, and one shared expert behind a gate of its own."""
    with tape.scope(part="router"):
        routes = tape.linear(x, "gate", model.E, role="router")
    y = tape.experts(x, routes, model.m, model.E_k, moe.EXPERT)
    with tape.scope(part="shared experts"):
        with tape.scope("shared_expert."):
            shared = llama.mlp(tape, model, x, model.m_s)
        gate = tape.linear(x, "shared_expert_gate", 1, role="gate")
    return tape.add(y, tape.multiply(shared, tape.activate(gate, "sigmoid")))
