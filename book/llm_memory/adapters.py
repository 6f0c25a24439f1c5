"""What is trained and what is frozen: every parameter, or low-rank adapters (LoRA)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

from sympy import Expr, S, ceiling

from .errors import ConfigError, choose
from .families import forward
from .ledger import Ledger, Tensor
from .operations import Parameter
from .optimizers import BYTE
from .weights import FORMATS as FILE_FORMATS
from .weights import weights

PLAIN = ("bf16", "fp16", "fp32")
LINEAR = ("matrix", "projection")
ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class Member:
    """A parameter, the group of layers that it is in (0: none), whether it is trained.

    A group numbers layers that are alike; the parameter's count is the layers'.
    """

    parameter: Parameter
    group: int
    trained: bool = True

    @property
    def elements(self) -> Expr:
        """Elements of one such tensor."""
        return prod(self.parameter.shape, start=S.One)


@dataclass(frozen=True)
class Packed:
    """4-bit values of a matrix, taken as one long row, with a scale per block.

    Attributes:
        block: values that share a scale.
        nested: scales that share a scale of their own; None: scales are fp32.
        source: the reference that describes it.
    """

    block: int
    nested: int | None
    source: str

    def rows(self, parameter: Parameter) -> Iterator[Tensor]:
        """Give the tensors that hold one packed matrix.

        >>> matrix = Parameter("w", (S(300), S(70)), "matrix")
        >>> [int(row.elements) for row in PACKED["nf4"].rows(matrix)]
        [21000, 329, 16]
        """
        n = prod(parameter.shape, start=S.One)
        scales = ceiling(n / self.block)

        def row(ending, elements, kind):
            name = f"{parameter.name}{ending}"
            return Tensor(name, (elements,), kind, parameter.count, "weights")

        yield row("", n, "int4")
        yield row(".absmax", scales, BYTE if self.nested else "fp32")
        yield row(".quant_map", 16, "fp32")
        if self.nested:
            yield row(".nested_absmax", ceiling(scales / self.nested), "fp32")
            yield row(".nested_offset", 1, "fp32")

    @property
    def shared(self) -> list[Tensor]:
        """The table of the nested scales' values, which exists once."""
        table = Tensor("nested_quant_map", (256,), "fp32", part="weights")
        return [table] if self.nested else []


PACKED = {
    "nf4": Packed(64, None, "Dettmers2023"),
    "nf4_double": Packed(64, 256, "Dettmers2023"),
}


def members(model, lora: int | None, targets: "str | Iterable[str]") -> list[Member]:
    """Return the parameters of a model, with adapters after what they adapt.

    Arguments and errors are those of `training_states`.

    >>> from llm_memory import load_model
    >>> found = members(load_model("GPT-2"), lora=8, targets=["c_attn"])
    >>> [(str(m.parameter.shape), m.trained) for m in found if m.trained]
    [('(8, 768)', True), ('(2304, 8)', True)]
    """
    whole = [
        Member(parameter, operation.group, trained=lora is None)
        for operation in forward(model).operations
        for parameter in operation.parameters
        if parameter.role != "buffer"
    ]
    if lora is None:
        return whole
    if type(lora) is not int or lora < 1:
        raise ConfigError("lora", lora, "must be a rank, an integer >= 1, or None")
    chosen = _targets(whole, targets)
    return [
        each
        for member in whole
        for each in (member, *(_pair(member, lora) if member in chosen else ()))
    ]


def frozen_weights(model, base: str) -> Ledger:
    """Return weights that are not trained, in a data type or a packed format.

    Raises:
        ConfigError: no such format, or a 4-bit format for stacked experts.

    >>> from llm_memory import load_model
    >>> frozen_weights(load_model("Qwen3-8B"), "nf4_double").bytes
    6073061104
    """
    choose("base", base, dict.fromkeys((*PLAIN, *FILE_FORMATS, *PACKED)))
    if base in FILE_FORMATS:
        return weights(model, quantization=base).as_part("weights")
    if base in PLAIN:
        return weights(model, base).as_part("weights")
    parameters = forward(model).parameters
    if any(each.role == "experts" for each in parameters):
        rule = "packs linear modules, and experts are one stacked parameter here"
        raise ConfigError("base", base, rule)
    rows = [
        row
        for each in parameters
        for row in (
            PACKED[base].rows(each)
            if each.role in LINEAR
            else [Tensor(each.name, each.shape, "bf16", each.count, "weights")]
        )
    ]
    return Ledger([*rows, *PACKED[base].shared])


def _targets(whole: list[Member], targets: "str | Iterable[str]") -> list[Member]:
    linear = [each for each in whole if each.parameter.role in LINEAR]
    if targets == ALL_LINEAR:
        return linear
    wanted = [targets] if isinstance(targets, str) else targets
    if not isinstance(wanted, list | tuple | set | frozenset) or not wanted:
        rule = f"must be {ALL_LINEAR!r}, or names of linear modules, at least one"
        raise ConfigError("targets", targets, rule)
    names = dict.fromkeys(_module(each) for each in linear)
    for name in wanted:
        choose("targets", name, {ALL_LINEAR: None} | names)
    return [each for each in linear if _module(each) in wanted]


def _module(member: Member) -> str:
    return member.parameter.name.split(".")[-2]


def _pair(member: Member, rank: int) -> tuple[Member, Member]:
    """Return the two factors of an adapter: (rank × in), then (out × rank)."""
    old = member.parameter
    rows, columns = reversed(old.shape) if old.transposed else old.shape
    stem = old.name.removesuffix("weight")
    return tuple(
        Member(
            replace(old, name=f"{stem}{name}.weight", shape=shape, transposed=False),
            member.group,
        )
        for name, shape in (
            ("lora_A", (S(rank), columns)),
            ("lora_B", (rows, S(rank))),
        )
    )
