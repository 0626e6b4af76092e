"""The endpoint's limiter against simulated endpoints, in virtual time: nothing lost, little idle, little refused."""

from __future__ import annotations

import random
from typing import Any

import pytest

from aios_kernel.abi import Agent, Usage
from aios_kernel.clock import MockClock
from aios_kernel.cores.endpoint import EndpointCore
from aios_kernel.cores.endpoint_limiter import STALL, EndpointLimiter
from aios_kernel.cores.rates import Rate
from aios_kernel.errors import ConfigError
from aios_kernel.process import Process
from aios_kernel.scheduling.limiter import NOW, WHEN_RELEASED, Outcome
from aios_kernel.scheduling.task import Task
from tests.kernel.cores.simulation import Bucket, SimulatedEndpoint, Simulation, Windowed

AGENT = Process(1, Agent(name="a"))


def simulate(agents=250, estimate=100.0, used=100.0, limits=None, **endpoint) -> Simulation:
    """Run agents with three calls each against an endpoint."""
    limiter = EndpointLimiter(rng=random.Random(1), **(limits or {}))
    return Simulation(SimulatedEndpoint(MockClock(), **endpoint), limiter, agents, estimate=estimate, used=used).run()


def task(seq=1, estimate=100.0) -> Task:
    return Task(seq, AGENT, estimate=estimate)


def refused(retry_after=None) -> Outcome:
    return Outcome(pushed_back=True, status=429, retry_after=retry_after)


# Against endpoints


@pytest.mark.parametrize("jitter", [None, random.Random(3)])
@pytest.mark.parametrize("lag", [0.001, 0.005])
def test_a_rejecting_endpoint_is_as_busy_as_a_queueing_one(lag, jitter):
    """250 agents on 16 places: no call lost, at most 1.15 times the time of an endpoint that queues by itself."""
    queueing = simulate(capacity=16, queues=True, lag=lag, jitter=jitter)
    rejecting = simulate(capacity=16, lag=lag, jitter=jitter)
    assert rejecting.finished == 750
    assert rejecting.ended <= 1.15 * queueing.ended
    # The burst of 234 nobody could know of; after it, few probes.
    assert len(rejecting.endpoint.refused) <= 234 + 40


def test_one_place_is_found_and_kept():
    """The smallest capacity is served without a gap."""
    queueing, rejecting = (simulate(agents=50, capacity=1, queues=queues) for queues in (True, False))
    assert rejecting.finished == 150
    assert rejecting.ended <= 1.1 * queueing.ended


def test_nothing_is_held_back_before_the_endpoint_pushes_back():
    """Without limits and refusals, everything is sent at once."""
    run = simulate(agents=500)
    assert len([1 for when, _ in run.endpoint.sent if when == 0.0]) == 500
    assert run.limiter.status()["limit"] == "none yet"


@pytest.mark.parametrize("retry_after", [0.2, 1.0])
def test_no_refused_call_is_sent_before_its_retry_after(retry_after):
    """Retry-After binds the call that was refused, whatever the reason was."""
    endpoints: list[dict[str, Any]] = [
        {"capacity": 16},
        {"requests": Bucket(100, 2)},
        {"requests": Windowed(100, 2)},
    ]
    for endpoint in endpoints:
        run = simulate(retry_after=retry_after, **endpoint)
        assert run.finished == 750
        refusals: dict[Task, list[float]] = {}
        for when, refused_task in run.endpoint.refused:
            refusals.setdefault(refused_task, []).append(when)
        for when, sent_task in run.endpoint.sent:
            assert all(not then < when < then + retry_after for then in refusals.get(sent_task, ()))


def test_retry_after_for_the_number_in_flight_costs_one_wait_and_not_the_endpoint():
    """After the first burst the places stay taken while refused probes wait by themselves."""
    queueing = simulate(capacity=16, queues=True)
    rejecting = simulate(capacity=16, retry_after=1.0)
    assert rejecting.ended <= 1.15 * (queueing.ended + 1.0)


@pytest.mark.parametrize("retry_after", [None, 0.2, 1.0])
@pytest.mark.parametrize("allowance", [Bucket, Windowed])
def test_a_rate_nobody_told_is_used_and_nothing_fails(allowance, retry_after):
    """100 requests per 2 s for 750 calls take 13 or 14 s at best; the learned pace comes close."""
    run = simulate(requests=allowance(100, 2), retry_after=retry_after)
    assert run.finished == 750
    assert run.ended <= 1.15 * 14.0


def test_an_endpoint_slower_than_one_call_at_a_time_is_asked_ever_more_rarely():
    """One request a second, without Retry-After: the gap is learned, most of the rate is used."""
    run = simulate(agents=20, requests=Bucket(1, 1))
    assert run.finished == 60
    assert run.ended <= 1.4 * 60


@pytest.mark.parametrize(
    ("limits", "endpoint"),
    [
        ({"rpm": 100, "window": 2}, {"requests": Bucket(100, 2)}),
        ({"tpm": 10_000, "window": 2}, {"tokens": Bucket(10_000, 2)}),
        ({"in_flight": 16, "rpm": 100, "window": 2}, {"capacity": 16, "requests": Bucket(100, 2)}),
    ],
)
def test_told_limits_are_kept_without_one_refusal(limits, endpoint):
    """What was told is used in full and never overstepped, also when estimates are too high."""
    run = simulate(limits=limits, estimate=150.0, **endpoint)
    assert (run.finished, run.endpoint.refused) == (750, [])
    assert run.ended <= 13.0 * 1.05


