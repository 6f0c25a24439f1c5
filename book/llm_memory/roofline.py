"""The roofline: how fast a step can be at best, on an accelerator that wastes nothing.

A step has to compute and to move bytes. The accelerator can do both at once, so the
step takes at least as long as the longer of the two. Williams, Waterman and Patterson
(2009). All results are exact fractions.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from sympy import Expr

from .compute import necessary_flops
from .count import Count
from .errors import ConfigError, choose
from .hardware import Hardware, load_hardware
from .kv_cache import kv_cache
from .ledger import Ledger
from .symbols import check_size, s, t
from .units import format_decimal
from .weights import Format, read_weights

CACHED = {"prefill": s, "decode": t + 1}
LENGTH = {"prefill": "s", "decode": "t"}


@dataclass(frozen=True)
class Bound:
    """What one step takes at least, and so the most tokens per second.

    Attributes:
        flops, bytes: what has to be computed and moved.
        compute_seconds, memory_seconds: what each takes at least.
        tokens: new tokens of the step.
    """

    flops: int
    bytes: int
    compute_seconds: Fraction
    memory_seconds: Fraction
    tokens: int

    @property
    def seconds(self) -> Fraction:
        """Lower bound of the time of a step."""
        return max(self.compute_seconds, self.memory_seconds)

    @property
    def tokens_per_second(self) -> Fraction:
        """Upper bound of the tokens of all sequences per second."""
        return self.tokens / self.seconds

    @property
    def limit(self) -> str:
        """What takes longer: "compute" or "memory"; "memory" if both take the same."""
        return "compute" if self.compute_seconds > self.memory_seconds else "memory"

    @property
    def intensity(self) -> Fraction:
        """FLOPs per byte moved."""
        return Fraction(self.flops, self.bytes)

    def __repr__(self) -> str:
        times = (
            f"{what} {format_decimal(seconds * 1000, 3)} ms"
            for what, seconds in (
                ("compute", self.compute_seconds),
                ("memory", self.memory_seconds),
            )
        )
        rate = format_decimal(self.tokens_per_second, 1)
        return f"{', '.join(times)}: bound by {self.limit}, at most {rate} tokens/s"


@dataclass(frozen=True)
class Intensity:
    """FLOPs per byte moved: of a step, or of what a part of it adds to the step's.

    Attributes:
        work: the FLOPs.
        traffic: all bytes that the step moves.

    >>> from llm_memory import load_model, roofline
    >>> step = roofline(load_model("LLaMA-7B"), "H100-80G").intensity
    >>> step.evaluate(b=1, t=1)
    Fraction(1613184, 1613249)
    """

    work: Count
    traffic: Ledger

    @property
    def total(self) -> Expr:
        """FLOPs per byte, as a SymPy expression."""
        return self.work.total / self.traffic.bytes

    @property
    def symbols(self) -> frozenset:
        """The symbols that `evaluate` needs."""
        return self.work.symbols | self.traffic.symbols

    @property
    def parts(self) -> dict[str, "Intensity"]:
        """What each part of the work adds."""
        return {
            name: Intensity(part, self.traffic)
            for name, part in self.work.parts.items()
        }

    def evaluate(self, **sizes: int) -> Fraction:
        """Return the exact FLOPs per byte; arguments and errors as in a ledger's."""
        return Fraction(self.work.evaluate(**sizes), self.traffic.evaluate(**sizes))


@dataclass(frozen=True)
class Crossover:
    """The smallest batch that is bound by compute, or why there is none.

    Attributes:
        batch: sequences; None: never, whatever the batch.
        limit: FLOPs per byte that the step tends to as the batch grows.
        ridge: FLOPs per byte above which the accelerator is bound by compute.
    """

    batch: int | None
    limit: Fraction
    ridge: Fraction

    def __repr__(self) -> str:
        limit, ridge = (format_decimal(each, 1) for each in (self.limit, self.ridge))
        when = "never" if self.batch is None else f"from batch {self.batch:,} on"
        return (
            f"bound by compute: {when}. As the batch grows, the step tends to {limit} "
            f"FLOPs per byte; it takes more than {ridge}"
        )


