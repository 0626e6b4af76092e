"""A kernel in another process: the same gate, through one connection to its server. Standard library alone."""

from aios_adapters.remote.kernel import RemoteKernel

__all__ = ["RemoteKernel"]
