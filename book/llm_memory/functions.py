"""Activation functions, kernel by kernel, with what each keeps for the backward.

Names and formulas are those of transformers' activations.py. "prelu" and "xielu" have
parameters of their own and are not described.
"""

from . import gradients


def of_input(tape, x, name: str):
    """One kernel, which keeps its input."""
    rule = gradients.like(f"of {name}")
    return tape.make(name, x.shape, x.dtype, of=(x,), rule=rule, saved=(x,))


def of_output(tape, x, name: str):
    """One kernel, which keeps its output."""
    rule = gradients.like(f"of {name}")
    return tape.make(name, x.shape, x.dtype, of=(x,), rule=rule, saves_output=True)


def unchanged(tape, x, name: str):
    """No kernel."""
    return x


def gelu_new(tape, x, name: str):
    """0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) in eight kernels.

    Kept are x, 0.5·x, the tanh and 1 + tanh.
    """

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


def composed(*inner: str, keeps_input: bool = True):
    """Return a function of several kernels, which keep `inner`; no order is derived."""

    def function(tape, x, name: str):
        kept = [tape.make(f"{name} {each}", x.shape, x.dtype) for each in inner]
        return tape.make(name, x.shape, x.dtype, saved=(*([x] * keeps_input), *kept))

    return function


def sqrtsoftplus(tape, x, name: str):
    """Two kernels; the first keeps its input, the second its output."""
    return tape.make(name, x.shape, x.dtype, saved=(x,), saves_output=True)


INPUT = (
    "gelu", "gelu_pytorch_tanh", "silu", "swish", "mish", "hardswish", "leaky_relu",
    "relu6",
)  # fmt: skip
OUTPUT = ("relu", "sigmoid", "tanh")
TIMED = ("relu", "gelu", "gelu_pytorch_tanh", "gelu_new", "silu", "swish")
FUNCTIONS = {
    **dict.fromkeys(INPUT, of_input),
    **dict.fromkeys(OUTPUT, of_output),
    "linear": unchanged,
    **dict.fromkeys(("gelu_new", "gelu_python_tanh", "gelu_accurate"), gelu_new),
    "gelu_10": composed("gelu"),
    "gelu_fast": composed(
        "0.5·x", "0.80·x", "0.04·x", "1 + 0.04·x²", "tanh", "1 + tanh"
    ),
    "gelu_python": composed("0.5·x", "x/√2", "1 + erf", keeps_input=False),
    "laplace": composed("(x - μ)/σ√2", keeps_input=False),
    "quick_gelu": composed("sigmoid"),
    "relu2": composed("relu", keeps_input=False),
    "sqrtsoftplus": sqrtsoftplus,
}
ONE_KERNEL = (of_input, of_output, unchanged)
