"""The simulation against a slow clock, Little's law and what must be refused."""

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llm_memory as lm
from llm_memory.simulation import POLICIES, simulate
from llm_memory.traffic import SECOND, Request, traffic

settings.register_profile("simulation", deadline=None, max_examples=60)
settings.load_profile("simulation")


@st.composite
def days(draw):
    """Draw requests that arrive on whole steps of a second, a cache and a block."""
    context, block = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    requests = []
    for _ in range(draw(st.integers(1, 8))):
        prompt = draw(st.integers(1, context - 1))
        output = draw(st.integers(1, context - prompt))
        requests.append(Request(SECOND * draw(st.integers(0, 10)), prompt, output))
    blocks = ceil(context / block) + draw(st.integers(0, 9))
    spare = draw(st.integers(0, block - 1))  # tokens that make no block
    return requests, blocks * block + spare, context, block


def slow_clock(requests, tokens, context, policy, block) -> list[int]:
    """Tick second by second over plain lists; return when each request ends."""
    ends, made = [None] * len(requests), [0] * len(requests)
    queue = sorted(range(len(requests)), key=lambda i: requests[i].arrival)
    running, second = [], 0

    def blocks(i):
        if policy == "reserved":
            return ceil(context / block)
        return ceil((requests[i].prompt + made[i] + 1) / block)

    def room(those) -> bool:
        return sum(blocks(i) for i in those) <= tokens // block

    while None in ends:
        while not room(running):
            queue.insert(0, running.pop())
        while queue and requests[queue[0]].arrival <= second * SECOND:
            if not room([*running, queue[0]]):
                break
            running.append(queue.pop(0))
        second += 1
        for i in list(running):
            made[i] += 1
            if made[i] == requests[i].output:
                ends[i] = second * SECOND
                running.remove(i)
    return ends


@given(days(), st.sampled_from(POLICIES))
def test_requests_end_when_a_slow_clock_says(day, policy):
    requests, tokens, context, block = day
    ordered = sorted(requests, key=lambda request: request.arrival)
    trace = simulate(requests, tokens, context, policy, block, seconds_per_step=1)
    assert list(trace.finished) == slow_clock(ordered, tokens, context, policy, block)


@given(days())
def test_reservation_never_beats_paging(day):
    requests, tokens, context, block = day
    reserved, paged = (
        simulate(requests, tokens, context, policy, block, seconds_per_step=1)
        for policy in POLICIES
    )
    assert all(p <= r for p, r in zip(paged.finished, reserved.finished, strict=True))
    assert reserved.preemptions == 0


@given(days(), st.sampled_from(POLICIES), st.integers(1, 7))
def test_the_state_is_possible_and_obeys_littles_law(day, policy, slowness):
    requests, tokens, context, block = day
    trace = simulate(
        requests, tokens, context, policy, block,
        seconds_per_step=lambda running: 0.001 * (slowness + running),
    )  # fmt: skip
    assert trace.pool <= tokens < trace.pool + block
    for moment in trace.moments:
        assert 0 <= moment.live <= moment.slots <= trace.pool
        assert (moment.running == 0) == (moment.slots == 0)
    last = trace.moments[-1]
    assert (last.running, last.waiting, last.slots) == (0, 0, 0)
    times = [moment.time for moment in trace.moments]
    assert times == sorted(set(times))
    inside = trace.integral("running") + trace.integral("waiting")
    ordered = sorted(requests, key=lambda request: request.arrival)
    pairs = zip(ordered, trace.finished, strict=True)
    assert inside == sum(end - request.arrival for request, end in pairs)
    assert trace.in_system == trace.arrival_rate * trace.time_in_system


