"""`aios run`: start a Python program, unchanged, with the kernel under it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any

from aios_kernel.errors import ConfigError

__all__ = ["add_parser"]

EPILOG = """\
examples:
  aios run agent.py --task 7                    the program's own arguments come after it
  aios run -m my_package                        as `python -m my_package`
  aios run pytest tests/                        a command on PATH whose interpreter is Python
  aios run --limits 'llm:*:in_flight=4' --policy wfq agent.py
  aios run --llm embedded agent.py              the kernel's own model answers, no endpoint is called
  aios run --kernel auto agent.py               share one kernel with other programs (`aios serve`)
  aios run --trace run.json --summary agent.py

The program's output, exit code, signals and stdin are its own. Its children have the kernel under them too; a child's
trace is written beside the program's, with its process id in the name.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "run",
        help="start a Python program, unchanged, with the kernel under it",
        description="Start a Python program, unchanged, with the kernel under it and under its children.",
        usage="aios run [options] (program.py | -m module | command) [arguments ...]",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--policy", help="scheduling policy, such as fifo, rr, priority, wfq")
    parser.add_argument(
        "--llm", "--model", metavar="CORE", help="serve the program's LLM calls: embedded, torch:MODEL, openai:URL"
    )
    parser.add_argument(
        "--limits",
        action="append",
        default=[],
        metavar="RESOURCE:KEY=N,...",
        help="limits of resources, such as 'llm:*:in_flight=4,rpm=60'; may be repeated",
    )
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="SCOPE:KEY=N,...",
        help="what may be used: 'tokens=10000' by each agent, 'agent:ann:calls=5', 'group:g:...', 'kernel:money=1'; may "
        "be repeated",
    )
    parser.add_argument("--kernel", metavar="ADDRESS", help="use the kernel at unix:PATH, tcp:HOST:PORT or auto")
    parser.add_argument(
        "--journal", metavar="FILE", help="keep what calls were answered; a program run again is answered from it"
    )
    parser.add_argument("--journal-mode", metavar="MODE", help="record (default), replay, strict or refresh")
    parser.add_argument("--trace", metavar="FILE", help="write a Chrome trace")
    parser.add_argument("--only", metavar="NAMES", help="adapters to enable, separated by commas")
    parser.add_argument("--exclude", metavar="NAMES", help="adapters to leave out, separated by commas")
    parser.add_argument("--strict", action="store_true", help="fail where an adapter would be left out")
    parser.add_argument("--record-content", action="store_true", help="have events carry prompts and arguments")
    parser.add_argument("--disable", action="store_true", help="run the program natively")
    parser.add_argument("--summary", action="store_true", help="say on stderr, at the end, what the kernel did")
    parser.add_argument("-m", dest="module", action="store_true", help="the program is a module, as with python -m")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="the program and its arguments")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become the program."""
    from aios_adapters.launch import environment, probe, resolve
    from aios_adapters.launch.environment import ROOT

    program = args.program[1:] if args.program[:1] == ["--"] else args.program
    if not program:
        raise ConfigError("which program? aios run [options] program.py [arguments ...]")
    if program[0].startswith("-"):
        raise ConfigError(f"unknown option {program[0]!r} of aios run (options of the program come after the program)")
    target = resolve(program, module=args.module)
    environ = environment(os.environ, _settings(args))
    _check(args, environ)
    probe(target, environ)
    return _become(target.argv, {**environ, ROOT: str(os.getpid())})


def _settings(args: argparse.Namespace) -> dict[str, str]:
    from aios_adapters.launch.environment import SUMMARY

    given = {
        "AIOS_POLICY": args.policy,
        "AIOS_LLM": args.llm,
        "AIOS_LIMITS": ";".join(args.limits),
        "AIOS_BUDGETS": ";".join(args.budget),
        "AIOS_KERNEL": args.kernel,
        "AIOS_JOURNAL": args.journal and os.path.abspath(args.journal),  # noqa: PTH100
        "AIOS_JOURNAL_MODE": args.journal_mode,
        # The program may change its working directory before it is read.
        "AIOS_TRACE": args.trace and os.path.abspath(args.trace),  # noqa: PTH100
        "AIOS_ONLY": args.only,
        "AIOS_EXCLUDE": args.exclude,
        "AIOS_STRICT": "1" if args.strict else None,
        "AIOS_RECORD_CONTENT": "1" if args.record_content else None,
        "AIOS_DISABLE": "1" if args.disable else None,
        SUMMARY: "1" if args.summary else None,
    }
    return {name: value for name, value in given.items() if value}


def _check(args: argparse.Namespace, environ: dict[str, str]) -> None:
    """A setting that does not exist fails here, before the program starts."""
    from aios_adapters import config
    from aios_adapters.adapter import load_all
    from aios_kernel.errors import UnknownName
    from aios_kernel.scheduling.registry import policy

    settings = config.gather({}, environ)  # the rest is looked at where it is used, before the program's first line
    policy(settings.policy)
    known = {one.name for one in load_all()}
    for name in (*settings.only, *settings.exclude):
        if name not in known:
            raise UnknownName("adapter", name, known)
    if settings.kernel not in {None, "auto"} and settings.on_kernel_loss != "run" and not args.disable:
        from aios_adapters.remote.control import Control

        Control(settings.kernel).status()  # "auto" starts one where none answers


def _become(argv: tuple[str, ...], environ: dict[str, str]) -> int:
    """Replace this process, so that exit code, signals, stdin and the process id are the program's own."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        import subprocess

        return subprocess.run(argv, env=environ, check=False).returncode
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and what is ignored would be inherited
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execve(argv[0], argv, environ)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise ConfigError(f"{argv[0]} cannot be started: {error.strerror}") from None
