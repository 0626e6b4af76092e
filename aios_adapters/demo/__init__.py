"""The demonstration: three ordinary agent programs at once, on one model, through the kernel, with checked results."""

from aios_adapters.demo.programs import Program, available, missing
from aios_adapters.demo.runner import AgentRun, Arm, run_arm
from aios_adapters.demo.tasks import Task, draw_tasks

__all__ = ["AgentRun", "Arm", "Program", "Task", "available", "draw_tasks", "missing", "run_arm"]
