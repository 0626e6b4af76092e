"""Progress while the agents run: a live table on a terminal with rich, a line per finished agent everywhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from aios_adapters.cli.tables import rich_console

if TYPE_CHECKING:
    from typing_extensions import Self

    from aios_adapters.demo.runner import AgentRun, Arm, Count

__all__ = ["View", "make_view", "say"]

COLOURS = {"ok": "green", "wrong": "red", "failed": "red", "interrupted": "red", "waiting": "yellow", "running": "blue"}


def say(text: str) -> None:
    """Print a remark on stderr, which leaves stdout to the results."""
    print(text, file=sys.stderr, flush=True)


def state_of(run: AgentRun, count: Count) -> str:
    """One word for what an agent is at."""
    if run.outcome:
        return run.outcome
    if count.running:
        return "running"
    return "waiting" if count.waiting else "thinking" if run.started else "ready"


def headline(arm: Arm) -> str:
    """One line for the whole run."""
    total, seconds = arm.count(), arm.seconds
    tokens = total.usage.output_tokens
    rate = tokens / seconds if seconds else 0.0
    return f"{seconds:.1f} s, {total.calls} LLM calls, {tokens} tokens ({rate:.1f}/s)"


class View(Protocol):
    """Shows an arm as it goes; entered around the run, ticked by it."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def tick(self, arm: Arm) -> None:
        """Show the present state."""
        ...


def make_view() -> View:
    """The best view for where stderr goes."""
    console = rich_console(sys.stderr)
    return PlainView() if console is None else RichView(console)


class PlainView:
    """A line for each agent that ends."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def tick(self, arm: Arm) -> None:
        """Tell of the agents that have ended since the last look."""
        for run in arm.runs:
            if run.outcome and run.name not in self._told:
                self._told.add(run.name)
                count = arm.count(run)
                say(
                    f"  {run.name:<14} {run.outcome:<6} after {run.turnaround:.1f} s, {count.calls} calls: {run.task.question}"
                )


class RichView:
    """A table that is drawn again and again in its place."""

    def __init__(self, console: Any) -> None:
        from rich.live import Live

        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def tick(self, arm: Arm) -> None:
        """Draw the table anew."""
        self._live.update(self._table(arm), refresh=True)

    def _table(self, arm: Arm) -> Any:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, caption=headline(arm), caption_justify="left", pad_edge=False)
        for name in ("agent", "state", "calls", "tokens", "task"):
            table.add_column(name, justify="right" if name in {"calls", "tokens"} else "left", no_wrap=True)
        for run in arm.runs[: max(4, self._live.console.height - 7)]:  # what does not fit a screen would flicker
            count = arm.count(run)
            state = state_of(run, count)
            cells = (str(count.calls), str(count.usage.output_tokens), Text(run.task.question, overflow="ellipsis"))
            table.add_row(run.name, Text(state, style=COLOURS.get(state, "")), *cells)
        return table
