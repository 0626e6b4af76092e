"""The simulated endpoint, over raw HTTP: replies, limits, faults, records and its process form."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aios_evals.endpoint import Endpoint, Prompt, Reply, ToolCall, count_tokens

USER = [{"role": "user", "content": "weigh 3 apples"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weigh",
        "parameters": {
            "type": "object",
            "properties": {"what": {"type": "string"}, "count": {"type": "integer"}},
            "required": ["what", "count"],
        },
    },
}


def call(
    ep: Endpoint, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", ep.port, timeout=10)
    try:
        connection.request(
            "GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers or {}
        )
        reply = connection.getresponse()
        data = reply.read()
        parsed = json.loads(data) if reply.getheader("content-type") == "application/json" else data
        return reply.status, parsed, {name.lower(): value for name, value in reply.getheaders()}
    finally:
        connection.close()


def chat(ep: Endpoint, **body: Any) -> tuple[int, Any, dict[str, str]]:
    return call(ep, "/v1/chat/completions", {"model": "sim", "messages": USER, **body})


def events(data: bytes) -> list[Any]:
    """Parse a server-sent event stream."""
    lines = [line.removeprefix("data: ") for line in data.decode().split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_equal_requests_get_equal_bytes() -> None:
    """A reply is a function of the request alone, ids and timestamps included."""
    with Endpoint() as one, Endpoint() as two:
        assert chat(one) == chat(two) == chat(one)
        assert chat(one)[1]["id"] != chat(one, seed=1)[1]["id"]


def test_usage_and_length() -> None:
    """Usage follows the token rule, and max_tokens cuts the reply with finish_reason length."""
    with Endpoint(reply_tokens=5) as ep:
        whole, cut = chat(ep)[1], chat(ep, max_tokens=2)[1]
    assert whole["choices"][0]["message"]["content"] == "weigh 3 apples weigh 3"
    assert whole["usage"] == {"prompt_tokens": 3 + 3, "completion_tokens": 5, "total_tokens": 11}
    assert cut["choices"][0]["message"]["content"] == "weigh 3"
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 2


def test_stream_joins_to_the_whole_reply() -> None:
    """Chunks join to the unstreamed text; usage comes last and only when asked for."""
    with Endpoint() as ep:
        whole = chat(ep)[1]
        chunks = events(chat(ep, stream=True, stream_options={"include_usage": True})[1])
        plain = events(chat(ep, stream=True)[1])
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks[:-1] for choice in chunk["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1] == plain[-1] == "[DONE]"
    assert chunks[-2]["usage"] == whole["usage"]
    assert all("usage" not in chunk for chunk in plain[:-1])


def test_tool_round_trip() -> None:
    """Tools given: a user message gets a call that fits the schema, the tool's result gets a final answer."""
    with Endpoint() as ep:
        first = chat(ep, tools=[TOOL])[1]["choices"][0]
        result = {"role": "tool", "tool_call_id": first["message"]["tool_calls"][0]["id"], "content": "450 g"}
        last = chat(ep, tools=[TOOL], messages=[*USER, first["message"], result])[1]["choices"][0]
    assert first["finish_reason"] == "tool_calls"
    function = first["message"]["tool_calls"][0]["function"]
    assert function["name"] == "weigh"
    assert json.loads(function["arguments"]) == {"what": "weigh 3 apples", "count": 3}
    assert last["finish_reason"] == "stop"
    assert last["message"]["content"].startswith("450 g")


