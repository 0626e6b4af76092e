"""What is to be run: a script, a module, or a command on PATH whose interpreter is Python."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aios_adapters.launch.environment import PROBE
from aios_kernel.errors import ConfigError

__all__ = ["Target", "probe", "resolve"]

PYTHON = re.compile(r"^(python|pypy)[\d.]*t?(\.exe)?$")
LOOK = "import sys; print('aios', getattr(sys, '_aios_launched', None))"
# Options of Python that keep its startup from finding us, by what they say.
BLIND = {"-I": "isolated mode", "-E": "ignore PYTHON* variables", "-S": "no site module"}
# Installers write a path that is too long for a first line, or lies beside the script, in this way: the file is shell
# and Python at once.
EXEC = re.compile(r"""'''exec' (.+) "\$0" "\$@"$""")
BESIDE = '"$(dirname -- "$(realpath -- "$0")")"'
ENDINGS = {".py", ".pyw", ".pyz", ".pyc", ".zip"}


@dataclass(frozen=True, slots=True)
class Target:
    """A command line, and the interpreter with its options that it leads to."""

    argv: tuple[str, ...]
    interpreter: tuple[str, ...]

    @property
    def ours(self) -> bool:
        """Whether that is the interpreter that runs the launcher."""
        return self.interpreter == (sys.executable,)


def resolve(program: Sequence[str], *, module: bool = False) -> Target:
    """Find what `program` names; raises `ConfigError` for what is not there or is not Python."""
    name, *rest = program
    if module:
        return Target((sys.executable, "-m", name, *rest), (sys.executable,))
    if _is_script(Path(name)):
        return Target((sys.executable, name, *rest), (sys.executable,))
    found = shutil.which(name)
    if found is None:
        raise ConfigError(
            f"there is no file {name!r}, and no command of that name on PATH (a module: aios run -m {name})"
        )
    if PYTHON.match(Path(found).resolve().name) or PYTHON.match(Path(found).name):
        return Target((found, *rest), (found, *_options(rest)))
    interpreter = _shebang(Path(found))
    if interpreter is None:
        raise ConfigError(f"{found} is not a Python program, and only those can be started with the kernel under them")
    return Target((found, *rest), tuple(interpreter))


def _is_script(path: Path) -> bool:
    """Whether `python PATH` would run it: a file, or a folder with a `__main__.py`."""
    if path.is_dir():
        return (path / "__main__.py").is_file()
    # What can be run by itself has an interpreter of its own, or is one.
    return path.is_file() and (path.suffix in ENDINGS or not os.access(path, os.X_OK))


def _options(arguments: Sequence[str]) -> list[str]:
    """The options of a `python` command line that come before the program."""
    found: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-") or argument == "-" or argument[:2] in {"-c", "-m"}:
            break
        found.append(argument)
        if argument[1:] in {"W", "X"}:
            found.append(next(rest, ""))
    return found


def _shebang(path: Path) -> list[str] | None:
    """The Python interpreter, with its options, that a script's first lines name; None for any other file."""
    try:
        with path.open("rb") as stream:
            head = stream.read(4096).decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    if not head or not head[0].startswith("#!"):
        return None
    words = shlex.split(head[0][2:])
    if words[:1] == ["/bin/sh"] and len(head) > 1 and (found := EXEC.match(head[1])) is not None:
        words = shlex.split(found[1].replace(BESIDE, shlex.quote(str(path.resolve().parent))))
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if word != "-S" and "=" not in word]
        words[:1] = [shutil.which(words[0]) or words[0]] if words else []
    return words if words and PYTHON.match(Path(words[0]).name) else None


def probe(target: Target, environ: Mapping[str, str]) -> None:
    """Ask an interpreter that is not ours whether it would start with us; raises `ConfigError` with the reason."""
    if target.ours:
        return
    python = target.interpreter[0]
    said = _ask(target, environ)
    if said == "aios True":
        return
    if said == "aios None" and (blind := _blind(target.interpreter[1:])):
        raise ConfigError(
            f"{python} is run with {blind}, so the kernel cannot be put under it from outside: leave that out, or call "
            f"aios_adapters.enable() in the program"
        )
    if said == "aios None":
        raise ConfigError(f"{python} does not read PYTHONPATH as it starts: call aios_adapters.enable() in the program")
    if said == "aios False":
        raise ConfigError(f"{python} cannot import aios_adapters: {python} -m pip install aios-adapters")
    raise ConfigError(f"{python} cannot be started: {said}")


def _ask(target: Target, environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [*target.interpreter, "-c", LOOK],
            env={**environ, PROBE: "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    last = done.stdout.strip().splitlines()[-1:]
    return last[0] if last else (done.stderr.strip() or f"exit code {done.returncode}")


def _blind(options: Sequence[str]) -> str:
    """Which of the options keep Python from looking for us; they may be written together, as in -sI."""
    letters = {f"-{letter}" for option in options if not option.startswith("--") for letter in option[1:]}
    return ", ".join(f"{option} ({BLIND[option]})" for option in BLIND if option in letters)
