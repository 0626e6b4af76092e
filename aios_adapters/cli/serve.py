"""`aios serve`: the kernel as a daemon, for agents in several processes and for OpenAI clients in any language."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_adapters._access import access_manager
from aios_adapters._kernels import managers
from aios_adapters.cli.models import loaded
from aios_adapters.cli.plugged import plugged
from aios_kernel.address import default_address, parse
from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.access import Approver
    from aios_kernel.address import Address
    from aios_kernel.cores.base import Core
    from aios_kernel.kernel import Kernel

__all__ = ["add_parser"]

GROUP = "aios.servers"  # entry points: classes with the interface of aios_integrations.server.Daemon
NO_SERVER = "the server is not installed: pip install 'aios-adapters[serve]'"
EPILOG = """\
examples:
  aios serve --model embedded                       the model that comes with the kernel, on the default socket
  aios serve --model Qwen/Qwen3-0.6B --policy rr    a model of the hub, Round Robin between agents
  aios serve --model fast=openai:http://gpu:8000/v1 another server's models, scheduled here, as "fast"
  aios serve --tcp 127.0.0.1:8200 --model embedded  for clients that cannot use a Unix socket
  aios serve --model all-minilm-l6-v2 --embedder kernel:all-minilm-l6-v2
                                                    embeddings, for /v1/embeddings and for what agents remember
  aios serve --data /srv/agents                     what agents remember and write is kept there
  aios serve                                        no model: schedule the calls that agents make by themselves

The first line on stdout says where it listens. SIGTERM and Ctrl-C let running calls end; a second one does not.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "serve",
        help="run the kernel as a daemon that several programs share",
        description="Run the kernel as a daemon: agents in several processes share its cores and its policy, and any "
        "OpenAI client can use its models by base URL alone.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--socket", metavar="PATH", help=f"Unix socket (default: {default_address().path})")
    where.add_argument("--tcp", metavar="HOST:PORT", help="a TCP address instead; clients then need the token")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="serve this model: embedded, torch:MODEL, a hub name, or NAME=CORE to choose the name (may be repeated)",
    )
    parser.add_argument("--llm", metavar="CORE", help="serve every other model name from this core, too")
    parser.add_argument("--policy", default="fifo", help="scheduling policy of every resource (default: fifo)")
    parser.add_argument(
        "--limits",
        action="append",
        default=[],
        metavar="RESOURCE:KEY=N,...",
        help="limits of the resources that match a pattern, such as 'llm:*:in_flight=8,rpm=60' (may be repeated)",
    )
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="SCOPE:KEY=N,...",
        help="what may be used: 'tokens=10000' by each agent, 'agent:ann:calls=5', 'group:g:...', 'kernel:money=1' (may be "
        "repeated)",
    )
    parser.add_argument(
        "--max-waiting", type=int, metavar="N", help="refuse calls that would be more than N in a queue"
    )
    parser.add_argument("--token-file", metavar="FILE", help="the token that clients show (made where it is missing)")
    parser.add_argument(
        "--drain", type=float, default=30.0, metavar="SECONDS", help="what running calls get at the end"
    )
    parser.add_argument("--access", metavar="FILE", help="a policy file that says which agent may do what")
    parser.add_argument("--audit", metavar="FILE", help="take down what was allowed and denied (with --access)")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="where memory and files of agents are kept (default: ~/.local/share/aios-adapters, or a folder beside "
        "--socket PATH)",
    )
    parser.add_argument(
        "--embedder",
        metavar="NAME",
        help="what memories are found by besides their words: lexical (spelling, the default), minilm (meaning), or "
        "kernel:MODEL, a model of this daemon's",
    )
    parser.add_argument(
        "--no-managers", action="store_true", help="leave memory, files and tools to the programs themselves"
    )
    parser.add_argument("--trace", metavar="FILE", help="write a Chrome trace of every syscall")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    _log_to_stderr()
    address = _address(args)
    limits = _limits(args.limits)
    daemon = plugged(GROUP, NO_SERVER)(address, token_file=args.token_file, drain=args.drain)
    with daemon:  # taken before a model is loaded, so that a second daemon fails at once
        kernel = _kernel(args, limits)
        end_trace = _trace(args.trace, kernel)
        try:
            daemon.run(kernel, functools.partial(_say_ready, kernel))
        finally:
            end_trace()
    return 0


def _address(args: argparse.Namespace) -> Address:
    if args.tcp:
        return parse(f"tcp:{args.tcp.removeprefix('tcp:')}")
    return parse(f"unix:{args.socket.removeprefix('unix:')}") if args.socket else default_address()


