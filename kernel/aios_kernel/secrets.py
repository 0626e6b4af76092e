"""Secrets: find keys, tokens and passwords in text and in nested data, and put a mark in their place before it is recorded.

What has a known shape is found anywhere; what has none is found by its name (`password=`, `"api_key": ...`). A secret of
no known shape and no name passes: tell `hide()` of it. Ordinary text, hashes, UUIDs and pictures are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, cast

__all__ = ["MARK", "hide", "redact", "redact_data"]

MARK = "***redacted***"
SHORTEST_HIDDEN = 6  # characters; replacing shorter ones everywhere would mangle text
DEEPEST = 100
SHORT = 120

# Also behind the last letter of an escaped line end: text may come as JSON.
_START, _END = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))", r"(?![A-Za-z0-9])"

# Shapes that are secrets wherever they stand, each with texts of which one is in it: most text has none, and looking for
# these is quick.
_SHAPES = (
    (
        ("PRIVATE KEY",),
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:.*?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|.*)",
    ),
    (("AKIA", "ASIA", "ABIA", "ACCA"), rf"{_START}(?<![+/])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{{16}}{_END}"),  # AWS
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), rf"{_START}gh[pousr]_[A-Za-z0-9]{{20,255}}"),  # GitHub
    (("github_pat_",), rf"{_START}github_pat_[A-Za-z0-9_]{{20,255}}"),
    (("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-"), rf"{_START}gl(?:pat|ptt|dt|rt|cbt)-[\w-]{{20,}}"),  # GitLab
    # OpenAI, Anthropic, OpenRouter, DeepSeek; an upper-case letter or digit tells them from words with hyphens.
    (("sk-",), rf"{_START}(?<!-)sk-(?=[\w-]*[A-Z0-9])[\w-]{{16,}}"),
    (("_live_", "_test_"), rf"{_START}(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{{10,}}"),  # Stripe
    (("whsec_",), rf"{_START}whsec_[A-Za-z0-9+/=]{{16,}}"),
    (("xox",), rf"{_START}xox[abeoprs]-[\w-]{{8,}}"),  # Slack
    (("xapp-",), rf"{_START}xapp-\d-[\w-]{{10,}}"),
    (("hooks.slack.com",), r"(?<=hooks\.slack\.com/services/)[\w/]{20,}"),
    (("discord.com",), r"(?<=discord\.com/api/webhooks/)\d+/[\w-]{20,}"),
    (("AIza",), rf"{_START}AIza[\w-]{{35}}"),  # Google
    (("ya29.",), rf"{_START}ya29\.[\w-]{{20,}}"),
    (("GOCSPX-",), rf"{_START}GOCSPX-[\w-]{{20,}}"),
    (("hf_",), rf"{_START}hf_[A-Za-z0-9]{{20,}}"),  # Hugging Face
    (
        (
            "gsk",
            "r8",
            "nvapi",
            "pplx",
            "tvly",
            "xai",
            "fw",
            "lsv2_",
            "dop_v1",
            "shp",
            "npm",
            "PMAK",
            "lin_api",
            "sntrys",
        ),
        rf"{_START}(?:gsk|r8|nvapi|pplx|tvly|xai|fw|lsv2_[ps]t|dop_v1|shp(?:at|ss|pa|ca)|npm|PMAK|lin_api|sntrys)[_-](?=[\w-]*\d)[\w-]{{20,}}",
    ),
    (("pypi-",), rf"{_START}pypi-[\w-]{{40,}}"),
    (("SG.",), rf"{_START}SG\.[\w-]{{16,}}\.[\w-]{{30,}}"),  # SendGrid
    (("dapi",), rf"{_START}dapi[0-9a-f]{{32}}"),  # Databricks
    ((":AA",), rf"{_START}\d{{8,10}}:AA[\w-]{{32,35}}"),  # Telegram
    (("eyJ",), rf"{_START}eyJ[\w-]{{8,}}\.eyJ[\w-]{{8,}}\.[\w-]*"),  # JSON web tokens
    (("AGE-SECRET-KEY-1",), rf"{_START}AGE-SECRET-KEY-1[A-Z0-9]{{20,}}"),
)
_COMPILED = tuple((hints, re.compile(shape, re.DOTALL)) for hints, shape in _SHAPES)

_URL = re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]{1,20}://[^\s:@/?#\"'<>\\]*:)[^\s/?#\"'<>\\]+(?=@)", re.IGNORECASE)
_URL_TOKEN = re.compile(
    r"(?P<keep>\b[a-z][a-z0-9+.-]{1,20}://)(?=[^\s:@/]*\d)[^\s:@/?#\"'<>\\]{16,}(?=@)", re.IGNORECASE
)
_QUERY = re.compile(
    r"(?P<keep>[?&;](?:[\w.-]*(?:token|secret|password|passwd|api_?key|apikey|access_?key)|key|sig|signature"
    r"|x-amz-signature|x-amz-credential|x-amz-security-token|auth|code)=)[^&\s#\"'<>\\]+",
    re.IGNORECASE,
)
_HEADER = re.compile(
    rf"(?P<keep>{_START}(?:proxy-)?authorization\\?[\"']?\s*(?:[:=]|=>|,)\s*\\?[\"']?(?:(?:bearer|basic|token|digest|apikey|aws4-hmac-sha256)\s+)?)"
    r"[^\s\"',}\]\\]+",
    re.IGNORECASE,
)
_COOKIE = re.compile(rf"(?P<keep>{_START}(?:set-)?cookie\\?[\"']?\s*:\s*\\?[\"']?)[^\r\n\"'}}\]\\]+", re.IGNORECASE)
_BEARER = re.compile(rf"(?P<keep>{_START}bearer\s+)(?=\S*\d|\S{{24,}})[A-Za-z0-9._~+/=-]{{8,}}", re.IGNORECASE)

_PASS = r"pass(?:word|wd|phrase|code)|pwd"  # noqa: S105 - a pattern
_NAMED = (
    rf"{_PASS}|api[_\- ]?keys?|secret(?:[_\- ]?access)?[_\- ]?key|secret|access[_\- ]?key|account[_\- ]?key|private[_\- ]?key"
    r"|signing[_\- ]?key|encryption[_\- ]?key|token|client[_\- ]?secret|credentials?|authkey|auth[_\- ]?token"
)
# Where a name may begin: after anything but a letter, or where camel case goes on.
_NAME = rf"(?-i:(?<![A-Za-z])|(?<=[a-z0-9])(?=[A-Z])|(?<=\\[nrt]))(?P<name>{_NAMED})"
_SIGN = r"\s*(?P<sign>=>|:=|[:=])"
_CLOSED = r"(?<!\\)(?P=slashes)(?P=quote)"
# A value in quotes, however often escaped, after a name: JSON, Python, YAML, shells, headers.
_QUOTED = re.compile(
    rf"(?P<keep>{_NAME}\\*[\"']?{_SIGN}\s*[rbuf]?(?P<slashes>\\*)(?P<quote>[\"']))(?P<value>(?:(?!{_CLOSED})[^\n])+)",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(rf"(?P<keep>{_NAME}[\"']?{_SIGN}[ \t]*)(?P<value>[^\s\"',;&)}}\]<>\\]+)", re.IGNORECASE)
_SAID = re.compile(
    rf"(?P<keep>{_START}(?:{_PASS}|api[ _-]?key|secret|token|pin)\s+(?:is|to|was|=)\s*:?\s+[\"'`]?)(?=[^\s\"'`]*[\d!@#$%^&*])[^\s\"'`]{{4,}}",
    re.IGNORECASE,
)
_WORDS = ("pass", "pwd", "key", "secret", "token", "credential")
_BY_NAME = (
    (("://",), _URL),
    (("://",), _URL_TOKEN),
    (("=",), _QUERY),
    (("authorization",), _HEADER),
    (("cookie",), _COOKIE),
    (("bearer",), _BEARER),
    ((*_WORDS, "pin"), _SAID),
)
#: What stands where a secret would, and is none.
_HARMLESS = re.compile(
    r"(?:none|null|nil|true|false|required|optional|string|str|bytes|int|missing|unset|empty|wrong|invalid|expired|yes|no"
    r"|os\.environ\S*|os\.getenv\S*|getenv\S*|process\.env\S*|settings\.\S*|config\.\S*|self\.\S*|args\.\S*|\$\S+|\{\S*|%\S+|\*\S*"
    r"|\.\.\.|field\(\S*|str\s*\||\|)\.?$",
    re.IGNORECASE,
)

# In data, the name alone decides; compared in lower case without separators.
_KEYS = re.compile(
    r"(?:password|passwd|passphrase|passcode|pwd|apikeys?|secret|secretkey|secretaccesskey|accesskey|accountkey|privatekey|signingkey"
    r"|encryptionkey|token|authorization|cookies?|credentials?|authkey|xapikey)$"
)
_hidden: dict[str, None] = {}


def hide(*values: str) -> None:
    """Have these exact texts redacted everywhere from now on, whatever their shape; at least 6 characters each."""
    for value in values:
        if len(value) < SHORTEST_HIDDEN:
            raise ValueError(f"a text of less than {SHORTEST_HIDDEN} characters would be found in ordinary words")
        _hidden[value] = None
    _redacted_again.cache_clear()


def redact(text: str) -> str:
    """Return the text with a mark in the place of each secret."""
    return _redacted_again(text) if len(text) <= SHORT else _redacted(text)


def _redacted(text: str) -> str:
    for value in _hidden:
        text = text.replace(value, MARK)
    for hints, shape in _COMPILED:
        if any(hint in text for hint in hints):
            text = shape.sub(MARK, text)
    lower = text.lower()
    for hints, pattern in _BY_NAME:
        if any(hint in lower for hint in hints):
            text = pattern.sub(_kept, text)
    if any(hint in lower for hint in _WORDS):
        text = _ASSIGNED.sub(_assigned, _QUOTED.sub(_quoted, text))
    return text


# Names of agents, tools and resources come again with every event.
_redacted_again = lru_cache(4096)(_redacted)


def redact_data(value: Any) -> Any:
    """Return nested data with every text in it redacted, and whatever a key names as a secret.

    Mappings, lists and tuples are copied, dataclasses become mappings, bytes that are text are redacted as such;
    exceptions become their class and message. Anything else that JSON knows stays; the rest becomes its redacted `repr`.
    """
    return _data(value, 0)


def _data(value: Any, depth: int) -> Any:  # noqa: PLR0911 - one line per kind of value
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return redact(value)
    if depth > DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return _mapping(cast("Mapping[Any, Any]", value), depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_data(one, depth + 1) for one in cast("list[Any]", value)]
    if is_dataclass(value) and not isinstance(value, type):
        return _mapping({one.name: getattr(value, one.name) for one in fields(value)}, depth)
    if isinstance(value, (bytes, bytearray)):
        return redact(bytes(value).decode("utf-8", "backslashreplace"))
    if isinstance(value, BaseException):
        return redact(f"{type(value).__name__}: {value}")
    return redact(_represented(value))


def _represented(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - anybody's object
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    scored = "logprob" in value  # pieces of text that a model weighed are called tokens, too
    return {redact(str(key)): _entry(key, one, depth, scored=scored) for key, one in value.items()}


def _entry(key: Any, value: Any, depth: int, *, scored: bool) -> Any:
    if isinstance(key, str) and not scored and _names_secret(key) and not _plainly_none(value):
        return MARK if isinstance(value, (str, bytes, int)) else _marked(value)
    return _data(value, depth + 1)


def _names_secret(key: str) -> bool:
    return _KEYS.search(re.sub(r"[^a-z0-9]", "", key.lower())) is not None


def _plainly_none(value: Any) -> bool:
    return value is None or value == "" or isinstance(value, (bool, float))


def _marked(value: Any) -> Any:
    """Everything inside, since its name says that it is secret; a schema of an argument is none."""
    if isinstance(value, Mapping):
        inside = cast("Mapping[Any, Any]", value)
        if "type" in inside:
            return _mapping(inside, 0)
        return {redact(str(key)): _marked(one) for key, one in inside.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(one) for one in cast("list[Any]", value)]
    return value if _plainly_none(value) else MARK


def _kept(match: re.Match[str]) -> str:
    return match["keep"] + MARK


def _quoted(match: re.Match[str]) -> str:
    return match[0] if _HARMLESS.match(match["value"]) else match["keep"] + MARK


def _assigned(match: re.Match[str]) -> str:
    name, sign, value = match["name"].lower(), match["sign"], match["value"]
    if _HARMLESS.match(value):
        return match[0]
    if sign == ":":
        password = re.match(_PASS, name) is not None
        alone = match.string[match.end() : match.end() + 1] in {
            "",
            "\r",
            "\n",
            "\\",
        }  # "password: word" on a line of its own
        if not (password and alone) and not _telling(value, 4 if password else 6):
            return match[0]
    return match["keep"] + MARK


def _telling(value: str, least: int) -> bool:
    """Whether what follows "name:" in prose is more likely a secret than a word."""
    return len(value) >= least and re.search(r"[\d!@#$%^&*_+/=]|.{20}", value) is not None
