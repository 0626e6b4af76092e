"""What the demonstration says at the end: rows for tables, one object for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aios_adapters.demo.runner import AgentRun, Arm

__all__ = ["agent_table", "as_json", "comparison_table", "totals"]

AGENT_COLUMNS = (
    "agent",
    "framework",
    "task",
    "calls",
    "tools",
    "tokens in",
    "out",
    "waited s",
    "turnaround s",
    "outcome",
)
COMPARED = {
    "solved": "tasks solved",
    "seconds": "all agents done after, s",
    "calls": "LLM calls",
    "calls_per_second": "calls per second",
    "tokens_per_second": "output tokens per second",
    "mean_wait": "mean wait of a call before it began, s",
    "mean_latency": "mean time of a call, wait included, s",
    "mean_turnaround": "mean turnaround of an agent, s",
    "p90_turnaround": "90 % of the agents done within, s",
}


def as_json(arm: Arm) -> dict[str, Any]:
    """One run as plain data; times in seconds."""
    return {"agents": [agent_json(arm, run) for run in arm.runs], "totals": totals(arm)}


def agent_json(arm: Arm, run: AgentRun) -> dict[str, Any]:
    """One agent as plain data."""
    count = arm.count(run)
    return {
        "name": run.name,
        "framework": run.program.framework,
        "task": run.task.question,
        "kind": run.task.kind,
        "calls": count.calls,
        "tool_calls": count.tools,
        "input_tokens": count.usage.input_tokens,
        "output_tokens": count.usage.output_tokens,
        "waited": round(count.waited, 4),
        "turnaround": round(run.turnaround, 4),
        "outcome": run.outcome,
        "answer": run.answer,
        "error": run.error,
    }


def totals(arm: Arm) -> dict[str, Any]:
    """The run as a whole."""
    count, seconds = arm.count(), arm.seconds or 1e-9
    times = sorted(run.turnaround for run in arm.runs)
    return {
        "solved": sum(run.outcome == "ok" for run in arm.runs),
        "seconds": round(arm.seconds, 3),
        "calls": count.calls,
        "calls_per_second": round(count.calls / seconds, 3),
        "tokens_per_second": round(count.usage.output_tokens / seconds, 2),
        "mean_wait": round(mean_wait(arm), 4),
        "mean_latency": round((count.waited + count.ran) / count.calls, 4) if count.calls else 0.0,
        "mean_turnaround": round(sum(times) / len(times), 3),
        "p90_turnaround": round(times[min(len(times) - 1, int(0.9 * len(times)))], 3),
    }


def mean_wait(arm: Arm) -> float:
    """Seconds that an LLM call waited before the model began with it."""
    count = arm.count()
    waited = count.waited if arm.hidden_waits is None else sum(arm.hidden_waits)
    return waited / count.calls if count.calls else 0.0


def agent_table(arm: Arm) -> list[list[str]]:
    """The rows under `AGENT_COLUMNS`, the sum last."""
    rows = [_agent_row(agent_json(arm, run)) for run in arm.runs]
    count, solved = arm.count(), sum(run.outcome == "ok" for run in arm.runs)
    tokens = [str(count.usage.input_tokens), str(count.usage.output_tokens)]
    numbers = [str(count.calls), str(count.tools), *tokens, f"{count.waited:.2f}", f"{arm.seconds:.2f}"]
    return [*rows, [f"{len(arm.runs)} agents", "", "", *numbers, f"{solved} ok"]]


def _agent_row(row: dict[str, Any]) -> list[str]:
    numbers = [str(row[key]) for key in ("calls", "tool_calls", "input_tokens", "output_tokens")]
    times = [f"{row[key]:.2f}" for key in ("waited", "turnaround")]
    return [row["name"], row["framework"], row["kind"], *numbers, *times, row["outcome"]]


def comparison_table(without: dict[str, Any], with_kernel: dict[str, Any]) -> list[list[str]]:
    """The totals of two runs side by side."""
    return [
        [label, _number(without[key]), _number(with_kernel[key]), _ratio(without[key], with_kernel[key])]
        for key, label in COMPARED.items()
    ]


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _ratio(before: float, after: float) -> str:
    return f"{after / before:.2f}" if before and not isinstance(before, int) else ""
