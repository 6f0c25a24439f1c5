"""Optimizers: the tensors that each keeps for a parameter, as rules over its shape."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from sympy import Expr, Piecewise, S, ceiling

from .operations import Parameter
from .units import DType, dtype

BYTE = DType("uint8", 8, "uint8", "0 to 255, an index into a table of values")
BLOCK_8BIT = 256  # elements that share a scale
SMALLEST_8BIT = 4096  # smaller tensors keep fp32 states
HIDDEN = ("matrix", "projection", "router")


@dataclass(frozen=True)
class State:
    """A tensor that an optimizer keeps for one parameter.

    Attributes:
        name: the framework's key in `optimizer.state[parameter]`.
        shape: its shape.
        dtype: its data type; None: that of the tensor that the optimizer updates.
        count: 1, or a condition on the parameter's size as 1 or 0.
    """

    name: str
    shape: tuple[Expr, ...]
    dtype: DType | None = None
    count: Expr = S.One


@dataclass(frozen=True)
class Optimizer:
    """Rules for the states of a parameter, and where they are described.

    Attributes:
        states: parameter → its states.
        elementwise: whether a piece of a tensor has the same piece of its states, so
            that ranks can divide them without knowing the tensor's shape.
        shared: tensors that exist once.
        source: the reference that describes it.
    """

    states: Callable[[Parameter], list[State]]
    elementwise: bool = False
    shared: tuple[State, ...] = ()
    source: str = "PyTorch"


def step_counter() -> State:
    """Return the fp32 scalar in which PyTorch counts the steps of each tensor."""
    return State("step", (), dtype("fp32"))


def sgd(parameter: Parameter) -> list[State]:
    """Momentum: one tensor like the parameter."""
    return [State("momentum_buffer", parameter.shape)]


def adamw(parameter: Parameter) -> list[State]:
    """Two moments like the parameter, and a step counter.

    >>> [state.name for state in adamw(Parameter("w", (S(3), S(4)), "matrix"))]
    ['step', 'exp_avg', 'exp_avg_sq']
    """
    moments = [State(name, parameter.shape) for name in ("exp_avg", "exp_avg_sq")]
    return [step_counter(), *moments]


def adafactor(parameter: Parameter) -> list[State]:
    """A row and a column of second moments per matrix; a vector keeps them all.

    >>> [state.shape for state in adafactor(Parameter("w", (S(3), S(4)), "matrix"))]
    [(), (3, 1), (1, 4)]
    """
    *stack, last = parameter.shape
    if not stack:
        return [step_counter(), State("variance", parameter.shape)]
    columns = (*stack[:-1], S.One, last)
    return [
        step_counter(),
        State("row_var", (*stack, S.One)),
        State("col_var", columns),
    ]


def adamw_8bit(parameter: Parameter) -> list[State]:
    """Two moments in 8 bits, a scale per 256 elements; small tensors keep fp32.

    >>> big = Parameter("w", (S(64), S(65)), "matrix")
    >>> [(state.name, state.shape) for state in adamw_8bit(big)][2:]
    [('absmax1', (17,)), ('absmax2', (17,))]
    """
    n = prod(parameter.shape, start=S.One)
    large = Piecewise((1, n >= SMALLEST_8BIT), (0, True))
    layouts = (
        ("state", parameter.shape, BYTE, large),
        ("absmax", (ceiling(n / BLOCK_8BIT),), dtype("fp32"), large),
        ("state", parameter.shape, dtype("fp32"), 1 - large),
    )
    return [
        State(f"{name}{moment}", shape, kind, count)
        for name, shape, kind, count in layouts
        for moment in (1, 2)
        if count != 0
    ]


def muon(parameter: Parameter) -> list[State]:
    """One momentum for the matrices of the layers; AdamW's states for all else.

    >>> [state.name for state in muon(Parameter("w", (S(3), S(4)), "matrix"))]
    ['momentum_buffer']
    """
    hidden = parameter.role in HIDDEN and len(parameter.shape) == 2
    return sgd(parameter) if hidden else adamw(parameter)


TABLES_8BIT = tuple(State(f"qmap{i}", (S(256),), dtype("fp32")) for i in (1, 2))

OPTIMIZERS = {
    "adamw": Optimizer(adamw, elementwise=True, source="Loshchilov2019"),
    "sgd": Optimizer(sgd, elementwise=True),
    "adafactor": Optimizer(adafactor, source="Shazeer2018"),
    "adamw_8bit": Optimizer(adamw_8bit, shared=TABLES_8BIT, source="Dettmers2022b"),
    "muon": Optimizer(muon, source="Jordan2024"),
}
