"""The kernel's own scheduling policies, one module each."""

from aios_kernel.scheduling.policies.classes import Classes
from aios_kernel.scheduling.policies.fifo import Fifo
from aios_kernel.scheduling.policies.fixed import Fixed
from aios_kernel.scheduling.policies.groups import Groups
from aios_kernel.scheduling.policies.las import LeastAttained
from aios_kernel.scheduling.policies.priority import Priority
from aios_kernel.scheduling.policies.rr import RoundRobin
from aios_kernel.scheduling.policies.wfq import FairShare

__all__ = ["Classes", "FairShare", "Fifo", "Fixed", "Groups", "LeastAttained", "Priority", "RoundRobin"]