@dataclass(frozen=True)
class Roofline:
    """A step's work and traffic, beside the accelerator's two speeds.

    Attributes:
        phase: "prefill" or "decode".
        work: the FLOPs that are needed.
        traffic: the bytes that are moved at least.
        peak: FLOPs per second.
        bandwidth: bytes per second.
    """

    phase: str
    work: Count
    traffic: Ledger
    peak: int
    bandwidth: int

    @property
    def ridge(self) -> Fraction:
        """FLOPs per byte that keep both of the accelerator's limits busy."""
        return Fraction(self.peak, self.bandwidth)

    @property
    def intensity(self) -> Intensity:
        """FLOPs per byte of the step, whatever the accelerator."""
        return Intensity(self.work, self.traffic)

    def at(self, **sizes: int) -> Bound:
        """Return the bounds at a batch b and a length: s in a prefill, t in decoding.

        Raises:
            ConfigError: as in `Ledger.evaluate`.
        """
        work, traffic = self.work.evaluate(**sizes), self.traffic.evaluate(**sizes)
        seconds = Fraction(work, self.peak), Fraction(traffic, self.bandwidth)
        tokens = sizes["b"] * sizes.get("s", 1)
        return Bound(work, traffic, *seconds, tokens)

    def compute_bound_batch(self, **length: int) -> Crossover:
        """Return the smallest batch that is bound by compute, at a length.

        Work and cache grow with the batch, the weights do not: the intensity rises and
        has a limit. If that is below the ridge, no batch is large enough. In a mixture
        of experts, where tokens choose more than E_k experts, it takes a larger batch.

        Raises:
            ConfigError: as in `Ledger.evaluate`.
        """
        one, two = (self.at(b=batch, **length) for batch in (1, 2))
        work, cache = two.flops - one.flops, two.bytes - one.bytes
        weights = one.bytes - cache
        gain = work - self.ridge * cache
        batch = floor(weights * self.ridge / gain) + 1 if gain > 0 else None
        return Crossover(batch, Fraction(work, cache), self.ridge)


@dataclass(frozen=True)
class ExpectedExperts:
    """How many of a layer's experts a batch uses: bounds, and an approximation.

    Attributes:
        fewest: all tokens choose the same experts.
        most: all choose different ones, as far as there are any.
        uniform: the expectation if each token chose its experts at random, each set
            being as likely as any other. Trained routers are not that even, so this is
            no bound; the error is at most the distance to `fewest` or to `most`.
    """

    fewest: int
    most: int
    uniform: Fraction

    @property
    def error(self) -> Fraction:
        """The most by which `uniform` can be wrong, in experts."""
        return max(self.uniform - self.fewest, self.most - self.uniform)

    def __repr__(self) -> str:
        mean, error = (format_decimal(each) for each in (self.uniform, self.error))
        return (
            f"{self.fewest} to {self.most} experts; about {mean} if routing were "
            f"uniform, wrong by at most {error}"
        )


def roofline(
    model,
    hardware: "str | Hardware",
    phase: str = "decode",
    dtype: str = "bf16",
    quantization: "str | Format | None" = None,
    cache_dtype: str = "bf16",
    count: int = 1,
) -> Roofline:
    """Return the least time that a step takes, as what it computes and moves.

    Computed is what `necessary_flops` lists, at the accelerator's dense 16-bit speed.
    Moved are, once each: every weight that a step computes with (`read_weights`; of
    routed experts E_k in each layer), and the KV cache: written in a prefill; in
    decoding read, and one token written. Activations, logits, masks and token ids could
    stay on the chip and count as nothing. A real step moves more and computes slower,
    so times are lower bounds and tokens per second upper bounds.

    Args:
        model: a `Model` with integer sizes.
        hardware: an accelerator's name, or a `Hardware`.
        phase: "prefill" of s tokens per sequence, or "decode" after t cached ones.
        dtype, quantization: of the weights, as in `weights`.
        cache_dtype: of the cache, as in `kv_cache`; latents are cached as such.
        count: accelerators that share everything evenly, at no cost.

    Raises:
        ConfigError: an unknown choice, or an accelerator without known speeds.

    >>> from llm_memory import load_model
    >>> step = roofline(load_model("LLaMA-7B"), "H100-80G")
    >>> step.at(b=1, t=2048)
    compute 0.014 ms, memory 4.265 ms: bound by memory, at most 234.4 tokens/s
    >>> step.compute_bound_batch(t=2048)
    bound by compute: never. As the batch grows, the step tends to 13.3 FLOPs per \
byte; it takes more than 295.3
    """
    choose("phase", phase, CACHED)
    card = load_hardware(hardware)
    check_size("R", count, "count")
    for name in ("flops", "bandwidth"):
        if not getattr(card, name):
            raise ConfigError(name, getattr(card, name), f"is not known of {card.name}")
    cache = kv_cache(model, cache_dtype).substitute({t: CACHED[phase]})
    weights = read_weights(model, dtype, quantization).as_part("weights")
    return Roofline(
        phase,
        necessary_flops(model, phase),
        weights + cache.as_part("KV cache"),
        card.flops * count,
        card.bandwidth * count,
    )


def expected_experts(model, b: int) -> ExpectedExperts:
    """Return how many experts of a layer b tokens use, routed independently.

    Args:
        model: a `Model` with routed experts.
        b: tokens of the step.

    Raises:
        ConfigError: a model without routed experts, or b is no integer >= 1.

    >>> from llm_memory import load_model
    >>> expected_experts(load_model("Mixtral-8x7B"), b=4)
    2 to 8 experts; about 5.47 if routing were uniform, wrong by at most 3.47
    """
    if model.E is None:
        raise ConfigError("model", model.name, "has no routed experts")
    tokens, all_of_them, used = check_size("b", b), int(model.E), int(model.E_k)
    missed = Fraction(all_of_them - used, all_of_them) ** tokens
    most = min(all_of_them, tokens * used)
    return ExpectedExperts(used, most, all_of_them * (1 - missed))
