"""Agents that speak to the gate themselves: ReAct and Reflexion, in threads and in event loops."""

from aios_kernel.agents.react import ReActAgent, Run, Turn
from aios_kernel.agents.reflexion import Feedback, ReflexionAgent, Trial, Trials

__all__ = ["Feedback", "ReActAgent", "ReflexionAgent", "Run", "Trial", "Trials", "Turn"]
