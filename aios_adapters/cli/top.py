"""`aios top`: a shared kernel as it works, live, with keys to pause, re-rank and kill agents."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aios_adapters.cli.daemon import add_address, control
from aios_adapters.cli.sampling import frame
from aios_kernel.errors import AiosError, ConfigError

if TYPE_CHECKING:
    from aios_adapters.cli.screen import View
    from aios_adapters.remote.control import Control

__all__ = ["add_parser"]

EPILOG = """\
keys: up/down (or j, i) select an agent, p pause or resume it, + and - its priority, k kill it, s sort, q quit

The live view needs rich: pip install 'aios-adapters[top]'. `aios top --once --json` needs nothing.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "top",
        help="watch a shared kernel live",
        description="Watch the kernel that `aios serve` runs: agents, queues, cores, tokens per second, waiting times.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--interval", type=_seconds, default=1.0, metavar="SECONDS", help="between two looks (default: 1)"
    )
    parser.add_argument("--once", action="store_true", help="look once (for one interval), print, and end")
    parser.add_argument("--json", action="store_true", help="with --once: print one JSON object")
    add_address(parser)
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.05 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r}: use seconds, 0.05 or more")
    return value


def run(args: argparse.Namespace) -> int:
    """Look once, or until q."""
    if args.json and not args.once:
        raise ConfigError("--json goes with --once: aios top --once --json")
    kernel = control(args)
    before = kernel.status()
    if not args.once and sys.stdout.isatty() and sys.stdin.isatty():
        return _live(kernel, before, args.interval)
    if not args.once:
        raise ConfigError("the live view needs a terminal; for scripts: aios top --once [--json]")
    time.sleep(args.interval)
    seen = frame(before, kernel.status())
    if args.json:
        print(json.dumps(seen, indent=2))
        return 0
    console = _console()
    from aios_adapters.cli.screen import View, render

    console.print(render(seen, View(), size=(console.width, 10_000), title=str(kernel.address)))
    return 0


def _console() -> Any:
    try:
        from rich.console import Console
    except ImportError:
        raise ConfigError(
            "aios top needs rich: pip install 'aios-adapters[top]'; without it: aios top --once --json, or aios ps"
        ) from None
    return Console(highlight=False)


def _live(kernel: Control, before: Mapping[str, Any], interval: float) -> int:
    console = _console()
    from rich.live import Live

    from aios_adapters.cli.keyboard import Keyboard
    from aios_adapters.cli.screen import View, render

    view, seen = View(), frame(before, before)
    with Keyboard() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
        due = time.monotonic() + interval
        while True:
            live.update(render(seen, view, size=console.size, title=str(kernel.address)), refresh=True)
            key = keyboard.key(max(0.0, due - time.monotonic()))
            if key in {"q", "interrupt"}:
                return 0
            if key:
                _press(kernel, seen, view, key)
            if not key or key in {"p", "+", "-", "y"}:
                now = kernel.status()
                seen = frame(before, now)
                if not key:  # rates are from one regular look to the next
                    before, due = now, time.monotonic() + interval


def _press(kernel: Control, seen: Mapping[str, Any], view: View, key: str) -> None:
    """Do what a key says; what the kernel refuses is said in the last line."""
    from aios_adapters.cli.screen import ORDERS, ordered

    agents = ordered(seen, view)
    pids = [one["pid"] for one in agents]
    agent = next((one for one in agents if one["pid"] == view.selected), None)
    asked, view.asks, view.says = view.asks, "", ""
    if key in {"down", "up", "j", "i"} and pids:
        step = 1 if key in {"down", "j"} else -1
        place = pids.index(view.selected) + step if view.selected in pids else 0
        view.selected = pids[min(max(0, place), len(pids) - 1)]
    elif key == "s":
        view.order = ORDERS[(ORDERS.index(view.order) + 1) % len(ORDERS)]
    elif key in {"p", "+", "-", "k", "y"} and agent is None:
        view.says = "select an agent first: up or down"
    elif key == "k" and agent is not None:
        view.asks = f"kill {agent['name']} (pid {agent['pid']})? y kills it, any other key does not"
    elif agent is not None and (key != "y" or asked):
        _decide(kernel, view, agent, key)


def _decide(kernel: Control, view: View, agent: Mapping[str, Any], key: str) -> None:
    pid, paused = agent["pid"], agent["state"] == "paused"
    try:
        if key == "p":
            done = kernel.decide(pid, "resume" if paused else "pause")
        elif key in {"+", "-"}:  # + is more urgent, which is a smaller number
            done = kernel.decide(pid, "priority", priority=max(1, agent["priority"] + (-1 if key == "+" else 1)))
        elif key == "y":
            done = kernel.decide(pid, "kill")
        else:
            return
    except AiosError as error:
        view.says = str(error)
    else:
        view.says = f"{done['name']} (pid {pid}): {done['state']}, priority {done['priority']}"
