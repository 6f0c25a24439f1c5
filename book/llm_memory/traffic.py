"""Traffic: requests that arrive over time, and the record of how they were served.

Time is counted in whole microseconds, so every average is exact.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from random import Random

from .errors import ConfigError, check_positive
from .symbols import check_size

SECOND = 10**6


@dataclass(frozen=True)
class Request:
    """One request: when it arrives (microseconds), and its tokens, in and out.

    Raises:
        ConfigError: a time that is no integer >= 0, or a length that is none >= 1.
    """

    arrival: int
    prompt: int
    output: int

    def __post_init__(self) -> None:
        check_size("prompt", self.prompt)
        check_size("output", self.output)
        if type(self.arrival) is not int or self.arrival < 0:
            raise ConfigError("arrival", self.arrival, "must be an integer >= 0")

    @property
    def tokens(self) -> int:
        """Tokens at its end."""
        return self.prompt + self.output


@dataclass(frozen=True)
class Moment:
    """What is true from `time` on, until the next moment.

    Attributes:
        time: microseconds.
        running, waiting: requests.
        slots: token slots that are taken.
        live: slots that hold a token.
    """

    time: int
    running: int
    waiting: int
    slots: int
    live: int


@dataclass(frozen=True)
class Trace:
    """What a simulation recorded, from the first arrival to the last departure.

    Attributes:
        moments: the state over time; it changes at these times only.
        finished: microseconds at which each request ended, in the order of arrival.
        requests: the requests, in the order of arrival.
        pool: token slots that there are.
        preemptions: how often a request lost its cache and had to wait again.
    """

    moments: tuple[Moment, ...]
    finished: tuple[int, ...]
    requests: tuple[Request, ...]
    pool: int
    preemptions: int

    @property
    def duration(self) -> int:
        """Microseconds from the first arrival to the last departure."""
        return self.moments[-1].time - self.moments[0].time

    def integral(self, name: str) -> int:
        """Return the sum of an attribute of `Moment` × the microseconds it lasted."""
        return sum(
            getattr(now, name) * (then.time - now.time)
            for now, then in pairwise(self.moments)
        )

    def average(self, name: str) -> Fraction:
        """Return the average over time of "running", "waiting", "slots" or "live"."""
        return Fraction(self.integral(name), self.duration)

    @property
    def live_share(self) -> Fraction:
        """The share of the taken slots that hold a token, over time."""
        return Fraction(self.integral("live"), self.integral("slots"))

    @property
    def most(self) -> int:
        """The most requests that ran at once."""
        return max(moment.running for moment in self.moments)

    @property
    def in_system(self) -> Fraction:
        """L of Little's law: requests in the system, running or waiting, on average."""
        return self.average("running") + self.average("waiting")

    @property
    def arrival_rate(self) -> Fraction:
        """λ of Little's law: requests per microsecond."""
        return Fraction(len(self.requests), self.duration)

    @property
    def time_in_system(self) -> Fraction:
        """W of Little's law: microseconds from arrival to end, on average."""
        pairs = zip(self.requests, self.finished, strict=True)
        total = sum(end - request.arrival for request, end in pairs)
        return Fraction(total, len(self.requests))


def traffic(
    count: int, rate: float, prompt: tuple[int, int], output: tuple[int, int], seed: int
) -> tuple[Request, ...]:
    """Return random requests: the same ones for the same seed.

    Arrivals are a Poisson process. Lengths are uniform between two bounds, both
    included; equal bounds fix a length.

    Args:
        count: requests.
        rate: arrivals per second.
        prompt, output: shortest and longest, in tokens.
        seed: an integer.

    Raises:
        ConfigError: a count or length below 1, bounds in the wrong order, a rate that
            is no number above 0, a seed that is no integer.

    >>> [(r.arrival, r.output) for r in traffic(2, 1.0, (5, 5), (1, 9), seed=1)]
    [(144291, 5), (269762, 8)]
    """
    check_size("count", count)
    check_positive("rate", rate)
    if type(seed) is not int:
        raise ConfigError("seed", seed, "must be an integer")
    for name, (low, high) in {"prompt": prompt, "output": output}.items():
        if check_size(name, low) > check_size(name, high):
            raise ConfigError(name, (low, high), "must be the shortest and the longest")
    random, now, requests = Random(seed), 0.0, []
    for _ in range(count):
        now += random.expovariate(rate)
        lengths = random.randint(*prompt), random.randint(*output)
        requests.append(Request(round(now * SECOND), *lengths))
    return tuple(requests)
