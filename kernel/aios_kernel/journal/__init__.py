"""The journal: what calls were answered, kept on disk, so that a program that is run again is not asked to pay again."""

from aios_kernel.journal._file import Row
from aios_kernel.journal.diff import compare
from aios_kernel.journal.gate import Journaled
from aios_kernel.journal.journal import MODES, Journal, Record
from aios_kernel.journal.shown import shown

__all__ = ["MODES", "Journal", "Journaled", "Record", "Row", "compare", "shown"]
