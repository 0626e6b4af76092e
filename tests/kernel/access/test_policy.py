"""Policies: which rule decides, what a file may say, and what is said of a wrong one."""

from __future__ import annotations

import json

import pytest

from aios_kernel.abi import Agent, ChatCall, MemoryCall, StorageCall, ToolCall
from aios_kernel.access import AccessManager, Policy, Rule, load, parse
from aios_kernel.errors import AccessDenied, ConfigError
from aios_kernel.kernel import Kernel

POLICY = """
default = "deny"
destructive = ["drop_*"]
sandboxed = ["python"]

[groups]
research = ["alice", "bob-*"]
crew = ["group:crew"]

[[rules]]
do = ["llm.*", "tool.run", "code.run"]
to = ["core:*", "tool:*"]
effect = "allow"

[[rules]]
name = "shared notes"
who = "group:research"
do = "reads"
to = "memory:library"
effect = "allow"

[[rules]]
who = "*"
to = "tool:shell"
effect = "deny"

[[rules]]
who = "alice"
to = "tool:shell"
effect = "allow"

[[rules]]
who = "carol"
do = "memory.*"
to = "memory:{agent}"
effect = "allow"
unattended = true

[[rules]]
who = "group:crew"
to = "file:group:crew/*"
effect = "allow"
"""


@pytest.fixture
def policy():
    return parse(POLICY)


def _say(policy, agent, action, target, declared=""):
    verdict = policy.decide(agent, action, target, groups=policy.groups_of(agent, declared))
    return verdict.effect


@pytest.mark.parametrize(
    ("agent", "action", "target", "effect"),
    [
        ("zoe", "llm.chat", "core:m", "allow"),
        ("zoe", "tool.run", "tool:search", "allow"),
        ("zoe", "memory.get", "memory:zoe", "allow"),
        ("zoe", "memory.remove", "memory:zoe", "ask"),
        ("carol", "memory.remove", "memory:carol", "allow"),
        ("carol", "memory.get", "memory:zoe", "deny"),
        ("alice", "memory.get", "memory:library", "allow"),
        ("bob-2", "memory.list", "memory:library", "allow"),
        ("bob-2", "memory.add", "memory:library", "deny"),
        ("zoe", "memory.get", "memory:library", "deny"),
        ("alice", "tool.run", "tool:shell", "deny"),
        ("zoe", "storage.read", "file:agent:zoe/a/b", "allow"),
        ("zoe", "storage.read", "file:agent:zoey/a", "deny"),
        ("zoe", "access.add_privilege", "group:research", "deny"),
    ],
)
def test_which_effect(policy, agent, action, target, effect):
    """Denying wins, then the last that fits, then the default; what cannot be taken back is asked for."""
    assert _say(policy, agent, action, target) == effect


def test_groups_by_what_programs_declare(policy):
    """A group may take in the scheduling group that a program gives its agents, and those below."""
    assert _say(policy, "x", "storage.read", "file:group:crew/f", "crew") == "allow"
    assert _say(policy, "x", "storage.read", "file:group:crew/f", "crew/night") == "allow"
    assert _say(policy, "x", "storage.read", "file:group:crew/f", "crewed") == "deny"


@pytest.mark.parametrize("name", ["*", "?", "[a-z]", "zo*", "{agent}"])
def test_a_name_is_no_pattern(name):
    """An agent that calls itself a pattern reaches nobody else's memory."""
    policy = parse('[[rules]]\ndo="memory.*"\nto="memory:{agent}"\neffect="allow"\nunattended=true')
    assert _say(policy, name, "memory.get", "memory:zoe") == "deny"
    assert _say(policy, name, "memory.get", f"memory:{name}") == "allow"


def test_a_slash_in_a_name_begins_no_path():
    """Agent "a" does not own what is agent "a/b"'s."""
    kernel, tried = _kernel(Policy()), []
    for agent, root in (("a", "agent:a/b"), ("a/b", "agent:a")):
        with pytest.raises(AccessDenied):
            _use(
                kernel,
                StorageCall(verb="read", agent=Agent(name=agent), arguments={"root": root, "path": "b/f"}),
                tried,
            )
    _use(kernel, StorageCall(verb="read", agent=Agent(name="a/b"), arguments={"path": "f"}), tried)
    assert tried == ["a/b"]