def data_folder(address: Address) -> Path:
    """Where a daemon keeps what it is not told where to keep: the user's folder, or beside a socket of its own."""
    if address.path and address != default_address():
        return Path(address.path).with_suffix(".data")
    given = os.environ.get("XDG_DATA_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "share") / "aios-adapters"


def _limits(texts: list[str]) -> dict[str, dict[str, float]]:
    limits: dict[str, dict[str, float]] = {}
    for text in texts:
        pattern, _, pairs = text.rpartition(":")
        for pair in pairs.split(","):
            key, _, value = pair.partition("=")
            try:
                limits.setdefault(pattern, {})[key.strip()] = float(value)
            except ValueError:
                raise ConfigError(f"--limits {text!r}: write RESOURCE:KEY=N, such as 'llm:*:in_flight=8'") from None
        if not pattern:
            raise ConfigError(f"--limits {text!r} names no resource: write RESOURCE:KEY=N, such as 'llm:*:in_flight=8'")
    return limits


# The kernel and its models


def _budgets(texts: list[str]) -> dict[str, dict[str, Any]]:
    from aios_adapters.config import ENVIRONMENT

    try:
        return ENVIRONMENT["AIOS_BUDGETS"][1](";".join(texts))
    except ValueError as error:
        raise ConfigError(f"--budget: {error}") from None


def _kernel(args: argparse.Namespace, limits: dict[str, dict[str, float]]) -> Kernel:
    from aios_kernel.kernel import Kernel
    from aios_kernel.scheduling.registry import policy

    policy(args.policy)  # wrong names fail before anything is downloaded or loaded
    # A daemon has no user of its own at its terminal: approvals wait for `aios approvals`.
    access = access_manager(args.access, args.audit, approver=_pending() if args.access else None)
    routes: dict[str, Core | str] = {}
    for text in args.model:
        names, core = _model(text)
        for name in names:
            routes[name] = core
    if args.llm:
        routes["*"] = loaded(args.llm, _say)
    budgets = _budgets(args.budget)
    return Kernel(
        policy=args.policy,
        llm=routes or None,
        limits=limits,
        max_waiting=args.max_waiting,
        budgets=budgets,
        managers=managers(
            None if args.no_managers else args.data or data_folder(_address(args)), access, embedder=args.embedder
        ),
        checks=() if access is None else (access.check,),
    )


def _pending() -> Approver:
    from aios_kernel.access import Pending

    return Pending()


def _model(text: str) -> tuple[list[str], Core]:
    """The names of a model, and the core that serves it: NAME=CORE, a core's spec, or a model's name."""
    from aios_kernel.cores.registry import core_names
    from aios_kernel.embedding.minilm import MINILM

    alias, _, spec = text.rpartition("=")
    kind, _, rest = spec.partition(":")
    if kind not in core_names():
        kind, rest = ("encoder" if spec == MINILM else "torch"), spec
        spec = f"{kind}:{rest}"
    core = loaded(spec, _say)
    if alias:
        return [alias], core
    if kind == "openai":
        raise ConfigError(f"--model {text}: give that server's model a name, as in NAME={text}; or use --llm {text}")
    own: Any = getattr(core, "model", "")
    return list(dict.fromkeys(name for name in (rest or kind, own) if isinstance(name, str) and name)), core


def _trace(path: str | None, kernel: Kernel) -> Callable[[], None]:
    if path is None:
        return lambda: None
    from aios_kernel.trace import ChromeTrace

    trace = ChromeTrace(path)
    unsubscribe = kernel.bus.subscribe(trace)

    def end() -> None:
        unsubscribe()
        trace.close()

    return end


# What people read


def _say_ready(kernel: Kernel, listening: Any) -> None:
    address = listening.address
    served = ", ".join(pattern for pattern in kernel.router.routes) or "none; calls go to the programs' own endpoints"
    print(f"aios: ready on {address} (models: {served})")
    print(f"  agents:   AIOS_KERNEL={address} python program.py")
    if address.path:
        print(f"  clients:  base URL {listening.base_url} over the socket (curl --unix-socket {address.path} ...)")
        print('            any API key; "x:NAME" names the agent')
    else:
        print(f'  clients:  OPENAI_BASE_URL={listening.base_url} OPENAI_API_KEY="$(cat {listening.token_file})"')
        print('            append ":NAME" to the key to name the agent')
    sys.stdout.flush()


def _say(text: str) -> None:
    print(f"aios: {text}", file=sys.stderr, flush=True)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("aios: %(message)s"))
    for name in ("aios_adapters", "aios_integrations", "aios_kernel", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