@given(days(), st.sampled_from(POLICIES))
def test_the_integrals_are_sums_over_microseconds(day, policy):
    requests, tokens, context, block = day
    shifted = [Request(r.arrival // SECOND, r.prompt, r.output) for r in requests]
    trace = simulate(shifted, tokens, context, policy, block, seconds_per_step=1e-6)
    state, sums = iter(trace.moments), {"running": 0, "slots": 0}
    now, then = next(state), next(state, None)
    for time in range(trace.moments[0].time, trace.moments[-1].time):
        if then is not None and time == then.time:
            now, then = then, next(state, None)
        sums["running"] += now.running
        sums["slots"] += now.slots
    assert {name: trace.integral(name) for name in sums} == sums


@pytest.mark.parametrize("context, expected", [(2048, 104), (1024, 209), (512, 418)])
def test_fixed_lengths_run_as_many_as_the_closed_form_says(context, expected):
    fits = lm.capacity(lm.load_model("Qwen3-0.6B"), "RTX 4090", context=context)
    assert (
        fits.sequences == expected
    )  # (25,757,220,864 - weights) // 114,688 // context
    crowd = [Request(0, context - 2, 2)] * (3 * expected)
    trace = simulate(crowd, fits.tokens, context, "reserved", block=1)
    assert trace.most == expected
    assert trace.finished == tuple(
        (i // expected + 1) * 2 * 25_000 for i in range(3 * expected)
    )
    paged = simulate(crowd, fits.tokens, context, "paged", block=1)
    assert all(p <= r for p, r in zip(paged.finished, trace.finished, strict=True))


def test_the_same_seed_gives_the_same_traffic_and_another_seed_another():
    def made(seed):
        return traffic(50, 3.0, (1, 20), (5, 40), seed)

    assert made(1) == made(1) != made(2)
    assert simulate(made(1), 200, 60) == simulate(made(1), 200, 60)
    for request in made(3):
        assert 1 <= request.prompt <= 20 and 5 <= request.output <= 40
    arrivals = [request.arrival for request in traffic(4000, 2.0, (1, 1), (1, 1), 5)]
    assert arrivals == sorted(arrivals)
    assert 0.45 < arrivals[-1] / SECOND / 4000 < 0.55  # a mean of half a second


def test_users_are_what_memory_and_latency_allow():
    def seconds(running):
        return 0.010 + running / 1000

    assert lm.users_within(0.0305, seconds, sequences=104) == 20
    assert lm.users_within(0.0305, seconds, sequences=7) == 7
    assert lm.users_within(0.005, seconds, sequences=7) == 0
    assert lm.users_within(0.5, seconds, sequences=0) == 0


GOOD = {"requests": [Request(0, 3, 2)], "tokens": 32, "context": 8}


@pytest.mark.parametrize(
    "field, wrong",
    [
        ("requests", {"requests": []}),
        ("requests", {"requests": [Request(0, 7, 2)]}),
        ("tokens", {"tokens": 0}),
        ("tokens", {"tokens": 15, "block": 16}),
        ("tokens", {"tokens": 7, "block": 1}),
        ("context", {"context": 0}),
        ("block", {"block": 0}),
        ("policy", {"policy": "greedy"}),
        ("seconds_per_step", {"seconds_per_step": 0}),
        ("seconds_per_step", {"seconds_per_step": 4e-7}),
        ("seconds_per_step", {"seconds_per_step": lambda running: -1}),
    ],
)
def test_a_simulation_that_cannot_be_is_refused(field, wrong):
    with pytest.raises(lm.ConfigError) as error:
        simulate(**GOOD | wrong)
    assert error.value.field == field


@pytest.mark.parametrize("request_", [(-1, 3, 2), (0, 0, 2), (0, 3, 0), (0.5, 3, 2)])
def test_a_request_that_cannot_be_is_refused(request_):
    with pytest.raises(lm.ConfigError):
        Request(*request_)


@pytest.mark.parametrize(
    "field, wrong",
    [
        ("count", {"count": 0}),
        ("rate", {"rate": 0}),
        ("prompt", {"prompt": (0, 5)}),
        ("output", {"output": (5, 4)}),
        ("rate", {"rate": "fast"}),
        ("seed", {"seed": None}),
    ],
)
def test_traffic_that_cannot_be_is_refused(field, wrong):
    good = {"count": 1, "rate": 1, "prompt": (1, 2), "output": (1, 2), "seed": 1}
    with pytest.raises(lm.ConfigError) as error:
        traffic(**good | wrong)
    assert error.value.field == field


@pytest.mark.parametrize(
    "field, latency, sequences",
    [("latency", 0, 5), ("latency", "soon", 5), ("sequences", 1, -1)]
    + [("sequences", 1, each) for each in (1.5, "many")],
)
def test_latency_and_sequences_are_numbers(field, latency, sequences):
    with pytest.raises(lm.ConfigError) as error:
        lm.users_within(latency, lambda running: 1, sequences)
    assert error.value.field == field
