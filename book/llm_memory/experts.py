"""The kernels of routed experts, in order, with what they keep for the backward.

transformers runs them as "grouped_mm", its default: one row for each token and each of
the E_k experts that it goes to, sorted by expert. So all sizes are known beforehand:
which expert a token goes to changes no shape.
Source: transformers' integrations/moe.py and the routers of its modeling files.
"""

from sympy import Eq

from . import expert_gradients as rules
from . import gradients
from .errors import ConfigError


def route(
    tape, scores, active, *, normalised: bool, dtype: str, corrected: bool = False,
    scaled: bool = False, groups=None, limited=False,
):  # fmt: skip
    """Choose experts by the largest shares, in fp32: weights and experts, (b, s, E_k).

    Shares are a softmax or a sigmoid of the scores: both keep their result. A choice
    saves what its gradient needs, also where nothing asks for that.

    Args:
        tape: makes and saves tensors.
        scores: (b, s, E), one per expert.
        active: E_k.
        normalised: whether the weights are divided by their sum, in place.
        dtype: of the weights.
        corrected: whether shares are sigmoids, to which a vector is added for the
            choice; else they are a softmax.
        scaled: whether the weights are multiplied by a number.
        groups: how many groups of experts there are, and how many of them a token may
            use, where shares are corrected.
        limited: whether the shares of some groups of experts are left out; how these
            are found is not derived.
    """
    tokens = scores.shape[:-1]
    if corrected:
        shares, chosen, _alive = _in_groups(tape, scores, active, *groups)
    else:
        shares, chosen, _alive = _of_all(tape, scores, active, limited)
    weights = tape.make(
        "weights", (*tokens, active), "fp32",
        of=(shares,), rule=rules.scattered(shares.shape), saved=(chosen,),
    )  # fmt: skip
    if normalised:
        total = tape.make(
            "sum of the weights", (*tokens, 1), "fp32", of=(weights,), rule=rules.shared
        )
        if corrected:
            total = tape.make(
                "sum of the weights, not 0", total.shape, "fp32",
                of=(total,), rule=gradients.same,
            )  # fmt: skip
        if tape.run.training:  # which keeps what is divided
            weights = tape.make(
                "weights", weights.shape, "fp32",
                of=(weights, total), rule=rules.divided, saved=(weights, total),
            )  # fmt: skip
        if not corrected:
            del total
    if scaled:
        rule = gradients.like("of the scaled weights")
        weights = tape.make(
            "weights, scaled", weights.shape, "fp32", of=(weights,), rule=rule
        )
    if dtype != "fp32":
        rule = gradients.cast("fp32")
        weights = tape.make("weights", weights.shape, dtype, of=(weights,), rule=rule)
    return weights, chosen


def _of_all(tape, scores, active, limited) -> tuple:
    """Choose from a softmax: the shares, what is chosen, and what else lives on."""
    wide = scores
    if scores.dtype != "fp32":
        wide = tape.make(
            "router's scores in fp32", scores.shape, "fp32",
            of=(scores,), rule=gradients.cast(scores.dtype),
        )  # fmt: skip
    shares = _shares(tape, wide)
    del wide
    if limited:
        tape.make("experts left out", scores.shape, "bool", saves_output=True)
    chosen = tape.make("chosen experts", (*scores.shape[:-1], active), "int64")
    return shares, chosen, ()


def _in_groups(tape, scores, active, number, kept) -> tuple:
    """The same from sigmoids, in the groups whose two best experts have the most."""
    *tokens, experts = scores.shape
    _check_groups(tape, experts, number)
    shares = _shares(tape, scores)
    corrected = tape.make("corrected shares", scores.shape, "fp32")
    best = tape.make("two best shares of each group", (*tokens, number, 2), "fp32")
    places = tape.make("their places", best.shape, "int64")
    held = [places] if tape.saves else []
    del places
    of_groups = tape.make("shares of groups", (*tokens, number), "fp32")
    del best
    outside, alive = _outside(tape, scores.shape, of_groups, kept)
    corrected = tape.make("corrected shares inside", scores.shape, "fp32")
    if tape.saves:
        held.append(outside)
    del outside
    best = tape.make("best shares", (*tokens, active), "fp32")
    chosen = tape.make("chosen experts", best.shape, "int64")
    del best
    return shares, chosen, (corrected, of_groups, *held, *alive)


