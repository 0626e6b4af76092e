"""Budgets: how much each agent, each group and the kernel may use, held before a call and reconciled after it."""

from aios_kernel.budgets.budgets import Budgets, Charge
from aios_kernel.budgets.prices import Price, Prices

__all__ = ["Budgets", "Charge", "Price", "Prices"]
