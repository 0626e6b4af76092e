"""The conformance suite of scheduling policies: every policy's tests subclass it, third parties' too."""

from __future__ import annotations

import random
from typing import Any, ClassVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from aios_kernel.abi import Usage
from aios_kernel.scheduling import FixedLimiter, Outcome, Policy, State, Task
from aios_kernel.scheduling.registry import policy
from tests.kernel.scheduling.rig import Rig

AGENTS: list[tuple[str, dict[str, Any]]] = [
    ("ann", {"group": "research", "priority": 1, "weight": 2.0}),
    ("bob", {"group": "research", "priority": 5}),
    ("cyd", {"group": "research/web", "priority": 3, "policy": "rr:quantum=4"}),
    ("dan", {"group": "ops", "priority": 2, "weight": 0.5}),
    ("eve", {"priority": 9, "policy": "wfq"}),
    ("flo", {"group": "ops", "priority": 9}),
]
FAST = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=cast("Any", list(HealthCheck)),
)
THOROUGH = settings(FAST, max_examples=300, stateful_step_count=120)


class History(RuleBasedStateMachine):
    """Anything may happen to a queue at any moment; the books must balance and the policy's order must hold."""

    spec: ClassVar[Policy | type[Policy] | str] = "fifo"

    @initialize(limit=st.integers(1, 3))
    def begin(self, limit: int) -> None:
        self.limit = limit
        self.rig = Rig(policy(self.spec), limit)
        self.check_choices()

    def check_choices(self) -> None:
        self.rig.limiter.check = self.rig.check_choice  # type: ignore[attr-defined]

    def pick(self, state: State, which: int) -> Task | None:
        found = [task for task in self.rig.tasks if task.state is state]
        return found[which % len(found)] if found else None

    @rule(who=st.sampled_from(AGENTS), cost=st.integers(0, 9), timeout=st.none() | st.floats(0.0, 5.0))
    def submit(self, who: tuple[str, dict[str, Any]], cost: int, timeout: float | None) -> None:
        self.rig.submit(who[0], cost, timeout=timeout, **who[1])

    @rule(which=st.integers(0), used=st.none() | st.integers(0, 20))
    def release(self, which: int, used: int | None) -> None:
        if task := self.pick(State.RUNNING, which):
            usage = None if used is None else Usage(output_tokens=used)
            self.rig.queue.release(task, Outcome(usage=usage))
            assert used in (None, 0) or task.charged == used

    @rule(which=st.integers(0), state=st.sampled_from([State.WAITING, State.RUNNING, State.DONE]))
    def cancel(self, which: int, state: State) -> None:
        if task := self.pick(state, which):
            self.rig.queue.cancel(task)
            assert task.state is State.DONE

    @rule(which=st.integers(0))
    def push_back(self, which: int) -> None:
        if task := self.pick(State.RUNNING, which):
            self.rig.queue.push_back(task, Outcome(pushed_back=True, status=429))

    @rule(which=st.integers(0), cost=st.integers(-3, 9))
    def meter(self, which: int, cost: int) -> None:
        if task := self.pick(State.RUNNING, which):
            self.rig.queue.charge(task, cost)

    @rule(seconds=st.floats(0.0, 20.0))
    def advance(self, seconds: float) -> None:
        self.rig.clock.advance(seconds)

    @rule(who=st.sampled_from(AGENTS), decision=st.sampled_from(["pause", "resume", "kill"]))
    def decide(self, who: tuple[str, dict[str, Any]], decision: str) -> None:
        process = self.rig.processes.get(who[0])
        if process is None:
            return
        if decision == "kill":
            process.killed = True
            self.rig.processes[f"{who[0]}, dead since task {len(self.rig.tasks)}"] = self.rig.processes.pop(who[0])
        else:
            process.paused = decision == "pause"
        self.rig.queue.review(process)

    @rule(who=st.sampled_from(AGENTS), priority=st.integers(1, 9))
    def pin(self, who: tuple[str, dict[str, Any]], priority: int) -> None:
        if process := self.rig.processes.get(who[0]):
            process.pinned = priority
            self.rig.queue.review(process)
            assert {t.agent.priority for t in self.rig.queue.tasks() if t.process is process} <= {priority}

    @rule(other=st.sampled_from([None, "fifo", "groups:within=las"]))
    def use(self, other: str | None) -> None:
        self.rig.queue.use(self.rig.spied(policy(self.spec if other is None else other)))

    @invariant()
    def balanced(self) -> None:
        self.rig.check()
        assert self.rig.queue.running <= self.limit
        may_run = [task for task in self.rig.queue.tasks() if not task.process.paused]
        assert self.rig.queue.running == self.limit or not may_run, "idle while a task waits"
        assert not [task for task in self.rig.queue.tasks() if task.process.killed], "a killed agent waits"

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        for process in self.rig.processes.values():
            process.paused = False
            self.rig.queue.review(process)
        self.rig.drain()
        self.rig.check()
        assert not self.rig.queue.waiting
        assert all(task.state is State.DONE for task in self.rig.tasks)


