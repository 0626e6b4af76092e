"""The adapters cannot tell where the kernel is: one of them passes its own tests with a kernel at the other end of a channel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_an_adapters_own_tests_over_the_channel() -> None:
    """Leases, served calls, streams, errors, pressure and the journal of the openai SDK."""
    pytest.importorskip("openai")
    named = [f"tests/adapters/openai/test_{name}.py" for name in ("lease", "serve", "pressure", "journal")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.support.over_channel", *named]
    environment = {**os.environ, "AIOS_TEST_ENV": "over-channel"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
