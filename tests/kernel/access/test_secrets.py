"""Redaction: planted secrets are gone from text and data; ordinary text is as it was."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aios_kernel.abi import ChatCall, ToolCall
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, CoreError
from aios_kernel.kernel import Kernel
from aios_kernel.logs import logger
from aios_kernel.protocol import encode_event
from aios_kernel.secrets import MARK, hide, redact, redact_data
from aios_kernel.trace import ChromeTrace, read_trace

# Put together here, so that no scanner of repositories takes them for real.
R = "9fK2mQ7xLp4Rt8Zw3Vb6Nc1Hd5Jg0Ys"
PLANTED = {
    "openai": "sk-" + "proj-" + R,
    "openai old": "sk-" + R + "AbCdEfGh",
    "anthropic": "sk-" + "ant-api03-" + R,
    "aws": "AKIA" + "J4K5L6M7N8P9Q2R3",
    "github": "ghp" + "_" + R + "abcd",
    "github fine": "github_pat" + "_11ABC" + R,
    "gitlab": "glpat" + "-" + R,
    "slack": "xoxb" + "-1234567890-" + R,
    "google": "AIza" + R + "abcd",
    "stripe": "sk" + "_live_" + R,
    "huggingface": "hf" + "_" + R,
    "npm": "npm" + "_" + R + "abcd",
    "groq": "gsk" + "_" + R,
    "sendgrid": "SG." + R[:22] + "." + R + R[:11],
    "stripe test": "sk" + "_test_" + R,
    "stripe hook": "whsec" + "_" + R,
    "slack app": "xapp" + "-1-" + R,
    "google oauth": "ya29" + "." + R,
    "google client": "GOCSPX" + "-" + R,
    "pypi": "pypi" + "-" + R + R,
    "replicate": "r8" + "_" + R,
    "gitlab deploy": "gldt" + "-" + R,
    "telegram": "123456789:AA" + R + "a",
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + R,
}
NAMED = [
    "password=hunter2",
    "PASSWORD = 'hunter2'",
    'password: "hunter2"',
    "Password: hunter2",
    "user: ann\npassword: hunter2\n",
    "my password is hunter2",
    "set the password to hunter2 and go on",
    '{"password": "hunter2"}',
    '{\\"password\\": \\"hunter2\\"}',
    "{'db_password': 'hunter2'}",
    "DB_PASSWORD=hunter2 python x.py",
    "--password=hunter2",
    "client_secret=hunter2&x=1",
    "https://host/x?api_key=hunter2&y=2",
    "https://host/x?sig=hunter2",
    "postgres://ann:hunter2@db:5432/x",
    "https://ann:hunter2@host/path",
    "redis://:hunter2@host",
    "Authorization: Bearer hunter2",
    "authorization: hunter2",
    '{"Authorization": "Bearer hunter2"}',
    "curl -H 'Authorization: Basic hunter2' x",
    "bearer hunter2hunter2",
    "Cookie: session=hunter2; a=b",
    "X-API-Key: hunter2",
    "aws_secret_access_key = hunter2",
    "AccountKey=hunter2;EndpointSuffix=x",
    "passphrase='hunter2 with spaces'",
    'api_key="a\\"hunter2"',
    "token=hunter2",
    "my-token: hunter2",
    "clientSecret: 'hunter2'",
    "export GITHUB_TOKEN=hunter2",
]
ORDINARY = [
    "The password is required.",
    "Enter your password and press return.",
    "max_tokens=256, total tokens: 512",
    '{"input_tokens": 12, "output_tokens": 5, "max_tokens": 256}',
    "bearer certificates are old-fashioned",
    "a risk-assessment-of-everything-that-matters",
    "sk-learn-is-a-library-for-machine-learning",
    "d41d8cd98f00b204e9800998ecf8427e",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "123e4567-e89b-12d3-a456-426614174000",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "see https://example.com:8080/path?page=2&sort=name#part",
    "mail ann@example.com or ssh git@github.com:org/name.git",
    "password=None, token=os.environ['TOKEN'], secret=$SECRET",
    "def login(user, password: str, token: str | None) -> None:",
    "The secret: be kind. The token: a small coin.",
    "tokenizer.pad_token_id = 0",
    "keyboard, monkey, turkey=5, key: value",
    "2026-11-21T18:06:27 INFO started in 0.35 s",
    "Ein Schlüssel, 秘密, пароль",
    "f(x) = 3 * (a[0] + b['key'])",
]


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize(
    "around", ["{}", "use {} please", '{{"x": "{}"}}', "a={};b", "({})", "line\n{}\nline", "line\\n{}\\nline", "'{}'"]
)
def test_known_shapes_are_found_anywhere(name, around):
    """Whatever stands around a key, no piece of it is left that would be of use, and the rest is."""
    text = redact(around.format(PLANTED[name]))
    assert R[:10] not in text and PLANTED[name] not in text
    assert MARK in text
    assert text.replace(MARK, "").strip() == around.format("").strip()


@pytest.mark.parametrize("text", NAMED)
def test_named_secrets_are_found(text):
    """A name that says so is enough, in every notation."""
    assert "hunter2" not in redact(text)
    assert MARK in redact(text)
    assert "hunter2" not in redact(json.dumps({"content": text}))
    assert "hunter2" not in json.dumps(redact_data({"messages": [{"content": text}]}))


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left(text):
    """Words, code, hashes, UUIDs and pictures are not touched."""
    assert redact(text) == text


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_private_key_blocks(kind):
    """Whole, cut short, and with their line ends escaped."""
    block = f"-----BEGIN {kind}PRIVATE KEY-----\nMIIEow{R}\n{R}\n-----END {kind}PRIVATE KEY-----"
    assert redact(f"a\n{block}\nb") == f"a\n{MARK}\nb"
    assert R not in redact(block[:-30])
    assert R not in redact(json.dumps({"x": block}))


def test_redacting_twice_changes_nothing_more():
    """What was redacted once may pass through again: the daemon's events come to a client that records them."""
    for text in (*NAMED, *PLANTED.values(), *ORDINARY):
        assert redact(redact(text)) == redact(text)


