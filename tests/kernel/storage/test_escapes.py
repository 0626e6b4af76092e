"""Attempts to get out of one's root or into another's: none succeeds, each is told why, and nothing outside changes."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from aios_kernel.errors import AccessDenied, FileMissing, PathRefused, StorageError
from tests.kernel.storage.support import ANN, BOB, EVE, As, Time, opened

SECRET = "the secret that nobody may see"
LOOKS = ("read", "history", "list", "retrieve", "mount")
CHANGES = ("write", "create_file", "create_directory", "delete", "rollback")
ARGUMENTS = {"write": {"content": "mine"}, "create_file": {"content": "mine"}, "retrieve": {"query": "secret"}}
ARGUMENTS |= {"mount": {"collection": "stolen"}, "share": {"to": "agent:eve"}}

# Paths that no call may take, by what they try.
REFUSED = {
    "parent": "../secret",
    "parent inside": "a/../../secret",
    "parent at the end": "a/..",
    "dot": "./a",
    "dots": ".../a",
    "absolute": "/etc/passwd",
    "double slash": "//etc/passwd",
    "inner double slash": "a//b",
    "slash at the end": "a/",
    "home": "~/secret",
    "another's home": "~root/secret",
    "NUL": "a\0b",
    "NUL and parent": "a\0/../../secret",
    "newline": "a\nb",
    "escape": "a\x1b[2J",
    "delete": "a\x7f",
    "fullwidth slash": "..\uff0fsecret",
    "division slash": "..\u2215secret",
    "fraction slash": "..\u2044secret",
    "big slash": "..\u29f8secret",
    "backslash": "..\\secret",
    "fullwidth backslash": "..\uff3csecret",
    "one dot leaders": "\u2024\u2024/secret",
    "two dot leader": "\u2025/secret",
    "fullwidth dots": "\uff0e\uff0e/secret",
    "care of": "\u2105",  # its compatibility form has a slash
    "decomposed": "cafe\u0301",
    "bidirectional": "a\u202etxt.exe",
    "isolate": "a\u2066b",
    "zero width": "a\u200bb",
    "joiner": ".\u200d./secret",
    "byte order": "\ufefa\ufeff",
    "line separator": "a\u2028b",
    "surrogate": "a\ud800",
    "trailing dot": "a./b",
    "trailing space": "a ",
    "leading space": " a",
    "leading no-break space": "\u00a0a",
    "long name": "a" * 256,
    "long name in bytes": "é" * 128,
    "long path": "/".join(["a" * 200] * 20),
    "deep path": "/".join("a" * 65),
}
# What somebody with access to the host has put into the agent's own root.
PLANTED = {
    "link to a file": "link-file",
    "link to a directory": "link-directory/secret",
    "link to a directory, itself": "link-directory",
    "link to a parent": "link-parent/secret",
    "relative link": "link-relative",
    "link to itself": "link-loop",
    "dangling link": "link-dangling",
    "link through /proc/self/fd": "link-fds/0",
    "link through /proc/self/root": "link-root/etc/passwd",
    "link below a directory": "real/link/secret",
    "hard link": "hard-link",
    "pipe": "pipe",
    "socket": "socket",
    "file in the way": "plain/secret",
}
# Roots that are not the caller's.
FOREIGN = {
    "an agent's": "agent:bob",
    "an unknown agent's": "agent:nobody",
    "a group's": "group:secrets",
    "an unknown group's": "group:../agent-bob",
    "by a path": "agent:../bob",
}
# Roots that are no roots.
NO_ROOTS = (
    "bob",
    "agent:",
    "agent",
    ":bob",
    "root:bob",
    "/",
    "..",
    "agent:b\0b",
    "group:\ud800",
    "mount:../host",
    "x" * 5000,
)


class World:
    """Two agents, a third who is nobody, and a directory outside; what must not change is remembered."""

    def __init__(self, base: Path) -> None:
        self.outside = base / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text(SECRET)
        self.manager = opened(base / "store", groups=lambda agent: ("secrets",) if agent is BOB else ())
        self.ann, self.bob, self.eve = (As(self.manager, agent) for agent in (ANN, BOB, EVE))
        self.ann.write(path="plain", content="ann's")
        self.bob.write(path="secret", content=SECRET)
        self.bob.write(path="secret", content=SECRET + "!")
        self.bob.write(path="a/secret", content=SECRET)
        self.bob.write(path="secret", content=SECRET, root="group:secrets")
        self._plant(self.ann.folder())
        self._before = self._state()

    def _plant(self, root: Path) -> None:
        (root / "real").mkdir()
        for name, target in {
            "link-file": self.outside / "secret",
            "link-directory": self.outside,
            "link-parent": "..",
            "link-relative": "../../../outside/secret",
            "link-loop": "link-loop",
            "link-dangling": self.outside / "new",
            "link-fds": "/proc/self/fd",
            "link-root": "/proc/self/root",
            "real/link": self.outside,
        }.items():
            (root / name).symlink_to(target)
        (root / "hard-link").hardlink_to(self.outside / "secret")
        os.mkfifo(root / "pipe")
        with socket.socket(socket.AF_UNIX) as server:
            here = os.open(root, os.O_RDONLY)  # a socket's path is short
            server.bind(f"/proc/self/fd/{here}/socket")
            os.close(here)

    def _state(self) -> list[tuple[str, int, bytes]]:
        found = []
        for label in ("agent:bob", "group:secrets"):
            found += _tree(self.bob.folder(label))
        return found + _tree(self.outside)

    def unchanged(self) -> None:
        """Nothing outside the caller's root is other than it was."""
        assert self._state() == self._before


