"""The version table: which frameworks are supported, in which versions they are tested, and how they install today.

Everything that names a version reads it from here: the check at run time, `aios doctor`, the tests' environments and the
pages of the documentation. A new framework is one more row.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TABLE", "Framework", "Tested", "framework"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One version that the tests run with; `packages` are resolved into the lock of the environment `name`.

    The oldest and the newest of a framework run in CI (`ci`), those between them in the full matrix. `observers` are
    other libraries that patch the same framework, and that have to get along with the adapter.
    """

    name: str
    version: str
    packages: tuple[str, ...]
    observers: tuple[str, ...] = ()
    ci: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One row: an adapter's framework and the versions of its first distribution, oldest first.

    A distribution may name the versions that are this framework's ("ag2<1"), where another has the rest.
    `tests` is the folder in tests/adapters, `python` the supported interpreters where they are fewer than ours,
    `overrides` what a resolver must be told to ignore of the framework's own pins, `install` the command that works today
    where plain `pip install` does not, with `remedy` saying why.
    """

    adapter: str
    title: str
    distributions: tuple[str, ...]
    minimum: str
    tests: str
    versions: tuple[Tested, ...]
    python: str = ""
    overrides: tuple[str, ...] = ()
    install: str = ""
    remedy: str = ""

    @property
    def tested(self) -> tuple[str, str]:
        """The oldest and the newest version the tests run with."""
        return self.versions[0].version, self.versions[-1].version


# OpenTelemetry's own imports httpx, which the SDK's 3.x no longer brings; its next release does not import at all.
_OPENINFERENCE = "openinference-instrumentation-openai"
_OBSERVERS = (_OPENINFERENCE, "opentelemetry-instrumentation-openai-v2==2.3b0", "wrapt<2")

#: litellm uses these without requiring them: for tools, and for repeated calls.
_LITELLM = ("mcp", "tenacity")

TABLE = (
    Framework(
        adapter="openai",
        title="openai SDK",
        distributions=("openai>=1",),
        minimum="1.39",
        tests="openai",
        versions=(
            # Before 1.55.3 the SDK passes httpx an argument that 0.28 took away.
            Tested(name="openai-1-oldest", version="1.39", packages=("openai==1.39.*", "httpx<0.28")),
            Tested(name="openai-1", version="1.109", packages=("openai==1.109.*",), observers=_OBSERVERS),
            Tested(name="openai-2", version="2.54", packages=("openai==2.54.*",), observers=_OBSERVERS),
            Tested(name="openai-3", version="3.54", packages=("openai>=3.52,<4",), observers=(_OPENINFERENCE,)),
        ),
    ),
    Framework(
        adapter="openai_legacy",
        title="openai SDK 0.x",
        distributions=("openai<1",),
        minimum="0.27",
        tests="openai_legacy",
        versions=(
            # Embeddings travel packed, and want numpy to unpack them.
            Tested(name="openai-0.27", version="0.27.4", packages=("openai==0.27.4", "numpy")),
            Tested(name="openai-0.28", version="0.28.1", packages=("openai==0.28.1", "numpy")),
        ),
    ),
    Framework(
        adapter="langchain",
        title="LangChain, LangGraph",
        distributions=("langchain-core",),
        minimum="1.0",
        tests="langchain",
        versions=(
            Tested(
                name="langchain-1.0",
                version="1.0",
                # The newest parts that langgraph 1.0 allows need a newer core and a newer langgraph than they say.
                packages=(
                    "langchain==1.0.*",
                    "langchain-core==1.0.*",
                    "langgraph==1.0.*",
                    "langgraph-checkpoint==3.*",
                    "langgraph-prebuilt<1.0.8",
                    "langchain-openai==1.0.*",
                ),
            ),
            Tested(
                name="langchain-1.7",
                version="1.7",
                packages=("langchain==1.4.*", "langchain-core==1.7.*", "langgraph>=1.2,<2", "langchain-openai>=1.1,<2"),
                observers=("openinference-instrumentation-langchain",),
            ),
        ),
    ),
    Framework(
        adapter="autogen",
        title="AutoGen 0.7",
        distributions=("autogen-core",),
        minimum="0.7",
        tests="autogen",
        versions=(
            Tested(
                name="autogen",
                version="0.7.5",
                packages=("autogen-agentchat==0.7.5", "autogen-ext[openai]==0.7.5"),
                observers=("openinference-instrumentation-autogen-agentchat",),
            ),
        ),
    ),
    Framework(
        adapter="autogen_classic",
        title="AutoGen 0.2, AG2 0.x",
        distributions=("pyautogen", "ag2<1", "autogen-agentchat<0.4"),
        minimum="0.2.28",
        tests="autogen_classic",
        python=">=3.10,<3.13",
        versions=(
            Tested(
                name="autogen-classic",
                version="0.2.35",
                packages=("pyautogen==0.2.35", "jupyter-client", "ipykernel", "websocket-client"),
            ),
            Tested(name="ag2-classic", version="0.14", packages=("ag2[openai]==0.14.*", "diskcache")),
        ),
    ),
    Framework(
        adapter="ag2",
        title="AG2 1.x",
        distributions=("ag2>=1",),
        minimum="1.2",
        tests="ag2",
        versions=(Tested(name="ag2", version="1.2", packages=("ag2[openai,mcp]>=1.2,<1.3",)),),
    ),
    Framework(
        adapter="llama_index",
        title="LlamaIndex",
        distributions=("llama-index-core",),
        minimum="0.14",
        tests="llama_index",
        versions=(
            Tested(
                name="llama-index-old",
                version="0.14.0",
                packages=("llama-index-core==0.14.0", "llama-index-llms-openai==0.5.6", "pydantic<2.12"),
            ),
            Tested(
                name="llama-index",
                version="0.14",
                packages=("llama-index-core>=0.14.25,<0.15", "llama-index-llms-openai>=0.8,<0.9"),
                observers=("openinference-instrumentation-llama-index",),
            ),
        ),
    ),
    Framework(
        adapter="metagpt",
        title="MetaGPT",
        distributions=("metagpt",),
        minimum="0.8.2",
        tests="metagpt",
        python=">=3.10,<3.13",
        # MetaGPT pins versions that are gone from the index, or that have no wheel for a newer Python.
        overrides=("lancedb>=0.4", "faiss-cpu>=1.8", "aiohttp>=3.9", "libcst>=1.1"),
        install="uv pip install --override overrides.txt metagpt==0.8.2 'click<8.2'",
        remedy="its pin lancedb==0.4.0 is gone from the index: overrides.txt is lancedb>=0.4, faiss-cpu>=1.8, "
        "aiohttp>=3.9 and libcst>=1.1, one a line",
        versions=(
            Tested(
                name="metagpt",
                version="0.8.2",
                packages=("metagpt==0.8.2", "click<8.2"),
            ),
        ),
    ),
    Framework(
        adapter="litellm",
        title="litellm",
        distributions=("litellm",),
        minimum="1.80",
        tests="litellm",
        versions=(
            Tested(name="litellm-1.83", version="1.83.0", packages=("litellm==1.83.0", "openai<3", *_LITELLM)),
            Tested(name="litellm", version="1.106", packages=("litellm>=1.106,<2", *_LITELLM)),
        ),
        install="pip install litellm mcp tenacity",
        remedy="litellm imports what it does not require: mcp for tools, tenacity for num_retries, all of litellm[proxy] for "
        "its cache in newer versions; 1.82.7 and 1.82.8 are malicious",
    ),
    Framework(
        adapter="open_interpreter",
        title="Open Interpreter",
        distributions=("open-interpreter",),
        minimum="0.4.3",
        tests="open_interpreter",
        versions=(
            Tested(
                name="open-interpreter",
                version="0.4.3",
                packages=("open-interpreter==0.4.3", "setuptools<81", "click<8.2"),
            ),
        ),
        install="pip install open-interpreter==0.4.3 'setuptools<81' 'click<8.2'",
        remedy="it imports pkg_resources, which setuptools 81 no longer has, and its command line breaks with click 8.2",
    ),
    Framework(
        adapter="openai_agents",
        title="OpenAI Agents SDK",
        distributions=("openai-agents",),
        minimum="0.24",
        tests="openai_agents",
        versions=(Tested(name="openai-agents", version="0.24", packages=("openai-agents>=0.24,<0.25",)),),
    ),
    Framework(
        adapter="agent_framework",
        title="Microsoft Agent Framework",
        distributions=("agent-framework-core",),
        minimum="1.23",
        tests="agent_framework",
        versions=(
            Tested(
                name="agent-framework",
                version="1.23",
                packages=("agent-framework-core>=1.23,<1.24", "agent-framework-openai>=1.17,<1.18"),
            ),
        ),
    ),
)


def framework(adapter: str) -> Framework:
    """Return the row of an adapter; raises `KeyError` where there is none."""
    for row in TABLE:
        if row.adapter == adapter:
            return row
    raise KeyError(adapter)