def test_estimates_that_are_too_low_are_reconciled():
    """What calls really used counts against the rate as soon as it is known."""
    run = simulate(limits={"tpm": 10_000, "window": 2}, estimate=50.0, tokens=Bucket(10_000, 2))
    assert run.finished == 750
    assert len(run.endpoint.refused) <= 100  # the first burst, sent before any use was known
    assert run.ended <= 1.15 * 13


# Piece by piece


def test_an_estimate_above_the_rate_waits_for_a_full_allowance_and_not_for_ever():
    """A call that is expected to use more than a minute's tokens starts once all of them are there."""
    limiter = EndpointLimiter(tpm=1000)
    first, huge = task(1, 600.0), task(2, 5000.0)
    limiter.started(first, 0.0)
    assert limiter.delay(huge, 1, 0.0) == pytest.approx(36.0)
    assert limiter.delay(huge, 1, 36.0) == NOW


def test_unused_reservations_come_back():
    """A refused call gives its tokens back, a served one the difference; a request stays counted."""
    limiter = EndpointLimiter(rpm=2, tpm=1000)
    limiter.started(task(1, 900.0), 0.0)
    assert limiter.delay(task(2, 900.0), 1, 0.0) > NOW
    first = task(3, 900.0)
    limiter = EndpointLimiter(rpm=2, tpm=1000)
    limiter.started(first, 0.0)
    limiter.ended(first, Outcome(usage=Usage(input_tokens=50)), 0, 0.0)
    assert limiter.delay(task(4, 900.0), 0, 0.0) == NOW
    limiter.started(task(5, 10.0), 0.0)
    assert limiter.delay(task(6, 10.0), 1, 0.0) == pytest.approx(30.0)


def test_a_told_limit_holds_until_a_call_ends():
    """`in_flight` waits for a release, not for a time."""
    limiter = EndpointLimiter(in_flight=2)
    assert [limiter.delay(task(), running, 0.0) for running in (0, 1, 2)] == [NOW, NOW, WHEN_RELEASED]


def test_a_call_refused_alone_waits_longer_each_time():
    """With nothing else in flight and no time told, the pauses grow."""
    limiter, now, pauses = EndpointLimiter(rng=random.Random(1)), 0.0, []
    probe = task()
    for _ in range(8):
        limiter.started(probe, now)
        limiter.ended(probe, refused(), 0, now + 0.01)
        pauses.append(limiter.delay(probe, 0, now + 0.01))
        now += 0.01 + pauses[-1]
    assert pauses[0] < 0.2
    assert pauses[-1] > 3 * pauses[2]


def test_a_full_window_in_which_nothing_ends_is_tried_again_at_length():
    """Streams that nobody reads on may never end: one more call is tried after a while, not never."""
    limiter = EndpointLimiter()
    held, other = task(1), task(2)
    limiter.started(held, 0.0)
    limiter.started(other, 0.0)
    limiter.ended(other, refused(), 1, 0.0)
    other.attempts = 1
    assert limiter.delay(other, 1, 0.0) == STALL
    assert limiter.delay(other, 1, STALL) == NOW
    limiter.started(other, STALL)
    assert limiter.delay(task(3), 2, STALL) == STALL


def test_a_call_inside_another_may_borrow_its_place():
    """A nested call waits for a release at first: only then may the queue lend it its caller's place."""
    limiter = EndpointLimiter()
    held, other, nested = task(1), task(2), task(3)
    limiter.started(held, 0.0)
    limiter.started(other, 0.0)
    limiter.ended(other, refused(), 1, 0.0)
    nested.ancestors = (held,)
    assert limiter.delay(nested, 1, 0.0) == WHEN_RELEASED


def test_the_status_says_what_is_known_and_what_is_waited_for():
    """None yet, then the learned number, the refusals, and how long the endpoint is closed."""
    limiter = EndpointLimiter(tpm=1000)
    assert limiter.status() == {
        "limit": "none yet",
        "told": {"in_flight": None, "rpm": None, "tpm": 1000.0},
        "learned": None,
        "in_flight": 0,
        "refusals": 0,
        "waits_for": "",
        "closed_until": None,
    }
    first, second = task(1, 10.0), task(2, 10.0)
    limiter.started(first, 0.0)
    limiter.started(second, 0.0)
    limiter.ended(second, refused(retry_after=5.0), 1, 1.0)
    assert limiter.delay(task(3, 10.0), 1, 1.0) == 5.0
    status = limiter.status()
    assert (status["limit"], status["in_flight"], status["refusals"], status["closed_until"]) == (1, 1, 1, 6.0)
    assert status["waits_for"] == "the endpoint's Retry-After"


def test_impossible_limits_are_refused():
    """A limit that would let nothing through is an error in the settings."""
    with pytest.raises(ConfigError):
        EndpointLimiter(in_flight=0)
    with pytest.raises(ValueError, match="allows nothing"):
        Rate(0)


def test_the_core_leases_and_shows_its_limits():
    """An endpoint core never serves; its status is its limiter's."""
    core = EndpointCore("http://host/v1", "m", in_flight=4)
    status = core.status()
    assert (core.lease, status["endpoint"], status["model"], status["limit"]) == (True, "http://host/v1", "m", 4)
