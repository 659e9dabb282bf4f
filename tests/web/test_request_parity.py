"""The same request in aiohttp and here: every fact of a large table, and each difference with its reason."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import Any
from unittest import mock

import aiohttp
import aiohttp.http_parser
import aiohttp.streams
import pytest
from aiohttp import test_utils
from tests.web.requests import FakeProtocol, decode_request, make_request, running_loop, stream_of

import fairlead.web
from fairlead.codec.events import HttpVersion
from fairlead.web.forms import size_error_class

FACTS = """
method version path path_qs raw_path query_string query rel_url url host scheme secure remote headers raw_headers
cookies forwarded http_range if_match if_none_match if_range if_modified_since if_unmodified_since content_type charset
content_length keep_alive body_exists can_read_body client_max_size client_max_fields
""".split()


def plain(value: Any) -> Any:
    """Make what the two libraries return comparable."""
    if type(value).__name__ in ("ETag", "HttpVersion", "FileField"):
        return repr(value)
    if type(value).__name__ in ("MultiDictProxy", "CIMultiDictProxy"):
        return [(name, plain(item)) for name, item in value.items()]
    if type(value).__name__ == "mappingproxy":
        return dict(value)
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return value


def outcome(function: Callable[[], Any]) -> Any:
    """Return what is returned, or the class and text of what is raised."""
    try:
        return plain(function())
    except Exception as exc:
        return type(exc), str(exc)


def facts(request: Any) -> dict[str, Any]:
    found = {name: outcome(lambda name=name: getattr(request, name)) for name in FACTS}  # type: ignore[misc]
    return found | {"repr": repr(request), "truth": bool(request)}


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (theirs[name], ours[name]) for name in theirs if theirs[name] != ours[name]}


# ---- request targets, through both parsers

TARGETS = """
/ /a/b?x=1&y=2 /a%20b /a%2Fb /%D1%84 /a?q=%26 /a?x=1#frag /a#frag //a//b //host/path /../a/./b /./a /a/../..
/a? /? /a?? /a??b=c /a;p=1 /a?x+y /a+b /a=b /a|b /a"b /% /%zz /a%00b /%C3%28 /a%3Fb /a%23b /[a] /{x} /~user /a:b /@x
/!$&'()*+,;= /a?b=c&b=d&e /a?x=%ff /a\\b /a^b`c // ///x /a/./ /a/. /a/.. /.. /a%2E%2E/b /.hidden /a.b/..c/d..
/a?x=/../y /path?a=1;b=2 /<x> /%2e%2e/x /a?x=%2B+%20 /a?x=a%3Db&y=%2526 /a/?/b?c
http://ex.com/a?b https://ex.com:8443/x HTTP://EX.com/x http://ex.com/a%2Fb/../c http://[::1]:80/x
ws://h/x ftp://x/y http://h//a http://ex.com:80/ http://ex.com:8080
""".split()


def parsed(method: str, target: str, fields: str = "Host: h.example\r\n") -> tuple[Any, Any]:
    loop = running_loop()
    data = f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode("utf-8", "surrogateescape")
    protocol = mock.Mock(ssl_context=None, peername=("192.0.2.1", 5000), sockname=("127.0.0.1", 80))
    parser = aiohttp.http_parser.HttpRequestParser(protocol, loop, 2**16)
    ((message, payload),), _, _ = parser.feed_data(data)
    writer: Any = mock.Mock()
    theirs = aiohttp.web.Request(message, payload, protocol, writer, mock.Mock(), loop)
    return theirs, decode_request(data)


@pytest.mark.parametrize("target", TARGETS)
async def test_targets(target: str) -> None:
    theirs, ours = map(facts, parsed("GET", target))
    expected: dict[str, Any] = {}
    if target == "/a%00b":
        expected = {"repr": "<Request GET /a\\x00b >"}  # a control character stays out of logs and terminals
    if target == "http://ex.com:8080":
        # An empty path is "/" (RFC 9110 section 4.2.3); there it is "", which no route has.
        path = ours["rel_url"]
        assert str(path) == "/"
        expected = {name: ours[name] for name in ("path", "path_qs", "rel_url", "repr")}
    assert differences(theirs | expected, ours) == {}


@pytest.mark.parametrize("target", TARGETS)
async def test_the_path_for_routing(target: str) -> None:
    theirs, ours = parsed("GET", target)
    assert ours.routing_path == (theirs.rel_url.raw_path or "/")
    assert ours.routing_path == ours.rel_url.raw_path


@pytest.mark.parametrize(("method", "target"), [("CONNECT", "ex.com:443"), ("CONNECT", "[::1]:443"), ("OPTIONS", "*")])
async def test_targets_of_other_forms(method: str, target: str) -> None:
    theirs, ours = map(facts, parsed(method, target))
    tunnel = {name: ours[name] for name in ("body_exists", "can_read_body")}  # the protocol's to say
    assert differences(theirs | tunnel, ours) == {}


async def test_a_fragment_is_no_part_of_path_or_query() -> None:
    theirs, ours = parsed("GET", "/a#f?x")  # RFC 3986 section 3.5: a fragment ends the URL
    assert (theirs.path, theirs.query_string) == ("/a#f", "x")
    assert (ours.path, ours.query_string, ours.routing_path) == ("/a", "", "/a")


# ---- header fields, with requests made by hand

FIELDS: list[list[tuple[str, str]]] = [
    [("Host", host)]
    for host in ("h", "EX.com:80", "[::1]:8080", "ex.com:8080", "u@h", "a/b", "ф", "a:99999", "a?b", "a b", "")
]
FIELDS += [
    [("Cookie", cookie)]
    for cookie in (
        "a=b",
        "a=b; c=d",
        "a=b;c=d",
        "a=b,c=d",
        'a="b;c"',
        'a="b\\"c"',
        'a="\\101"',
        "a",
        "a=;b=",
        "=x",
        "a=b; a=c",
        "path=/x; a=1",
        "$Version=1; a=b",
        "a=é",
        "expires=1; b=2",
        "a=b; Path=/; c=d",
        "a=b=c",
        'a="b',
        "a[0]=1",
        "a:b=1",
        "a@b=1",
        ";;;",
        'a={"x":1}',
        "x=1; Max-Age=5; y=2",
        "secure; x=1",
        "HttpOnly; x=2",
        'a=""',
        "a=b; $Path=x",
        "é=1; b=2",
        "a='b'",
        "a=%20",
        "",
    )
]
FIELDS += [
    [("Range", value)]
    for value in (
        "bytes=0-499",
        "bytes=500-",
        "bytes=-500",
        "bytes=0-0",
        "bytes=-",
        "bytes=",
        "bytes=5-3",
        "bytes=0-1,2-3",
        "BYTES=0-1",
        "items=0-1",
        "bytes= 0-1",
        "bytes=-0",
        "",
    )
]
FIELDS += [
    [(name, value)]
    for name in ("If-Match", "If-None-Match")
    for value in ('"a"', 'W/"a"', '"a", "b"', '"a","b",W/"c"', "*", "", "a", '"a", b', 'w/"a"', '"a b"', '"é"', '"a"x')
]
FIELDS += [
    [(name, value)]
    for name in ("If-Range", "If-Modified-Since", "If-Unmodified-Since")
    for value in (
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "Wednesday, 21-Oct-15 07:28:00 GMT",
        "Wed Oct 21 07:28:00 2015",
        '"a"',
        "0",
        "",
        "Wed, 31 Feb 2015 07:28:00 GMT",
        "Wed, 21 Oct 2015 25:28:00 GMT",
    )
]
FIELDS += [
    [("Content-Type", value)]
    for value in (
        "text/html",
        "Text/HTML; Charset=UTF-8",
        'text/html; charset="utf-8"',
        "text",
        "text/html;charset=",
        "a/b/c",
        "text/html; charset=utf-8; charset=latin1",
        'multipart/form-data; boundary="x y"',
        ";charset=x",
        "",
    )
]
FIELDS += [[("Content-Length", value)] for value in ("0", "5", "abc", "")]
FIELDS += [
    [("Forwarded", value)]
    for value in ("for=1.2.3.4;by=x;host=h;proto=https", "for=a, for=b", "for=a b, for=c", 'for="[::1]:1"', "", "x")
]
FIELDS += [
    [("Forwarded", "for=a"), ("Forwarded", "for=b, bad;;x y, for=c")],
    [("X", "1"), ("x", "2"), ("Ünï", "cödé")],
    [],
]


def made(method: str, target: str, fields: Iterable[tuple[str, str]] = (), **options: Any) -> tuple[Any, Any]:
    fields = list(fields)
    theirs = test_utils.make_mocked_request(method, target, headers=fields, **options)
    names = {name: options.pop(name, default) for name, default in (("transport", None), ("sslcontext", None))}
    protocol = FakeProtocol(peername=None, transport=names["transport"], ssl_context=names["sslcontext"])
    return theirs, make_request(method, target, fields, protocol=protocol, **options)


@pytest.mark.parametrize("fields", FIELDS, ids=str)
async def test_fields(fields: list[tuple[str, str]]) -> None:
    theirs, ours = made("POST", "/path?query", fields)
    assert differences(facts(theirs), facts(ours)) == {}


@pytest.mark.parametrize(
    ("fields", "fact", "theirs", "ours"),
    [
        # RFC 9110 section 5.3: several lines are one list; there only the first counts.
        ([("If-Match", '"a"'), ("If-Match", '"b"')], "if_match", 1, 2),
        ([("Cookie", "a=1"), ("Cookie", "b=2")], "cookies", 1, 2),
        # RFC 9110 section 5.6.1: empty elements are skipped.
        ([("If-None-Match", ',"a",,"b"')], "if_none_match", 0, 2),
        # RFC 9110 section 8.8.3: an opaque tag may be empty.
        ([("If-None-Match", '"", "b"')], "if_none_match", 0, 2),
        # A cookie that is malformed is left out, and its neighbours stay.
        ([("Cookie", "a b=c; d=e")], "cookies", 3, 1),
        ([("Cookie", "a=b\x01c; d=e")], "cookies", 2, 1),
    ],
)
async def test_fields_that_are_read_differently(
    fields: list[tuple[str, str]], fact: str, theirs: int, ours: int
) -> None:
    one, other = made("GET", "/", fields)
    assert (len(getattr(one, fact)), len(getattr(other, fact))) == (theirs, ours)


@pytest.mark.parametrize("sockname", [None, ("1.2.3.4", 80), ("::1", 8080, 0, 0), "/tmp/sock", ""])
@pytest.mark.parametrize("peername", [None, ("1.2.3.4", 5), ("::1", 5, 0, 0), ["x", 1], "/tmp/sock", ""])
@pytest.mark.parametrize("tls", [None, object()], ids=["plain", "tls"])
async def test_addresses(sockname: Any, peername: Any, tls: Any) -> None:
    theirs, ours = made("GET", "/path")
    theirs._transport_sockname, theirs._transport_peername, theirs._transport_sslcontext = sockname, peername, tls
    ours = make_request("GET", "/path", protocol=FakeProtocol(sockname=sockname, peername=peername, ssl_context=tls))
    assert differences(facts(theirs), facts(ours)) == {}


@pytest.mark.parametrize("version", [(0, 9), (1, 0), (1, 1)])
async def test_versions(version: tuple[int, int]) -> None:
    theirs = test_utils.make_mocked_request("GET", "/", version=aiohttp.HttpVersion(*version))
    ours = make_request(version=HttpVersion(*version))
    assert (ours.version, ours.keep_alive) == (tuple(theirs.version), theirs.keep_alive)


# ---- clone

CLONES: list[dict[str, Any]] = [
    {},
    {"method": "PUT"},
    {"rel_url": "/z?q=1"},
    {"rel_url": "z"},
    {"rel_url": "http://o.com:80/p"},
    {"rel_url": "/é x"},
    {"rel_url": "//a/b"},
    {"headers": {"A": "b"}},
    {"headers": [("A", "b"), ("A", "c")]},
    {"headers": {"Host": "new"}},
    {"headers": None},
    {"scheme": "https"},
    {"scheme": None},
    {"host": "x.y:80"},
    {"host": None},
    {"remote": "9.9.9.9"},
    {"client_max_size": 5},
    {"client_max_fields": 7},
    {"bogus": 1},
    {"method": "PUT", "rel_url": "/y", "headers": {"H": "1"}, "scheme": "https", "host": "hh", "remote": "r"},
]


@pytest.mark.parametrize("arguments", CLONES, ids=str)
async def test_clone(arguments: dict[str, Any]) -> None:
    theirs, ours = made("POST", "/a?b=1#c", [("Host", "h.com"), ("X", "1")])
    found = []
    for request in (theirs, ours):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            request["key"] = "value"
        found.append(outcome(lambda request=request: request.clone(**arguments)))  # type: ignore[misc]
    if isinstance(found[0], tuple):
        assert found[0][0] is found[1][0]
    else:
        assert differences(*map(facts, found)) == {}
        assert found[1]["key"] == "value"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert tuple(found[1].message)[:-1] == tuple(
                getattr(found[0].message, name) for name in found[1].message._fields[:-1]
            )


ABSOLUTE = "GET", "http://ex.com:8080/x"


@pytest.mark.parametrize(
    "arguments",
    [{}, {"scheme": "https"}, {"rel_url": "/z"}, {"host": "k"}, {"method": "POST"}, {"headers": {"Host": "q"}}],
)
async def test_clone_of_an_absolute_target(arguments: dict[str, Any]) -> None:
    theirs, ours = [facts(request.clone(**arguments)) for request in parsed(*ABSOLUTE)]
    assert differences(theirs, ours) == {}


@pytest.mark.parametrize("cls", ["BaseRequest", "Request"])
async def test_clone_after_reading(cls: str) -> None:
    for library in (aiohttp.web, fairlead.web):
        theirs, ours = with_body(b"abc")
        request = theirs if library is aiohttp.web else ours
        await request.read()
        with pytest.raises(RuntimeError, match="Cannot clone request after reading its content"):
            getattr(library, cls).clone(request)


# ---- bodies


def with_body(
    body: bytes, content_type: str = "", method: str = "POST", whole: bool = False, **options: Any
) -> tuple[Any, Any]:
    fields = [("Content-Type", content_type)] if content_type else []
    stream = aiohttp.streams.StreamReader(mock.Mock(), 2**16, loop=asyncio.get_running_loop())
    stream.feed_data(body)
    stream.feed_eof()
    theirs = test_utils.make_mocked_request(method, "/", headers=fields, payload=stream, **options)
    return theirs, make_request(method, "/", fields, payload=body if whole and body else stream_of(body), **options)


async def result(request: Any, *calls: str) -> list[Any]:
    """Call methods and read attributes, one after the other, and return what they did."""
    done: list[Any] = []
    for name in calls:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = getattr(request, name)
            value = value() if callable(value) else value
            value = await value if inspect.isawaitable(value) else value
            if name == "post":
                value = [(key, await comparable(item)) for key, item in value.items()]
            done.append(value)
        except Exception as exc:
            text = getattr(exc, "text", None) or str(exc)
            if "is not a text encoding" in text:
                text = "unknown encoding: base64"
            done.append((names_of(exc), text))
    return done


def names_of(exc: Exception) -> list[str]:
    """Name the classes that a caller of aiohttp might catch."""
    public = ("HTTPException", "HTTPRequestEntityTooLarge", "LookupError", "UnicodeDecodeError", "JSONDecodeError")
    return [cls.__name__ for cls in type(exc).__mro__ if cls.__name__ in (*public, "ValueError", "AssertionError")]


async def comparable(value: Any) -> Any:
    if type(value).__name__ == "FileField":
        with value.file:
            content = value.file.read()
        return value.name, value.filename, value.content_type, list(value.headers.items()), content
    return value


FORM = "application/x-www-form-urlencoded"
BODIES: list[tuple[bytes, str, dict[str, Any]]] = [
    (b"abc", "", {}),
    (b"", "", {}),
    ("é".encode("latin-1"), "text/plain; charset=latin1", {}),
    (b"abc", "text/plain; charset=bogus", {}),
    (b"\xff", "text/plain", {}),
    (b"abc", "text/plain; charset=base64", {}),
    (b"\xef\xbb\xbf{}", "application/json", {}),
    (b'{"a": 1}', "application/json", {}),
    (b'{"a": 1', "application/json", {}),
    (b"x" * 10, "", {"client_max_size": 10}),
    (b"x" * 11, "", {"client_max_size": 0}),
    (b"a=1&b=2&a=3", FORM, {}),
    (b"a=1", "text/plain", {}),
    (b"a=1", "", {}),
    (b"a=1", FORM, {"method": "GET"}),
    (b"a=1", FORM, {"method": "QUERY"}),
    (b"a=1", FORM, {"method": "PATCH"}),
    (b"a=1", FORM, {"method": "DELETE"}),
    (b"a=%E9&b=\xe9", FORM + "; charset=latin1", {}),
    (b"a=%E9", FORM + "; charset=bogus", {}),
    ("a=1".encode("utf-16"), FORM + "; charset=utf-16", {}),
    (b"&".join([b"a=1"] * 11), FORM, {"client_max_fields": 10}),
    (b"&".join([b"a=1"] * 10), FORM, {"client_max_fields": 10}),
    (b"&".join([b"a=1"] * 10), FORM, {"client_max_fields": 0}),
    (b"&" * 11, FORM, {"client_max_fields": 10}),
]
BODIES += [
    (body, FORM, {})
    for body in (
        *b"a|a=|=b|&&a=1&|a=%20+b|a=%ff|a=\xff|a=%zz|a=1;b=2| a=1 \r\n|a=%00|a=%C3%A9|+=+".split(b"|"),
        "é=ü".encode(),
    )
]


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
@pytest.mark.parametrize(("body", "content_type", "options"), BODIES, ids=str)
async def test_bodies(body: bytes, content_type: str, options: dict[str, Any], whole: bool) -> None:
    for calls in (
        ("can_read_body", "body_exists", "read", "can_read_body", "body_exists", "has_body", "read", "text", "post"),
        ("text", "text", "json", "read", "post"),
        ("json", "can_read_body", "text"),
        ("post", "post", "read", "text"),
        ("release", "can_read_body", "body_exists", "read"),
    ):
        theirs, ours = with_body(body, content_type, whole=whole, **options)
        if whole and not body:
            calls = tuple(name for name in calls if name != "body_exists")
        assert await result(ours, *calls) == await result(theirs, *calls)


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
@pytest.mark.parametrize("calls", ["read", "text", "json", "post"])
async def test_bodies_that_are_too_large(calls: str, whole: bool) -> None:
    theirs, ours = with_body(b"a=" + b"x" * 9, FORM, whole=whole, client_max_size=10)
    expected = await result(theirs, calls)
    # There the second call gives what was not read of the body; here it is as wrong as the first.
    assert await result(ours, calls, calls) == expected * 2
    assert expected[0][1] == "Maximum request body size 10 exceeded."


async def test_no_body() -> None:
    theirs, ours = made("POST", "/", [("Content-Type", FORM)])
    calls = ("can_read_body", "body_exists", "read", "text", "post", "json", "release", "has_body")
    assert await result(ours, *calls) == await result(theirs, *calls)


# ---- multipart

FIELD = b'Content-Disposition: form-data; name="%s"'
FILE = FIELD % b"f" + b'; filename="x.txt"'
MULTIPART = "multipart/form-data; boundary=BB"


def form(*parts: tuple[bytes, bytes], end: bool = True, boundary: bytes = b"BB") -> bytes:
    body = b"".join(b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head, value) for head, value in parts)
    return body + b"--%b--\r\n" % boundary if end else body


NESTED = form((FIELD % b"g", b"y"), boundary=b"CC")
FORMS: dict[str, tuple[bytes, str, dict[str, Any]]] = {
    "text": (form((FIELD % b"a", b"1"), (FIELD % b"b", b"2"), (FIELD % b"a", b"")), MULTIPART, {}),
    "file": (form((FILE + b"\r\nContent-Type: text/plain; charset=x", b"hello"), (FIELD % b"b", b"2")), MULTIPART, {}),
    "file without type": (form((FILE, b"hello\r\n--B")), MULTIPART, {}),
    "large file": (form((FILE, bytes(range(256)) * 4000)), MULTIPART, {"client_max_size": 2**21}),
    "text type": (form((FIELD % b"f" + b"\r\nContent-Type: text/plain", b"hello")), MULTIPART, {}),
    "binary": (form((FIELD % b"f" + b"\r\nContent-Type: application/octet-stream", b"\xff\xfe")), MULTIPART, {}),
    "json": (form((FIELD % b"f" + b"\r\nContent-Type: application/json", b"{}")), MULTIPART, {}),
    "charset": (form((FIELD % b"f" + b"\r\nContent-Type: text/plain; charset=latin1", b"\xe9")), MULTIPART, {}),
    "bad charset": (form((FIELD % b"f" + b"\r\nContent-Type: text/plain; charset=bogus", b"a")), MULTIPART, {}),
    "bad text": (form((FIELD % b"f", b"\xff")), MULTIPART, {}),
    "charset of all": (form((FIELD % b"f", b"\xe9")), MULTIPART + "; charset=latin1", {}),
    "no name": (form((b"Content-Disposition: form-data", b"x")), MULTIPART, {}),
    "no disposition": (form((b"X: y", b"x")), MULTIPART, {}),
    "empty name": (form((FIELD % b"", b"x")), MULTIPART, {}),
    "attachment": (form((b'Content-Disposition: attachment; name="a"; filename="z"', b"x")), MULTIPART, {}),
    "empty file name": (form((FIELD % b"f" + b'; filename=""', b"x")), MULTIPART, {}),
    "base64": (form((FIELD % b"f" + b"\r\nContent-Transfer-Encoding: base64", b"aGVsbG8=")), MULTIPART, {}),
    "base64 file": (form((FILE + b"\r\nContent-Transfer-Encoding: base64", b"aGVsbG8=")), MULTIPART, {}),
    "gzip file": (form((FILE + b"\r\nContent-Encoding: gzip", b"\x1f\x8bno")), MULTIPART, {}),
    "gzip field": (form((FIELD % b"f" + b"\r\nContent-Encoding: gzip", b"\x1f\x8bno")), MULTIPART, {}),
    "cut off": (b"--BB\r\n" + FIELD % b"f" + b"\r\n\r\nabc", MULTIPART, {}),
    "no boundary": (b"--BB\r\n", "multipart/form-data", {}),
    "other boundary": (form((FIELD % b"f", b"x"), boundary=b"CC"), MULTIPART, {}),
    "garbage": (b"garbage", MULTIPART, {}),
    "nothing": (b"", MULTIPART, {}),
    "nested": (form((FIELD % b"f" + b"\r\nContent-Type: multipart/mixed; boundary=CC", NESTED)), MULTIPART, {}),
    "mixed": (form((FIELD % b"f", b"x")), "multipart/mixed; boundary=BB", {}),
    "upper case": (form((FIELD % b"f", b"x")), "Multipart/Form-Data; boundary=BB", {}),
    "too large": (form((FIELD % b"f", b"x" * 50)), MULTIPART, {"client_max_size": 20}),
    "file too large": (form((FILE, b"x" * 50)), MULTIPART, {"client_max_size": 20}),
    "sum too large": (form((FIELD % b"f", b"x" * 15), (FILE, b"x" * 15)), MULTIPART, {"client_max_size": 20}),
    "no limit": (form((FIELD % b"f", b"x" * 50)), MULTIPART, {"client_max_size": 0}),
    "too many": (form(*[(FIELD % b"f", b"x")] * 11), MULTIPART, {"client_max_fields": 10}),
    "many": (form(*[(FIELD % b"f", b"x")] * 10), MULTIPART, {"client_max_fields": 10}),
    "any number": (form(*[(FIELD % b"f", b"x")] * 10), MULTIPART, {"client_max_fields": 0}),
    "of GET": (form((FIELD % b"a", b"1")), MULTIPART, {"method": "GET"}),
}


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
@pytest.mark.parametrize("name", FORMS)
async def test_multipart_forms(name: str, whole: bool) -> None:
    body, content_type, options = FORMS[name]
    theirs, ours = with_body(body, content_type, whole=whole, **options)
    (expected,), (got,) = await result(theirs, "post"), await result(ours, "post")
    if isinstance(expected, tuple) and expected[0] == ["ValueError"]:
        assert got[0] == expected[0]  # the text says more here
    else:
        assert got == expected


@pytest.mark.parametrize("calls", [("post", "read", "post"), ("multipart",), ("post", "can_read_body", "body_exists")])
async def test_after_a_multipart_form(calls: tuple[str, ...]) -> None:
    theirs, ours = with_body(form((FIELD % b"a", b"1")), MULTIPART)
    expected, got = await result(theirs, *calls), await result(ours, *calls)
    if calls == ("multipart",):
        assert type(got[0]).__name__ == type(expected[0]).__name__
    else:
        assert got == expected


@pytest.mark.parametrize(("body", "content_type"), [(b"{}", "application/json")])
async def test_what_is_not_multipart(body: bytes, content_type: str) -> None:
    for request in with_body(body, content_type):
        with pytest.raises(AssertionError, match="multipart/\\* content type expected"):
            await request.multipart()
    for request in with_body(body):
        with pytest.raises(KeyError):
            await request.multipart()


async def test_limit_of_parts() -> None:
    for request in with_body(form((FIELD % b"a", b"x" * 15), (FIELD % b"b", b"x" * 50)), MULTIPART, client_max_size=20):
        reader = await request.multipart()
        assert len(await (await reader.next()).read()) == 15
        with pytest.raises(Exception, match="Entity Too Large") as caught:
            await (await reader.next()).read()
        assert type(caught.value).__name__ == "HTTPRequestEntityTooLarge"


# ---- the mapping, and what is deprecated


async def test_keys_and_deprecations_warn() -> None:
    found = []
    for library, request in zip((aiohttp.web, fairlead.web), made("GET", "/"), strict=True):
        key: Any = library.RequestKey("name", int)
        word = f"key of {__name__}"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            request[key] = 1
            request[word] = 1
            request[word] = 2
            request.clone()[word] = 3
            _ = request.has_body, request.loop, request.message
            del request[word]
        found.append([(one.category.__name__, str(one.message).split(":")[0].split(".\n")[0]) for one in caught])
        assert dict(request) == {key: 1}
        assert request[key] == request.get(key) == 1
        assert len(request) == 1
        assert word not in request
    assert [one[0] for one in found[0]] == [one[0] for one in found[1]]
    assert sorted(found[0]) == sorted(found[1])


def test_signatures() -> None:
    for name in ("BaseRequest", "Request"):
        theirs, ours = getattr(aiohttp.web, name), getattr(fairlead.web, name)
        for function in ("__init__", "clone", "json", "post", "get_extra_info"):
            wanted, got = (inspect.signature(getattr(cls, function)).parameters for cls in (theirs, ours))
            assert [(p.name, p.kind) for p in wanted.values()] == [(p.name, p.kind) for p in got.values()]
        members = [member for member in dir(theirs) if not member.startswith("_")]
        assert [member for member in members if not hasattr(ours, member)] == []
        assert ours.POST_METHODS == theirs.POST_METHODS


def test_bodies_are_refused_with_the_servers_exception() -> None:
    assert size_error_class() is fairlead.web.HTTPRequestEntityTooLarge
