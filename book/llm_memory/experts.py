"""The kernels of routed experts, in order, with what they keep for the backward.

transformers runs them as "grouped_mm", its default: one row for each token and each of
the E_k experts that it goes to, sorted by expert. So all sizes are known beforehand:
which expert a token goes to changes no shape.
Source: transformers' integrations/moe.py and the routers of its modeling files.
"""


def route(tape, scores, active, *, normalised: bool, dtype: str, limited=False):
    """Choose experts by the largest shares, in fp32: their weights (b, s, E_k).

    Shares are a softmax or a sigmoid of the scores: both keep their result.

    Args:
        tape: makes and saves tensors.
        scores: (b, s, E), one per expert.
        active: E_k.
        normalised: whether the weights are divided by their sum, in place.
        dtype: of the weights.
        limited: whether the shares of some groups of experts are left out.
    """
    tokens = scores.shape[:-1]
    chosen = tape.make("chosen experts", (*tokens, active), "int64")
    shares = tape.make("router's shares", scores.shape, "fp32")
    if limited:
        tape.make("experts left out", scores.shape, "bool", saves_output=True)
    weights = tape.make("weights", (*tokens, active), "fp32", saved=(shares, chosen))
    if normalised:
        total = tape.make("sum of the weights", (*tokens, 1), "fp32")
        weights = tape.make("weights", weights.shape, "fp32", saved=(weights, total))
    if dtype == "fp32":
        return weights
    return tape.make("weights", weights.shape, dtype)


def route_chosen(tape, scores, active):
    """Choose experts by the largest scores: a softmax of these gives their weights."""
    shape = (*scores.shape[:-1], active)
    chosen = tape.make("chosen experts", shape, "int64")
    return tape.make("weights", shape, saved=(chosen,), saves_output=True)


def clamped(tape, gate, up):
    """(up + 1) · gate · sigmoid(α·gate), both kept within bounds first."""
    kept = [
        tape.make(name, gate.shape)
        for name in ("gate, clamped", "sigmoid", "gate", "up + 1")
    ]
    return tape.make("product", gate.shape, saved=(gate, up, *kept))


def grouped(tape, x, weights, experts, width, function, bias: bool = False):
    """Gated MLPs over rows sorted by expert, weighted, and summed for each token.

    Biases are looked up for each row by its expert. `function` activates the gate;
    `clamped` makes the whole product.
    """
    rows, learns = weights.shape, not tape.run.frozen
    order = tape.make("order by expert", rows, "int64")
    tokens = tape.make("token of each row", rows, "int64")
    sorted_x = tape.make("rows by expert", (*rows, x.shape[-1]), saved=(tokens,))
    by_expert = tape.make("weights by expert", rows, weights.dtype, saved=(order,))
    ends = tape.make("end of each expert's rows", (experts,), "int32")
    if bias and learns:
        tape.make("expert of each row", rows, "int64", saves_output=True)
    packed = tape.make(
        "gate_up_proj", (*rows, 2 * width), saved=(ends, *([sorted_x] * learns))
    )
    gate, up = (tape.part(packed, name, width) for name in ("gate", "up"))
    if function is clamped:
        product = clamped(tape, gate, up)
    else:
        gate = tape.activated(gate, function)
        product = tape.make("product", gate.shape, saved=(gate, up))
    y = tape.make("down_proj", sorted_x.shape, saved=(product,) if learns else ())
    weighted = tape.make("weighted", y.shape, weights.dtype, saved=(y, by_expert))
    back = tape.make("order by token", rows, "int64")
    tape.make("weighted, by token", y.shape, weighted.dtype, saved=(back,))
    return tape.make("experts", x.shape, x.dtype)