@dataclass
class Login:
    user: str
    password: str


class Unshowable:
    def __repr__(self):
        raise RuntimeError("no")


def test_nested_data():
    """Keys decide in data; kinds of values that JSON does not know become text."""
    data = {
        "headers": {"Authorization": "Bearer abc", "Accept": "text/plain", "X-Api-Key": "abc"},
        "login": Login("ann", "abc"),
        "list": [{"pwd": 1234}, ("token=abcdef",), b"password=abcdef"],
        "credentials": {"user": "ann", "parts": ["abc", None]},
        "max_tokens": 5,
        "error": ValueError("password=abcdef"),
        "tokens": ["a", "b"],
        "odd": Unshowable(),
        "token": None,
    }
    found = redact_data(data)
    assert "abc" not in json.dumps(found) and "1234" not in json.dumps(found)
    assert found["headers"] == {"Authorization": MARK, "Accept": "text/plain", "X-Api-Key": MARK}
    assert found["login"] == {"user": "ann", "password": MARK}
    assert found["max_tokens"] == 5 and found["tokens"] == ["a", "b"] and found["token"] is None


def test_data_that_only_looks_secret():
    """The schema of an argument called password, and the pieces that a model weighed, are no secrets."""
    schema = {"properties": {"password": {"type": "string", "description": "as chosen"}}}
    assert redact_data(schema) == schema
    weighed = {"token": "Hello", "logprob": -0.1}
    assert redact_data(weighed) == weighed


def test_a_told_secret_is_hidden_everywhere():
    """One without shape or name is found once it was told of; a short one cannot be told."""
    hide("correct horse battery")
    assert redact("it is 'correct horse battery'!") == f"it is '{MARK}'!"
    with pytest.raises(ValueError, match="less than 6"):
        hide("abc")


