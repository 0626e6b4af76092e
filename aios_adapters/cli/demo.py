"""`aios demo`: three real agent programs at once on one model, through the kernel."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from aios_adapters.cli.models import loaded
from aios_adapters.cli.tables import show_table
from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aios_adapters.demo.programs import Program
    from aios_adapters.demo.runner import Arm

__all__ = ["add_parser"]

PICTURE = "aios-demo.png"
FROM_TRANSFORMERS = ("embedded", "torch")
EPILOG = """\
examples:
  aios demo                              six agents on the embedded model (the first time, it is downloaded)
  aios demo --agents 12 --policy rr      twelve agents, Round Robin
  aios demo --compare                    the same agents without the kernel beside it
  aios demo --trace run.json             keep a trace for https://ui.perfetto.dev
  aios demo --model torch:Qwen/Qwen3-0.6B --json

The programs are in aios_adapters/demo/programs: a LangGraph agent, an AutoGen team and a ReAct loop on the openai SDK.
They know nothing of the kernel. Exit code: 0 if every agent solved its task, else 1.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo",
        help="run three real agent programs at once on one model, through the kernel",
        description="Run a LangGraph agent, an AutoGen team and a plain ReAct loop at once on one model, through the "
        "kernel; check what they did; show who waited and who ran when.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--agents", type=_positive, default=6, metavar="N", help="how many agents (default: 6)")
    parser.add_argument(
        "--policy", default="fifo", help="scheduling policy, such as fifo, rr, priority, wfq (default: fifo)"
    )
    parser.add_argument(
        "--model", default="embedded", metavar="CORE", help="embedded (default), torch:MODEL or openai:URL"
    )
    parser.add_argument("--seed", type=int, default=0, help="which tasks are drawn (default: 0)")
    parser.add_argument("--compare", action="store_true", help="first run the same agents without the kernel")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    parser.add_argument("--trace", metavar="FILE", help="write a Chrome trace of the run")
    parser.add_argument("--png", metavar="FILE", help=f"where the timeline goes (default: {PICTURE}; none with --json)")
    parser.set_defaults(run=run)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of agents: use 1 or more")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration and report."""
    _log_only_ours()
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        arm, baseline = _run(args)
        report = _report(args, arm, baseline)
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        _show(arm, report)
    return 0 if arm.ok else 1


def _log_only_ours() -> None:
    """Keep the frameworks' own reports of an agent's failure off the screen: the failure is a row of the table."""
    logging.getLogger().addHandler(logging.NullHandler())
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("aios: %(message)s"))
    for name in ("aios_adapters", "aios_kernel"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(handler)


def _run(args: argparse.Namespace) -> tuple[Arm, Arm | None]:
    from aios_adapters.demo import Arm, available, missing
    from aios_adapters.demo.live import make_view, say
    from aios_adapters.demo.runner import make_runs, run_arm
    from aios_kernel.kernel import Kernel
    from aios_kernel.scheduling.registry import policy

    policy(args.policy)  # wrong names fail before anything is downloaded or loaded
    if args.compare and args.model.partition(":")[0] not in FROM_TRANSFORMERS:
        raise ConfigError("--compare needs a model that transformers can load: --model embedded or --model torch:MODEL")
    programs = available()
    for framework, install in missing().items():
        say(f"{framework} is not installed, so its program is left out; to see it: {install}")
    if not programs:
        raise ConfigError("none of the three programs can run: pip install 'aios-adapters[demo]'")
    core = loaded(args.model, say)
    baseline = None
    if args.compare:
        _warm_up(programs)
        say(f"{args.agents} agents without the kernel: generate() behind one lock")
        baseline = _baseline(args.model, lambda: make_runs(programs, args.agents, args.seed))
    say(f"{args.agents} agents through the kernel, policy {args.policy}")
    name = getattr(core, "model", "") or args.model  # what the programs ask for: AutoGen compares it with the reply's
    arm = Arm(Kernel(policy=args.policy, llm=core), name, make_runs(programs, args.agents, args.seed))
    with make_view() as view:
        run_arm(arm, trace=args.trace, tick=view.tick)
    return arm, baseline


def _warm_up(programs: Sequence[Program]) -> None:
    """Have every framework import and build what it does at its first call, so that neither side pays for it."""
    from aios_adapters.demo import Arm
    from aios_adapters.demo.runner import make_runs, run_arm
    from aios_kernel.cores.scripted import ScriptedCore
    from aios_kernel.kernel import Kernel

    core = ScriptedCore(lambda _: "Final Answer: ready")
    run_arm(Arm(Kernel(llm=core), "scripted", make_runs(programs, len(programs), seed=0)))


def _baseline(model: str, make: Any) -> Arm:
    """Run the same agents with transformers' own `generate`, one call at a time."""
    from aios_adapters.demo import Arm
    from aios_adapters.demo.compare import LockedGenerate
    from aios_adapters.demo.live import make_view
    from aios_adapters.demo.runner import run_arm
    from aios_kernel.cores.torch.loading import EMBEDDED, load
    from aios_kernel.kernel import Kernel

    loaded = load(model.partition(":")[2] or EMBEDDED)
    core = LockedGenerate(loaded.model, loaded.tokenizer, eos=loaded.eos)
    core.warm_up()
    arm = Arm(Kernel(llm=core), model.partition(":")[2] or EMBEDDED, make(), hidden_waits=core.waits)
    with make_view() as view:
        run_arm(arm, tick=view.tick)
    return arm


def _report(args: argparse.Namespace, arm: Arm, baseline: Arm | None) -> dict[str, Any]:
    from aios_adapters.demo import missing
    from aios_adapters.demo.report import as_json

    report = {**as_json(arm), "model": args.model, "policy": args.policy, "missing": missing()}
    if baseline is not None:
        report["without_kernel"] = as_json(baseline)
    if args.trace:
        report["trace"] = args.trace
    picture = args.png or (None if args.json else PICTURE)
    if picture and (drawn := _draw(arm, picture, f"{len(arm.runs)} agents on {args.model}, policy {args.policy}")):
        report["png"] = drawn
    return report


def _draw(arm: Arm, picture: str, title: str) -> str | None:
    from aios_adapters.demo.live import say
    from aios_adapters.timeline import plot

    try:
        return str(plot(arm.events, picture, title=title, names=arm.row_names()))
    except ConfigError as error:  # no matplotlib: the run was worth it all the same
        say(f"no picture: {error}")
        return None


def _show(arm: Arm, report: dict[str, Any]) -> None:
    from aios_adapters.demo.report import AGENT_COLUMNS, agent_table, comparison_table

    print()
    show_table(AGENT_COLUMNS, agent_table(arm), right=AGENT_COLUMNS[3:9], total=True)
    for run in arm.runs:
        if run.outcome != "ok":
            print(f"{run.name}: {run.error or f'asked {run.task.question!r}, it answered {run.answer!r}'}")
    if "without_kernel" in report:
        columns = ("", "without the kernel", "with", "with / without")
        print("\nWithout the kernel: transformers' generate() behind one lock, unconstrained. Same agents, same tasks.")
        show_table(columns, comparison_table(report["without_kernel"]["totals"], report["totals"]), right=columns[1:])
    for what in ("png", "trace"):
        if what in report:
            print(f"{'timeline' if what == 'png' else 'trace'}: {report[what]}")
