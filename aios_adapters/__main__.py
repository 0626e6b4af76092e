"""`python -m aios_adapters`, the same as `aios`."""

from __future__ import annotations

import sys

from aios_adapters.cli import main

if __name__ == "__main__":
    sys.exit(main())
