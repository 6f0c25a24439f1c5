"""Weights: the tensors that a tape loads, as they are stored."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sympy import Expr, Integer, S, ceiling

from . import units
from .errors import ConfigError, check_flag, choose
from .families import forward
from .ledger import Ledger, Tensor
from .operations import Parameter
from .units import DType


@dataclass(frozen=True)
class Format:
    """How a quantised matrix (out × in) is stored: packed values, and extra rows.

    Attributes:
        name: what `weights` calls it.
        values: data type of the matrix.
        block: (rows, columns) that share a scale; None: the whole of that side.
        scale: data type of a scale.
        zero_point: data type of a zero point, or None: the levels are symmetric.
        source: the reference that describes it.
        packs: roles of the parameters that are packed.
        endings: what is added to the names of a packed matrix, its scales and its
            zero points.
    """

    name: str
    values: DType
    block: tuple[int | None, int | None]
    scale: DType
    zero_point: DType | None = None
    source: str = ""
    packs: tuple[str, ...] = ("matrix", "experts")
    endings: tuple[str, str, str] = ("", "_scale", "_zero_point")

    def blocks(self, rows: Expr, columns: Expr) -> tuple[Expr, Expr]:
        """Return how many blocks a matrix has in each direction.

        >>> FORMATS["fp8"].blocks(S(576), S(7168))
        (5, 56)
        """
        high, wide = self.block
        return (
            ceiling(rows / high) if high else S.One,
            ceiling(columns / wide) if wide else S.One,
        )


FORMATS = {
    each.name: each
    for each in (
        Format(
            "int8", units.dtype("int8"), (1, None), units.dtype("fp32"),
            source="Dettmers2022",
        ),
        Format(
            "fp8", units.dtype("fp8"), (128, 128), units.dtype("fp32"),
            source="DeepSeekV3", endings=("", "_scale_inv", "_zero_point"),
        ),
        Format(
            "int4", units.dtype("int4"), (1, 128), units.dtype("fp16"),
            units.dtype("int4"), source="Lin2024",
        ),
    )
}  # fmt: skip
# Of checkpoints that pack the routed experts alone.
EXPERT_FORMATS = {
    "mxfp4": Format(
        "mxfp4", units.dtype("fp4"), (1, 32), units.dtype("e8m0"),
        source="Rouhani2023", packs=("experts",), endings=("_blocks", "_scales", ""),
    )
}  # fmt: skip
QUANTIZED = FORMATS | EXPERT_FORMATS


def weights(
    model,
    dtype: "str | DType" = "bf16",
    quantization: "str | Format | None" = None,
    mtp: bool = False,
    tp: int = 1,
) -> Ledger:
    """Return every parameter as it is loaded, one row per kind, tied tensors once.

    Args:
        model: a `Model`.
        dtype: data type of what is not quantised.
        quantization: None, or a `Format` or its name ("int8", "fp8", "int4",
            "mxfp4"). The matrices of the layers are packed (mxfp4: the routed experts
            alone), and their scales become extra rows; embedding, head, norms, biases
            and routers keep `dtype`. A model that brings its own fp8 blocks is packed
            in these. Such a ledger lists what a checkpoint stores, so the router's
            correction bias (fp32) is in it.
        mtp: include the multi-token-prediction layers of the checkpoint.
        tp: give the rows of one of `tp` tensor-parallel ranks: projections are
            divided, KV heads replicate once `tp` exceeds them, the rest is whole.

    Raises:
        ConfigError: an unknown data type or format, a format that packs nothing of
            this model, no MTP layers to include, or sizes that `tp` does not divide.

    >>> from llm_memory import load_model
    >>> weights(load_model("Qwen3-0.6B")).elements
    596049920
    """
    kind, packing = units.dtype(dtype), packing_of(model, quantization)
    return Ledger(
        row
        for parameter in forward(model, check_flag("mtp", mtp)).parameters
        for row in stored(on_rank(parameter, tp), kind, packing)
    )


def active_weights(model, dtype: "str | DType" = "bf16") -> Ledger:
    """Return the weights that one token uses: of the routed experts, E_k of E.

    Everything else is whole, embedding and head included.

    Raises:
        ConfigError: an unknown data type.

    >>> from llm_memory import load_model
    >>> active_weights(load_model("Mixtral-8x7B")).elements
    12879925248
    """
    kind = units.dtype(dtype)
    return Ledger(
        row
        for parameter in forward(model).parameters
        for row in stored(_active(parameter), kind, None)
    )


def read_weights(
    model,
    dtype: "str | DType" = "bf16",
    quantization: "str | Format | None" = None,
) -> Ledger:
    """Return the weights that a step reads whole, however few its tokens are.

    Every matrix and vector that it computes with, a tied head included. Left out are
    tables of which it looks up single rows; of the routed experts E_k are read, the
    fewest that there can be.

    Arguments and errors are those of `weights`.

    >>> from llm_memory import load_model
    >>> model = load_model("LLaMA-7B")
    >>> weights(model).elements - read_weights(model).elements == model.V * model.h
    True
    """
    kind, packing = units.dtype(dtype), packing_of(model, quantization)
    return Ledger(
        row
        for operation in forward(model).operations
        if operation.kind != "embedding"
        for parameter in (*operation.parameters, *operation.shared)
        for row in stored(_active(parameter), kind, packing)
    )


def on_rank(parameter: Parameter, tp: int) -> Parameter:
    """Return a rank's share of a parameter under tensor parallelism.

    Rows of the vocabulary are rounded up to whole rows, as engines pad them.

    Raises:
        ConfigError: `tp` is no integer >= 1, or does not divide the sizes.
    """
    if type(tp) is not int or tp < 1:
        raise ConfigError("tp", tp, "must be an integer >= 1")
    if tp == 1 or parameter.split is None:
        return parameter
    axis, shape = parameter.split, list(parameter.shape)
    if parameter.heads:
        width = shape[axis] / sum(parameter.heads)
        shape[axis] = width * sum(heads_on_rank(each, tp) for each in parameter.heads)
    else:
        shape[axis] = ceiling(shape[axis] / tp)
        exact = parameter.shape[axis] % tp == 0
        if not exact and parameter.role not in ("embedding", "head"):
            rule = f"must divide {parameter.name}, {parameter.shape[axis]} wide"
            raise ConfigError("tp", tp, rule)
    return replace(parameter, shape=tuple(shape))


def heads_on_rank(heads: Expr, tp: int) -> Expr:
    """Return the heads that a rank holds: an equal share, or one that replicates.

    >>> heads_on_rank(S(8), 4), heads_on_rank(S(8), 16)
    (2, 1)
    """
    if not isinstance(heads, Integer):
        raise ConfigError("tp", tp, f"needs a number of heads, not {heads}")
    if heads % tp and tp % heads:
        rule = f"must divide {heads} heads, or be a multiple of them"
        raise ConfigError("tp", tp, rule)
    return max(heads // tp, S.One)


def packing_of(model, quantization: "str | Format | None") -> Format | None:
    """Return the format that `weights` packs a model in, or None."""
    if quantization is None:
        return None
    named = not isinstance(quantization, Format)
    packing = choose("quantization", quantization, QUANTIZED) if named else quantization
    if not any(each.role in packing.packs for each in forward(model).parameters):
        rule = f"packs {' and '.join(packing.packs)}, of which {model} has none"
        raise ConfigError("quantization", packing.name, rule)
    if named and packing.name == "fp8" and model.weight_block:
        return replace(packing, block=model.weight_block)
    return packing


def _active(parameter: Parameter) -> Parameter:
    if parameter.active is None:
        return parameter
    return replace(parameter, shape=(parameter.active, *parameter.shape[1:]))


def stored(
    parameter: Parameter, kind: DType, packing: Format | None
) -> Iterator[Tensor]:
    """Give the tensors that hold one parameter: itself, or packed values and scales."""

    def row(shape, stored: DType, ending: str = "") -> Tensor:
        names = tuple(name + ending for name in parameter.checkpoint)
        return Tensor(
            parameter.name + ending,
            shape,
            stored,
            parameter.count,
            parameter.part,
            names,
        )

    if parameter.role == "buffer":
        if packing:
            yield row(parameter.shape, units.dtype("fp32"))
    elif packing is None or parameter.role not in packing.packs:
        yield row(parameter.shape, kind)
    else:
        blocks = _blocks(parameter, packing)
        packed, scale, zero_point = packing.endings
        yield row(parameter.shape, packing.values, packed)
        yield row(blocks, packing.scale, scale)
        if packing.zero_point:
            yield row(blocks, packing.zero_point, zero_point)


def _blocks(parameter: Parameter, packing: Format) -> tuple[Expr, ...]:
    *stack, rows, columns = parameter.shape
    if parameter.transposed:
        rows, columns = columns, rows
    high, wide = packing.blocks(rows / parameter.fused, columns)
    return (*stack, parameter.fused * high, wide)
