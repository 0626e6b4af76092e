"""Names to policies."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from aios_kernel.errors import ConfigError, UnknownName
from aios_kernel.scheduling import Policy, registry
from aios_kernel.scheduling.policies import Fifo, Fixed, Groups, RoundRobin
from aios_kernel.scheduling.registry import policy, policy_names


class Random(Policy):
    """Stands for a third party's policy."""

    name = "random"


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two third-party policies: one that works and one whose module is not there, and one that is no policy."""
    points = EntryPoints(
        EntryPoint(name, value, registry.ENTRY_POINTS)
        for name, value in (("random", f"{__name__}:Random"), ("broken", "no_such_module:X"), ("wrong", "os:getcwd"))
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))


def test_a_spec_makes_a_new_policy_each_time() -> None:
    """Accounts are per resource: the same spec never gives the same object twice."""
    assert policy("rr") is not policy("rr")
    assert isinstance(policy(RoundRobin), RoundRobin)


def test_a_policy_object_is_used_as_it_is() -> None:
    """Whoever makes the object keeps it."""
    mine = Fifo()
    assert policy(mine) is mine


def test_options_follow_the_name() -> None:
    """Numbers, words, names with bars, and policies within policies."""
    assert policy("rr:quantum=64").quantum == 64
    fixed = policy("fixed:order=planner|coder")
    assert isinstance(fixed, Fixed)
    assert fixed.order == {"planner": 0, "coder": 1}
    groups = policy("groups: between = fixed, within=(groups:a=0.25,within=(rr:quantum=8)), order=x|y")
    assert isinstance(groups, Groups)
    assert (groups.between, groups.quantum, groups.order) == ("fixed", 8, {"x": 1, "y": 2})
    assert isinstance(groups.within, Groups)
    assert groups.within.a == 0.25


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    """The error is enough to mend the spelling."""
    with pytest.raises(UnknownName, match=r"unknown policy 'fifoo'\. Did you mean 'fifo'\? Known: .*wfq"):
        policy("fifoo")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rr:quantum=0", "quantum"),
        ("rr:quantum=many", "quantum=many"),
        ("rr:speed=3", "it takes: quantum"),
        ("rr:quantum", "option=value"),
        ("las:aging=-1", "aging"),
        ("priority:interval=-1", "interval"),
        ("groups:a=2", "equal shares"),
        ("groups:between=war", "fair, fixed"),
        ("groups:within=nosuch", "nosuch"),
        (7, "a policy is a name"),
    ],
)
def test_a_wrong_option_is_named(spec: str, message: str) -> None:
    """What cannot be made is a ConfigError that says what is wrong with it."""
    with pytest.raises(ConfigError, match=message):
        policy(spec)


@pytest.mark.usefixtures("plugins")
def test_third_parties_register_policies() -> None:
    """A policy of the entry-point group is made by its name, and listed without being loaded."""
    assert type(policy("random")).__name__ == "Random"
    assert {"broken", "random", "fifo", "rr"} <= set(policy_names())


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(("name", "message"), [("broken", "'no_such_module:X'"), ("wrong", "not a subclass")])
def test_a_broken_plugin_is_named(name: str, message: str) -> None:
    """The error names the entry point; the other policies are not affected."""
    with pytest.raises(ConfigError, match=message):
        policy(name)
    assert isinstance(policy("fifo"), Fifo)
