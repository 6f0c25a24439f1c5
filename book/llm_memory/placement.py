"""Where each byte lies: what one rank holds when several ranks share a model.

The ranks of one engine are tp × pp × attention_dp. Tensor parallelism (tp) divides the
tensors of a layer, pipeline parallelism (pp) the layers, and data-parallel attention
(attention_dp) the sequences, while only some weights are divided among its groups.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import prod

from sympy import S, ceiling

from . import units
from .errors import ConfigError, check_flag, choose
from .families import forward
from .kv_cache import CacheFormat, CacheLayers, cache_layers, cache_ledger
from .layers import first_layers
from .ledger import Ledger, Tensor
from .operations import Parameter
from .symbols import check_size
from .weights import QUANTIZED, on_rank, packing_of, stored

DIVISIBLE = ("embedding", "head", "MLP", "shared experts", "routed experts")


@dataclass(frozen=True)
class Placement:
    """How the ranks of one engine share a model.

    Attributes:
        tp: tensor-parallel ranks. KV heads replicate once `tp` exceeds them; a latent
            has no heads and is whole on every rank.
        pp: pipeline stages. The embedding is on the first, final norm and head on the
            last; a tied head is a copy of the embedding there.
        attention_dp: groups of ranks that each serve sequences of their own.
        stages: layers of each stage; None: equal shares, and what remains goes to the
            stages before the last, from the back, as vLLM does.
        divided: parts that the groups divide among all tp × attention_dp ranks of a
            stage; every group holds all other parts, as in vLLM.
        expert_parallel: divide the routed experts one by one, not each one's width.

    Raises:
        ConfigError: a size below 1, an unknown part, stages that do not match `pp`.
    """

    tp: int = 1
    pp: int = 1
    attention_dp: int = 1
    stages: tuple[int, ...] | None = None
    divided: tuple[str, ...] = ("routed experts",)
    expert_parallel: bool = False

    def __post_init__(self) -> None:
        for name in ("tp", "pp", "attention_dp"):
            check_size(name, getattr(self, name))
        for part in self.divided:
            choose("divided", part, dict.fromkeys(DIVISIBLE))
        check_flag("expert_parallel", self.expert_parallel)
        if not isinstance(self.stages, tuple | list | None):
            rule = "must be None, or the number of layers of each stage"
            raise ConfigError("stages", self.stages, rule)

    @property
    def ranks(self) -> int:
        """Ranks of one engine.

        >>> Placement(tp=4, pp=2).ranks
        8
        """
        return self.tp * self.pp * self.attention_dp

    def layers(self, model) -> tuple[int, ...]:
        """Return the layers of each stage.

        >>> from llm_memory import load_model
        >>> Placement(pp=4).layers(load_model("DeepSeek-V3"))
        (15, 15, 16, 15)
        """
        first_layers(model, 0)  # refuses a symbolic model
        total = int(model.L)
        if self.stages is not None:
            given = tuple(check_size("stages", each) for each in self.stages)
            if len(given) != self.pp or sum(given) != total:
                rule = f"must be pp = {self.pp} integers that sum to L = {total}"
                raise ConfigError("stages", self.stages, rule)
            return given
        if self.pp > total:
            raise ConfigError("pp", self.pp, f"must be at most the layers, L = {total}")
        share, rest = divmod(total, self.pp)
        longer = range(self.pp - 1 - rest, self.pp - 1)
        return tuple(share + (stage in longer) for stage in range(self.pp))


@dataclass(frozen=True)
class Held:
    """A row of one rank's ledger.

    Attributes:
        row: the tensors on that rank.
        copies: how often the ranks of its stage hold each element, all together. Above
            1 it is replicated; a padded vocabulary gives a little more than 1.
    """

    row: Tensor
    copies: int | Fraction


def stage_weights(model, placement: Placement, dtype: str = "bf16") -> list[list[Held]]:
    """Return what the fullest rank of each stage loads.

    Args:
        model: a `Model` from a config.
        placement: how ranks share it.
        dtype: a data type, or a format of `weights` ("int8", "fp8", "int4", "mxfp4").

    Raises:
        ConfigError: an unknown data type, a symbolic model, sizes that do not divide.

    >>> from llm_memory import load_model
    >>> stages = stage_weights(load_model("LLaMA-13B"), Placement(pp=2))
    >>> [sum(held.row.bytes for held in stage) for stage in stages]
    [13015859200, 13015869440]
    """
    packed = isinstance(dtype, str) and dtype in QUANTIZED
    packing = packing_of(model, dtype if packed else None)
    kind = units.dtype("bf16" if packing else dtype)
    ranks = placement.tp * placement.attention_dp
    return [
        [
            Held(replace(mine, part="weights"), _copies(mine, whole, ranks))
            for parameter in parameters
            for mine, whole in zip(
                stored(_share(parameter, placement), kind, packing),
                stored(parameter, kind, packing),
                strict=True,
            )
        ]
        for parameters in _stage_parameters(model, placement)
    ]


def stage_caches(
    model,
    placement: Placement,
    dtype: "str | CacheFormat" = "bf16",
    layout: str = "latent",
    block: int | None = None,
) -> list[list[Held]]:
    """Return what a rank of each stage caches, with the free symbols b and t.

    b counts the sequences of one group. Arguments and errors are those of `kv_cache`.

    >>> from llm_memory import load_model
    >>> stages = stage_caches(load_model("Llama-3.1-70B"), Placement(tp=16))
    >>> stages[0][0].row.shape, stages[0][0].copies
    ((b, 1, t, 128), 2)
    """
    groups, tp = cache_layers(model, layout), placement.tp
    return [
        [
            Held(replace(mine, part="KV cache"), _copies(mine, whole, tp))
            for group, count in zip(groups, counts, strict=True)
            if count
            for mine, whole in _cached(replace(group, count=S(count)), dtype, block, tp)
        ]
        for counts in _counts(model, placement)
    ]


def rank_ledgers(
    model,
    placement: Placement,
    weights_dtype: str = "bf16",
    cache_dtype: "str | CacheFormat" = "bf16",
    layout: str = "latent",
    block: int | None = None,
) -> list[Ledger]:
    """Return weights and cache of a rank of each stage, with the symbols b and t.

    Arguments and errors are those of `stage_weights` and `stage_caches`.

    >>> from llm_memory import load_model
    >>> rank, = rank_ledgers(load_model("Qwen3-0.6B"), Placement(tp=8))
    >>> rank.parts["KV cache"].bytes
    14336*b*t
    """
    loaded = stage_weights(model, placement, weights_dtype)
    caches = stage_caches(model, placement, cache_dtype, layout, block)
    return [
        Ledger(held.row for held in (*mine, *cache))
        for mine, cache in zip(loaded, caches, strict=True)
    ]


def _copies(mine: Tensor, whole: Tensor, ranks: int) -> int | Fraction:
    """Return how often `ranks` shares hold each element of the whole."""
    pairs = zip(mine.shape, whole.shape, strict=True)
    shares = (part / full for part, full in pairs if part != full)
    copies = ranks * prod(shares, start=S.One)
    return int(copies) if copies.is_Integer else Fraction(int(copies.p), int(copies.q))


def _cached(group: CacheLayers, dtype, block, tp) -> Iterator[tuple[Tensor, Tensor]]:
    mine = cache_ledger([group], dtype, block, tp, "rank")
    return zip(mine, cache_ledger([group], dtype, block), strict=True)


def _counts(model, placement: Placement) -> list[tuple[int, ...]]:
    """Return for each stage how many layers of each group it holds."""
    ends = [0]
    for number in placement.layers(model):
        ends.append(ends[-1] + number)
    first = [first_layers(model, end) for end in ends]
    return [
        tuple(stop - start for start, stop in zip(low, high, strict=True))
        for low, high in pairwise(first)
    ]


def _stage_parameters(model, placement: Placement) -> Iterator[list[Parameter]]:
    """Give the parameters of each stage, counted for its layers."""
    operations = forward(model).operations
    inside = [index for index, each in enumerate(operations) if each.group]
    last = placement.pp - 1
    for stage, counts in enumerate(_counts(model, placement)):
        found = []
        for index, operation in enumerate(operations):
            if operation.group:
                count = S(counts[operation.group - 1])
                held = operation.parameters if count else ()
                found += [replace(each, count=count) for each in held]
            elif index < inside[0]:
                found += operation.parameters if stage == 0 else ()
            elif stage == last:
                found += (*operation.parameters, *(operation.shared if last else ()))
        yield found


def _share(parameter: Parameter, placement: Placement) -> Parameter:
    everywhere = parameter.part in placement.divided
    ranks = placement.tp * (placement.attention_dp if everywhere else 1)
    if parameter.active is not None and placement.expert_parallel:
        experts, *rest = parameter.shape
        return replace(parameter, shape=(ceiling(experts / ranks), *rest))
    return on_rank(parameter, ranks)