def _tree(top: Path) -> list[tuple[str, int, bytes]]:
    paths = [top, *sorted(top.rglob("*"))]
    return [(str(path), path.lstat().st_mode, path.read_bytes() if path.is_file() else b"") for path in paths]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("escapes"))
    yield world
    world.manager.close()


def _attempts():
    """Every attempt: what it is, who makes it, the verb, its arguments, and the error it has to end in."""
    for what, path in REFUSED.items():
        for verb in (*LOOKS, *CHANGES):
            yield what, "ann", verb, {"path": path}, PathRefused
    for what, path in PLANTED.items():
        for verb in ("read", "history", "write", "create_file", "delete", "rollback"):
            error = StorageError if what == "file in the way" else PathRefused
            yield what, "ann", verb, {"path": path}, error
    for what, root in FOREIGN.items():
        for verb in (*LOOKS, *CHANGES, "share"):
            yield f"{verb} in {what}", "eve", verb, {"path": "secret", "root": root}, AccessDenied
        for verb in ("list", "retrieve", "mount"):
            yield f"{verb} all of {what}", "eve", verb, {"root": root}, AccessDenied
        yield f"shares of {what}", "eve", "shares", {"root": root}, AccessDenied
    for root in NO_ROOTS:
        yield f"no root {ascii(root)[:30]!s}", "eve", "read", {"path": "secret", "root": root}, StorageError
    for to in ("*", "public", "https://example.com", "agent:", "agent:*\0", "everyone", "", "mount:host"):
        yield f"share with {to!a}", "bob", "share", {"path": "secret", "to": to}, StorageError
    yield "a right that is none", "bob", "share", {"path": "secret", "to": "agent:eve", "rights": ["all"]}, StorageError
    yield "no right", "bob", "share", {"path": "secret", "to": "agent:eve", "rights": []}, StorageError
    yield (
        "for ever and more",
        "bob",
        "share",
        {"path": "secret", "to": "agent:eve", "seconds": float("nan")},
        StorageError,
    )
    yield "encoded", "eve", "read", {"path": "%2e%2e%2fsecret"}, FileMissing
    yield "an encoded slash", "eve", "read", {"path": "..%c0%afsecret"}, FileMissing
    yield "a device by its name", "eve", "read", {"path": "dev/null"}, FileMissing
    yield "descriptors by their path", "eve", "read", {"path": "proc/self/fd/0"}, FileMissing
    yield "another's share", "eve", "revoke", {"id": "0" * 16}, AccessDenied


ATTEMPTS = [pytest.param(*rest, id=f"{rest[1]}: {what}") for what, *rest in _attempts()]


def test_there_are_enough():
    """The table is as long as it says, and no row is there twice."""
    assert len({one.id for one in ATTEMPTS}) >= 60
    assert len(REFUSED) + len(PLANTED) + len(FOREIGN) + len(NO_ROOTS) >= 60


@pytest.mark.parametrize(("who", "verb", "arguments", "error"), ATTEMPTS)
def test_none_succeeds(world, who, verb, arguments, error):
    """The attempt is refused with a clear error that gives nothing away, and nothing outside has changed."""
    agent = getattr(world, who)
    with pytest.raises(error) as caught:
        getattr(agent, verb)(**{**ARGUMENTS.get(verb, {}), **arguments})
    said = str(caught.value)
    assert len(said) > 10
    assert said.isprintable(), "what hides in a path must not hide in the message"
    assert SECRET not in said
    assert str(world.outside) not in said
    world.unchanged()


def test_planted_things_are_not_shown(world):
    """A listing has the agent's files and directories, and no link, pipe or socket; a search finds nothing through them."""
    assert {one["path"] for one in world.ann.list(recursive=True)["entries"]} == {"plain", "real", "hard-link"}
    world.ann.mount(collection="all")
    assert world.ann.retrieve(query="secret", collection="all") == []
    assert world.ann.retrieve(query="secret") == []
    destination = world.outside.parent / "exported"
    with pytest.raises(PathRefused):  # the hard link: a file that is not the agent's
        world.manager.export_files("agent:ann", destination)


