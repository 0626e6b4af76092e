"""Access: who may do what, whom to ask before it cannot be taken back, and a record that shows if it was touched."""

from aios_kernel.access.approval import Answer, Approver, Nobody, Request
from aios_kernel.access.audit import AuditLog, Verified, verify
from aios_kernel.access.callback import Callback
from aios_kernel.access.manager import AccessManager
from aios_kernel.access.notebook import Notebook
from aios_kernel.access.pending import Pending
from aios_kernel.access.reading import load, parse
from aios_kernel.access.rules import Policy, Rule, Verdict
from aios_kernel.access.showing import shown, visible
from aios_kernel.access.terminal import Terminal

__all__ = [
    "AccessManager",
    "Answer",
    "Approver",
    "AuditLog",
    "Callback",
    "Nobody",
    "Notebook",
    "Pending",
    "Policy",
    "Request",
    "Rule",
    "Terminal",
    "Verdict",
    "Verified",
    "load",
    "parse",
    "shown",
    "verify",
    "visible",
]
