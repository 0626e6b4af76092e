"""`aios mcp`: the kernel's tools as an MCP server, over stdio or streamable HTTP."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from typing import TYPE_CHECKING, Any

from aios_adapters._access import access_manager
from aios_adapters._kernels import managers
from aios_adapters.cli.plugged import plugged
from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aios_kernel.access import Approver
    from aios_kernel.gate import Gate
    from aios_kernel.toolkit import ToolManager

__all__ = ["add_parser"]

GROUP = "aios.mcp"  # entry points: functions with the arguments of aios_integrations.mcp.serving.serve
NO_SERVER = "the MCP server is not installed: pip install 'aios-adapters[mcp]'"
TOKEN = "AIOS_MCP_TOKEN"  # noqa: S105 - the variable's name
#: Options of a kernel in this process, which one elsewhere has of its own.
OWN = ("data", "access", "audit", "allow")
EPILOG = """\
examples:
  aios mcp                                   the shipped tools, to the client that started this, over stdio
  aios mcp --data ~/agent --agent desk       with files and memory, which are desk's
  aios mcp --tools 'aios/calculator' 'shop/*'
  aios mcp --kernel auto                     the tools of the kernel that `aios serve` runs
  aios mcp --http 8300                       at http://127.0.0.1:8300/mcp, for those that send the token

A client over stdio is told the command, as in {"command": "aios", "args": ["mcp", "--data", "/srv/desk"]}. One over HTTP sends
"Authorization: Bearer TOKEN" with the token in AIOS_MCP_TOKEN, or the one that is printed on stderr. Names are aios_calculator for
aios/calculator, since MCP's have no slash. Calls are the agent's, and what an access policy leaves to a person waits for `aios approvals`.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "mcp",
        help="serve the kernel's tools to MCP clients",
        description="Serve the kernel's tools to any MCP client: over stdio to the one that starts this, or over "
        "streamable HTTP on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--http", type=int, metavar="PORT", help="serve at http://127.0.0.1:PORT/mcp; 0 is a free port")
    parser.add_argument(
        "--tools",
        nargs="+",
        default=["*"],
        metavar="PATTERN",
        help="full names to serve, such as 'aios/*' (default: all)",
    )
    parser.add_argument("--agent", default="mcp", metavar="NAME", help="whose calls they are (default: mcp)")
    parser.add_argument(
        "--kernel",
        metavar="ADDRESS",
        help="serve the tools of a shared kernel: unix:PATH, tcp:HOST:PORT or auto (default: AIOS_KERNEL, else a kernel of "
        "its own)",
    )
    parser.add_argument("--data", metavar="DIR", help="where files and memory are kept; without it there are none")
    parser.add_argument("--access", metavar="FILE", help="a policy file that says what the agent may do")
    parser.add_argument("--audit", metavar="FILE", help="take down what was allowed and denied (with --access)")
    parser.add_argument(
        "--allow", nargs="+", metavar="HOST", help="hosts that aios/fetch may go to, such as '*.example.org'"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until the client leaves, or a signal comes."""
    from aios_kernel.abi import Agent

    if not args.agent:
        raise ConfigError("--agent needs a name")
    serve, kernel = plugged(GROUP, NO_SERVER), _kernel(args)
    given = os.environ.get(TOKEN, "")
    token = given or secrets.token_urlsafe(32)

    def ready(url: str) -> None:
        _say(f"tools at {url}")
        if not given:
            _say(f"{TOKEN} is not set; clients send: Authorization: Bearer {token}")

    try:
        agent = Agent(name=args.agent, framework="mcp")
        serve(kernel, tools=args.tools, agent=agent, port=args.http, token=token, ready=ready)
    finally:
        kernel.close()
    return 0


def _kernel(args: argparse.Namespace) -> Gate:
    where = args.kernel or os.environ.get("AIOS_KERNEL")
    if not where:
        return _own(args)
    given = [f"--{name}" for name in OWN if getattr(args, name)]
    if given:
        meant = "--kernel" if args.kernel else "AIOS_KERNEL"
        raise ConfigError(
            f"{', '.join(given)}: the kernel at {where} ({meant}) has its own; leave out one or the other"
        )
    from aios_adapters.remote import RemoteKernel

    kernel = RemoteKernel(where)
    try:
        kernel.status()  # fails now, not at the client's first call
    except BaseException:
        kernel.close()
        raise
    return kernel


def _own(args: argparse.Namespace) -> Gate:
    from aios_kernel.kernel import Kernel
    from aios_kernel.toolkit import ToolManager

    # Standard input is the client's, so a person is asked through the queue.
    access = access_manager(args.access, args.audit, approver=_pending() if args.access else None)
    found = managers(args.data, access)
    tools = next((one for one in found if isinstance(one, ToolManager)), None)
    if tools is None:
        tools = ToolManager()
        found = (*found, tools)
        if access is not None:
            access.learn(marks=tools.marks)
    if args.allow:
        _open_web(tools, args.allow)
    return Kernel(managers=found, checks=() if access is None else (access.check,))


def _pending() -> Approver:
    from aios_kernel.access import Pending

    return Pending()


def _open_web(tools: ToolManager, hosts: Sequence[str]) -> None:
    """Let aios/fetch go to these hosts."""
    from aios_kernel.toolkit.shipped import shipped_tools
    from aios_kernel.toolkit.web import Fetcher

    for tool in shipped_tools(fetcher=Fetcher(allow=tuple(hosts))):
        tools.add(tool, replace=True)


def _say(text: str) -> None:
    print(f"aios: {text}", file=sys.stderr, flush=True)