def test_explained(policy):
    """The verdict names the rule with its line, the reason, and every rule that fits."""
    verdict = policy.decide("alice", "tool.run", "tool:shell", groups=("research",))
    assert (verdict.rule, verdict.why) == ("rule 3 (line 22)", "a rule that denies wins")
    assert [one.split(" (")[0] for one in verdict.matched] == ["rule 1", "rule 3", "rule 4"]
    assert policy.decide("zoe", "memory.remove", "memory:zoe").why == (
        "the only rule that fits, but memory.remove cannot be taken back, and the rule is not unattended"
    )
    assert policy.decide("zoe", "a.b", "c").why == "no rule fits, and the default is 'deny'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules = 3", "p.toml:1: rules are tables"),
        ("defualt = 'deny'", "p.toml:1: unknown key 'defualt' (did you mean 'default'?)"),
        ("\ndefault = 'alow'", "p.toml:2: 'alow' is no effect (did you mean 'allow'?); effects are allow, ask, deny"),
        ("own = 1", "p.toml:1: own is true or false, not 1"),
        ("[[rules]]\nwho='a'", "p.toml:1: rule 1: a rule needs an effect"),
        (
            "[[rules]]\neffect='deny'\n\n[[rules]]\neffect='deny'\nwhom='a'",
            "p.toml:6: rule 2: unknown key 'whom' (did you mean 'who'?)",
        ),
        ("[[rules]]\neffect='deny'\nwho='group:ops'", "p.toml:3: rule 1: no group 'ops'"),
        ("[groups]\nops=['a']\n[[rules]]\neffect='deny'\nwho='group:op'", "no group 'op' (did you mean 'ops'?)"),
        ("[[rules]]\neffect='deny'\nwho='gruop:ops'", "p.toml:3: rule 1: 'gruop:ops' is neither"),
        ("[[rules]]\neffect='deny'\ndo='memory'", "p.toml:3: rule 1: no action 'memory'"),
        ("[[rules]]\neffect='deny'\ndo='mem.get'", "no action 'mem.get' (did you mean 'memory.get'?)"),
        ("[[rules]]\neffect='deny'\nto='memroy:a'", "p.toml:3: rule 1: no target 'memroy:a' (did you mean 'memory'?)"),
        ("[[rules]]\neffect='deny'\nto='memory:{agnet}'", "{agnet} in 'memory:{agnet}'"),
        ("[[rules]]\neffect='deny'\nto=[]", "p.toml:3: rule 1: to is empty"),
        ("[[rules]]\neffect='deny'\nto=[1]", "p.toml:3: rule 1: to is a text or a list of texts"),
        ("[[rules]]\neffect='deny'\nunattended=true", "p.toml:3: rule 1: unattended says"),
        ("[[rules]\n", "p.toml is not valid TOML"),
        ("[groups]\na = 3", "p.toml:2: a is a text or a list"),
    ],
)
def test_wrong_files(text, said):
    """Where, what, and what was perhaps meant."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "p.toml")
    assert said in str(caught.value)


def test_json_too():
    """The same in JSON; a key that is there twice is refused."""
    text = json.dumps({"default": "allow", "rules": [{"effect": "deny", "to": "tool:x"}]})
    assert _say(parse(text, "p.json"), "a", "tool.run", "tool:x") == "deny"
    with pytest.raises(ConfigError, match="twice"):
        parse('{"default": "deny", "default": "allow"}', "p.json")
    with pytest.raises(ConfigError, match=r"p\.json: rule 1: unknown key 'efect'"):
        parse('{"rules": [{"efect": "deny"}]}', "p.json")


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"default = ", b"[1]"])
def test_a_file_that_cannot_be_used_is_no_policy(tmp_path, content):
    """Missing, not text, not TOML: no manager comes of it."""
    file = tmp_path / "p.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError):
        AccessManager(file)
    with pytest.raises(ConfigError):
        load(file)


def test_a_policy_that_breaks_while_it_runs_refuses_everything(tmp_path):
    """From a reload that fails to one that does not."""
    file, ran = tmp_path / "p.toml", []
    file.write_text("default = 'allow'")
    access = AccessManager(file)
    kernel = Kernel(checks=(access.check,), managers=[access])
    _use(kernel, ToolCall(name="t"), ran)
    file.write_text("default = 'alow'")
    with pytest.raises(ConfigError):
        access.reload()
    with pytest.raises(AccessDenied, match=r"until the policy can be read again.*alow"):
        _use(kernel, ToolCall(name="t"), ran)
    file.write_text("default = 'allow'")
    access.reload()
    _use(kernel, ToolCall(name="t"), ran)
    assert len(ran) == 2


def test_a_hook_that_raises_refuses(policy):
    """Marks and looks at the disk are somebody's code; without their answer there is none."""

    def broken(*args):
        raise RuntimeError("disk on fire")

    kernel = _kernel(parse("default = 'allow'"), marks=broken, exists=broken)
    for call in (ToolCall(name="t"), StorageCall(verb="write", arguments={"path": "f"})):
        with pytest.raises(AccessDenied, match="disk on fire"):
            _use(kernel, call)


def _kernel(policy, **settings):
    access = AccessManager(policy, **settings)
    return Kernel(checks=(access.check,), managers=[access])


def _use(kernel, call, ran=None):
    with kernel.syscall(call) as grant:
        if ran is not None:
            ran.append(call.agent.name if call.agent else "root")
        return grant


MALLORY = Agent(name="mallory")


def _memory(verb, **arguments):
    return MemoryCall(agent=MALLORY, verb=verb, arguments=arguments)


def _file(verb, **arguments):
    return StorageCall(agent=MALLORY, verb=verb, arguments=arguments)


