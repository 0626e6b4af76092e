"""Capabilities: given by owners to agents and groups, for a path and rights, until they end or are revoked."""

from __future__ import annotations

import pytest

from aios_kernel.abi import Agent
from aios_kernel.errors import AccessDenied, FileMissing, StorageError
from tests.kernel.storage.support import As, opened


@pytest.fixture(autouse=True)
def files(ann):
    ann.write(path="docs/a", content="one")
    ann.write(path="docs2/a", content="not shared")
    ann.write(path="b", content="not shared")


def _theirs(**more):
    return {"root": "agent:ann", **more}


def test_a_share_gives_its_rights_and_no_others(ann, eve):
    """Reading is not writing, writing is not deleting, and what lies beside the path is not in it."""
    made = ann.share(path="docs", to="agent:eve")
    assert (made["rights"], made["expires"], made["by"], made["to"]) == (["read"], None, "ann", "agent:eve")
    assert eve.read(**_theirs(path="docs/a"))["content"] == "one"
    assert eve.history(**_theirs(path="docs/a"))[0]["version"] == 1
    assert len(eve.list(**_theirs(path="docs"))["entries"]) == 1
    for verb, arguments in {
        "write": {"content": "x"},
        "create_file": {},
        "delete": {},
        "rollback": {},
        "share": {"to": "agent:bob"},
        "create_directory": {},
    }.items():
        with pytest.raises(AccessDenied):
            getattr(eve, verb)(**_theirs(path="docs/a", **arguments))
    for path in ("docs2/a", "b", "doc", "docs2"):
        with pytest.raises(AccessDenied, match="may not read"):
            eve.read(**_theirs(path=path))
    with pytest.raises(AccessDenied):
        eve.list(**_theirs())
    ann.share(path="docs", to="agent:eve", rights=["write"])
    eve.write(**_theirs(path="docs/new", content="eve's"))
    assert ann.history(path="docs/new")[0]["agent"] == "eve"
    with pytest.raises(AccessDenied, match="may not delete"):
        eve.delete(**_theirs(path="docs/new"))
    ann.share(path="docs/new", to="agent:eve", rights=["delete"])
    eve.delete(**_theirs(path="docs/new"))
    with pytest.raises(FileMissing):
        ann.read(path="docs/new")


def test_writing_alone_does_not_show(ann, eve):
    """Who may write but not read gets nothing of the content back."""
    ann.share(path="docs", to="agent:eve", rights=["write"])
    with pytest.raises(AccessDenied):
        eve.read(**_theirs(path="docs/a"))
    assert "one" not in str(eve.write(**_theirs(path="docs/a", content=" more", append=True)))


def test_shares_end(ann, eve, now):
    """At its end, to the tick, a share is over; it can be given again."""
    ann.share(path="docs", to="agent:eve", seconds=60)
    now.now += 59.999
    eve.read(**_theirs(path="docs/a"))
    now.now += 0.001
    with pytest.raises(AccessDenied):
        eve.read(**_theirs(path="docs/a"))
    assert [one["expired"] for one in ann.shares()["given"]] == [True]
    ann.share(path="docs", to="agent:eve", seconds=60)
    eve.read(**_theirs(path="docs/a"))


def test_shares_are_revoked(ann, bob, eve):
    """The owner ends one share at once; others stay; nobody else can, not even its holder."""
    first = ann.share(path="docs", to="agent:eve")
    ann.share(path="docs", to="agent:bob")
    for other in (bob, eve):
        with pytest.raises(AccessDenied, match="has given no share"):
            other.revoke(id=first["id"])
    assert ann.revoke(id=first["id"])["revoked"] is True
    with pytest.raises(AccessDenied):
        eve.read(**_theirs(path="docs/a"))
    assert bob.read(**_theirs(path="docs/a"))["content"] == "one"
    with pytest.raises(AccessDenied, match="has given no share"):
        ann.revoke(id=first["id"])