def test_it_does_not_take_for_ever():
    """No pattern goes quadratic on long input: a megabyte of each awkward kind in seconds."""
    for piece in (
        "a",
        "password",
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
        "x=",
        "://a:",
        "\\",
        'token="',
        "sk-",
        "a_",
        "a.",
    ):
        redact(piece * (100_000 // len(piece)))


def test_nothing_planted_reaches_the_trace_or_the_daemon_s_events(tmp_path):
    """Secrets in prompts, arguments, replies, errors, names and addresses: none in the file, none in what is sent."""
    secret = PLANTED["openai"]
    sent = []
    core = ScriptedCore(lambda call: f"the key is {secret}, password=hunter2")
    kernel = Kernel(llm={"scripted": core}, record_content=True, checks=(_refuse,))
    with ChromeTrace(tmp_path / "t.json") as trace:
        kernel.bus.subscribe(trace)
        kernel.bus.subscribe(lambda event: sent.append(json.dumps(encode_event(event))))
        _use(kernel, ChatCall(model="scripted", messages=[{"role": "user", "content": f"use {secret}"}]))
        _use(kernel, ToolCall(name="login", arguments={"password": "hunter2", "text": ["a", f"Bearer {secret}"]}))
        _use(kernel, ToolCall(name="refused", arguments={"url": "https://ann:hunter2@host"}))
        _use(
            kernel,
            ChatCall(model="m", endpoint="https://ann:hunter2@host/v1", messages=[]),
            CoreError(f"401 for {secret}"),
        )
        kernel.close()
    for text in ((tmp_path / "t.json").read_text(), *sent):
        assert R[:12] not in text and "hunter2" not in text
    assert MARK in (tmp_path / "t.json").read_text()
    assert {json.loads(one)["name"] for one in sent} >= {"submit", "finish", "deny", "fail"}
    assert len(read_trace(tmp_path / "t.json")) == 6


def _refuse(call, process):
    if call.label == "refused":
        raise AccessDenied(f"no: {call.arguments}, token={PLANTED['github']}")


def _use(kernel, call, error=None):
    with contextlib.suppress(AccessDenied, CoreError), kernel.syscall(call) as grant:
        if not grant.lease:
            grant.reply()
        if error is not None:
            raise error


def test_nothing_planted_reaches_the_log(caplog):
    """What observers, policies and frameworks raise is logged with its text, but without the secrets in it."""
    secret = PLANTED["openai"]

    def broken(event):
        raise RuntimeError(f"cannot send with {secret}, password=hunter2")

    kernel = Kernel()
    kernel.bus.subscribe(broken)
    _use(kernel, ToolCall(name="t"))
    logger("aios_adapters").warning("%s is %d%%, %s", "it", 5, f"token={secret}")
    logger("aios_kernel.events").warning("wrong: %d", "x")
    assert R[:12] not in caplog.text and "hunter2" not in caplog.text
    assert "RuntimeError: cannot send with " + MARK in caplog.text
    assert "it is 5%, token=" + MARK in caplog.text and "wrong: %d" in caplog.text


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(sorted(PLANTED)))
def test_whatever_text_is_around(before, after, name):
    """No text before and after a key keeps it from being found, as long as it does not go on in letters of its kind."""
    text = redact(f"{before} {PLANTED[name]} {after}")
    assert PLANTED[name] not in text and R[:12] not in text


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=10),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=6), inside, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(sorted(PLANTED)),
)
def test_however_deep_it_lies(data, name):
    """In any nesting, as a value or a key; and data stays what JSON knows."""
    found = json.dumps(redact_data({"data": data, "deep": [[data, {"x": (PLANTED[name], {PLANTED[name]: 1})}]]}))
    assert PLANTED[name] not in found and R[:12] not in found
