"""The guarded fetch: allowed hosts only, no address that is not public, whatever names, redirects and servers do."""

from __future__ import annotations

import http.server
import threading
import time

import pytest

from aios_kernel.errors import ToolError, ToolTimeout
from aios_kernel.toolkit.web import Fetcher, is_public
from aios_kernel.toolkit.web.guard import parse_url

PUBLIC = "127.0.0.1"  # plays the open internet in these tests, and 127.0.0.2 what is behind the firewall


class Server(http.server.ThreadingHTTPServer):
    """A server that remembers what it was asked, and whose slow answers end with it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("0.0.0.0", 0), _Site)
        self.seen, self.over = [], threading.Event()


class _Site(http.server.BaseHTTPRequestHandler):
    """Answers by path; `/to?URL` redirects."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self):
        self.server.seen.append((self.path, self.headers["Host"], self.headers.get("X-Key")))
        path, _, query = self.path.partition("?")
        if path == "/to":
            self._send(302, b"", location=query)
        elif path == "/large":
            self._send(200, b"x" * 100_000)
        elif path == "/packed":
            self._send(200, b"x", **{"content-encoding": "gzip"})
        elif path == "/picture":
            self._send(200, b"x", **{"content-type": "image/png"})
        elif path == "/drip":
            self.send_response(200)
            self.send_header("content-length", "100000")
            self.end_headers()
            while not self.server.over.wait(0.05):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return
        elif path == "/silent":
            self.server.over.wait(30)
        else:
            self._send(200, f"ä at {self.path}".encode(), **{"content-type": "text/plain; charset=utf-8"})

    def _send(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"content-type": "text/plain", "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    """A server on every address of the loopback; `seen` has what it was asked."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def fetcher(site):
    """A fetcher for which 127.0.0.1 is public, with names of its own."""
    port = site.server_port
    names = {
        "open.test": [PUBLIC],
        "other.test": [PUBLIC],
        "inner.test": ["127.0.0.2"],
        "both.test": [PUBLIC, "127.0.0.2"],
    }
    flips = iter([PUBLIC, "127.0.0.2", "127.0.0.2"])

    def resolve(host, _):
        if host == "flip.test":  # a name whose answer changes between the check and the use
            return [next(flips)]
        return names.get(host, [host])

    return Fetcher(
        allow=(f"*.test:{port}", f"127.0.0.2:{port}", "*.test"),
        permit=lambda address: address == PUBLIC,
        resolve=resolve,
        seconds=20,
        max_bytes=50_000,
    )


def _url(site, path, host="open.test"):
    return f"http://{host}:{site.server_port}{path}"


def test_a_page(site, fetcher):
    """Its text, its type, and the name in the Host header."""
    found = fetcher.get(_url(site, "/pages/ü?q=1 2".replace(" ", "+")))
    assert (found.status, found.type, found.text) == (200, "text/plain", "ä at /pages/%C3%BC?q=1+2")
    assert site.seen[0][1] == f"open.test:{site.server_port}"


@pytest.mark.parametrize("host", ["inner.test", "both.test", "127.0.0.2"])
def test_addresses_that_are_not_public(site, fetcher, host):
    """Refused before anything is sent, also where only one of a name's addresses is private."""
    with pytest.raises(ToolError, match="not on the open internet"):
        fetcher.get(_url(site, "/", host))
    assert not site.seen


@pytest.mark.parametrize("host", ["inner.test", "both.test", "127.0.0.2", "elsewhere.example"])
def test_redirects_are_checked_like_any_url(site, fetcher, host):
    """An allowed page cannot lead to what is not allowed."""
    with pytest.raises(ToolError, match=r"not on the open internet|not among the hosts"):
        fetcher.get(_url(site, f"/to?{_url(site, '/secret', host)}"))
    assert [path for path, *_ in site.seen if "/secret" in path.partition("?")[0]] == []


def test_a_name_that_changes_its_mind(site, fetcher):
    """The address that was checked is the one connected to; the next look-up is checked again."""
    assert fetcher.get(_url(site, "/", "flip.test")).status == 200
    with pytest.raises(ToolError, match="not on the open internet"):
        fetcher.get(_url(site, "/", "flip.test"))


def test_redirects_are_followed_within_bounds(site, fetcher):
    """Relative ones too; secrets stay with the origin they were meant for; a circle ends."""
    found = fetcher.get(_url(site, "/to?/there"), headers={"X-Key": "k"})
    assert found.url == _url(site, "/there")
    fetcher.get(_url(site, f"/to?{_url(site, '/other', 'other.test')}"), headers={"X-Key": "k"})
    assert [key for *_, key in site.seen] == ["k", "k", "k", None]
    with pytest.raises(ToolError, match="more than 5 redirects"):
        fetcher.get(_url(site, "/to?/to?/to"))
    assert len(site.seen) < 12


def test_size_and_kind(site, fetcher):
    """What is too long is cut and says so; what is no text is refused."""
    found = fetcher.get(_url(site, "/large"))
    assert (len(found.text), found.truncated) == (50_000, True)
    for path in ("/packed", "/picture"):
        with pytest.raises(ToolError, match=r"packed|not text"):
            fetcher.get(_url(site, path))


@pytest.mark.parametrize("path", ["/drip", "/silent"])
def test_time(site, path):
    """A server that says nothing, or drips, holds nobody longer than agreed."""
    fetcher = Fetcher(
        allow=(f"open.test:{site.server_port}",), permit=lambda _: True, resolve=lambda *_: [PUBLIC], seconds=0.6
    )
    began = time.monotonic()
    with pytest.raises(ToolTimeout, match=r"longer than 0\.6 seconds"):
        fetcher.get(_url(site, path))
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://open.test/",
        "gopher://open.test/",
        "open.test",
        "//open.test/",
        "http://",
        "http://user:pw@open.test/",
        "http://open.test@evil.example/",
        "http://evil.example#@open.test/",
        "http://evil.example\\@open.test/",
        "http://open.test:22/",
        "http://open.test:99999/",
        "http://open.test/\r\nX: y",
        "http://open.test.evil.example/",
        "http://evilopen.test/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://①②⑦.0.0.1/",
        "https://" + "a" * 5000 + ".test/",
    ],
)
def test_urls_that_are_refused(url):
    """Each by name or form alone, with one host allowed."""
    with pytest.raises(ToolError):
        parse_url(url, ["open.test"])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://[::1]/"]
)
def test_a_star_allows_no_addresses_in_digits(url):
    """Everything public by name, and still nothing written as digits."""
    assert parse_url("https://any.example/", ["*"]).host == "any.example"
    with pytest.raises(ToolError, match="not among the hosts"):
        parse_url(url, ["*"])


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1",
     "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
     "64:ff9b::a00:1", "2002:a00:1::", "::127.0.0.1", "2001:db8::1", "fec0::1", "localhost", ""],
)  # fmt: skip
def test_addresses(address):
    """None of these is the open internet."""
    assert not is_public(address)


def test_public_addresses():
    """And these are."""
    assert is_public("1.1.1.1")
    assert is_public("2606:4700:4700::1111")


def test_nothing_is_allowed_by_default():
    """A fetcher that was told nothing goes nowhere."""
    with pytest.raises(ToolError, match=r"may be fetched from \(none\)"):
        Fetcher().get("https://example.org/")


def test_the_default_resolver_and_permit_refuse_the_loopback(site):
    """With everything allowed by name, `localhost` is still refused after it is looked up."""
    with pytest.raises(ToolError, match="not on the open internet"):
        Fetcher(allow=(f"localhost:{site.server_port}",)).get(f"http://localhost:{site.server_port}/")
    assert not site.seen
