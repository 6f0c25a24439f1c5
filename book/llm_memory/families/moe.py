"""Mixture of experts: a router picks E_k of E gated MLPs for each token."""

from ..operations import Activation
from ..tape import Tape
from . import llama

# The checkpoint stores each expert j by itself; transformers stacks them.
EXPERT = tuple(f"mlp.experts.{{j}}.{name}_proj" for name in ("gate", "up", "down"))
CORRECTION = "gate.e_score_correction_bias"
MIXTRAL_ROUTER = "block_sparse_moe.gate"
MIXTRAL_EXPERT = tuple(
    f"block_sparse_moe.experts.{{j}}.{w}" for w in ("w1", "w3", "w2")
)


def mlp(tape: Tape, model, x: Activation) -> Activation:
    """Router, routed experts, and the shared experts that every token uses."""
    mixtral = model.model_type == "mixtral"
    with tape.scope(part="router"):
        file_name = MIXTRAL_ROUTER if mixtral else ""
        routes = tape.linear(  # (b, s, E)
            x, "gate", model.E, role="router", checkpoint=file_name,
            wide=model.wide_router,
        )  # fmt: skip
        weights, _chosen = tape.route(
            routes,
            model.E_k,
            normalised=model.normalised_routes,
            dtype="fp32" if model.wide_routes else "bf16",
            correction=CORRECTION if model.correction_bias else "",
            scaled=model.wide_router,  # as DeepSeek does
            groups=(model.G, model.G_k),
            limited=model.group_limited,
        )
    with tape.scope(part="routed experts"):
        y = tape.experts(
            x, routes, model.m, model.E_k, MIXTRAL_EXPERT if mixtral else EXPERT,
            weights=weights, function=model.activation,
        )  # fmt: skip
    if model.E_s is None:
        return y
    with tape.scope("shared_experts.", part="shared experts"):
        shared = llama.mlp(tape, model, x, model.m * model.E_s)
    return tape.add(y, shared)
