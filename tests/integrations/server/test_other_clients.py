"""Clients that nobody here wrote: LangChain's ChatOpenAI, the openai package of npm, and the standard library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from aios_kernel.address import Address
from tests import envs
from tests.integrations.server.support import serving

NPM_VERSION = "7.57.0"
NODE_PROGRAM = Path(__file__).with_name("client.mjs")


@pytest.fixture
def tcp(kernel):
    with serving(kernel, Address(host="127.0.0.1", port=0), drain=5) as listening:
        yield listening


def weather(city: str) -> str:
    """Say the weather in a city."""
    return f"sunny in {city}"


async def test_langchain(tcp, kernel):
    """LangChain's own client: invoke, stream, batch, tools, structured output, async, embeddings, identity."""
    key = SecretStr(f"{tcp.token}:planner")
    model = ChatOpenAI(model="scripted", base_url=tcp.base_url, api_key=key, max_retries=0)
    reply: Any = model.invoke("hello there")
    assert reply.content == "you said hello there"
    assert reply.usage_metadata["total_tokens"] > 0
    assert "".join(str(chunk.content) for chunk in model.stream("hello there")) == reply.content
    assert [one.content for one in model.batch(["a", "b"])] == ["you said a", "you said b"]
    asked = model.bind_tools([weather]).invoke("what is the weather?")
    assert asked.tool_calls[0]["name"] == "weather"
    assert asked.tool_calls[0]["args"] == {"city": "Rome"}
    schema = {
        "title": "Answer",
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
    }
    assert model.with_structured_output(schema, method="json_schema").invoke("a number") == {"number": 42}
    assert (await model.ainvoke("hi")).content == "you said hi"
    assert "".join([str(chunk.content) async for chunk in model.astream("hi there")]) == "you said hi there"
    responses = ChatOpenAI(model="scripted", base_url=tcp.base_url, api_key=key, use_responses_api=True)
    assert responses.invoke("hi").text == "you said hi"
    vectors = OpenAIEmbeddings(
        model="scripted", base_url=tcp.base_url, api_key=key, check_embedding_ctx_length=False
    ).embed_documents(["ab"])
    assert vectors == [[2.0, 0.5, 0.5]]
    assert {process.name for process in kernel.processes if process.syscalls} == {"planner"}


@pytest.fixture(scope="module")
def npm():
    """The package of npm, installed once beside the frameworks' environments."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    home = envs.cache_root().parent / f"npm-openai-{NPM_VERSION}"
    if not (home / "node_modules" / "openai").exists():
        home.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", f"openai@{NPM_VERSION}"]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            pytest.skip(f"npm could not install openai: {done.stderr[-300:]}")
    return home


def test_npm(npm, tcp, kernel):
    """The openai package for JavaScript: chat, stream, tools, completions, embeddings, responses, models, errors."""
    program = npm / "client.mjs"
    shutil.copy(NODE_PROGRAM, program)
    variables = {**os.environ, "OPENAI_BASE_URL": tcp.base_url, "OPENAI_API_KEY": f"{tcp.token}:from node"}
    done = subprocess.run(
        ["node", str(program)], env=variables, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "chat": "you said hello big world",
        "stream": "you said hello big world",
        "pieces": True,
        "tool": ["weather", '{"city": "Rome"}'],
        "runner": "you said sunny",
        "completion": "after once",
        "embedding": [2, 0.5],
        "response": "you said hi",
        "events": ["response.created", "response.completed"],
        "models": ["scripted"],
        "error": ["NotFoundError", 404, "model_not_found"],
        "key": ["AuthenticationError", 401],
    }
    assert {process.name for process in kernel.processes if process.syscalls} == {"from node"}


def test_the_standard_library(tcp):
    """No package at all: one request of urllib."""
    body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}).encode()
    headers = {"authorization": f"Bearer {tcp.token}", "content-type": "application/json"}
    request = urllib.request.Request(f"{tcp.base_url}/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        assert json.load(response)["choices"][0]["message"]["content"] == "you said hi"
