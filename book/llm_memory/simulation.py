"""Serving over time: requests arrive, wait, grow token by token and leave.

simpy runs the clock, which counts whole microseconds.
"""

from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby

from .errors import ConfigError, choose
from .symbols import check_size
from .traffic import SECOND, Moment, Request, Trace

POLICIES = ("reserved", "paged")


def simulate(
    requests: Iterable[Request],
    tokens: int,
    context: int,
    policy: str = "paged",
    block: int = 16,
    seconds_per_step: "float | Callable[[int], float]" = 0.025,
) -> Trace:
    """Return what happens when these requests share one cache.

    Requests start in the order of their arrival, as soon as the next one's cache fits.
    All that run make one token in each step, together. Prompts are cached in the step
    in which a request starts; their computation takes no time of its own.

    Args:
        requests: of `traffic`, or any; each with at most `context` tokens.
        tokens: token slots of the cache, as `capacity(…).tokens` of one group of ranks.
        context: the longest that a request may become.
        policy: "reserved": a request takes the slots of `context` tokens from start to
            end. "paged": it takes blocks as it grows; where there is none left, the
            request that started last gives all of its own back and waits again, in
            front; its cache is computed again when it returns.
        block: tokens of a block. Both policies take whole blocks.
        seconds_per_step: of one token of every running request; a number, or a
            function of how many run.

    Raises:
        ConfigError: an unknown policy, no requests, a request longer than `context`, a
            cache that holds no request of that length, a step below a microsecond.

    >>> trace = simulate([Request(0, 10, 5)] * 4, 32, 16, seconds_per_step=1)
    >>> trace.most, trace.finished
    (2, (5000000, 5000000, 10000000, 10000000))
    """
    import simpy

    choose("policy", policy, dict.fromkeys(POLICIES))
    requests = tuple(sorted(requests, key=lambda request: request.arrival))
    blocks = check_size("tokens", tokens) // check_size("block", block)
    longest = -(-check_size("context", context) // block)
    _check(requests, tokens, blocks, context, longest)
    environment = simpy.Environment(initial_time=requests[0].arrival)
    engine = _Engine(environment, requests, blocks, block, seconds_per_step)
    engine.reserved = longest if policy == "reserved" else 0
    environment.process(engine.arrive())
    environment.run(environment.process(engine.serve()))
    return Trace(
        tuple(engine.moments),
        tuple(engine.finished),
        requests,
        blocks * block,
        engine.preemptions,
    )


def _check(requests, tokens: int, blocks: int, context: int, longest: int) -> None:
    if not requests:
        raise ConfigError("requests", (), "must be at least one")
    for request in requests:
        if request.tokens > context:
            raise ConfigError("requests", request, f"must end within {context} tokens")
    if longest > blocks:
        rule = f"must hold {longest} blocks, one request of {context} tokens"
        raise ConfigError("tokens", tokens, rule)


class _Engine:
    """The state of a simulation, and its two processes: arrivals, and steps.

    Requests go by their index. `made` counts the tokens that each has generated.
    """

    def __init__(self, environment, requests, blocks, block, seconds_per_step):
        self.environment, self.requests = environment, requests
        self.blocks = self.free = blocks
        self.block, self.seconds = block, seconds_per_step
        self.reserved, self.live = 0, 0
        self.waiting, self.running = deque(), []
        self.made = [0] * len(requests)
        self.taken = [0] * len(requests)
        self.finished = [0] * len(requests)
        self.moments, self.preemptions = [], 0
        self.arrived = environment.event()

    def arrive(self):
        """Put the requests into the queue, all of one time together."""
        indices = range(len(self.requests))
        for time, group in groupby(indices, lambda i: self.requests[i].arrival):
            yield self.environment.timeout(time - self.environment.now)
            self.waiting.extend(group)
            self.record()
            if not self.arrived.triggered:
                self.arrived.succeed()

    def serve(self):
        """Run steps until every request has ended."""
        left = len(self.requests)
        while left:
            if not self.waiting and not self.running:
                self.arrived = self.environment.event()
                yield self.arrived
            self.grow()
            self.start()
            self.record()
            yield self.environment.timeout(self.step())
            left -= self.end_step()
            yield self.environment.timeout(0)  # after whoever arrives at this time

    def step(self) -> int:
        """Return the microseconds of a step with those that run."""
        given = self.seconds
        seconds = given(len(self.running)) if callable(given) else given
        length = round(seconds * SECOND)
        if length < 1:
            rule = "must be at least a microsecond"
            raise ConfigError("seconds_per_step", seconds, rule)
        return length

    def grow(self) -> None:
        """Give each running request a slot for its next token, the oldest first."""
        position = 0
        while position < len(self.running):
            index = self.running[position]
            if self.lacks(index) > self.free:
                self.preempt()  # perhaps this one
            else:
                self.take(index)
                position += 1

    def start(self) -> None:
        """Start waiting requests in their order while the next one fits."""
        while self.waiting and self.lacks(self.waiting[0]) <= self.free:
            index = self.waiting.popleft()
            self.take(index)
            self.live += self.held(index)
            self.running.append(index)

    def preempt(self) -> None:
        """Take everything from the request that started last."""
        index = self.running.pop()
        self.give_back(index)
        self.waiting.appendleft(index)
        self.preemptions += 1

    def end_step(self) -> int:
        """Count one token for each running request; return how many have ended."""
        self.live += len(self.running)
        ended = []
        for index in self.running:
            self.made[index] += 1
            if self.made[index] == self.requests[index].output:
                ended.append(index)
        for index in ended:
            self.running.remove(index)
            self.give_back(index)
            self.finished[index] = self.environment.now
        self.record()
        return len(ended)

    def held(self, index: int) -> int:
        """Return the tokens that a request has so far."""
        return self.requests[index].prompt + self.made[index]

    def lacks(self, index: int) -> int:
        """Return the blocks that a request needs beyond its own for its next token."""
        blocks = self.reserved or -(-(self.held(index) + 1) // self.block)
        return blocks - self.taken[index]

    def take(self, index: int) -> None:
        blocks = self.lacks(index)
        self.free -= blocks
        self.taken[index] += blocks

    def give_back(self, index: int) -> None:
        self.free += self.taken[index]
        self.taken[index] = 0
        self.live -= self.held(index)

    def record(self) -> None:
        """Note what is true from now on."""
        slots = self.block * (self.blocks - self.free)
        state = (len(self.running), len(self.waiting), slots, self.live)
        moment = Moment(self.environment.now, *state)
        if self.moments and self.moments[-1].time == moment.time:
            self.moments.pop()
        self.moments.append(moment)
