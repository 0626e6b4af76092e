"""Every policy under the conformance suite, and what each promises beyond it."""

from __future__ import annotations

import gc
from collections import Counter

import pytest

from aios_kernel.scheduling import Outcome
from aios_kernel.scheduling.policies import Classes, FairShare, LeastAttained, RoundRobin
from tests.contracts.policy import PolicyContract
from tests.kernel.scheduling.rig import Rig


def shares(rig: Rig, steps: int) -> dict[str, float]:
    """Finish `steps` grants and return what each agent was charged on the way."""
    before = dict(rig.charges)
    for _ in range(steps):
        rig.finish(rig.running()[0])
    return {p.name: rig.charges[p.pid] - before.get(p.pid, 0.0) for p in rig.processes.values()}


class TestFifo(PolicyContract):
    spec = "fifo"

    def test_requests_run_in_order_of_arrival(self) -> None:
        """The order of grants is the order of submission, whoever submits."""
        rig = self.random_rig(50)
        rig.drain()
        assert [task.seq for task in rig.grants] == list(range(1, 51))

    def test_a_call_that_was_pushed_back_keeps_its_place(self) -> None:
        """What the endpoint refused goes before those that came later."""
        rig = self.random_rig(5, limit=1)
        rig.queue.push_back(rig.grants[0], _refused())
        assert rig.grants[1] is rig.grants[0]


class TestFixed(PolicyContract):
    spec = "fixed:order=dan|ann"

    def test_agents_run_in_the_order_given_then_by_pid(self) -> None:
        """Named agents first, in their order, the others after them by pid; within an agent by arrival."""
        rig = Rig(self.make())
        rig.submit("first")
        for name in ("bob", "ann", "dan", "cyd", "ann", "dan"):
            rig.submit(name)
        assert rig.drain() == ["first", "dan", "dan", "ann", "ann", "bob", "cyd"]

    def test_it_promises_no_freedom_from_starvation_because_there_is_none(self) -> None:
        """An agent ahead in the order that never stops asking is always served first."""
        assert self.make().starvation_free is False
        rig = Rig(self.make())
        rig.submit("dan")
        victim = rig.submit("zoe")
        for _ in range(200):
            rig.submit("dan")
            rig.finish(rig.running()[0])
        assert victim not in rig.grants


class TestRoundRobin(PolicyContract):
    spec = "rr:quantum=4"

    def test_agents_take_turns_of_one_quantum(self) -> None:
        """A turn is as many calls as the quantum pays for; then it is the next agent's."""
        rig = Rig(self.make())
        for _ in range(4):
            for name in ("a", "b", "c"):
                rig.submit(name, 2)
        assert "".join(rig.drain()) == "aabbccaabbcc"

    def test_a_newcomer_goes_to_the_tail(self) -> None:
        """Who comes while others wait is served after each of them had a turn."""
        rig = Rig(self.make())
        for name in ["running", *"aabbcc"]:
            rig.submit(name, 4)
        rig.submit("new", 4)
        assert rig.drain() == ["running", "a", "b", "c", "new", "a", "b", "c"]

    def test_an_agent_that_was_away_has_its_turn_but_not_two(self) -> None:
        """Being away loses no place in the cycle and saves up no turns."""
        rig = Rig(self.make())
        for name in ("a", "away", "b", "a", "b", "a", "b"):
            rig.finish(rig.submit(name, 4))
        rig.submit("running", 4)
        for name in ("b", "b", "a", "a", "away", "away"):
            rig.submit(name, 4)
        assert rig.drain() == ["running", "away", "a", "b", "away", "a", "b"]

    def test_a_refund_brings_no_ended_turn_back(self) -> None:
        """Reserving much and using little does not buy a longer turn later."""
        rig = Rig(self.make())
        for name in "aabb":
            rig.submit(name, 100)
        rig.submit("a", 100)
        order = []
        while running := rig.running():
            order.append(running[0].process.name)
            rig.finish(running[0], 1)
        assert "".join(order) == "aabab"

    def test_a_running_agent_s_turn_ends_while_it_is_metered(self) -> None:
        """On a core that meters, the batch is ordered by whose turn it is."""
        rig = Rig(self.make(), limit=2)
        a, b = rig.submit("a", 0), rig.submit("b", 0)
        orders: list[list[str]] = []

        def note() -> None:
            rig.queue.order([a, b], lambda tasks: orders.append([task.process.name for task in tasks]))

        note()
        rig.queue.charge(a, 3)
        note()
        rig.queue.charge(a, 1)
        note()
        rig.queue.charge(b, 4)
        note()
        assert orders == [["a", "b"], ["a", "b"], ["b", "a"], ["a", "b"]]