def test_a_device_is_refused(world):
    """A device file is not opened; it may have a driver's side effects."""
    place = world.ann.folder() / "device"
    try:
        os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("making a device needs privileges")
    for verb in ("read", "write", "delete"):
        with pytest.raises(PathRefused, match="device, pipe or socket"):
            getattr(world.ann, verb)(path="device")
    place.unlink()


@pytest.mark.parametrize(
    "name", ["agents/../../x", "..", "/etc", "a" * 900, "ann/../bob", "agent-bob", "bob ", "BOB", "bоb"]
)
def test_an_agents_name_leads_nowhere(world, name):
    """Whatever an agent is called, its root is its own, below the store, and nobody else's."""
    from aios_kernel.abi import Agent

    agent = As(world.manager, Agent(name=name))
    agent.write(path="mine", content="mine")
    folder = agent.folder()
    assert folder.parent == world.manager.store.base / "roots"
    assert [one["path"] for one in agent.list()["entries"]] == ["mine"]
    world.unchanged()


def test_a_root_that_became_a_link(tmp_path):
    """A root that was swapped for a link is not followed."""
    world = World(tmp_path)
    folder = world.eve.folder()
    folder.rmdir()
    folder.symlink_to(world.outside)
    with pytest.raises(StorageError, match="cannot be opened"):
        world.eve.read(path="secret")
    with pytest.raises(StorageError, match="cannot be opened"):
        world.eve.write(path="secret", content="mine")
    world.unchanged()
    world.manager.close()


@pytest.mark.parametrize("point", ["begun", "stored", "staged", "committed"])
def test_a_directory_swapped_in_the_middle(tmp_path, point):
    """A directory that becomes a link while a write is under way is not written through; the write is made good later."""
    outside = tmp_path / "outside"
    outside.mkdir()
    armed = []

    def hook(reached):
        if reached == point and armed:
            folder = armed.pop()
            folder.rename(folder.with_name("aside"))
            folder.symlink_to(outside)

    manager = opened(tmp_path / "store", hook=hook)
    ann = As(manager)
    ann.write(path="d/a", content="first")
    armed.append(ann.folder() / "d")
    with pytest.raises(PathRefused, match="symbolic link"):
        ann.write(path="d/a", content="second")
    assert list(outside.iterdir()) == []
    with pytest.raises(PathRefused, match="symbolic link"):
        ann.read(path="d/a")
    (ann.folder() / "d").unlink()
    (ann.folder() / "aside").rename(ann.folder() / "d")
    assert ann.read(path="d/a")["content"] in {"first", "second"}
    assert list(outside.iterdir()) == []
    manager.close()


def test_directories_swapped_all_the_time(tmp_path):
    """Reads and writes race with somebody who swaps a directory and a link, again and again: not one goes through it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_text(SECRET)
    (outside / "only outside").write_text(SECRET)
    before = _tree(outside)
    manager = opened(tmp_path / "store", clock=Time())
    ann = As(manager)
    ann.write(path="d/a", content="mine")
    folder = ann.folder()
    (folder / "link").symlink_to(outside)
    done, failures, ends = threading.Event(), [], {"done": 0, "refused": 0}

    def attempt(verb, arguments):
        while not done.is_set():
            try:
                told = str(getattr(ann, verb)(**arguments))
            except (StorageError, AccessDenied):
                ends["refused"] += 1
                continue
            except BaseException as error:  # noqa: BLE001
                failures.append(error)
                return
            ends["done"] += 1
            if SECRET in told or "only outside" in told:
                failures.append(told)

    calls = (("read", {"path": "d/a"}), ("write", {"path": "d/a", "content": "mine"}), ("list", {"path": "d"}))
    threads = [threading.Thread(target=attempt, args=call) for call in calls]
    for thread in threads:
        thread.start()
    while not failures and min(ends.values()) < 300:
        _exchange(folder / "d", folder / "link")
    done.set()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert _tree(outside) == before
    manager.close()


def _exchange(one: Path, other: Path) -> None:
    """Swap two names at once, so that there is always something at both."""
    swap = ctypes.CDLL(None, use_errno=True).renameat2
    if swap(-100, os.fsencode(one), -100, os.fsencode(other), 2):
        raise OSError(ctypes.get_errno(), "renameat2")


def test_nothing_stays_open(world):
    """Refused calls leave no descriptor behind."""
    count = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        for what in (*PLANTED.values(), "plain", "real", "nowhere/a"):
            with suppress(StorageError, AccessDenied):
                world.ann.read(path=what)
            with suppress(StorageError, AccessDenied):
                world.ann.list(path=what)
    assert len(list(Path("/proc/self/fd").iterdir())) <= count + 4
