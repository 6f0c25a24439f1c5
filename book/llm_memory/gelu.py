"""The kernels of GPT-2's GELU, 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))."""

from . import gradients


def composed(tape, x, name: str):
    """Make it in eight kernels; kept are x, 0.5·x, the tanh and 1 + tanh."""

    def step(label, *of, rule, **kept):
        return tape.make(f"{name} {label}", x.shape, x.dtype, of=of, rule=rule, **kept)

    half = step("0.5·x", x, rule=gradients.like("of 0.5·x"))
    cube = step("x³", x, rule=gradients.power, saved=(x,))
    small = step("0.044715·x³", cube, rule=gradients.like("of 0.044715·x³"))
    del cube
    inner = step("x + 0.044715·x³", x, small, rule=gradients.same)
    del small
    scaled = step("√(2/π)·(…)", inner, rule=gradients.like("of √(2/π)·(…)"))
    del inner
    tanh = step("tanh", scaled, rule=gradients.like("of tanh"), saves_output=True)
    del scaled
    shifted = step("1 + tanh", tanh, rule=gradients.same)
    del tanh
    return tape.make(
        name, x.shape, x.dtype,
        of=(half, shifted), rule=gradients.product, saved=(half, shifted),
    )  # fmt: skip
