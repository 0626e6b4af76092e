"""OpenAI's API over the kernel: each request becomes a call, scheduled with everything else."""

from .routes import openai_routes
from .served import Activity

__all__ = ["Activity", "openai_routes"]