def _outside(tape, shape, of_groups, kept) -> tuple:
    """Mark the experts outside the best groups; and what else lives on."""
    *tokens, number = of_groups.shape
    best = tape.make("best shares of groups", (*tokens, kept), "fp32")
    places = tape.make("best groups", best.shape, "int64")
    del best
    marks = tape.make("marks of groups", of_groups.shape, "fp32")
    single = Eq(number, 1)
    of_experts = tape.copy(marks, "marks of experts", shape, unless=single)
    inside = tape.make("experts inside", shape, "bool")
    outside = tape.make("experts outside", shape, "bool")
    del inside
    return outside, (places, marks, of_experts)


def _shares(tape, scores):
    rule = gradients.like("of the router's shares")
    return tape.make(
        "router's shares", scores.shape, "fp32",
        of=(scores,), rule=rule, saves_output=True,
    )  # fmt: skip


def _check_groups(tape, experts, number) -> None:
    known = tape.timeline and experts.is_Integer
    if known and (experts % number or experts < 2 * number):
        rule = f"must part the {experts} routed experts into groups of two or more"
        raise ConfigError("n_group", int(number), rule)


def route_chosen(tape, scores, active):
    """Choose experts by the largest scores: a softmax of these gives their weights."""
    shape = (*scores.shape[:-1], active)
    chosen = tape.make("chosen experts", shape, "int64")
    weights = tape.make("weights", shape, saved=(chosen,), saves_output=True)
    return weights, chosen


def clamped(tape, gate, up):
    """(up + 1) · gate · sigmoid(α·gate), both kept within bounds first."""
    kept = [
        tape.make(name, gate.shape)
        for name in ("gate, clamped", "sigmoid", "gate", "up + 1")
    ]
    return tape.make("product", gate.shape, saved=(gate, up, *kept))


def grouped(tape, x, weights, matrices, width, function, bias: bool = False):
    """Gated MLPs over rows sorted by expert, weighted, and summed for each token.

    Biases are looked up for each row by its expert. `function` activates the gate;
    `clamped` makes the whole product.
    """
    gate_up, down = matrices
    rows, learns = weights.shape, not tape.run.frozen
    wide = (*rows, x.shape[-1])
    expert = tape.make("expert of each row", rows, "int64")
    order = tape.make("order by expert", rows, "int64")
    token = tape.make("token of each row", rows, "int64")
    sorted_x = tape.make(
        "rows by expert", wide, of=(x,), rule=rules.scattered(x.shape), saved=(token,)
    )
    del token
    by_expert = tape.make(
        "weights by expert", rows, weights.dtype,
        of=(weights,), rule=rules.scattered(rows), saved=(order,),
    )  # fmt: skip
    narrow = tape.make("expert of each row, in 32 bits", rows, "int32")
    counts = tape.make("number of each expert's rows", gate_up.shape[:1], "int32")
    ends = tape.make("end of each expert's rows", gate_up.shape[:1], "int32")
    if bias and learns:
        tape.make("expert of each row", rows, "int64", saves_output=True)
    y = tape.make(
        "gate_up_proj", (*rows, 2 * width),
        of=(gate_up, sorted_x), rule=rules.grouped(gate_up),
        saved=(ends, *([sorted_x] * learns)),
    )  # fmt: skip
    y = _gated(tape, y, width, function)
    y = tape.make(
        "down_proj", wide,
        of=(down, y), rule=rules.grouped(down), saved=(y,) if learns else (),
    )  # fmt: skip
    weighted = tape.make(
        "weighted", wide, weights.dtype,
        of=(y, by_expert), rule=rules.weighted, saved=(y, by_expert),
    )  # fmt: skip
    back = tape.make("order by token", rows, "int64")
    numbers = tape.make("numbers of the rows", rows, "int64")
    del numbers
    weighted = tape.make(
        "weighted, by token", wide, weights.dtype,
        of=(weighted,), rule=rules.scattered(wide), saved=(back,),
    )  # fmt: skip
    output = tape.make(
        "experts", x.shape, weights.dtype,
        of=(weighted,), rule=rules.spread(rows[-1], wide),
    )  # fmt: skip
    if output.dtype != x.dtype:
        rule = gradients.cast(output.dtype)
        output = tape.make("experts", x.shape, x.dtype, of=(output,), rule=rule)
    del expert, narrow, counts, weighted
    return output


def _gated(tape, packed, width, function):
    gate, up = tape.columns(packed, {"gate": width, "up": width}, parts=True)
    if function is clamped:
        return clamped(tape, gate, up)
    gate = tape.activated(gate, function)
    return tape.make(
        "product", gate.shape,
        of=(gate, up), rule=gradients.product, saved=(gate, up),
    )  # fmt: skip
