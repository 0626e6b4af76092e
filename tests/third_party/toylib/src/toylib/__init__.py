"""A toy agent framework: a model client, tools, and an agent that uses both. It knows nothing of any kernel."""

from toylib.agent import Agent
from toylib.models import Model, ToyError

__all__ = ["Agent", "Model", "ToyError"]
