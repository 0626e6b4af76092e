"""The command line `aios`: one module per command, each with `add_parser(subparsers)` that sets `run`.

Exit codes: 0 all is well, 1 something failed, 2 wrong use (an unknown name, an impossible option), 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata

from aios_kernel.errors import AiosError, ConfigError

__all__ = ["main"]

# Each is light to import: what is heavy is imported by the command itself when it runs.
COMMANDS = (
    "run",
    "demo",
    "serve",
    "mcp",
    "ps",
    "top",
    "kill",
    "policy",
    "access",
    "approvals",
    "audit",
    "models",
    "trace",
    "journal",
    "memory",
    "doctor",
)
FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors of ours are one line on stderr, never a traceback."""
    try:
        args = _parser().parse_args(argv)
        return int(args.run(args) or 0)
    except ConfigError as error:
        return _complain(error, MISUSED)
    except AiosError as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        print("aios: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `aios status | head`
        # The interpreter flushes stdout once more at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _complain(error: Exception, code: int) -> int:
    print(f"aios: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aios",
        description="An operating-system kernel under the LLM agents you already have.",
        epilog="`aios COMMAND --help` explains one command. Exit codes: 0 well, 1 failed, 2 wrong use, 130 Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"aios-adapters {_version()}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for name in COMMANDS:
        import_module(f"aios_adapters.cli.{name}").add_parser(subparsers)
    return parser


def _version() -> str:
    try:
        return metadata.version("aios-adapters")
    except metadata.PackageNotFoundError:
        return "(not installed)"
