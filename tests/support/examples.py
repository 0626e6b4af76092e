"""The programs in examples/, each with the environment that has its framework, and the ways to run one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aios_evals.endpoint import Endpoint
from tests import envs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["EXAMPLES", "FIVE", "MODEL", "SHARED_NOTES", "Example", "Ran", "run_example"]

MODEL = "smollm2-135m-tools"  # the embedded model's own name: what programs ask for is in its replies
#: MetaGPT does not start without a model in a config file of its own; its example names another.
METAGPT = "llm: {api_type: openai, base_url: 'http://127.0.0.1:9/v1', api_key: not-needed, model: unused}\n"
NOWHERE = "http://127.0.0.1:9/v1"  # the discard port: a program that calls an endpoint by itself fails


@dataclass(frozen=True)
class Example:
    """One program: its file in examples/, its framework's name, and its environment ("" is this interpreter's)."""

    file: str
    framework: str
    environment: str
    adapter: str = ""  # what its agents say their framework is; "" where they are agents of the program itself

    @property
    def path(self) -> Path:
        """The program."""
        return envs.ROOT / "examples" / self.file

    @property
    def built(self) -> bool:
        """Whether its environment is there already."""
        return not self.environment or envs.environments()[self.environment].python.exists()

    def python(self) -> Path | str:
        """Its interpreter; the environment is built where it is missing."""
        return envs.build(envs.environments()[self.environment]) if self.environment else sys.executable

    def start(self, kernel: str, folder: Path, **options: Any) -> subprocess.Popen[str]:
        """Start it in a folder, unchanged, on the kernel at this address; there is no endpoint beside that."""
        variables = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AIOS_")},
            "PYTHONPATH": os.pathsep.join(str(envs.ROOT / part) for part in envs.PACKAGE_ROOTS),
            "PYTHONUNBUFFERED": "1",
            "AIOS_KERNEL": kernel,
            "OPENAI_BASE_URL": NOWHERE,
            "OPENAI_API_KEY": "not-needed",
            "OPENAI_MODEL": MODEL,
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would look for a newer one in the network
            "METAGPT_PROJECT_ROOT": str(folder),
        }
        (folder / "config").mkdir(parents=True, exist_ok=True)
        (folder / "config" / "config2.yaml").write_text(METAGPT)
        settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        command = [str(self.python()), str(self.path)]
        return subprocess.Popen(command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, **settings)


@dataclass(frozen=True)
class Ran:
    """What a program printed, how many requests it made, and the trace of its syscalls."""

    lines: list[str]
    requests: int
    trace: str


def run_example(file: str, script: Callable[..., Any], folder: Path, **variables: str) -> Ran:
    """Run a program of examples/ unchanged in a folder, by this interpreter, on an endpoint that answers by a script.

    In the values of environment variables "{endpoint}" stands for the endpoint's address.
    """
    trace = folder / "trace.json"
    with Endpoint(reply=script) as endpoint:
        settings = {
            "OPENAI_BASE_URL": "{endpoint}",
            "OPENAI_API_KEY": "test",
            "OPENAI_MODEL": "some-model",
            **variables,
        }
        environment = {name: value.format(endpoint=endpoint.base_url) for name, value in settings.items()}
        done = subprocess.run(
            [sys.executable, str(envs.ROOT / "examples" / file)],
            cwd=folder,
            env={**os.environ, **environment, "AIOS_TRACE": str(trace)},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        return Ran(done.stdout.splitlines(), len(endpoint.requests), trace.read_text())


EXAMPLES = (
    Example("metagpt_team.py", "MetaGPT", "metagpt", "metagpt"),
    Example("open_interpreter_task.py", "Open Interpreter", "open-interpreter", "open_interpreter"),
    Example("autogen_classic_chat.py", "AutoGen 0.2", "autogen-classic", "autogen_classic"),
    Example("autogen_team.py", "AutoGen 0.7", "autogen", "autogen"),
    Example("langgraph_agent.py", "LangGraph", "langchain-1.7", "langchain"),
    Example("ag2_team.py", "AG2 1.x", "ag2", "ag2"),
    Example("agent_framework_tools.py", "Agent Framework", "agent-framework", "agent_framework"),
    Example("litellm_agent.py", "litellm", "litellm"),
    Example("llama_index_team.py", "LlamaIndex", "llama-index", "llama_index"),
    Example("openai_agents_triage.py", "OpenAI Agents SDK", "openai-agents", "openai_agents"),
    Example("openai_react.py", "openai SDK", "openai-3"),
    Example("reflexion.py", "the kernel's own", ""),
    Example("native_agent.py", "the kernel's SDK", ""),
)
SHARED_NOTES = (
    Example("shared_notes/scribe.py", "LangGraph", "langchain-1.7", "langchain"),
    Example("shared_notes/reader.py", "AutoGen 0.7", "autogen", "autogen"),
    Example("shared_notes/guest.py", "openai SDK", "openai-3"),
)
FIVE = EXAMPLES[:5]  # those that `benchmarks/shared.py` shows
