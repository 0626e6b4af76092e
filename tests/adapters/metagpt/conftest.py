"""Fixtures of the MetaGPT tests: a home and a config of their own, a scripted endpoint, and the kernel for one test.

MetaGPT reads its config when it is imported, from the project root and from the home directory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest

_HOME = Path(tempfile.mkdtemp(prefix="metagpt-"))
(_HOME / "config").mkdir()
(_HOME / "config" / "config2.yaml").write_text(
    "llm: {api_type: openai, base_url: 'http://127.0.0.1:9/v1', api_key: test, model: gpt-4o}\n"
)
os.environ["HOME"] = os.environ["METAGPT_PROJECT_ROOT"] = str(_HOME)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what MetaGPT brings warns of itself when it is imported
    import metagpt.memory.brain_memory
    import metagpt.roles.di.data_interpreter  # noqa: F401

from aios_evals.endpoint import Endpoint
from tests.adapters.metagpt.programs import script
from tests.support.fixtures import enabled

__all__ = ["enabled"]


def pytest_configure(config):
    """MetaGPT leaves its clients open, and the garbage collector finds them whenever it does."""
    config.addinivalue_line("filterwarnings", "ignore:unclosed:ResourceWarning")


def pytest_sessionfinish():
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture
def endpoint():
    with Endpoint(reply=script, reply_tokens=4) as running:
        yield running


@pytest.fixture
def shown():
    """What MetaGPT shows of streams, in place of printing it."""
    from metagpt import logs

    before, pieces = logs._llm_stream_log, []
    logs.set_llm_stream_logfunc(pieces.append)
    yield pieces
    logs.set_llm_stream_logfunc(before)