def test_what_is_known_of_shares(ann, bob, eve):
    """An owner sees what it gave, a holder what it holds."""
    ann.share(path="docs", to="agent:eve", rights=["write", "read", "read"])
    ann.share(path="", to="group:research")
    assert [(one["path"], one["rights"]) for one in ann.shares()["given"]] == [
        ("docs", ["read", "write"]),
        ("", ["read"]),
    ]
    assert [(one["root"], one["path"]) for one in eve.shares()["held"]] == [("agent:ann", "docs")]
    assert [one["to"] for one in bob.shares()["held"]] == ["group:research"]
    assert eve.shares()["given"] == []


def test_groups(ann, bob, eve, manager):
    """Members have the group's root together and hold what is shared with it; who leaves has neither."""
    ann.write(path="plan", content="ours", root="group:research")
    assert bob.read(path="plan", root="group:research")["agent"] == "ann"
    bob.delete(path="plan", root="group:research")
    bob.rollback(path="plan", root="group:research")
    bob.share(path="plan", to="agent:eve", root="group:research")
    assert eve.read(path="plan", root="group:research")["content"] == "ours"
    ann.share(path="docs", to="group:research")
    assert bob.read(**_theirs(path="docs/a"))["content"] == "one"
    left = As(manager, Agent(name="bob"))
    for arguments in (_theirs(path="docs/a"), {"path": "plan", "root": "group:research"}):
        with pytest.raises(AccessDenied):
            left.read(**arguments)
    nested = As(manager, Agent(name="zoe", group="research/inner"))
    with pytest.raises(AccessDenied):
        nested.read(path="plan", root="group:research")


def test_an_agent_of_another_spelling_is_another(ann, manager):
    """Names are compared as they are: letters that look alike, case and spaces make another agent."""
    ann.share(path="docs", to="agent:eve")
    for name in ("Eve", "eve ", "еve", "evе", "e\u200bve"):
        with pytest.raises(AccessDenied):
            As(manager, Agent(name=name)).read(**_theirs(path="docs/a"))


def test_a_policy_may_decide_first(tmp_path):
    """`allow` grants and refuses before the rules; the host's directories are only read all the same."""
    asked = []

    def allow(agent, right, root, path):
        asked.append((agent.name, right, root, path))
        return {"eve": True, "ann": None}.get(agent.name, False)

    manager = opened(tmp_path / "s", allow=allow, mounts={"host": tmp_path})
    ann, bob, eve = (As(manager, Agent(name=name)) for name in ("ann", "bob", "eve"))
    ann.write(path="a", content="1")
    assert eve.read(path="a", root="agent:ann")["content"] == "1"
    with pytest.raises(AccessDenied):
        bob.write(path="own", content="")
    with pytest.raises(AccessDenied, match="only read"):
        eve.write(path="a", content="", root="mount:host")
    assert asked[:2] == [("ann", "write", "agent:ann", "a"), ("eve", "read", "agent:ann", "a")]
    manager.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rights": ["read", "admin"]}, "rights are some of read, write, delete; not admin"),
        ({"rights": []}, "not none"),
        ({"seconds": 0}, "lasts some seconds"),
        ({"seconds": -1}, "lasts some seconds"),
        ({"seconds": float("inf")}, "lasts some seconds"),
        ({"seconds": "60"}, "number of seconds"),
        ({"to": "eve"}, "is not 'agent:NAME' or 'group:NAME'"),
    ],
)
def test_shares_that_make_no_sense(ann, arguments, said):
    """A wrong share is not made."""
    with pytest.raises(StorageError, match=said):
        ann.share(**{"path": "docs", "to": "agent:eve", **arguments})
    assert ann.shares()["given"] == []


def test_shares_last(tmp_path, now):
    """A share is there after the store was closed; one that has ended is forgotten."""
    for _ in range(2):
        manager = opened(tmp_path / "s", clock=now)
        ann, eve = As(manager), As(manager, Agent(name="eve"))
        if not ann.list()["entries"]:
            ann.write(path="a", content="1")
            ann.share(path="a", to="agent:eve")
            ann.share(path="a", to="agent:zoe", seconds=5)
        else:
            assert eve.read(path="a", root="agent:ann")["content"] == "1"
            assert len(ann.shares()["given"]) == 1
        manager.close()
        now.now += 10