ATTEMPTS = [
    *(_memory(verb, **{key: value}) for verb in ("get", "add", "update", "remove", "retrieve", "list", "sync")
      for key, value in (("owner", "alice"), ("agent", "alice"), ("owner", "agent:alice"))),
    _memory("get", owner="mallory", agent="alice"),
    _memory("get", owner="alice", agent="mallory"),
    _memory("get", group="research"),
    _memory("get", owner="group:research"),
    _memory("get", owner="*"),
    _memory("get", owner="memory:mallory"),
    _memory("get", owner=["alice"]),
    _memory("get", owner={"name": "alice"}),
    _memory("retrieve", agents=["alice"]),
    _memory("retrieve", agents=["mallory", "alice"]),
    _memory("retrieve", agent="mallory", agents=["alice"]),
    _memory("retrieve", agents=["mallory", 3]),
    _memory("retrieve", agents=[["alice"]]),
    _memory("get", agent="group:agent:alice"),
    MemoryCall(agent=Agent(name="group:research"), verb="get", arguments={"agent": "group:research"}),
    StorageCall(agent=Agent(name="x/../alice"), verb="read", arguments={"root": "agent:alice", "path": "f"}),
    _memory("get", owner="mallory/../alice"),
    _memory("get", owner="Mallory"),
    _memory("get", owner="mallory "),
    _memory("get", owner="mallory\n"),
    _memory("get", owner="m\u0430llory"),
    *(_file(verb, root="agent:alice", path="f") for verb in ("read", "write", "delete", "create_file", "history", "rollback", "share")),
    *(_file("read", root=root, path="f") for root in (
        "group:research", "agent:", ":", "agent:mallory/../alice", "agent:*", "host:/", "mount:etc", "alice", "agent:Mallory",
        "AGENT:mallory", "agent:mallory:alice", "agent:mallory\x00", " agent:mallory")),
    *(_file("read", path=path) for path in ("../alice/f", "a/../../alice/f", "/etc/passwd", "a//b", "./f", "..")),
    _file("read", root=3, path="f"),
    _file("read", path=["f"]),
    _file("write", root="agent:alice", path="f", append=True),
    _file("write", root="agent:alice", path="f", expected_version=0),
    StorageCall(agent=MALLORY, verb="read", lease=True, arguments={"path": "/home/alice/f"}),
    ToolCall(agent=MALLORY, name="shell"),
    ToolCall(agent=MALLORY, name="shell", code=True, lease=True),
    ToolCall(agent=MALLORY, name="tool:search"),
    ToolCall(agent=MALLORY, name="search\n"),
    ToolCall(agent=MALLORY, name="Search"),
    ToolCall(agent=MALLORY, name="search", code=True),
    ChatCall(agent=MALLORY, model="gpt-secret"),
    ChatCall(agent=MALLORY, model=""),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ATTEMPTS)))
def test_cross_agent_attempts(number):
    """What is another agent's, or is not allowed by name, is refused with an error that says who may not do what."""
    policy = parse(
        "[groups]\nresearch = ['alice']\n[[rules]]\ndo='tool.run'\nto='tool:search'\neffect='allow'\n"
        "[[rules]]\ndo='llm.*'\nto='core:small*'\neffect='allow'"
    )
    kernel, ran = _kernel(policy), []
    with pytest.raises(AccessDenied) as caught:
        _use(kernel, ATTEMPTS[number], ran)
    assert ran == []
    assert len(str(caught.value)) > 20


def test_its_own_is_its_own():
    """The same agent does reach what is its own, or the table above would show nothing."""
    kernel, ran = _kernel(parse("[[rules]]\ndo='tool.run'\nto='tool:search'\neffect='allow'")), []
    for call in (
        _memory("get"), _memory("add", owner="mallory"), _memory("get", owner="agent:mallory"),
        _file("read", path="a/b"), _file("read", root="agent:mallory", path="f"), _file("list"),
        ToolCall(agent=MALLORY, name="search"),
    ):  # fmt: skip
        _use(kernel, call, ran)
    assert len(ran) == 7


def test_for_the_storage_manager(policy):
    """What rules say of files decides there, too; where they are silent, its own rules and shares do."""
    access = AccessManager(policy)
    assert access.allow(Agent(name="zoe"), "read", "agent:zoe", "f") is True
    assert access.allow(Agent(name="zoe"), "read", "agent:alice", "f") is None
    assert access.allow(Agent(name="x", group="crew"), "write", "group:crew", "f") is True
    denying = AccessManager(Policy(rules=(Rule(effect="deny", to=("file:*/private/*",)),)))
    assert denying.allow(Agent(name="zoe"), "read", "agent:zoe", "private/f") is False


def test_destructive_and_sandboxed(policy):
    """By name in the policy, or by the tool's own marks."""
    cases = [("drop_table", False, ()), ("x", False, ("destructive",)), ("x", True, ())]
    for name, code, marks in cases:
        with pytest.raises(AccessDenied, match="approval"):
            _use(_kernel(policy, marks=lambda call, marks=marks: marks), ToolCall(name=name, code=code))
    for name, marks in (("python", ()), ("x", ("sandboxed",))):
        _use(_kernel(policy, marks=lambda call, marks=marks: marks), ToolCall(name=name, code=True))
