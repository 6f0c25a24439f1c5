"""LLaMA and its relatives: Mistral, Qwen, Phi-3, Gemma, GLM-4; the frame of MoE.

Shapes use the letters of `symbols`. Sources: the modeling files of transformers whose
config classes `data/fields.json` names.
"""

from .. import attention_gradients
from ..kernels import CAPPING
from ..operations import Activation, Cached, Parameter
from ..tape import Tape
from . import moe

# Names of the norms after the attention, before the MLP and after it.
TWO_NORMS = (None, "post_attention_layernorm", None)
FOUR_NORMS = (
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
GLM_NORMS = (
    "post_self_attn_layernorm",
    "post_attention_layernorm",
    "post_mlp_layernorm",
)


def forward(tape: Tape, model, attend=None, mixture=None) -> Activation:
    """Embedding, layers, final norm, head.

    `attend` replaces the attention, `mixture` the MLP of sparse layers.
    """
    x, embedding = body(tape, model, attend or attention, mixture or moe.mlp)
    return head(tape, model, x, embedding)


def body(tape: Tape, model, attend, mixture) -> tuple[Activation, Parameter]:
    """All but the head: the normed hidden states, and the embedding's matrix."""
    embedded = tape.embedding("model.embed_tokens", model.V, model.h)  # (b, s, h)
    embedding = tape.parameters[0]
    if model.scaled_embedding:
        embedded = tape.scale(embedded)
    tape.ask(embedded)
    positions = tape.positions()
    mask = tape.mask()
    width = model.d_r or model.d
    made = tape.complex_table if model.complex_rotary else tape.rotary_tables
    kinds = len(model.layers) if model.tables_by_type else 1
    tables = [made(embedded, positions, width) for _ in range(kinds)]
    x = embedded
    for number, layers in enumerate(model.layers):
        own = tables[number % kinds]
        with tape.scope("model.layers.{i}.", layers.count):
            x = tape.carried(x)
            x = tape.block(layer, model, layers, x, own, attend, mixture)
    x = norm(tape, model, x, "model.norm")
    del mask
    return x, embedding


def layer(
    tape: Tape, model, layers, x: Activation, tables, attend, mixture=None
) -> Activation:
    """Two residual branches, each normed before (Gemma, GLM-4: and after)."""
    four = GLM_NORMS if model.model_type == "glm4" else FOUR_NORMS
    after_attention, before_mlp, last = four if model.four_norms else TWO_NORMS
    residual = x
    x = norm(tape, model, x, "input_layernorm")
    with tape.scope("self_attn.", part="attention"):
        x, _map = attend(tape, model, layers, x, tables)
        branch = tape.dropout(x, model.dropout.get("residual"))
    if model.four_norms:
        x = branch = norm(tape, model, x, after_attention)
    x = tape.add(residual, branch)
    del branch
    residual = x
    x = norm(tape, model, x, before_mlp)
    with tape.scope("mlp.", part="MLP"):
        sparse = mixture or moe.mlp
        x = sparse(tape, model, x) if layers.sparse else mlp(tape, model, x, model.f)
        branch = tape.dropout(x, model.dropout.get("residual"))
    if model.four_norms:
        x = branch = norm(tape, model, x, last)
    return tape.add(residual, branch)


def attention(tape: Tape, model, layers, x: Activation, tables) -> tuple:
    """Grouped-query attention; k = a is multi-head, k = 1 is multi-query.

    Returns the output (b, s, h), and the attention map where the kernel makes one.
    """
    a, k, d, packed = model.a, model.k, model.d, None
    if model.fused:
        packed = tape.linear(
            x, "qkv_proj", (a + 2 * k) * d, split="output", heads=(a, k, k)
        )
        q, key, value = (
            tape.part(packed, name, heads * d)
            for name, heads in (("q", a), ("k", k), ("v", k))
        )
        sorts = [(a,), (k,), tape.values_by_head(a, k)]
        q, key, value = (
            tape.look(each, attention_gradients.sorted_by_token(*by)) if by else each
            for each, by in zip((q, key, value), sorts, strict=True)
        )
    else:
        bias, late = model.bias, model.unit_offset
        q = tape.linear(
            x, "q_proj", a * d, bias=bias, split="output", heads=(a,), by_head=(a,)
        )
        if model.qk_norm and not late:
            q = norm_heads(tape, q, "q_norm", a, d, _kind(model))
        key = tape.linear(
            x, "k_proj", k * d, bias=bias, split="output", heads=(k,), by_head=(k,)
        )
        if model.qk_norm and not late:
            key = norm_heads(tape, key, "k_norm", k, d, _kind(model))
        value = tape.linear(
            x, "v_proj", k * d, bias=bias, split="output", heads=(k,),
            by_head=tape.values_by_head(a, k),
        )  # fmt: skip
        if model.qk_norm and late:
            q = norm_heads(tape, q, "q_norm", a, d, _kind(model))
            key = norm_heads(tape, key, "k_norm", k, d, _kind(model))
    q, key = _turned(tape, model, q, key, tables)
    key, value = tape.cache(
        (key, Cached("keys", "keys", k, d, layers.window)),
        (value, Cached("values", "values", k, d, layers.window)),
    )
    dropout = model.dropout["attention"]
    capped = bool(model.caps.get("scores"))
    y, weights = tape.attention(  # (b, s, a·d)
        q, key, value, a, k, dropout=dropout, packed=model.fused, capped=capped,
        sorted=model.d_r is not None, sinks=model.sinks,
    )  # fmt: skip
    y = tape.linear(
        y, "o_proj", model.h, bias=model.output_bias, split="input", heads=(a,)
    )
    del packed
    return y, weights


def _turned(tape: Tape, model, q: Activation, key: Activation, tables):
    """Queries and keys, rotated; perhaps only some elements of each head (d_r)."""
    if model.interleaved:
        tables = tape.interleaved(tables)
    if model.d_r is None:
        return [tape.rotate(each, tables) for each in (q, key)]
    heads = (model.a, model.k)
    return tape.rotate_parts((q, key), tables, heads, late=model.interleaved)


def mlp(tape: Tape, model, x: Activation, width) -> Activation:
    """down(act(gate(x)) × up(x)), the gated MLP."""
    bias = model.mlp_bias
    if model.fused or model.gate_up:
        packed = tape.linear(x, "gate_up_proj", 2 * width, split="output")
        gate, up = tape.columns(packed, {"gate": width, "up": width}, parts=True)
        del packed
        y = tape.gated(tape.gate(gate, model.activation), up)
    else:
        gate = tape.linear(x, "gate_proj", width, bias=bias, split="output")
        gate = tape.gate(gate, model.activation)
        up = tape.linear(x, "up_proj", width, bias=bias, split="output")
        y = tape.gated(gate, up)
        del gate
    del up
    return tape.linear(y, "down_proj", model.h, bias=bias, split="input")


def head(tape: Tape, model, x: Activation, embedding) -> Activation:
    """Logits (b, s, V); a tied head multiplies by the embedding again.

    The hidden states stay alive as long as the model's forward.
    """
    tape.hidden = x
    logits = tape.linear(
        tape.last_tokens(x), "lm_head", model.V, role="head", split="output",
        shared=embedding if model.tied else None,
    )  # fmt: skip
    for step in CAPPING if model.caps.get("logits") else ():
        logits = tape.cap(logits, "logits", step)
    return logits


def norm(tape: Tape, model, x: Activation, name: str) -> Activation:
    """The family's norm, over the last axis."""
    return tape.norm(x, name, _kind(model))


def norm_heads(
    tape: Tape, x: Activation, name: str, heads, d, kind="rms_norm"
) -> Activation:
    """The norm of each head."""
    return tape.joined(tape.norm(tape.view(x, name, heads, d), name, kind))


def _kind(model) -> str:
    if model.wide_norm:
        return "rms_norm_in_fp32"
    return "rms_norm_from_one" if model.unit_offset else "rms_norm"