class TestPriority(PolicyContract):
    spec = "priority:interval=10"

    def test_urgent_agents_go_first(self) -> None:
        """Among calls that came together, 1 is served before 2."""
        rig = Rig(self.make())
        rig.submit("running")
        for priority in (3, 1, 2):
            rig.submit(f"p{priority}", priority=priority)
        assert rig.drain() == ["running", "p1", "p2", "p3"]

    @pytest.mark.parametrize(("age", "first"), [(9.0, "urgent"), (11.0, "patient")])
    def test_an_interval_of_waiting_makes_up_for_one_step(self, age: float, first: str) -> None:
        """A call one step less urgent goes first once it has waited longer than the interval."""
        rig = Rig(self.make())
        rig.submit("running")
        rig.submit("patient", priority=2)
        rig.clock.advance(age)
        rig.submit("urgent", priority=1)
        assert rig.drain()[1] == first


class TestFairShare(PolicyContract):
    spec = "wfq"

    def test_busy_agents_share_by_weight(self) -> None:
        """Agents that always wait get cost in proportion to their weights, to within one call."""
        rig = Rig(self.make())
        for _ in range(400):
            for name, weight, cost in (("a", 1.0, 5), ("b", 2.0, 3), ("c", 4.0, 8)):
                rig.submit(name, cost, weight=weight)
        got = shares(rig, 300)
        fair = [got[name] / weight for name, weight in (("a", 1.0), ("b", 2.0), ("c", 4.0))]
        assert max(fair) - min(fair) <= 5 + 3 / 2 + 8 / 4

    def test_idling_earns_no_credit(self) -> None:
        """An agent that was away gets its share from now on, not what it did not use."""
        rig = Rig(self.make())
        rig.finish(rig.submit("away", 5))
        for _ in range(100):
            rig.submit("busy", 5)
        shares(rig, 30)
        for _ in range(30):
            rig.submit("away", 5)
        got = shares(rig, 40)
        assert abs(got["away"] - got["busy"]) <= 10

    def test_another_call_of_a_waiting_agent_takes_no_credit_from_it(self) -> None:
        """The lift is for those who were idle: asking for more while waiting changes nothing."""
        rig = Rig(self.make())
        running = rig.submit("running", 10)
        for name, cost in (("busy", 100), ("busy", 100), ("poor", 10)):
            rig.submit(name, cost)
        rig.finish(running)
        for _ in range(20):
            rig.submit("poor", 10)
        assert rig.drain()[:11] == ["busy"] + ["poor"] * 10

    def test_accounts_of_those_who_left_are_dropped(self) -> None:
        """Ten thousand agents that come and go leave a few accounts, not ten thousand."""
        chosen = FairShare()
        rig = Rig(chosen)
        for number in range(3_000):
            rig.finish(rig.submit(f"agent{number}", 5))
        assert len(chosen._counters) <= 200


class TestLeastAttained(PolicyContract):
    spec = "las"

    def test_the_program_with_the_least_service_goes_first(self) -> None:
        """An agent that has used much stands behind one that has used little, whatever the size of the calls."""
        rig = Rig(self.make())
        rig.finish(rig.submit("old", 500))
        rig.finish(rig.submit("young", 20))
        rig.submit("running", 1000)
        for name in ("old", "young", "new"):
            rig.submit(name, 1)
        assert rig.drain() == ["running", "new", "young", "old"]

    def test_without_aging_it_can_starve_and_says_so(self) -> None:
        """New agents without end keep an old one waiting."""
        assert self.make().starvation_free is False
        rig = Rig(self.make())
        rig.finish(rig.submit("old", 500))
        rig.submit("running")
        victim = rig.submit("old")
        for number in range(200):
            rig.submit(f"new{number}")
            rig.clock.advance(10)
            rig.finish(rig.running()[0])
        assert victim not in rig.grants

    def test_an_agent_s_account_goes_with_the_agent(self) -> None:
        """Nothing is kept of an agent that the process table has forgotten."""
        for chosen, accounts in ((las := LeastAttained(), las._programs), (rr := RoundRobin(), rr._turns)):
            rig = Rig(chosen)
            rig.finish(rig.submit("gone"))
            assert len(accounts) == 1
            for kept in (rig.tasks, rig.grants, rig.events, rig.woken, rig.processes):
                kept.clear()
            gc.collect()
            assert len(accounts) == 0


class TestLeastAttainedWithAging(PolicyContract):
    spec = "las:aging=1"


