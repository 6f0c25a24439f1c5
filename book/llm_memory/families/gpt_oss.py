"""gpt-oss: every second layer has a window, every head a sink, every expert biases.

Source: transformers' modeling_gpt_oss.py. Its experts store a matrix as (in, out).
"""

from .. import experts
from ..operations import Activation
from ..symbols import b, s
from ..tape import Tape
from . import llama

NO_OTHER_NAMES = ("", "", "")  # the checkpoint stacks its experts as transformers does


def forward(tape: Tape, model) -> Activation:
    """LLaMA's frame around attention with sinks and experts with biases."""
    return llama.forward(tape, model, attention, mlp)


def attention(tape: Tape, model, layers, x: Activation, tables) -> tuple:
    """Grouped-query attention; one more score per head, the sink, takes part."""
    own = tape.parameter("sinks", (model.a,), "sink", split=0, heads=(model.a,))
    tape.operation("sinks", (), "sinks", (b, model.a, s, 1), [own])
    return llama.attention(tape, model, layers, x, tables)


def mlp(tape: Tape, model, x: Activation) -> Activation:
    """Router and routed experts, all with biases."""
    with tape.scope(part="router"):
        routes = tape.linear(x, "router", model.E, bias=True, role="router")
        weights, _chosen = tape.route(routes, model.E_k, experts.route_chosen)
    with tape.scope(part="routed experts"):
        return tape.experts(
            x, routes, model.m, model.E_k, NO_OTHER_NAMES, bias=True, transposed=True,
            weights=weights, function=experts.clamped,
        )  # fmt: skip
