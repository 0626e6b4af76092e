"""Sandboxes: where bubblewrap works, code runs inside it; elsewhere it is refused, or runs unprotected by explicit choice."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from aios_kernel.errors import ToolError, ToolUnavailable
from aios_kernel.toolkit.running import running
from aios_kernel.toolkit.sandbox.launcher import launched
from aios_kernel.toolkit.sandbox.limits import Limits, Ran
from aios_kernel.toolkit.sandbox.process import run_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

__all__ = ["Sandbox"]

SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
READABLE = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
CODE, TMP = "/code", "/tmp"  # noqa: S108 - the sandbox's own
#: User ids for code, each in turn, so that limits on processes are counted apart; nobody is called by them.
UIDS = itertools.cycle(range(61_000, 64_000))
USERS = "--unshare-user"
PROBE = Limits(seconds=10, cpu_seconds=10)
_uids_lock = threading.Lock()


class Sandbox:
    """Run code with no network, the system read-only, a private folder /tmp, and limits.

    `readable` names more of the host's files and directories to be seen inside, read-only. Where bubblewrap is not
    there or does not work, nothing runs, unless `allow_unsandboxed` says that code may run as this user, with this user's files and
    network, under the same limits. `bwrap` is the program, looked up on PATH. Thread-safe.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        readable: Iterable[str | os.PathLike[str]] = (),
        allow_unsandboxed: bool = False,
        bwrap: str = "bwrap",
    ) -> None:
        self.limits = limits or Limits()
        self.allow_unsandboxed = allow_unsandboxed
        self._readable = tuple(os.fspath(path) for path in readable)
        self._bwrap_name = bwrap
        self._lock = threading.Lock()
        self._probed: tuple[list[str] | None, str] | None = None

    @property
    def protected(self) -> bool:
        """Whether code runs inside bubblewrap."""
        return self._probe()[0] is not None

    def why_not(self) -> str | None:
        """Why code is refused, with the remedy; None where it runs."""
        prefix, reason = self._probe()
        if prefix is not None or self.allow_unsandboxed:
            return None
        return (
            f"a sandbox: {reason} Install bubblewrap (the package is called bubblewrap) and allow user namespaces, or choose "
            f"Sandbox(allow_unsandboxed=True) to run model-written code with all the rights of this user"
        )

    def python(self, code: str) -> Ran:
        """Run Python code, with the standard library of this interpreter."""
        return self.run([_python(), "-I", "-X", "utf8", "{code}"], code)

    def shell(self, script: str) -> Ran:
        """Run a shell script."""
        shell = shutil.which("bash") or "/bin/sh"
        return self.run([shell, "{code}"], script)

    def run(self, command: list[str], code: str) -> Ran:
        """Run a command on code, whose file stands where the command says "{code}". Raises `ToolUnavailable`."""
        refusal = self.why_not()
        if refusal is not None:
            raise ToolUnavailable(f"code was not run: this needs {refusal}")
        prefix = self._probe()[0]
        return self._outside(command, code) if prefix is None else self._inside(prefix, command, code, self.limits)

    def _inside(self, prefix: list[str], command: list[str], code: str, limits: Limits) -> Ran:
        with tempfile.TemporaryFile() as file:
            file.write(code.encode("utf-8", "surrogatepass"))
            file.seek(0)
            full = [
                *prefix,
                *("--perms", "0555", "--dir", CODE, "--perms", "0444", "--file", str(file.fileno()), f"{CODE}/main"),
                *("--remount-ro", "/", "--chdir", TMP),
                "--",
                *launched(_python(), _placed(command, f"{CODE}/main"), limits, 0 if USERS in prefix else _next_uid()),
            ]
            return run_group(full, limits, stopping=_stopping(), pass_fds=(file.fileno(),))

    def _outside(self, command: list[str], code: str) -> Ran:
        with tempfile.TemporaryDirectory(prefix="aios-code-", ignore_cleanup_errors=True) as folder:
            file = Path(folder) / "main"
            file.write_text(code, encoding="utf-8", errors="surrogatepass")
            full = launched(_python(), _placed(command, str(file)), self.limits, 0)
            env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "LANG": "C.UTF-8"}
            return run_group(full, self.limits, stopping=_stopping(), cwd=folder, env=env)

    def _probe(self) -> tuple[list[str] | None, str]:
        """How bubblewrap is started here, found out once; else why it cannot be."""
        with self._lock:
            if self._probed is None:
                self._probed = self._tried()
            return self._probed

    def _tried(self) -> tuple[list[str] | None, str]:
        bwrap = shutil.which(self._bwrap_name)
        if bwrap is None:
            return None, f"the program {self._bwrap_name!r} is not there."
        # Root gives its rights up inside, for which it must not be in a user namespace: there it would be root to the
        # machine still, and a limit on processes holds for nobody who is.
        prefix = [bwrap, *([] if os.getuid() == 0 else [USERS]), *self._world()]
        try:
            ran = self._inside(prefix, [_python(), "-I", "-S", "{code}"], "print('works')", PROBE)
        except (OSError, ToolError) as error:
            return None, f"bubblewrap does not work here ({error})."
        if ran.stdout == "works\n":
            return prefix, ""
        said = ran.stderr.strip() or f"it ended with {ran.exit_code}"
        return None, f"bubblewrap does not work here ({said[-300:]})."

    def _world(self) -> list[str]:
        """What is seen inside: the system and this interpreter, read-only."""
        shown = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        shown += [
            "--die-with-parent",
            "--new-session",
            "--clearenv",
            "--hostname",
            "sandbox",
            "--ro-bind",
            "/usr",
            "/usr",
        ]
        shown += ["--perms", "1777", "--size", str(self.limits.tmp), "--tmpfs", TMP]
        for path in map(Path, SYSTEM):
            if path.is_symlink():
                shown += ["--symlink", str(path.readlink()), str(path)]
            elif path.exists():
                shown += ["--ro-bind", str(path), str(path)]
        for path in (*READABLE, sys.base_prefix, *self._readable):
            if path not in {"/usr", "/"}:
                shown += [*_parents(path), "--ro-bind-try" if path in READABLE else "--ro-bind", path, path]
        for name, value in (("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", TMP), ("LANG", "C.UTF-8")):
            shown += ["--setenv", name, value]
        return [*shown, "--proc", "/proc", "--dev", "/dev"]


def _parents(path: str) -> list[str]:
    """Make the directories above a path open to the user the code runs as: bubblewrap's own are root's alone."""
    above = [str(parent) for parent in reversed(Path(path).parents)][1:]
    return [part for parent in above if parent != "/usr" for part in ("--perms", "0755", "--dir", parent)]


def _placed(command: list[str], path: str) -> list[str]:
    return [path if part == "{code}" else part for part in command]


def _python() -> str:
    """This interpreter as the sandbox sees it: without the virtual environment around it."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    return os.path.realpath(base)


def _next_uid() -> int:
    with _uids_lock:
        return next(UIDS)


def _stopping() -> Callable[[Callable[[], object]], AbstractContextManager[None]]:
    """How a stopped call kills its processes; outside of a call there is nobody to stop it."""
    try:
        return running().stopping
    except ToolError:
        return lambda _: contextlib.nullcontext()
