"""The access manager of a session or a daemon: by a policy file, asking wherever this program's user can be asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    import os

    from aios_kernel.access import AccessManager, Approver

__all__ = ["access_manager", "whoever_is_there"]


def access_manager(
    access: Any, audit: str | os.PathLike[str] | None = None, *, approver: Approver | None = None
) -> AccessManager | None:
    """The manager that is meant by a policy file's path, or that is given; None where none is."""
    if access is None:
        if audit is not None:
            raise ConfigError("audit takes what the access manager decides: say access=FILE, too")
        return None
    from aios_kernel.access import AccessManager

    if isinstance(access, AccessManager):
        if audit is not None:
            raise ConfigError("an access manager that is given has an audit log of its own: AccessManager(audit=FILE)")
        return access
    return AccessManager(access, audit=audit, approver=approver or whoever_is_there())


def whoever_is_there() -> Approver:
    """A notebook's user, the terminal's, or else whoever looks into the pending queue."""
    from aios_kernel.access import Notebook, Pending, Terminal

    if _in_notebook():
        return Notebook()
    try:
        at_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):  # closed, or not there at all
        at_terminal = False
    return Terminal() if at_terminal else Pending()


def _in_notebook() -> bool:
    """Whether this process runs a notebook's cells; a program may import ipykernel and be none."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