def test_json_where_asked() -> None:
    """response_format is honoured: any object, or one that fits the schema, through references."""
    schema = {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}, "$defs": {"N": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with Endpoint() as ep:
        free = chat(ep, response_format={"type": "json_object"})[1]
        bound = chat(ep, response_format=form)[1]
    assert json.loads(free["choices"][0]["message"]["content"]) == {"echo": "weigh 3 apples"}
    assert json.loads(bound["choices"][0]["message"]["content"]) == {"n": 3}


def test_continuation_gives_the_uninterrupted_text() -> None:
    """A reply taken in pieces through continue_final_message is the reply taken at once."""
    with Endpoint(reply_tokens=9) as ep:
        whole = chat(ep)[1]["choices"][0]["message"]["content"]
        text, finish = "", "length"
        while finish == "length":
            begun = [{"role": "assistant", "content": text}] if text else []
            extra = {"continue_final_message": True, "add_generation_prompt": False} if text else {}
            choice = chat(ep, messages=USER + begun, max_tokens=4, **extra)[1]["choices"][0]
            text, finish = text + choice["message"]["content"], choice["finish_reason"]
    assert text == whole


def test_scripted_replies() -> None:
    """A reply function drives the model with text, tool calls or whole replies; None falls back; stop applies."""

    def script(prompt: Prompt) -> Any:
        answers = {"text": "a b END c", "call": ToolCall("f", {"x": 1}), "whole": Reply("hm", finish="content_filter")}
        return answers.get(prompt.user_text)

    def ask(text: str, **body: Any) -> Any:
        return chat(ep, messages=[{"role": "user", "content": text}], **body)[1]["choices"][0]

    with Endpoint(reply=script) as ep:
        assert ask("text", stop=["END"])["message"]["content"] == "a b "
        assert ask("call")["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 1}'}
        assert ask("whole")["finish_reason"] == "content_filter"
        assert ask("other")["message"]["content"].startswith("other other")


def test_a_broken_reply_function_is_an_error_reply() -> None:
    """A bug in the script reaches the client as a 500 that names it; the endpoint lives on."""

    def script(prompt: Prompt) -> str:
        raise RuntimeError("script bug")

    with Endpoint(reply=script) as ep:
        status, body, _ = chat(ep)
        assert (status, "script bug" in body["error"]["message"]) == (500, True)
        assert call(ep, "/v1/models")[0] == 200


def test_other_routes() -> None:
    """Completions, responses, embeddings and models answer in their own formats; unknown routes are a 404."""
    with Endpoint(models=("a", "b")) as ep:
        text = call(ep, "/v1/completions", {"model": "sim", "prompt": "one two", "max_tokens": 3})[1]
        item = call(ep, "/v1/responses", {"model": "sim", "input": "one two"})[1]["output"][0]
        vectors = call(ep, "/v1/embeddings", {"model": "sim", "input": ["red fox", "red dog", "sea"]})[1]["data"]
        models = call(ep, "/v1/models")[1]["data"]
        assert call(ep, "/v1/nothing", {})[0] == 404
        assert call(ep, "/v1/chat/completions", {"model": "sim"})[0] == 400
    assert text["choices"][0]["text"] == "one two one"
    assert item["content"][0]["text"].startswith("one two")
    near, far = (_dot(vectors[0], vectors[i]) for i in (1, 2))
    assert near > far
    assert [model["id"] for model in models] == ["a", "b"]


def _dot(one: Any, two: Any) -> float:
    return sum(x * y for x, y in zip(one["embedding"], two["embedding"], strict=True))


def test_reject_mode() -> None:
    """Beyond its capacity a rejecting endpoint answers 429 at once, with the Retry-After it was given."""
    with Endpoint(capacity=1, mode="reject", retry_after=2, latency=0.3) as ep:
        first = threading.Thread(target=chat, args=(ep,))
        first.start()
        wait_until(lambda: ep.stats()["in_flight"] == 1)
        status, body, headers = chat(ep)
        first.join()
        assert (status, headers["retry-after"], body["error"]["code"]) == (429, "2", "engine_overloaded")
        assert ep.stats()["statuses"] == {"200": 1, "429": 1}


def test_queue_mode_is_first_come_first_served() -> None:
    """Beyond its capacity a queueing endpoint serves in order of arrival and never more than it may at once."""
    with Endpoint(capacity=2, latency=0.03) as ep, ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(chat, ep, seed=seed) for seed in range(8)]
        assert [wait.result()[0] for wait in waits] == [200] * 8
        served = [record.served for record in ep.requests]
        assert served == sorted(time for time in served if time)
        assert ep.stats()["peak_in_flight"] == 2


def test_a_waiter_that_leaves_frees_its_place() -> None:
    """A client that goes away in the queue or while being served takes no slot from the others."""
    with Endpoint(capacity=1, latency=0.1) as ep:
        held = _open(ep, model="hang")
        wait_until(lambda: ep.stats()["in_flight"] == 1)
        queued = _open(ep, model="sim")
        wait_until(lambda: ep.stats()["waiting"] == 1)
        queued.close()
        held.close()
        assert chat(ep)[0] == 200
        assert ep.stats()["in_flight"] == 0
        assert [record.status for record in ep.requests] == [499, 499, 200]


def _open(ep: Endpoint, model: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", ep.port, timeout=5)
    connection.request("POST", "/v1/chat/completions", json.dumps({"model": model, "messages": USER}))
    return connection


@pytest.mark.parametrize(("limits", "name"), [({"rpm": 2}, "requests"), ({"tpm": 50}, "tokens")])
def test_rate_limits(limits: dict[str, Any], name: str) -> None:
    """Each limit answers 429 when used up and tells in headers what is left; reset renews it."""
    with Endpoint(**limits, reply_tokens=16) as ep:
        assert chat(ep)[2][f"x-ratelimit-limit-{name}"] == str(limits.popitem()[1])
        assert chat(ep)[0] == 200
        status, _, headers = chat(ep)
        assert (status, int(headers[f"x-ratelimit-remaining-{name}"]) < 22) == (429, True)
        assert "retry-after" not in headers
        ep.reset()
        assert chat(ep)[0] == 200


def test_rate_limits_refill() -> None:
    """The limit comes back evenly over its window."""
    with Endpoint(rpm=1, window=0.2) as ep:
        assert [chat(ep)[0], chat(ep)[0]] == [200, 429]
        time.sleep(0.25)
        assert chat(ep)[0] == 200


def test_faults_by_name() -> None:
    """A model's name or suffix, a header, or a plan made beforehand choose what goes wrong."""
    with Endpoint() as ep:
        assert chat(ep, model="fail-503")[0] == 503
        assert [chat(ep, model="m+429-then-ok:2")[0] for _ in range(3)] == [429, 429, 200]
        body = {"model": "sim", "messages": USER}
        assert call(ep, "/v1/chat/completions", body, {"x-aios-fault": "fail-500"})[0] == 500
        ep.fail_next("fail-400", times=2)
        assert [chat(ep)[0] for _ in range(3)] == [400, 400, 200]
        with pytest.raises(ValueError, match="unknown fault"):
            ep.fail_next("nonsense")


def test_broken_replies() -> None:
    """bad-json breaks the body, truncated-stream and disconnect break the connection; the endpoint lives on."""
    with Endpoint() as ep:
        with pytest.raises(json.JSONDecodeError):
            chat(ep, model="bad-json")
        for broken in ({"model": "truncated-stream"}, {"model": "truncated-stream", "stream": True}):
            with pytest.raises(http.client.IncompleteRead):
                chat(ep, **broken)
        with pytest.raises(http.client.RemoteDisconnected):
            chat(ep, model="disconnect")
        with pytest.raises(json.JSONDecodeError):
            events(chat(ep, model="bad-json", stream=True)[1])
        assert chat(ep)[0] == 200


def test_records_and_administration() -> None:
    """Every request is recorded with its times and status; /_requests shows them without keys; /_reset forgets."""
    with Endpoint(latency=0.02) as ep:
        call(ep, "/v1/chat/completions", {"model": "sim", "messages": USER}, {"Authorization": "Bearer secret"})
        (record,) = ep.requests
        assert record.headers["authorization"] == "Bearer secret"
        assert (record.method, record.status, record.body["messages"]) == ("POST", 200, USER)
        assert record.served is not None and record.end is not None
        assert record.start <= record.served < record.end
        shown = call(ep, "/_requests")[1]
        assert (len(shown), "secret" in json.dumps(shown)) == (1, False)
        assert call(ep, "/_stats")[1]["completion_tokens"] == 16
        assert call(ep, "/_faults", {"fault": "fail-500"})[0] == 200
        assert chat(ep)[0] == 500
        call(ep, "/_reset", {})
        assert ep.requests == []


def test_keep_alive_and_pipelining() -> None:
    """One connection carries many requests, even when several are sent before the first reply."""
    with Endpoint() as ep:
        connection = http.client.HTTPConnection("127.0.0.1", ep.port, timeout=5)
        for _ in range(3):
            connection.request("GET", "/v1/models")
            assert len(json.loads(connection.getresponse().read())["data"]) == 1
        connection.sock.sendall(b"GET /v1/models HTTP/1.1\r\n\r\n" * 2)
        data = b""
        while data.count(b"HTTP/1.1 200") < 2 or not data.endswith(b"}"):
            data += connection.sock.recv(65536)
        connection.close()


def test_many_connections() -> None:
    """Hundreds of clients at once are all answered, and stopping leaves no thread behind."""
    with Endpoint(capacity=100, latency=0.01) as ep, ThreadPoolExecutor(60) as pool:
        assert set(pool.map(lambda seed: chat(ep, seed=seed)[0], range(300))) == {200}
    assert not [thread for thread in threading.enumerate() if thread.name == "aios-endpoint"]


def test_stop_drops_hanging_requests() -> None:
    """Stopping ends requests that would wait for ever."""
    ep = Endpoint().start()
    hanging = _open(ep, model="hang")
    wait_until(lambda: ep.stats()["in_flight"] == 1)
    ep.stop()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        hanging.getresponse()
    hanging.close()


def test_taken_port_is_an_error() -> None:
    """A port in use raises in the caller."""
    with Endpoint() as ep, pytest.raises(OSError, match="ddress already in use"):
        Endpoint(port=ep.port).start()


def test_as_a_process() -> None:
    """`python -m aios_evals.endpoint` prints its URL as JSON first and ends cleanly on Ctrl-C."""
    command = [sys.executable, "-m", "aios_evals.endpoint", "--capacity", "2", "--mode", "reject"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["base_url"]
        connection = http.client.HTTPConnection(url.split("/")[2], timeout=5)
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")


def test_token_rule() -> None:
    """A token is a run of word characters or one other visible character."""
    assert count_tokens("Hello, world!\n  x_1") == 5
