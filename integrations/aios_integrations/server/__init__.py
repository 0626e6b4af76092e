"""The kernel as a daemon: an HTTP server with OpenAI's API and the kernel's own routes, on a socket or a TCP port."""

from .run import AlreadyRunning, Daemon, Listening

__all__ = ["AlreadyRunning", "Daemon", "Listening"]
