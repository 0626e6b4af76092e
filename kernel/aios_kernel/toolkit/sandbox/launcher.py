"""What runs first inside the sandbox: it sets the limits, gives up root, and becomes the code's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aios_kernel.toolkit.sandbox.limits import Limits

__all__ = ["launched"]

# Passed to Python by `-c`, since nothing of ours is visible inside. Limits on processes count for nobody who is root,
# so root is given up here, after the folders of the sandbox have been put together.
_SOURCE = """
import os, resource, sys
limits, uid, command = sys.argv[1].split(","), int(sys.argv[2]), sys.argv[3:]
names = ("CPU", "AS", "NPROC", "FSIZE", "CORE")
for name, limit in zip(names, map(int, limits)):
    kind = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(kind)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (limit, limit))
if uid and os.getuid() == 0:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
os.execvp(command[0], command)
"""


def launched(python: str, command: list[str], limits: Limits, uid: int) -> list[str]:
    """The command that runs `command` within the limits, as `uid` if it is started as root (0: as whom it is)."""
    numbers = (limits.cpu_seconds, limits.memory, limits.processes, limits.files, 0)
    return [python, "-I", "-S", "-c", _SOURCE, ",".join(map(str, numbers)), str(uid), *command]
