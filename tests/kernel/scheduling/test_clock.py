"""The clocks that run queues sleep by."""

from __future__ import annotations

import threading

from aios_kernel.clock import SWEEP_AT, MockClock, SystemClock


def test_cancelled_timers_do_not_pile_up() -> None:
    """A far deadline outlives its call by far; thousands of cancelled ones leave no more than a few behind."""
    clock = SystemClock()
    for _ in range(20 * SWEEP_AT):
        clock.call_at(clock.now() + 3600, lambda: None).cancel()
    assert len(clock._heap) <= 2 * SWEEP_AT
    clock.close()


def test_a_pending_timer_survives_the_sweep_and_fires() -> None:
    """Only cancelled timers are dropped."""
    clock, fired = SystemClock(), threading.Event()
    clock.call_at(clock.now() + 0.05, fired.set)
    for _ in range(3 * SWEEP_AT):
        clock.call_at(clock.now() + 3600, lambda: None).cancel()
    assert fired.wait(20)
    clock.close()


def test_the_mock_clock_fires_in_order_and_never_goes_back() -> None:
    """Timers see their own time, also one that moves the clock itself."""
    clock, seen = MockClock(), list[float]()
    clock.call_at(2.0, lambda: seen.append(clock.now()))

    def jump() -> None:
        seen.append(clock.now())
        clock.advance(5.0)

    clock.call_at(1.0, jump)
    clock.advance(3.0)
    assert seen == [1.0, 2.0]
    assert clock.now() == 6.0
