"""Which URLs and addresses may be reached."""

from __future__ import annotations

import fnmatch
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from aios_kernel.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Target", "is_public", "parse_url"]

PORTS = {"http": 80, "https": 443}
MAX_URL = 4096
#: Addresses of IPv6 that carry one of IPv4, which a gateway may deliver to.
_CARRIERS = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))


@dataclass(frozen=True, slots=True)
class Target:
    """One URL taken apart; `path` has the query with it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What must stay the same for secrets to be sent along."""
        return self.scheme, self.host, self.port


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, also where it carries another."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found.is_site_local or any(found in carrier for carrier in _CARRIERS):
            return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def parse_url(url: str, allowed: Iterable[str]) -> Target:
    """Take a URL apart, if it may be fetched at all; raises `ToolError` that says why not.

    `allowed` are hosts, or patterns such as "*.wikipedia.org"; one with a port ("localhost:8000") allows that port, the
    others those of http and https. A pattern does not match an address written as digits: that needs an entry of its own.
    """
    if len(url) > MAX_URL:
        raise ToolError(f"the URL has {len(url)} characters, more than {MAX_URL}")
    if any(ord(character) <= 32 or ord(character) == 127 for character in url) or "\\" in url:
        raise ToolError(f"{url!r} is no URL: it has spaces, control characters or backslashes")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host = host if ":" in host else host.encode("idna").decode("ascii").lower()
    except ValueError as error:
        raise ToolError(f"{url!r} is no URL: {error}") from error
    if parts.scheme not in PORTS or not host:
        raise ToolError(f"{url!r} cannot be fetched: use a URL that begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ToolError("a URL with a user name or password is not fetched")
    port = port or PORTS[parts.scheme]
    _check(host, port, tuple(allowed))
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
    )
    return Target(parts.scheme, host, port, path)


def _check(host: str, port: int, allowed: tuple[str, ...]) -> None:
    for entry in allowed:
        name, _, ports = entry.lower().rpartition(":") if entry.count(":") == 1 else (entry.lower(), "", "")
        if str(port) != ports and (ports or port not in PORTS.values()):
            continue
        if host == name.strip("[]") or (not _is_address(host) and fnmatch.fnmatchcase(host, name)):
            return
    listed = ", ".join(sorted(allowed)) or "none"
    raise ToolError(f"{host}:{port} is not among the hosts that may be fetched from ({listed})")


def _is_address(host: str) -> bool:
    """Whether a host is digits for an address, in any of the ways that resolvers read (127.1, 0x7f000001)."""
    last = host.rpartition(".")[2]
    return ":" in host or last.isdigit() or last.startswith("0x")
