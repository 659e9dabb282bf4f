"""What a server must answer to bytes: the clause that says so, the bytes, the outcome.

In: nothing. Out: `CASES`, for `test_raw_protocol`; the routes are those of `raw_site`.
A case tells every response in order, which requests reached a handler, and whether the connection serves another
request afterwards. Statuses are those of RFC 9110 and 9112; where they leave a choice, all that they allow are named.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

OPEN, CLOSED, EITHER = "open", "closed", "open or closed"

HOST = b"Host: a\r\n"
HELLO = b"GET /hello HTTP/1.1\r\n" + HOST + b"\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
G = b"GET /hello HTTP/1.1\r\n"
P = b"POST /echo HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """One response: None stands for whatever came."""

    status: int | tuple[int, ...] = 200
    body: bytes | Mapping[str, Any] | Callable[[bytes], bool] | None = None
    """Exact bytes, a part of a JSON object, or a test."""
    fields: Mapping[str, str | tuple[str | None, ...] | None] = field(default_factory=dict)
    method: str = "GET"
    interim: tuple[int, ...] | None = ()
    """Interim statuses in front; None for any number."""
    line: str | None = None
    framing: str | None = None


@dataclass(frozen=True)
class Case:
    name: str
    clause: str
    sent: bytes | tuple[bytes, ...]
    answers: tuple[Answer, ...]
    then: str = OPEN
    handled: tuple[str, ...] | None = None
    """The requests that reached a handler; None for one that is obvious: as many as there are answers."""
    site: Mapping[str, Any] = field(default_factory=dict)
    """Options of the server."""
    end: bool = False
    """Whether the client says that it sends no more."""
    byte_by_byte: bool = True

    @property
    def data(self) -> bytes:
        return self.sent if isinstance(self.sent, bytes) else b"".join(self.sent)


CASES: list[Case] = []


def case(
    name: str, clause: str, sent: bytes | tuple[bytes, ...], *answers: Answer, then: str = OPEN, **rest: Any
) -> None:
    CASES.append(Case(name, clause, sent, answers, then, **rest))


def refused(
    name: str, clause: str, sent: bytes | tuple[bytes, ...], status: int | tuple[int, ...] = 400, **rest: Any
) -> None:
    """A malformed request: one error that announces the end, and no byte after it is looked at."""
    rest.setdefault("handled", ())  # None for errors in a body
    if isinstance(sent, bytes):
        sent += NEXT
    answer = Answer(status, fields={"Connection": "close"}, interim=None)
    CASES.append(Case(name, clause, sent, (*rest.pop("before", ()), answer), CLOSED, **rest))


hello = Answer(200, b"hello")
hello_closed = Answer(200, b"hello", {"Connection": "close"})


def echoed(method: str = "GET", path: str = "/echo", body: str = "", **more: Any) -> Answer:
    options = {name: more.pop(name) for name in ("interim", "fields", "line") if name in more}
    return Answer(200, {"method": method, "path": path, "body": body, **more}, **options)


def get(path: str = "/hello", *fields: bytes, version: bytes = b"1.1", method: bytes = b"GET") -> bytes:
    host = HOST if version == b"1.1" else b""
    lines = b"".join(line + b"\r\n" for line in fields)
    return method + b" " + path.encode() + b" HTTP/" + version + b"\r\n" + host + lines + b"\r\n"


def post(body: bytes, *fields: bytes, path: str = "/echo", version: bytes = b"1.1") -> bytes:
    return get(path, b"Content-Length: %d" % len(body), *fields, version=version, method=b"POST") + body


def chunked(body: bytes, *fields: bytes, path: str = "/echo") -> bytes:
    return get(path, *fields, b"Transfer-Encoding: chunked", method=b"POST") + body


# ---- requests as they should be

case("plain GET", "9112 3", HELLO, Answer(200, b"hello", {"Content-Length": "5", "Connection": None}))
case("the response is HTTP/1.1", "9112 2.3", HELLO, Answer(200, b"hello", line="HTTP/1.1 200 OK"))
case("another after the other", "9112 9.3", (HELLO, HELLO, HELLO), hello, hello, hello)
case("close", "9112 9.6", get("/hello", b"Connection: close"), hello_closed, then=CLOSED)
case("Close in a list", "9110 7.6.1", get("/hello", b"Connection: foo, Close"), hello_closed, then=CLOSED)
case("close in a second field", "9110 7.6.1", get("/hello", b"Connection: a", b"Connection: close"), hello_closed,
     then=CLOSED)
case("nothing is processed after close", "9112 9.6", get("/hello", b"Connection: close") + NEXT, hello_closed,
     then=CLOSED)
case("HTTP/1.1 with keep-alive", "9112 9.3", get("/hello", b"Connection: keep-alive"), hello)
case("HTTP/1.0", "9112 9.3", get("/hello", version=b"1.0"),
     Answer(200, b"hello", {"Connection": (None, "close"), "Transfer-Encoding": None}), then=CLOSED)
case("HTTP/1.0 with Host", "9112 3.2", get("/hello", b"Host: a", version=b"1.0"), hello, then=CLOSED)
case("HTTP/1.0 with keep-alive", "9112 9.3", get("/hello", b"Connection: keep-alive", version=b"1.0"),
     Answer(200, b"hello", {"Connection": "keep-alive", "Content-Length": "5"}))
case("HTTP/1.0 with keep-alive and close", "9112 9.3", get("/hello", b"Connection: keep-alive, close", version=b"1.0"),
     Answer(200, b"hello", {"Connection": (None, "close")}), then=CLOSED)
case("nothing is processed after HTTP/1.0", "9112 9.3", get("/hello", version=b"1.0") + NEXT, hello, then=CLOSED)
case("stream to HTTP/1.0 ends with the connection", "9112 6.1", get("/stream", version=b"1.0"),
     Answer(200, b"onetwothree", {"Transfer-Encoding": None}, framing="close"), then=CLOSED)
case("stream to HTTP/1.0 with keep-alive ends with the connection", "9112 6.3 rule 8",
     get("/stream", b"Connection: keep-alive", version=b"1.0"),
     Answer(200, b"onetwothree", {"Connection": (None, "close")}, framing="close"), then=CLOSED)
case("stream of known length to HTTP/1.0 keeps the connection", "9112 9.3",
     get("/length", b"Connection: keep-alive", version=b"1.0"), Answer(200, b"abcdef", {"Connection": "keep-alive"}))
case("stream", "9112 7.1", get("/stream"),
     Answer(200, b"onetwothree", {"Transfer-Encoding": "chunked"}, framing="chunked"))
case("stream of known length", "9112 6.2", get("/length"), Answer(200, b"abcdef", framing="length"))
case("HEAD", "9110 9.3.2", get("/hello", method=b"HEAD"), Answer(200, b"", {"Content-Length": "5"}, "HEAD"))
case("HEAD of a stream", "9110 9.3.2", get("/stream", method=b"HEAD"), Answer(200, b"", method="HEAD"))
case("HEAD of a stream, then GET", "9110 9.3.2", get("/stream", method=b"HEAD") + HELLO,
     Answer(200, b"", method="HEAD"), hello)
case("HEAD of a stream of known length", "9110 9.3.2", get("/length", method=b"HEAD"),
     Answer(200, b"", {"Content-Length": "6"}, "HEAD"))
case("HEAD of what is not there", "9110 9.3.2", get("/none", method=b"HEAD"), Answer(404, b"", method="HEAD"))
case("HEAD of an error", "9110 9.3.2", get("/teapot", method=b"HEAD"), Answer(400, b"", {"X-Pot": "tea"}, "HEAD"))
case("204", "9110 15.3.5", get("/empty"), Answer(204, b"", {"Content-Length": None, "Transfer-Encoding": None}))
case("204 after HEAD", "9110 15.3.5", get("/empty", method=b"HEAD"), Answer(204, b"", method="HEAD"))
case("OPTIONS *", "9112 3.2.4", get("*", method=b"OPTIONS"), Answer((200, 204, 404), method="OPTIONS"))
case("OPTIONS", "9110 9.3.7", get("/echo", method=b"OPTIONS"), echoed("OPTIONS"))
case("any token is a method", "9110 9.1", get("/echo", method=b"M-SEARCH!"), echoed("M-SEARCH!"))
case("methods are case-sensitive", "9110 9.1", get("/post", method=b"post"), Answer(405))
case("absolute-form", "9112 3.2.2", get("http://a/hello"), hello)
case("absolute-form wins over Host", "9112 3.2.2", get("http://other.example/echo?x=1"),
     echoed(host="other.example", query="x=1"))
case("absolute-form with a port", "9112 3.2.2", get("http://other.example:81/echo"), echoed(host="other.example"))
case("query", "9112 3.2.1", get("/echo?a=b&c=%20d"), echoed(query="a=b&c= d"))
case("escapes in the path", "9110 4.2.3", get("/%65cho"), echoed())
case("bytes outside ASCII in the path", "9112 3.2", "GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode(), Answer((400, 404)),
     then=EITHER, handled=None)
case("empty lines in front", "9112 2.2", b"\r\n\r\n" + HELLO, hello)
case("empty lines between", "9112 2.2", HELLO + b"\r\n\r\n" + HELLO, hello, hello)
case("an empty line after a body", "9112 2.2", post(b"ok") + b"\r\n" + HELLO, echoed("POST", body="ok"), hello)
case("empty Host", "9112 3.2", G + b"Host:\r\n\r\n", hello)
case("Host with a port", "9112 3.2", get("/echo").replace(b"Host: a", b"Host: a.example:8080"),
     echoed(host="a.example:8080"))
case("Host is IPv6", "9110 7.2", get("/echo").replace(b"Host: a", b"Host: [::1]:80"), echoed(host="[::1]:80"))
case("white space around a value", "9112 5", get("/hello", b"X: \t a \t", b"Y:a"), hello)
case("an empty value", "9112 5.5", get("/hello", b"X:", b"Y: "), hello)
case("bytes outside ASCII in a value", "9110 5.5", get("/hello", "X: é".encode(), b"Y: \xe9\xff"), hello)
case("field names in any case", "9110 5.1", G + b"hOST: a\r\ncONNECTION: CLOSE\r\n\r\n", hello_closed, then=CLOSED)
case("128 fields", "bounded", get("/hello", *[b"X: a"] * 127), hello)
case("head in many writes", "9112 3", (b"GET /he", b"llo HT", b"TP/1.1\r", b"\nHo", b"st: a\r\n\r", b"\n"), hello)
case("client that says no more", "9112 9.6", HELLO, hello, then=CLOSED, end=True)
case("client that leaves without a word", "9112 9.6", b"", then=CLOSED, end=True)
case("client that leaves after an empty line", "9112 2.2", b"\r\n", then=CLOSED, end=True)

for count in (2, 3, 10, 50):
    case(f"{count} at once", "9112 9.3.2", b"".join(get(f"/echo?n={i}") for i in range(count)),
         *(echoed(query=f"n={i}") for i in range(count)), byte_by_byte=count < 10)
case("different ones at once", "9112 9.3.2",
     HELLO + post(b"ab") + get("/stream") + get("/empty") + get("/hello", method=b"HEAD") + chunked(b"0\r\n\r\n")
     + get("/none") + HELLO,
     hello, echoed("POST", body="ab"), Answer(200, b"onetwothree"), Answer(204), Answer(200, b"", method="HEAD"),
     echoed("POST"), Answer(404), hello)  # fmt: skip
case("close among several", "9112 9.6", HELLO + get("/hello", b"Connection: close") + NEXT + NEXT, hello, hello_closed,
     then=CLOSED)
case("several after bodies", "9112 9.3.2", post(b"ab") * 3 + chunked(b"2\r\ncd\r\n0\r\n\r\n") * 2 + HELLO,
     *[echoed("POST", body="ab")] * 3, *[echoed("POST", body="cd")] * 2, hello)
case("several after bodies that nobody read", "9112 9.3.2", post(b"ab", path="/unread") * 3 + HELLO,
     *[Answer(200, b"unread")] * 3, hello)
case("chunks that nobody read", "9112 9.3.2", chunked(b"2\r\ncd\r\n0\r\n\r\n", path="/unread") + HELLO,
     Answer(200, b"unread"), hello)
case("a body that looks like a request", "9112 6.2", post(NEXT) + HELLO, echoed("POST", body=NEXT.decode()), hello)
case("an unread body that looks like a request", "9112 6.2", post(NEXT, path="/unread") + HELLO,
     Answer(200, b"unread"), hello)
case("chunks that look like a request", "9112 7.1",
     chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(NEXT), NEXT), path="/unread") + HELLO, Answer(200, b"unread"), hello)

# ---- bodies

case("body", "9112 6.2", post(b"hello world"), echoed("POST", body="hello world"))
case("body in a second write", "9112 6.2", (P + b"Content-Length: 4\r\n\r\n", b"body"), echoed("POST", body="body"))
case("body in pieces", "9112 6.2", (P + b"Content-Length: 4\r\n\r\nb", b"o", b"dy"), echoed("POST", body="body"))
case("body of no bytes", "9112 6.2", post(b""), echoed("POST"))
case("no body", "9112 6.3 rule 7", get("/echo", method=b"POST") + HELLO, echoed("POST"), hello)
case("GET with a body", "9110 9.3.1", get("/echo", b"Content-Length: 2") + b"ok" + HELLO, echoed(body="ok"), hello)
case("HEAD with a body", "9110 9.3.2", get("/hello", b"Content-Length: 2", method=b"HEAD") + b"ok" + HELLO,
     Answer(200, b"", method="HEAD"), hello)
case("length with zeros in front", "9110 8.6", P + b"Content-Length: 0002\r\n\r\nok", echoed("POST", body="ok"))
case("chunks", "9112 7.1", chunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), echoed("POST", body="abcde"))
case("no chunk", "9112 7.1", chunked(b"0\r\n\r\n") + HELLO, echoed("POST"), hello)
case("chunk size in any case, with zeros", "9112 7.1",
     chunked(b"00A\r\n0123456789\r\n0b\r\n0123456789x\r\n000\r\n\r\n"), echoed("POST", body="01234567890123456789x"))
case("chunk extensions", "9112 7.1.1", chunked(b'3;a=b;c="d e";f\r\nabc\r\n0;x\r\n\r\n') + HELLO,
     echoed("POST", body="abc"), hello)
case("trailers", "9112 7.1.2", chunked(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", b"Trailer: X-Sum") + HELLO,
     echoed("POST", body="abc"), hello)
case("framing fields in trailers are no framing", "9110 6.5.1",
     chunked(b"0\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\n") + HELLO, echoed("POST"), hello)
case("Transfer-Encoding in any case", "9112 7", get("/echo", b"Transfer-Encoding: CHUNKED", method=b"POST") +
     b"2\r\nok\r\n0\r\n\r\n", echoed("POST", body="ok"))
case("TE field", "9110 10.1.4", get("/hello", b"TE: trailers", b"Connection: TE"), hello)
case("a body that is read slowly", "9112 6.2", post(b"x" * 50_000, path="/pieces") + HELLO, Answer(200, b"50000"),
     hello, byte_by_byte=False)
case("a body of 1 MB", "9112 6.2", post(b"x" * 1_000_000, path="/pieces") + HELLO, Answer(200, b"1000000"), hello,
     byte_by_byte=False)
case("8000 chunks", "9112 7.1", chunked(b"2\r\nab\r\n" * 8000 + b"0\r\n\r\n", path="/pieces") + HELLO,
     Answer(200, b"16000"), hello, byte_by_byte=False)
case("a body of 300 KB that nobody reads", "9112 9.3.2", post(b"x" * 300_000, path="/unread") + HELLO,
     Answer(200, b"unread"), hello, byte_by_byte=False)

GZIP = b"Content-Encoding: gzip"
case("gzip", "9110 8.4.1.3", post(gzip.compress(b"hello", mtime=0), GZIP) + HELLO, echoed("POST", body="hello"), hello)
case("deflate", "9110 8.4.1.2", post(zlib.compress(b"hello"), b"Content-Encoding: deflate"),
     echoed("POST", body="hello"))
case("unknown content coding is left", "9110 8.4", post(b"hello", b"Content-Encoding: foo"),
     echoed("POST", body="hello"))
case("bad gzip", "9110 8.4.1.3", post(b"no gzip at all", GZIP), Answer(400), then=EITHER)
case("gzip of 3 MB is over the limit of 1 MB", "9110 15.5.14", post(gzip.compress(b"a" * 3_000_000, mtime=0), GZIP),
     Answer(413), then=EITHER, byte_by_byte=False)

# ---- Expect

EXPECT = b"Expect: 100-continue"
case("100-continue", "9110 10.1.1", (get("/echo", b"Content-Length: 2", EXPECT, method=b"POST"), b"ok"),
     echoed("POST", body="ok", interim=(100,)))
case("100-Continue in capitals", "9110 10.1.1",
     (get("/echo", b"Content-Length: 2", b"Expect: 100-CONTINUE", method=b"POST"), b"ok"),
     echoed("POST", body="ok", interim=(100,)))
case("100-continue with chunks", "9110 10.1.1",
     (get("/echo", b"Transfer-Encoding: chunked", EXPECT, method=b"POST"), b"2\r\nok\r\n", b"0\r\n\r\n"),
     echoed("POST", body="ok", interim=(100,)))
case("100-continue with the body already there", "9110 10.1.1", post(b"ok", EXPECT) + HELLO,
     echoed("POST", body="ok", interim=None), hello)
case("100-continue without a body", "9110 10.1.1", get("/echo", EXPECT) + HELLO, echoed(interim=None), hello)
case("100-continue of several at once", "9110 10.1.1", post(b"ab", EXPECT) + post(b"cd", EXPECT),
     echoed("POST", body="ab", interim=None), echoed("POST", body="cd", interim=None))
case("100-continue to HTTP/1.0 is ignored", "9110 10.1.1", post(b"ok", EXPECT, version=b"1.0"),
     echoed("POST", body="ok", interim=()), then=CLOSED)
case("100-continue where nothing is there", "9110 10.1.1", post(b"ok", EXPECT, path="/none"),
     Answer(404, interim=None), then=EITHER)
case("unknown expectation", "9110 10.1.1", get("/echo", b"Expect: 200-maybe"), Answer(417), then=EITHER)
case("unknown expectation with a body", "9110 10.1.1", post(b"ok", b"Expect: a=b"), Answer(417), then=EITHER,
     handled=None)

# ---- upgrades, CONNECT, methods

case("unknown upgrade is ignored", "9110 7.8", get("/echo", b"Connection: upgrade", b"Upgrade: foo/2"), echoed())
case("unknown upgrade, then the next", "9110 7.8", get("/echo", b"Connection: upgrade", b"Upgrade: foo") + HELLO,
     echoed(), hello)
case("unknown upgrade with a body", "9110 7.8", post(b"ok", b"Connection: upgrade", b"Upgrade: foo") + HELLO,
     echoed("POST", body="ok"), hello)
case("h2c is ignored", "9110 7.8",
     get("/echo", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk") + HELLO,
     echoed(), hello)
case("websocket where there is none", "9110 7.8",
     get("/echo", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==") + HELLO, echoed(), hello)
case("Upgrade without Connection", "9110 7.8", get("/echo", b"Upgrade: foo") + HELLO, echoed(), hello)
case("upgrade in HTTP/1.0", "9110 7.8", get("/echo", b"Connection: upgrade", b"Upgrade: foo", version=b"1.0"),
     echoed(), then=CLOSED)
case("upgrade and close", "9110 7.8", get("/echo", b"Connection: upgrade, close", b"Upgrade: foo") + NEXT,
     echoed(fields={"Connection": "close"}), then=CLOSED)
case("CONNECT", "9110 9.3.6", get("a.example:443", method=b"CONNECT"), Answer((400, 404, 405, 501), method="CONNECT"),
     then=EITHER, handled=None)
case("405", "9110 15.5.6", get("/post"), Answer(405, fields={"Allow": "POST"}))
case("405 to a body", "9110 15.5.6", get("/post", b"Content-Length: 2", method=b"PUT") + b"ok" + HELLO,
     Answer(405, fields={"Allow": "POST"}), hello)
case("404", "9110 15.5.5", get("/none"), Answer(404, b"404: Not Found"))
case("404 to a body", "9112 9.3.2", post(b"ok", path="/none") + HELLO, Answer(404), hello)
case("HTTP exception", "9110 15", get("/teapot") + HELLO, Answer(400, b"no coffee", {"X-Pot": "tea"}), hello)
case("handler that raises", "9110 15.6.1", get("/raise"), Answer(500, fields={"Connection": (None, "close")}),
     then=EITHER)

# ---- malformed lines

refused("bare LF as line ends", "9112 2.2", b"GET /hello HTTP/1.1\nHost: a\n\n")
refused("bare LF after the request line", "9112 2.2", b"GET /hello HTTP/1.1\nHost: a\r\n\r\n")
refused("bare LF after a field", "9112 2.2", G + b"Host: a\nX: b\r\n\r\n")
refused("bare LF as the last line end", "9112 2.2", G + b"Host: a\r\n\n")
refused("bare LF in front", "9112 2.2", b"\n" + HELLO)
refused("bare CR in a value", "9112 2.2", get("/hello", b"X: a\rb"))
refused("bare CR in the request line", "9112 2.2", b"GET /hello\r HTTP/1.1\r\n" + HOST + b"\r\n")
refused("space before the colon", "9112 5.1", get("/hello", b"X : a"))
refused("tab before the colon", "9112 5.1", get("/hello", b"X\t: a"))
refused("obs-fold", "9112 5.2", get("/hello", b"X: a", b" b"))
refused("obs-fold with a tab", "9112 5.2", get("/hello", b"X: a", b"\tb"))
refused("obs-fold of the first field", "9112 2.2", G + b" X: a\r\n" + HOST + b"\r\n")
refused("no colon", "9112 5", get("/hello", b"X"))
refused("no name", "9112 5.1", get("/hello", b": a"))
refused("name that is no token", "9110 5.1", get("/hello", b"X@Y: a"))
refused("name outside ASCII", "9110 5.1", get("/hello", "É: a".encode()))
refused("NUL in a value", "9110 5.5", get("/hello", b"X: a\x00b"))
refused("control in a value", "9110 5.5", get("/hello", b"X: a\x01b"))
refused("DEL in a value", "9110 5.5", get("/hello", b"X: a\x7fb"))
refused("NUL in a name", "9110 5.1", get("/hello", b"X\x00: a"))
refused("no Host", "9112 3.2", G + b"\r\n")
refused("two Hosts", "9112 3.2", G + b"Host: a\r\nHost: b\r\n\r\n")
refused("two equal Hosts", "9112 3.2", G + b"Host: a\r\nHost: a\r\n\r\n")
refused("two Hosts in HTTP/1.0", "9112 3.2", b"GET /hello HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n")
for value in ("a b", "a/b", "user@a", "a?b", "a#b", "a:b", "a:80:80", "[::1", "http://a", "a\\b", "a<b", "é", "a%zz"):
    refused(f"Host {value}", "9112 3.2", G + b"Host: " + value.encode() + b"\r\n\r\n")
refused("absolute-form without Host", "9112 3.2", b"GET http://a/hello HTTP/1.1\r\n\r\n")
refused("method that is no token", "9112 3.1", get("/hello", method=b"G(T"))
refused("method in quotes", "9112 3.1", get("/hello", method=b'"GET"'))
refused("no method", "9112 3", b" /hello HTTP/1.1\r\n" + HOST + b"\r\n")
refused("space in front", "9112 3", b" " + HELLO)
refused("two spaces", "9112 3", b"GET  /hello HTTP/1.1\r\n" + HOST + b"\r\n")
refused("tab for a space", "9112 3", b"GET\t/hello HTTP/1.1\r\n" + HOST + b"\r\n")
refused("space at the end of the line", "9112 3", b"GET /hello HTTP/1.1 \r\n" + HOST + b"\r\n")
refused("space in the target", "9112 3.2", get("/hel lo"))
refused("NUL in the target", "9112 3.2", get("/hel\x00lo"))
refused("control in the target", "9112 3.2", get("/hel\x01lo"))
refused("target without a slash", "9112 3.2", get("hello"))
refused("target that is only a query", "9112 3.2.1", get("?a=b"))
refused("* for GET", "9112 3.2.4", get("*"))
refused("authority-form for GET", "9112 3.2.3", get("a.example:443"))
refused("absolute-form with a broken host", "9112 3.2.2", get("http://[::1/hello"))
refused("absolute-form with a broken port", "9112 3.2.2", get("http://a:port/hello"))
refused("absolute-form with a port that is none", "9112 3.2.2", get("http://a:99999/hello"))
refused("absolute-form with user information", "9110 4.2.4", get("http://u@a/hello"))
refused("CONNECT to a path", "9112 3.2.3", get("/hello", method=b"CONNECT"))
refused("CONNECT without a port", "9110 9.3.6", get("a.example", method=b"CONNECT"))
refused("absolute-form without a host", "9112 3.2.2", get("http:///hello"))
refused("HTTP/0.9", "9112 2.3", b"GET /hello\r\n")
refused("HTTP/0.9 in words", "9112 2.3", b"GET /hello HTTP/0.9\r\n\r\n", (400, 505))
refused("HTTP/1.2", "9110 2.5", get("/hello", b"Host: a", version=b"1.2"), 505)
refused("HTTP/2.0", "9110 15.6.6", get("/hello", b"Host: a", version=b"2.0"), 505)
refused("HTTP/3", "9112 2.3", get("/hello", b"Host: a", version=b"3"), (400, 505))
refused("HTTP/1", "9112 2.3", get("/hello", b"Host: a", version=b"1"))
refused("HTTP/1.10", "9112 2.3", get("/hello", b"Host: a", version=b"1.10"))
refused("http in lower case", "9112 2.3", HELLO.replace(b"HTTP", b"http"))
refused("another protocol", "9112 2.3", HELLO.replace(b"HTTP", b"RTSP"))
refused("HTTP/2 preface", "9113 3.4",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", (400, 505))
refused("TLS ClientHello", "8446 4.1.2", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)))
refused("garbage", "9112 3", b"\x00\x01\x02\x03garbage\r\n\r\n")
refused("a response", "9112 3", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
refused("too many empty lines", "bounded", b"\r\n" * 20 + HELLO)
refused("after a good one", "9112 9.3.2", HELLO + get("/hello", b"X : a"), before=(hello,), handled=("GET /hello",))
refused("after three good ones", "9112 9.3.2", HELLO * 3 + b"\x00", before=(hello,) * 3, handled=("GET /hello",) * 3)
refused("after a body", "9112 9.3.2", post(b"ok") + b"garbage\r\n\r\n", before=(echoed("POST", body="ok"),),
        handled=("POST /echo",))
refused("more than its length", "9112 6.2", post(b"ok") + b"xyz\r\n\r\n", before=(echoed("POST", body="ok"),),
        handled=("POST /echo",))

# ---- smuggling

refused("CL and TE", "9112 6.3 rule 3", P + b"Content-Length: 4\r\n" + CHUNKED + b"0\r\n\r\n")
refused("TE and CL", "9112 6.3 rule 3", P + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n")
refused("CL 0 and TE", "9112 6.3 rule 3", P + b"Content-Length: 0\r\n" + CHUNKED + b"0\r\n\r\n")
refused("two equal CLs", "9112 6.3 rule 5", P + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok")
refused("two different CLs", "9112 6.3 rule 5", P + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok")
for value in ("2, 2", "2, 3", "+2", "-2", "-0", "0x2", "2_0", "2.0", "1 2", "2;", "a", "", "٢", "9223372036854775808",
              "18446744073709551618", "99999999999999999999999999"):
    refused(f"CL {value!r}", "9110 8.6", P + b"Content-Length: " + value.encode() + b"\r\n\r\nok")
for value in ("gzip", "identity", "chunked, gzip", "chunked, identity", "xchunked", "chunked;q=1", '"chunked"', ""):
    refused(f"TE {value!r}", "9112 6.3 rule 4", P + b"Transfer-Encoding: " + value.encode() + b"\r\n\r\n0\r\n\r\n")
refused("TE 'gzip, chunked'", "9112 6.1", P + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501)
refused("TE 'foo, chunked'", "9112 6.1", P + b"Transfer-Encoding: foo, chunked\r\n\r\n0\r\n\r\n", 501)
refused("TE foo and TE chunked", "9112 6.1", P + b"Transfer-Encoding: foo\r\n" + CHUNKED + b"0\r\n\r\n", 501)
refused("chunked twice", "9112 7.1", P + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", (400, 501))
refused("chunked in two fields", "9112 7.1", P + b"Transfer-Encoding: chunked\r\n" + CHUNKED + b"0\r\n\r\n", (400, 501))
refused("TE with a control", "9110 5.5", P + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n")
refused("TE in HTTP/1.0", "9112 6.1", b"POST /echo HTTP/1.0\r\n" + CHUNKED + b"0\r\n\r\n")
refused("TE with space before the colon", "9112 5.1", P + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")
refused("CL with space before the colon", "9112 5.1", P + b"Content-Length : 2\r\n\r\nok")
refused("CL folded", "9112 5.2", P + b"Content-Length:\r\n 2\r\n\r\nok")
refused("TE behind a bare LF", "9112 2.2", P + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
refused("TE behind a bare CR", "9112 2.2", P + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def bad_chunks(name: str, clause: str, chunks: bytes) -> None:
    # Whether the handler has begun when the bad bytes come is a matter of how they are cut.
    refused(f"chunk: {name}", clause, P + CHUNKED + chunks, handled=None)
    refused(f"second chunk: {name}", clause, P + CHUNKED + b"1\r\na\r\n" + chunks, handled=None)


for size in ("+2", "-2", "0x2", "2_0", " 2", "", ";a", "zz", "2 a", "10000000000000002", "fffffffffffffffff"):
    bad_chunks(f"size {size!r}", "9112 7.1", size.encode() + b"\r\nok\r\n0\r\n\r\n")
bad_chunks("LF after the size", "9112 7.1", b"2\nok\r\n0\r\n\r\n")
bad_chunks("CR after the size", "9112 7.1", b"2\rok\r\n0\r\n\r\n")
bad_chunks("data too long", "9112 7.1", b"2\r\nokay\r\n0\r\n\r\n")
bad_chunks("no CRLF after the data", "9112 7.1", b"2\r\nok0\r\n\r\n")
bad_chunks("LF after the data", "9112 7.1", b"2\r\nok\n0\r\n\r\n")
bad_chunks("NUL in an extension", "9112 7.1.1", b"2;a\x00\r\nok\r\n0\r\n\r\n")
bad_chunks("LF in an extension", "9112 7.1.1", b"2;a\nb\r\nok\r\n0\r\n\r\n")
bad_chunks("a line without end", "9112 7.1.1", b"2;" + b"a" * 9000)
bad_chunks("extensions without end", "9112 7.1.1", (b"1;" + b"a" * 8000 + b"\r\na\r\n") * 20)
bad_chunks("trailer without colon", "9112 7.1.2", b"0\r\nX\r\n\r\n")
bad_chunks("trailer with space before the colon", "9112 7.1.2", b"0\r\nX : a\r\n\r\n")
bad_chunks("folded trailer", "9112 7.1.2", b"0\r\nX: a\r\n b\r\n\r\n")
bad_chunks("trailer with LF", "9112 7.1.2", b"0\r\nX: a\n\r\n")
bad_chunks("trailer with NUL", "9112 7.1.2", b"0\r\nX: a\x00\r\n\r\n")
case("bad chunks that nobody reads", "9112 7.1", chunked(b"zz\r\n\r\n", path="/unread") + NEXT, Answer((200, 400)),
     then=CLOSED, handled=None)
case("body that ends too early", "9112 8", P + b"Content-Length: 5\r\n\r\nok", then=CLOSED, end=True, handled=None)
case("chunks that end too early", "9112 8", P + CHUNKED + b"5\r\nok", then=CLOSED, end=True, handled=None)

# ---- limits

refused("request line too long", "9112 3", get("/" + "a" * 9000), 414)
refused("request line without end", "9112 3", (b"GET /" + b"a" * 20_000,), 414)
refused("method without end", "9112 3", (b"A" * 20_000,), (400, 414, 501))
refused("field too large", "6585 5", get("/hello", b"X: " + b"a" * 9000), 431)
refused("field without end", "6585 5", (G + HOST + b"X: " + b"a" * 30_000,), 431)
refused("field name too large", "6585 5", get("/hello", b"X" * 9000 + b": a"), 431)
refused("too many fields", "6585 5", get("/hello", *[b"X: a"] * 200), 431)
refused("trailer too large", "6585 5", P + CHUNKED + b"0\r\nX: " + b"a" * 9000 + b"\r\n\r\n", (400, 431),
        handled=None)
refused("too many trailers", "6585 5", P + CHUNKED + b"0\r\n" + b"X: a\r\n" * 200 + b"\r\n", (400, 431),
        handled=None)
LIMITS = {"max_line_size": 60, "max_field_size": 40, "max_headers": 4}
case("line at its limit", "bounded", get("/echo?" + "a" * (60 - 19)), echoed(), site=LIMITS)
refused("line over its limit", "bounded", get("/echo?" + "a" * (61 - 19)), 414, site=LIMITS)
case("field at its limit", "bounded", get("/echo", b"X: " + b"a" * 40), echoed(), site=LIMITS)
refused("field over its limit", "bounded", get("/echo", b"X: " + b"a" * 41), 431, site=LIMITS)
case("fields at their limit", "bounded", get("/echo", *[b"X: a"] * 3), echoed(), site=LIMITS)
refused("fields over their limit", "bounded", get("/echo", *[b"X: a"] * 4), 431, site=LIMITS)
SMALL = {"application": {"client_max_size": 10}}
case("body at its limit", "9110 15.5.14", post(b"a" * 10), echoed("POST", body="a" * 10), site=SMALL)
case("body over its limit", "9110 15.5.14", post(b"a" * 11), Answer(413), then=EITHER, site=SMALL)
case("body far over its limit is not waited for", "9110 15.5.14", P + b"Content-Length: 99999999\r\n\r\n", Answer(413),
     then=EITHER, site=SMALL)
case("chunks at their limit", "9110 15.5.14", chunked(b"5\r\naaaaa\r\n5\r\naaaaa\r\n0\r\n\r\n"),
     echoed("POST", body="a" * 10), site=SMALL)
case("chunks over their limit", "9110 15.5.14", chunked(b"6\r\naaaaaa\r\n5\r\naaaaa\r\n0\r\n\r\n"), Answer(413),
     then=EITHER, site=SMALL)
case("chunks over their limit without end", "9110 15.5.14", chunked(b"6\r\naaaaaa\r\n5\r\naaaaa\r\n"), Answer(413),
     then=EITHER, site=SMALL)
case("no limit for who does not read", "9110 15.5.14", post(b"a" * 11, path="/unread") + HELLO, Answer(200, b"unread"),
     hello, site=SMALL)


def json_part(body: bytes, part: Mapping[str, Any]) -> bool:
    """Whether a JSON object has those members."""
    found = json.loads(body)
    return all(found.get(name) == value for name, value in part.items())
