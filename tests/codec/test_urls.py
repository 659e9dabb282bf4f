"""URL rules: fields, targets, origins, redirects and params, compared with the original where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any

import pytest
from multidict import MultiDict
from yarl import URL

from fairlead.codec import urls

needs_oracle = pytest.mark.skipif(importlib.util.find_spec("aiohttp") is None, reason="aiohttp is not installed")

# URL, Host, origin-form, absolute-form, authority-form
TARGETS = [
    ("http://example.com", "example.com", "/", "http://example.com/", "example.com:80"),
    ("http://EXAMPLE.com:80/", "example.com", "/", "http://example.com/", "example.com:80"),
    ("https://example.com:443/x", "example.com", "/x", "https://example.com/x", "example.com:443"),
    ("https://example.com:80/", "example.com:80", "/", "https://example.com:80/", "example.com:80"),
    ("ws://example.com:80/", "example.com", "/", "ws://example.com/", "example.com:80"),
    ("http://example.com./", "example.com", "/", "http://example.com./", "example.com.:80"),
    ("http://example.com.:81/", "example.com:81", "/", "http://example.com.:81/", "example.com.:81"),
    ("http://example.com:0/", "example.com:0", "/", "http://example.com:0/", "example.com:0"),
    ("http://[::1]:80/", "[::1]", "/", "http://[::1]/", "[::1]:80"),
    ("http://[::1]:8080/", "[::1]:8080", "/", "http://[::1]:8080/", "[::1]:8080"),
    ("http://[fe80::1%25lo]/", "[fe80::1%25lo]", "/", "http://[fe80::1%25lo]/", "[fe80::1%25lo]:80"),
    ("http://bücher.de/ü?q=ü#f", "xn--bcher-kva.de", "/%C3%BC?q=%C3%BC", None, "xn--bcher-kva.de:80"),
    ("http://u:p@example.com/a b?c d#e", "example.com", "/a%20b?c+d", "http://example.com/a%20b?c+d", None),
    ("http://example.com?a=1", "example.com", "/?a=1", "http://example.com/?a=1", None),
    ("http://example.com//x/;y?", "example.com", "//x/;y", "http://example.com//x/;y", None),
    ("http://ex_ample.com/", "ex_ample.com", "/", "http://ex_ample.com/", None),
]


@pytest.mark.parametrize(("text", "host", "origin", "absolute", "authority"), TARGETS)
def test_field_and_targets(text: str, host: str, origin: str, absolute: str | None, authority: str | None) -> None:
    url = URL(text)
    assert urls.host_header(url) == host
    assert urls.origin_form(url) == origin
    assert absolute is None or urls.absolute_form(url) == absolute
    assert authority is None or urls.authority_form(url) == authority


@pytest.mark.parametrize(
    "text", ["http://exa mple.com/", "http:///x", "/rel", "http:// /", 'http://a"b/', "http://[v1.x/]/"]
)
def test_hosts_that_cannot_stand_in_a_field(text: str) -> None:
    try:
        url = URL(text)
    except ValueError:
        return  # newer yarl refuses some of them itself
    with pytest.raises(ValueError, match="URL needs a host"):
        urls.host_header(url)
    with pytest.raises(ValueError):
        urls.absolute_form(url)
    with pytest.raises(ValueError):
        urls.authority_form(url)


def test_raw_host_outside_ascii_is_refused() -> None:
    with pytest.raises(ValueError, match="Host field"):
        urls.host_header(URL("http://bücher.de/", encoded=True))


@pytest.mark.parametrize("target", ["/a\r\nX: y", "/a\x00", "/a?b\x7f", "/\tx"])
def test_control_characters_never_reach_the_request_line(target: str) -> None:
    url = URL.build(scheme="http", host="h", path=target.partition("?")[0], query_string="", encoded=True)
    if "?" in target:
        url = URL.build(scheme="http", host="h", path="/", query_string=target.partition("?")[2], encoded=True)
    with pytest.raises(ValueError, match="control characters"):
        urls.origin_form(url)


def test_encoded_urls_keep_their_text_but_for_spaces() -> None:
    assert urls.origin_form(URL("http://h/a b/%41?c d=%2f", encoded=True)) == "/a%20b/%41?c%20d=%2f"
    assert urls.origin_form(URL("http://h/ü", encoded=True)) == "/ü"


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(ValueError) as caught:
        urls.origin_form(URL("http://h/\x01" + "a" * 10_000, encoded=True))
    assert len(str(caught.value)) < 300


def test_authority_form_needs_a_port() -> None:
    assert urls.authority_form(URL("foo://h:7")) == "h:7"
    with pytest.raises(ValueError, match="'foo' has no default"):
        urls.authority_form(URL("foo://h"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://h/a", "http://h:80/b?c", True),
        ("http://H/", "http://h/", True),
        ("http://h/", "https://h/", False),
        ("http://h/", "http://h:81/", False),
        ("http://h/", "http://h./", False),
        ("http://h/", "http://sub.h/", False),
        ("https://h:443/", "https://h/", True),
        ("ws://h/", "http://h/", False),
        ("http://[::1]/", "http://[::1]:80/", True),
        ("http://u:p@h/", "http://h/", True),
    ],
)
def test_same_origin(one: str, other: str, same: bool) -> None:
    assert urls.same_origin(URL(one), URL(other)) is same
    assert urls.same_origin(URL(other), URL(one)) is same


def test_same_origin_ignores_case_of_encoded_hosts() -> None:
    assert urls.same_origin(URL("http://H.example/", encoded=True), URL("http://h.example/"))


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("1.2.3.4", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("example.com", False),
        ("::1", False),
        ("", False),
        ("...", False),
        ("1.example", False),
        ("1", True),
        ("2130706433", True),
        ("127.1", True),
        ("1.2.3", True),
        ("01.2.3.4", True),
        ("256.1.1.1", True),
        ("1.2.3.4.", True),
        ("1.2.3.4.5", True),
        ("1..2.3", True),
    ],
)
def test_noncanonical_ipv4(host: str, refused: bool) -> None:
    assert urls.is_noncanonical_ipv4(host) is refused


BASE = "http://example.com/d/start?z=1#orig"
# Location, result with requote, result without ("" when the same)
REDIRECTS = [
    ("/x", "http://example.com/x", ""),
    ("x", "http://example.com/d/x", ""),
    ("../x", "http://example.com/x", ""),
    ("?q=1", "http://example.com/d/start?q=1#orig", ""),
    ("#frag", "http://example.com/d/start?z=1#frag", ""),
    ("/x#frag", "http://example.com/x#frag", ""),
    ("http://other.com/y", "http://other.com/y", ""),
    ("//other.com/y", "http://other.com/y", ""),
    ("http://other.com:81/", "http://other.com:81/", ""),
    ("https://other.com", "https://other.com", ""),
    ("HTTP://EXAMPLE.COM/x", "http://example.com/x", "http://EXAMPLE.COM/x"),
    ("http:x", "http://example.com/d/x", ""),
    ("http:/x", "http://example.com/x", ""),
    ("http:?q", "http://example.com/d/start?q#orig", ""),
    ("http:", "http://example.com/d/start?z=1#orig", ""),
    ("/a b", "http://example.com/a%20b", "http://example.com/a b"),
    ("/ü", "http://example.com/%C3%BC", "http://example.com/ü"),
    ("/%41%2f?q=%41+%20", "http://example.com/A%2F?q=A+%20", "http://example.com/%41%2f?q=%41+%20"),
    ("\\x", "http://example.com/d/%5Cx", "http://example.com/d/\\x"),
    ("/a\\b", "http://example.com/a%5Cb", "http://example.com/a\\b"),
    ("http://bücher.de/", "http://xn--bcher-kva.de/", "http://xn--bcher-kva.de/"),
    ("//", "http://example.com/d/start?z=1#orig", ""),
    ("///x", "http://example.com/x", ""),
    ("http://example.com", "http://example.com", ""),
    ("://x", "http://example.com/d/://x", ""),
    ("/a/../b", "http://example.com/b", ""),
    ("/%zz", "http://example.com/%25zz", "http://example.com/%zz"),
    ("/caf\udce9", "http://example.com/caf%E9", ""),
    ("http://u:p@other.com/", "http://u:p@other.com/", ""),
]


@pytest.mark.parametrize(("location", "requoted", "kept"), REDIRECTS)
def test_join_redirect(location: str, requoted: str, kept: str) -> None:
    base = URL(BASE)
    assert str(urls.join_redirect(base, location)) == requoted
    assert str(urls.join_redirect(base, location, requote=False)) == (kept or requoted)


@pytest.mark.parametrize("requote", [True, False])
@pytest.mark.parametrize(
    ("location", "scheme", "reason"),
    [
        ("http://[::1", "", "does not look like a URL"),
        ("http://x:99999/", "", "does not look like a URL"),
        ("http://x:abc/", "", "does not look like a URL"),
        ("http://", "", "Invalid redirect URL origin"),
        ("http:///x", "", "Invalid redirect URL origin"),
        ("https:", "", "Invalid redirect URL origin"),
        ("http:\\\\x", "", "Invalid redirect URL origin"),
        ("ftp://other.com/", "ftp", "http and https only"),
        ("mailto:x", "mailto", "http and https only"),
        ("javascript:alert(1)", "javascript", "http and https only"),
        ("data:text/plain,x", "data", "http and https only"),
        ("ws://example.com/", "ws", "http and https only"),
    ],
)
def test_locations_that_lead_nowhere(location: str, scheme: str, reason: str, requote: bool) -> None:
    with pytest.raises(urls.InvalidLocation, match=reason) as caught:
        urls.join_redirect(URL(BASE), location, requote=requote)
    assert caught.value.scheme == scheme
    assert isinstance(caught.value, ValueError)
    assert str(caught.value.target) in str(caught.value)


class Text(str, Enum):  # noqa: UP042 - str() of it differs from that of a StrEnum
    A = "x"


class Number(IntEnum):
    A = 3


class IntLike:
    def __int__(self) -> int:
        return 5


PARAMS: list[Any] = [
    None,
    {},
    [],
    (),
    "",
    {"a": "b"},
    {"a": 1},
    {"a": 1.5},
    {"a": ["1", 2, 2.5]},
    {"a": ("x", "y")},
    {"a": []},
    {"a": IntLike()},
    {"a": Text.A},
    {"a": Number.A},
    {"a": Decimal("1.5")},
    [("a", "b"), ("a", "c")],
    (("a", 1),),
    [["a", "b"]],
    "a=b&c=d",
    "?a=b",
    "a b",
    "a=ü",
    "a=%20",
    "a=1#x",
    MultiDict([("a", "1"), ("a", "2")]),
    {"": "x"},
    {"a b&c": "d e&f=+%"},
    {"ü": "\r\n"},
    {"a": True},
    {"a": None},
    {"a": [None]},
    {"a": {"b": 1}},
    {"a": b"x"},
    {"a": float("nan")},
    {"a": float("inf")},
    {"a": object},
    [("a", ["1", "2"])],
    b"a=b",
    bytearray(b"a=b"),
    {1: "x"},
    3,
    {"a", "b"},
    [1],
    ["ab"],
    ["abc"],
    [("a",)],
]
PARAM_BASES = [
    "http://example.com",
    "http://example.com/p#f",
    "http://example.com/p?x=1&y=%20+#f",
    "http://example.com/p?a&b",
    "http://example.com/p?a=1&a=2",
]


def outcome(call: Any, *args: Any) -> Any:
    try:
        return str(call(*args))
    except (TypeError, ValueError) as exc:
        return type(exc)


@needs_oracle
@pytest.mark.parametrize("base", PARAM_BASES)
def test_params_as_in_the_original(base: str) -> None:
    import aiohttp

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        for params in PARAMS:
            expected = outcome(
                lambda p: aiohttp.ClientRequest("GET", URL(base), params=p, loop=loop).original_url, params
            )
            assert outcome(urls.merge_params, URL(base), params) == expected, params


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"ok": "1", "flag": True}, "params['flag']: "),
        ({"a": ["1", None]}, "params['a']: "),
        ([("ok", "1"), ("a", None)], "params[1]: "),
        ([1], "params[0]: "),
        (b"a=b", "params: "),
        (3, "params: "),
        ({"a": float("nan")}, "params['a']: "),
    ],
)
def test_refused_params_are_named(params: Any, names: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        urls.merge_params(URL("http://h/"), params)
    assert str(caught.value).startswith(names)


def test_no_params_give_the_same_url_object() -> None:
    url = URL("http://h/?a=1#f")
    assert all(urls.merge_params(url, params) is url for params in (None, {}, [], ""))


@pytest.mark.parametrize("proxy", ["http://proxy.example:3128", "https://u:p@proxy.example", URL("http://[::1]:1")])
def test_proxy_urls(proxy: str | URL) -> None:
    assert urls.check_proxy_url(proxy) == URL(proxy)


@pytest.mark.parametrize(
    ("proxy", "error"),
    [
        ("proxy.example:3128", ValueError),
        ("//proxy.example", ValueError),
        ("", ValueError),
        ("socks5://proxy.example", ValueError),
        ("http://[::1", ValueError),
        ("http://", ValueError),
        ("http://pro xy", ValueError),
        (3, TypeError),
        (None, TypeError),
    ],
)
def test_proxy_urls_that_are_none(proxy: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        urls.check_proxy_url(proxy)


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@needs_oracle
async def test_host_and_target_as_in_the_original() -> None:
    """One connection each, read up to the end of the head, answered with an empty response."""
    import aiohttp

    seen: list[list[bytes]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    with listening() as listener:
        server = await asyncio.start_server(answer, sock=listener)
        port = listener.getsockname()[1]
        async with server:
            proxy = f"http://127.0.0.1:{port}"
            async with aiohttp.ClientSession() as session:
                for text, host, _, absolute, _ in TARGETS:
                    if not text.startswith("http:") or absolute is None:
                        continue
                    async with session.get(text, proxy=proxy) as response:
                        assert response.status == 200
                    line, field = seen[-1][0], seen[-1][1]
                    # A bare authority gets its slash here: some proxies insist on it, none minds.
                    expected = absolute.encode() if URL(text).raw_path_qs != "/" or text.endswith("/") else None
                    assert expected is None or line == b"GET " + expected + b" HTTP/1.1"
                    assert field == b"Host: " + host.encode()


def test_any_text_is_joined_or_refused() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    from hypothesis import strategies as st

    pieces = st.sampled_from(
        ["http:", "https:", "//", "/", "?", "#", ":", "@", "[", "]", "..", "%", "%41", "h", "80", " ", "ü"]
    )
    texts = st.one_of(st.lists(pieces, max_size=8).map("".join), st.text(max_size=20))

    @hypothesis.given(texts, st.booleans())
    def check(location: str, requote: bool) -> None:
        try:
            joined = urls.join_redirect(URL(BASE), location, requote=requote)
        except urls.InvalidLocation:
            return
        assert joined.scheme in urls.HTTP_SCHEMES
        assert joined.raw_host
        try:
            line = f"{urls.host_header(joined)} {urls.origin_form(joined)}"
        except ValueError:
            return
        assert line.count(" ") == 1
        assert not set(line) & {"\r", "\n", "\0"}

    check()
