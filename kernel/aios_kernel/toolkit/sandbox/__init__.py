"""The sandbox for model-written code: bubblewrap, with no network, a read-only system and limits; refused without it."""

from aios_kernel.toolkit.sandbox.box import Sandbox
from aios_kernel.toolkit.sandbox.limits import Limits, Ran

__all__ = ["Limits", "Ran", "Sandbox"]
