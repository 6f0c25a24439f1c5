"""How many nodes and users: memory rounded up to nodes, and cut by a latency."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from .errors import ConfigError, check_positive
from .ledger import largest_fitting
from .serving import Capacity, capacity
from .symbols import check_size
from .units import format_decimal


@dataclass(frozen=True)
class Nodes:
    """How many nodes serve a number of users.

    Attributes:
        nodes: rounded up; None if a node serves nobody.
        accelerators: in all these nodes.
        users_per_node: sequences that one node holds.
        reason: the division in words.
        capacity: what fits on one node.
    """

    nodes: int | None
    accelerators: int | None
    users_per_node: int
    reason: str
    capacity: Capacity

    def __repr__(self) -> str:
        return self.reason


def nodes_for(users: int, model, hardware, count: int = 1, **options) -> Nodes:
    """Return how many nodes of `count` accelerators hold that many users at once.

    Every user holds one sequence of `context` tokens at the same time.

    Args:
        users: users at once.
        model, hardware, count, options: as in `capacity`; `count` makes a node.

    Raises:
        ConfigError: as in `capacity`, or `users` is no integer >= 1.

    >>> from llm_memory import load_model
    >>> nodes_for(10_000, load_model("LLaMA-13B"), "V100-32G", 8, tp=8)
    10,000 users / 147 a node = 68.03, so 69 nodes, 552 accelerators
    """
    check_size("users", users)
    fits = capacity(model, hardware, count, **options)
    if not fits.sequences:
        lacks = f"{fits.missing:,} bytes are missing per rank"
        short = lacks if fits.missing else "the cache of one sequence does not fit"
        reason = f"no number of nodes: {short}"
        return Nodes(None, None, 0, reason, fits)
    nodes = -(-users // fits.sequences)
    quotient = format_decimal(Fraction(users, fits.sequences))
    reason = (
        f"{users:,} users / {fits.sequences:,} a node = {quotient}, "
        f"so {nodes:,} nodes, {nodes * count:,} accelerators"
    )
    return Nodes(nodes, nodes * count, fits.sequences, reason, fits)


def users_within(
    latency: float, seconds_per_step: Callable[[int], float], sequences: int
) -> int:
    """Return how many sequences run at once: as memory holds them, and in time.

    Args:
        latency: the longest that a step, one token for everyone, may take, in seconds.
        seconds_per_step: of how many run; it must not fall as that grows.
        sequences: how many memory holds, as `capacity(…).sequences`.

    Raises:
        ConfigError: `latency` is no number above 0, or `sequences` no integer >= 0.

    >>> users_within(0.050, lambda running: 0.010 + 0.001 * running, sequences=104)
    40
    """
    check_positive("latency", latency)
    if type(sequences) is not int or sequences < 0:
        raise ConfigError("sequences", sequences, "must be an integer >= 0")
    return largest_fitting(lambda b: b <= sequences and seconds_per_step(b) <= latency)
