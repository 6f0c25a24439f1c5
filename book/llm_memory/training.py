"""Training states: what a step keeps beside activations, and how ranks divide it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sympy import Expr, S, Symbol, sympify

from .adapters import ALL_LINEAR, PLAIN, Member, frozen_weights, members
from .errors import ConfigError, choose
from .ledger import Ledger, Tensor
from .optimizers import OPTIMIZERS, Optimizer
from .sharding import share, transients
from .symbols import R
from .units import dtype


@dataclass(frozen=True)
class Recipe:
    """The data types of a parameter's copies; None: there is no such copy.

    Attributes:
        weights: what the forward reads.
        grad: the gradient that the backward leaves.
        main_grad: a gradient in the optimizer's precision.
        master: the weights that the optimizer updates; None: `weights` itself.
        compute: what ranks gather under ZeRO-3.
        buffered: whether gradients lie in one communication buffer from the start.
        source: the reference that describes it.
    """

    weights: str
    grad: str | None
    main_grad: str | None = None
    master: str | None = None
    compute: str = "bf16"
    buffered: bool = False
    source: str = "Micikevicius2018"

    @property
    def updated(self) -> str:
        """The data type of what the optimizer updates, and of its states."""
        return self.master or self.weights


RECIPES = {
    "fp32": Recipe("fp32", "fp32", compute="fp32", source="PyTorch"),
    "autocast": Recipe("fp32", "fp32", source="PyTorch"),
    "bf16_mixed": Recipe("bf16", "bf16", None, "fp32", source="Rajbhandari2020"),
    "bf16_mixed_18": Recipe(
        "bf16", None, "fp32", "fp32", buffered=True, source="Megatron"
    ),
    "bf16_mixed_20": Recipe(
        "bf16", "bf16", "fp32", "fp32", buffered=True, source="Megatron"
    ),
    "bf16": Recipe("bf16", "bf16", source="PyTorch"),
}
STAGES = (0, 1, 2, 3)


def training_states(
    model,
    recipe: str = "bf16_mixed",
    optimizer: str = "adamw",
    zero: int = 0,
    ranks: "int | Symbol" = 1,
    lora: int | None = None,
    targets: "str | Iterable[str]" = ALL_LINEAR,
    base: str | None = None,
    prefetch: int = 1,
    bucket_views: bool = False,
    no_sync: bool = False,
) -> Ledger:
    """Return what one rank keeps for training, all but the activations.

    Parts: "weights", "gradients", "master", "optimizer", and "transient" for the
    buffers of communication, which exist for a moment or, with DDP's, throughout.

    Args:
        model: a `Model`; it may be symbolic.
        recipe: a name in `RECIPES`: which copies there are, in which data type.
        optimizer: a name in `OPTIMIZERS`.
        zero: what `ranks` divide. 1: optimizer states, master copy and a second
            gradient; 2: all gradients too; 3: weights too. Stages 1 and 2 divide the
            elements of a tensor, stage 3 the rows of its first axis, as FSDP2 does;
            both round up, so this is the fullest rank.
        ranks: data-parallel ranks, or the symbol R.
        lora: the rank of adapters, which alone are trained; None: all is trained.
        targets: "all-linear" (every linear module inside the layers, the default), or
            names of modules such as ["q_proj", "v_proj"].
        base: with `lora`, how frozen weights are stored: a data type, "int8", "int4",
            "fp8", "nf4", or "nf4_double" (QLoRA). None: as the recipe's weights.
        prefetch: layers that ZeRO-3 gathers ahead of the one that computes.
        bucket_views: DDP's gradients are views of its buckets, not copies.
        no_sync: gradients of several micro-steps are summed before ranks exchange
            them, so stages 2 and 3 keep them whole.

    Raises:
        ConfigError: an unknown name, a stage, rank or size that is none, or a
            combination that does not exist.

    >>> from llm_memory import load_model
    >>> ledger = training_states(load_model("LLaMA-13B"))
    >>> {name: int(part.bytes) for name, part in ledger.parts.items()}
    {'weights': 26031728640, 'gradients': 26031728640, 'master': 52063457280, \
'optimizer': 104126916012}
    """
    kinds = choose("recipe", recipe, RECIPES)
    rules = choose("optimizer", optimizer, OPTIMIZERS)
    _check(zero, ranks, prefetch, rules, optimizer, lora, base)
    ranks = sympify(ranks)
    found = members(model, lora, targets)
    stored = base or kinds.weights
    rows = [
        *_weights(model, found, kinds, stored, zero, ranks),
        *_copies(found, kinds, zero, ranks, no_sync),
        *_states(found, kinds, rules, zero, ranks),
        *transients(found, kinds, zero, ranks, prefetch, bucket_views),
    ]
    return Ledger((row for row in rows if row.count != 0), ranks.free_symbols)


def _check(zero, ranks, prefetch, rules, optimizer, lora, base) -> None:
    if type(zero) is not int or zero not in STAGES:
        raise ConfigError("zero", zero, "must be a stage, one of 0, 1, 2, 3")
    if ranks != R and (type(ranks) is not int or ranks < 1):
        raise ConfigError("ranks", ranks, "must be an integer >= 1, or the symbol R")
    if type(prefetch) is not int or prefetch < 0:
        raise ConfigError("prefetch", prefetch, "must be an integer >= 0")
    if zero and not rules.elementwise:
        rule = f"must be 0 with {optimizer}, which needs whole tensors"
        raise ConfigError("zero", zero, rule)
    if base is not None and lora is None:
        raise ConfigError("base", base, "needs lora=…: only frozen weights have one")
    if base is not None and zero == 3 and base not in PLAIN:
        rule = f"must be below 3 with {base} weights: packed ones are not gathered"
        raise ConfigError("zero", zero, rule)


def _weights(model, found, kinds, stored, zero, ranks) -> Iterator[Tensor]:
    if not all(member.trained for member in found) and zero < 3:
        yield from frozen_weights(model, stored)
    for member in found:
        if member.trained or zero == 3:
            kind = kinds.weights if member.trained else stored
            yield _row(member, "", kind, "weights", ranks if zero == 3 else S.One, zero)


def _copies(
    found: list[Member], kinds: Recipe, zero: int, ranks: Expr, no_sync: bool
) -> Iterator[Tensor]:
    """Give gradients and master copies; each is divided from a stage on."""
    reduced = 4 if no_sync else 2
    copies = (
        (".grad", kinds.grad, "gradients", reduced),
        (".main_grad", kinds.main_grad, "gradients", 1 if kinds.grad else reduced),
        (".master", kinds.master, "master", 1),
    )
    for ending, kind, part, stage in copies:
        for member in found:
            if kind and member.trained:
                divided = ranks if zero >= stage else S.One
                yield _row(member, ending, kind, part, divided, zero)


def _states(
    found, kinds: Recipe, rules: Optimizer, zero: int, ranks: Expr
) -> Iterator[Tensor]:
    for member in found:
        if not member.trained:
            continue
        whole = member.parameter
        part = replace(whole, shape=share(whole.shape, ranks if zero else S.One, zero))
        for state in rules.states(part):
            name = f"{whole.name}.{state.name}"
            kind = state.dtype or dtype(kinds.updated)
            count = whole.count * state.count
            yield Tensor(name, state.shape, kind, count, "optimizer")
    for state in rules.shared:
        yield Tensor(state.name, state.shape, state.dtype, part="optimizer")


def _row(member: Member, ending, kind, part, ranks, zero) -> Tensor:
    parameter = member.parameter
    shape = share(parameter.shape, sympify(ranks), zero)
    return Tensor(parameter.name + ending, shape, kind, parameter.count, part)