class PolicyContract:
    """What every policy owes. A subclass names the policy by `spec`: a registered spec or a Policy subclass."""

    spec: ClassVar[Policy | type[Policy] | str]
    #: How many grants the victim of the adversary may have to watch.
    patience: ClassVar[int] = 2_000

    def make(self) -> Policy:
        """A new policy, with empty accounts."""
        return policy(self.spec)

    def random_rig(self, count: int, limit: int = 3, seed: int = 0) -> Rig:
        """Submit `count` tasks of all agents in random order."""
        rig, rng = Rig(self.make(), limit), random.Random(seed)
        for _ in range(count):
            name, own = rng.choice(AGENTS)
            rig.submit(name, rng.randint(1, 9), **own)
            rig.clock.advance(rng.random())
        return rig

    def history(self, profile: settings) -> None:
        """Run random histories of this policy."""
        machine = type(f"History of {self.spec}", (History,), {"spec": self.spec})
        run_state_machine_as_test(machine, settings=profile)

    def test_random_histories(self) -> None:
        """Submit, release, cancel, expire, push back, meter, switch: books balance, order holds, nobody is lost."""
        self.history(FAST)

    @pytest.mark.slow
    def test_many_random_histories(self) -> None:
        """The same with longer and more histories."""
        self.history(THOROUGH)

    def test_everybody_is_served_and_the_books_are_exact(self) -> None:
        """Every task runs once; per agent the charges add up to what was used, whatever had been reserved."""
        rig, rng = self.random_rig(200), random.Random(1)
        used: dict[str, int] = {}
        while running := rig.running():
            task, cost = rng.choice(running), rng.randint(1, 30)
            used[task.process.name] = used.get(task.process.name, 0) + cost
            rig.finish(task, cost)
        assert len(rig.grants) == len(set(rig.grants)) == 200
        assert {p.name: rig.charges[p.pid] for p in rig.processes.values()} == used
        assert {p.name: p.usage.total_tokens for p in rig.processes.values()} == used
        assert all(p.waiting == p.running == 0 for p in rig.processes.values())

    @pytest.mark.parametrize("adversary", ["urgent", "new", "either"])
    def test_nobody_starves_where_that_is_promised(self, adversary: str) -> None:
        """An urgent agent or ever new ones never leave the resource idle; who waits is served all the same."""
        if not self.make().starvation_free:
            pytest.skip("this policy does not promise it")
        rig = Rig(self.make())
        for _ in range(5):  # the victim has used much and is the least urgent of all
            rig.finish(rig.submit("victim", 20, priority=100, group="low"))
        running = rig.submit("urgent", 3, priority=1, group="high")
        victim = rig.submit("victim", 50)
        rng = random.Random(2)
        for number in range(self.patience):
            name = {"urgent": "urgent", "new": f"new{number}"}.get(adversary, rng.choice(["urgent", f"new{number}"]))
            rig.submit(name, rng.randint(1, 9), priority=1, group=rng.choice(["high", "low"]))
            rig.clock.advance(5.0)
            rig.finish(running)
            running = rig.running()[-1]
            if running is victim:
                return
        pytest.fail(f"still waiting after {self.patience} grants")

    def test_an_agent_s_change_of_settings_pulls_no_waiting_task_about(self) -> None:
        """A task keeps group, class, priority and weight of its own call; the agent's later ones count later."""
        rig = self.random_rig(60)
        for process, (_, other) in zip(rig.processes.values(), reversed(AGENTS), strict=True):
            process.agent = type(process.agent)(name=process.agent.name, **other)
        for name in list(rig.processes):
            rig.submit(name, 3)
        assert sorted(rig.drain()) == sorted(task.process.name for task in rig.tasks)
        rig.check()
        assert not [name for name, _ in rig.events if name == "error"]

    def test_switching_the_policy_loses_nobody(self) -> None:
        """Waiting tasks move to another policy and back, running ones keep their grants, and all are served."""
        rig = self.random_rig(100)
        running = rig.running()
        for spec in ("fifo", "groups:between=fixed", "wfq", self.spec):
            rig.queue.use(rig.spied(policy(spec)))
            assert (rig.queue.waiting, rig.running()) == (97, running)
        rig.drain()
        rig.check_accounts()
        assert len(set(rig.grants)) == 100

    def test_the_same_history_gives_the_same_order(self) -> None:
        """Nothing in a policy depends on hashes, addresses or the time of day."""
        orders = [self.random_rig(120).drain() for _ in range(2)]
        assert orders[0] == orders[1]

    def test_the_next_of_ten_thousand_is_found_without_a_scan(self) -> None:
        """With 10,000 tasks waiting, a release ranks and compares a few dozen, as many as the tree is deep."""
        measured = _Measured(self.make())
        rig = Rig(measured, limit=1)
        for number in range(10_000):
            name, own = AGENTS[number % len(AGENTS)]
            rig.submit(f"{name}{number % 600}", 1 + number % 5, **own)
        assert rig.queue.waiting == 9_999
        most_ranked = most_compared = 0
        for _ in range(200):
            measured.ranked = _Counted.compared = 0
            rig.finish(rig.running()[-1] if len(rig.grants) == 1 else rig.grants[-1])
            most_ranked, most_compared = max(most_ranked, measured.ranked), max(most_compared, _Counted.compared)
        assert most_ranked <= 16
        assert most_compared <= 250

    def test_a_paused_agent_s_many_calls_cost_the_others_nothing(self) -> None:
        """With 5,000 calls of paused agents and 100 of others, a grant looks at no call that is paused."""
        measured = _Measured(self.make())
        rig = Rig(measured, limit=1)
        for number in range(5_100):
            name, own = AGENTS[number % len(AGENTS)]
            rig.submit(f"{name}{number % 600}" if number % 51 else "other", 1 + number % 5, **own)
        for name, process in rig.processes.items():
            process.paused = name != "other"
            rig.queue.review(process)
        rig.finish(rig.running()[0])
        for _ in range(90):
            measured.ranked = _Counted.compared = 0
            rig.finish(rig.running()[0])
            assert rig.running()[0].process.name == "other"
            assert measured.ranked <= 16
            assert _Counted.compared <= 250
        for process in rig.processes.values():
            process.paused = False
            rig.queue.review(process)
        rig.drain()
        rig.check()
        assert len(set(rig.grants)) == 5_100

    def test_the_choice_is_the_smallest_rank_of_many(self) -> None:
        """Over a long run of 2,000 tasks, every grant is the one that a plain scan of ranks would choose."""
        rig = self.random_rig(2_000, limit=2, seed=3)
        assert isinstance(rig.limiter, FixedLimiter)
        rig.limiter.check = rig.check_choice  # type: ignore[attr-defined]
        for _ in range(40):
            rig.finish(next(task for task in reversed(rig.grants) if task.state is State.RUNNING))
        rig.check()

    @pytest.mark.slow
    def test_the_choice_is_the_smallest_rank_of_ten_thousand(self) -> None:
        """The same with 10,000 tasks and every grant of the last thousand checked."""
        rig = self.random_rig(10_000, limit=2, seed=4)
        for step in range(10_000):
            if step == 9_000:
                rig.limiter.check = rig.check_choice  # type: ignore[attr-defined]
            rig.finish(next(task for task in reversed(rig.grants) if task.state is State.RUNNING))
        assert (rig.queue.waiting, rig.queue.running) == (0, 0)


class _Counted:
    """A component of a rank that counts how often it is compared."""

    compared = 0

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Counted) -> bool:
        _Counted.compared += 1
        return self.value < other.value

    def __eq__(self, other: object) -> bool:
        _Counted.compared += 1
        return isinstance(other, _Counted) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


class _Measured(Policy):
    """Another policy, with its calls of `rank` and the comparisons of its ranks counted."""

    def __init__(self, inner: Policy) -> None:
        self.inner, self.ranked = inner, 0
        self.path, self.enter, self.charge = inner.path, inner.enter, inner.charge

    def rank(self, task: Task, now: float) -> Any:
        self.ranked += 1
        rank = self.inner.rank(task, now)
        return tuple(map(_Counted, rank)) if self.inner.path(task) else _Counted(rank)
