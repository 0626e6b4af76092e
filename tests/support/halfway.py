"""A framework's program with a journal, in a process of its own that its endpoint kills at one of the requests."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aios_evals.endpoint import Endpoint, Prompt
from aios_kernel.journal import Journal
from tests.support.journaled import journaled

__all__ = ["killed_at", "unnumbered"]

LONGEST = 120  # seconds for a process that imports a framework and runs a program


def unnumbered(shown: str) -> str:
    """A result without the numbers that the endpoint gives its answers: an answer that is asked for twice has two."""
    return re.sub(r"(call|chatcmpl|resp|msg|fc)_?-?[0-9a-f]{16,}", r"\1", shown)


class _Killer:
    """The endpoint's script, which kills a process before it answers its n-th request."""

    def __init__(self, script: Callable[[Prompt], Any], number: int) -> None:
        self._script, self._left = script, number
        self.child: subprocess.Popen[str] | None = None

    def __call__(self, prompt: Prompt) -> Any:
        self._left -= 1
        if self._left == 0 and self.child is not None:
            os.kill(self.child.pid, signal.SIGKILL)
        return self._script(prompt)


def killed_at(
    number: int, programs: str, name: str, script: Callable[[Prompt], Any], folder: Path, **settings: Any
) -> tuple[Any, ...]:
    """Kill the program at its n-th request to a model and run it again.

    `programs` is a module with a table `PROGRAMS` or `ASYNC`, in which `name` is one, and `seen`; `settings` are those of `enable()`. Returns what the second run gave (as `seen`
    shows it), the number of requests of both, and how many calls of each kind the journal holds.
    """
    killer, path = _Killer(script, number), folder / "j"
    with Endpoint(reply=killer, reply_tokens=4) as endpoint:
        for expected in (-signal.SIGKILL, 0):
            told = [programs, name, endpoint.base_url, str(path), json.dumps(settings)]
            arguments = [sys.executable, "-m", "tests.support.halfway", *told]
            killer.child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            out, err = killer.child.communicate(timeout=LONGEST)
            assert killer.child.returncode == expected, err
        requests = len(endpoint.requests)
    journal = Journal(path, "strict")
    kinds = [row.kind for row in journal.rows()]
    journal.close()
    return json.loads(out.splitlines()[-1]), requests, {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def main(programs: str, name: str, url: str, path: str, settings: str) -> None:
    """Run one program and say what it gave."""
    module = importlib.import_module(programs)
    with journaled(Path(path), **json.loads(settings)):
        result = (getattr(module, "PROGRAMS", None) or module.ASYNC)[name][0](url)
        if asyncio.iscoroutine(result):
            result = asyncio.run(result)
    print(json.dumps(module.seen(result)))


if __name__ == "__main__":
    main(*sys.argv[1:])