class TestGroups(PolicyContract):
    spec = "groups"

    def test_groups_share_by_priority(self) -> None:
        """With w_i ~ a/p_i + (1-a)/n, p = 1 and 4, n = 2 and a = 0.5, shares are as 0.75 to 0.375."""
        rig = Rig(self.make())
        for _ in range(300):
            rig.submit("a", 4, group="one", priority=1)
            rig.submit("b", 4, group="two", priority=4)
        got = shares(rig, 300)
        assert got["a"] / got["b"] == pytest.approx(2.0, rel=0.05)

    def test_agents_more_do_not_make_a_group_s_share_more(self) -> None:
        """A group of three and a group of one, equally urgent, get the same."""
        rig = Rig(self.make())
        for _ in range(200):
            for name, group in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b", "b")):
                rig.submit(name, 2, group=group)
        got = shares(rig, 200)
        assert got["b"] == pytest.approx(got["a1"] + got["a2"] + got["a3"], abs=4)

    def test_a_subgroup_shares_with_the_agents_of_its_parent(self) -> None:
        """`a/x` and the agents of `a` itself halve what `a` gets; `b` gets as much as all of `a`."""
        rig = Rig(self.make())
        for _ in range(300):
            for name, group in (("a", "a"), ("ax", "a/x"), ("b", "b")):
                rig.submit(name, 2, group=group)
        got = shares(rig, 400)
        assert got["b"] == pytest.approx(400, abs=6)
        assert got["a"] == pytest.approx(got["ax"], abs=6) == pytest.approx(200, abs=6)


class TestGroupsInFixedOrder(PolicyContract):
    spec = "groups:between=fixed,within=fifo,order=ops|research"

    def test_a_group_goes_before_the_next_and_is_fifo_within(self) -> None:
        """Groups of the order first, the others by the priority of their most urgent agent; FIFO within each."""
        rig = Rig(self.make())
        rig.submit("running")
        for name, group, priority in (
            ("x", "late", 5),
            ("r1", "research", 9),
            ("y", "early", 2),
            ("o1", "ops", 9),
            ("r2", "research", 1),
            ("o2", "ops", 1),
        ):
            rig.submit(name, group=group, priority=priority)
        assert rig.drain() == ["running", "o1", "o2", "r1", "r2", "y", "x"]


class TestGroupsOfTurns(PolicyContract):
    spec = "groups:within=(rr:quantum=4)"

    def test_each_group_has_accounts_of_its_own(self) -> None:
        """Turns are taken within a group: what happens in another group ends none of them."""
        chosen = self.make()
        assert chosen.quantum == 4
        rig = Rig(chosen)
        rig.submit("running", group="c")
        for _ in range(3):
            for name, group in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")):
                rig.submit(name, 4, group=group)
        order = rig.drain()
        assert [name for name in order if name[0] == "a"] == ["a1", "a2"] * 3
        assert [name for name in order if name[0] == "b"] == ["b1", "b2"] * 3


class TestGroupsOfShares(PolicyContract):
    spec = "groups:within=wfq"

    def test_a_newcomer_is_measured_by_its_own_group(self) -> None:
        """Where five share what elsewhere one has, who comes starts where the five stand, not where the one does."""
        rig = Rig(self.make())
        for _ in range(40):
            for name in ("a", "b1", "b2", "b3", "b4", "b5"):
                rig.submit(name, 10, group=name[0])
        shares(rig, 60)
        new = rig.submit("b6", 10, group="b")
        shares(rig, 16)
        assert new in rig.grants


class TestClasses(PolicyContract):
    spec = "classes"

    def test_choosing_a_class_is_no_advantage_by_itself(self) -> None:
        """One agent in a class of its own gets what each of the three in the default class gets."""
        rig = Rig(Classes("wfq"))
        for _ in range(300):
            rig.submit("own", 3, policy="fifo")
            for name in "abc":
                rig.submit(name, 3)
        got = shares(rig, 400)
        assert got == {"own": pytest.approx(300, abs=15), **dict.fromkeys("abc", pytest.approx(300, abs=15))}

    def test_agents_that_left_count_no_more(self) -> None:
        """A class's shares follow the agents that have calls open, not all it ever had."""
        rig = Rig(Classes("wfq"))
        for number in range(9):
            rig.finish(rig.submit(f"gone{number}", 3))
        for _ in range(200):
            rig.submit("own", 3, policy="fifo")
            rig.submit("a", 3)
        got = shares(rig, 200)
        assert got["own"] == pytest.approx(got["a"], rel=0.1)

    def test_a_class_keeps_its_own_order_and_the_default_s_name_is_the_default(self) -> None:
        """Within a class its policy decides; naming the resource's own policy changes nothing."""
        rig = Rig(Classes("fifo"))
        rig.submit("running")
        for name, policy in (("p9", "priority"), ("p1", "priority"), ("f1", None), ("f2", "fifo")):
            rig.submit(name, policy=policy, priority=int(name[1]))
        order = rig.drain()
        assert order.index("p1") < order.index("p9")
        assert order.index("f1") < order.index("f2")
        assert {task.path[0] for task in rig.tasks if task.process.name[0] in "rf"} == {""}

    def test_an_unknown_class_fails_its_own_call_only(self) -> None:
        """The error names the class and the known policies; the others are served."""
        rig = Rig(Classes("fifo"))
        bad = rig.submit("bad", policy="nosuch")
        good = rig.submit("good")
        assert "nosuch" in str(bad.error)
        assert "wfq" in str(bad.error)
        assert rig.running() == [good]
        assert Counter(name for name, _ in rig.events)["fail"] == 1


def _refused() -> Outcome:
    return Outcome(pushed_back=True, status=429)
