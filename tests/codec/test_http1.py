"""Heads and bodies of HTTP/1.1 as tables: RFC clause, bytes, events; each fed whole, byte by byte, cut everywhere."""

from __future__ import annotations

from typing import Any

import pytest
from tests.codec.feeding import Plain, decode, feed_all, plain, request, requests, response, responses

from fairlead.codec import http1
from fairlead.codec.chunked import LAST_CHUNK, encode_chunk
from fairlead.codec.events import END, HttpVersion10, HttpVersion11, RequestHead, ResponseHead
from fairlead.codec.http1 import (
    MAX_EMPTY_LINES,
    MAX_INTERIM,
    RequestDecoder,
    ResponseDecoder,
    encode_request,
    encode_response,
)
from fairlead.errors import ProtocolError

O = b"HTTP/1.1 200 OK\r\n"
L2 = (("Content-Length", "2"),)
CL2 = b"Content-Length: 2\r\n\r\nok"
TE = (("Transfer-Encoding", "chunked"),)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
OK2 = [response(200, 2, pairs=L2), b"ok", "end"]


def line(reason: str = "OK", status: int = 200, version: tuple[int, int] = (1, 1), keep_alive: bool = True) -> Plain:
    """What a start line in front of CL2 gives."""
    return [response(status, 2, keep_alive, reason, version, L2), b"ok", "end"]


def field(name: str, value: str) -> Plain:
    """What one more field in front of Content-Length gives."""
    return [response(200, 2, pairs=((name, value), *L2)), b"ok", "end"]


STATUS = "h1.line.status"
# clause, start line, events when lenient; a strict decoder agrees
STATUS_LINES: list[tuple[str, bytes, Plain]] = [
    ("9112 4: as it should be", b"HTTP/1.1 200 OK\r\n", line()),
    ("9112 4: reason with spaces", b"HTTP/1.1 200 Not  so bad \r\n", line("Not  so bad ")),
    ("9112 4: a space is the reason's", b"HTTP/1.1 200  OK\r\n", line(" OK")),
    ("9112 4: empty reason", b"HTTP/1.1 200 \r\n", line("")),
    ("no space in front of an empty reason", b"HTTP/1.1 200\r\n", line("")),
    ("9112 4: obs-text in the reason", "HTTP/1.1 200 é\r\n".encode(), line("é")),
    ("obs-text that is not UTF-8", b"HTTP/1.1 200 \xe9\xff\r\n", line("\udce9\udcff")),
    ("9112 4: HTAB in the reason", b"HTTP/1.1 200 a\tb\r\n", line("a\tb")),
    ("controls in the reason", b"HTTP/1.1 200 a\x00\x01\x0b\x0c\x1c\x85\x7fb\r\n", line("a\0\1\v\f\x1c\udc85\x7fb")),
    ("Unicode line ends are none", "HTTP/1.1 200 a\u2028b\x85c\r\n".encode(), line("a\u2028b\x85c")),
    ("CR in the reason", b"HTTP/1.1 200 a\rb\r\n", [STATUS]),
    ("CR CR LF", b"HTTP/1.1 200 OK\r\r\n", [STATUS]),
    ("CR instead of CRLF", b"HTTP/1.1 200 OK\rContent-Length: 2\r\r", [STATUS]),
    ("9110 15: status over 599", b"HTTP/1.1 999 Odd\r\n", line("Odd", 999)),
    ("9110 15: status below 100", b"HTTP/1.1 099 Odd\r\n", line("Odd", 99)),
    ("status 000", b"HTTP/1.1 000 Odd\r\n", line("Odd", 0)),
    ("two digits", b"HTTP/1.1 20 OK\r\n", [STATUS]),
    ("four digits", b"HTTP/1.1 2000 OK\r\n", [STATUS]),
    ("no digits", b"HTTP/1.1 abc OK\r\n", [STATUS]),
    ("a sign", b"HTTP/1.1 +20 OK\r\n", [STATUS]),
    ("digits of another script", "HTTP/1.1 ٢٠٠ OK\r\n".encode(), [STATUS]),
    ("no status", b"HTTP/1.1\r\n", [STATUS]),
    ("two spaces", b"HTTP/1.1  200 OK\r\n", [STATUS]),
    ("tab", b"HTTP/1.1\t200 OK\r\n", [STATUS]),
    ("space in front", b" HTTP/1.1 200 OK\r\n", [STATUS]),
    ("9112 2.3: HTTP/1.0", b"HTTP/1.0 200 OK\r\n", line(version=(1, 0), keep_alive=False)),
    ("HTTP/0.9 with a head", b"HTTP/0.9 200 OK\r\n", line(version=(0, 9), keep_alive=False)),
    ("HTTP/2.0 as a head", b"HTTP/2.0 200 OK\r\n", line(version=(2, 0), keep_alive=False)),
    ("HTTP/1.2", b"HTTP/1.2 200 OK\r\n", ["h1.line.version"]),
    ("HTTP/3.0", b"HTTP/3.0 200 OK\r\n", ["h1.line.version"]),
    ("HTTP/2", b"HTTP/2 200 OK\r\n", [STATUS]),
    ("HTTP/11.1", b"HTTP/11.1 200 OK\r\n", [STATUS]),
    ("HTTP/1.10", b"HTTP/1.10 200 OK\r\n", [STATUS]),
    ("HTTP/a.b", b"HTTP/a.b 200 OK\r\n", [STATUS]),
    ("9112 2.3: the name is case-sensitive", b"http/1.1 200 OK\r\n", [STATUS]),
    ("another protocol", b"ICY 200 OK\r\n", [STATUS]),
    ("HTTP/0.9", b"<html>hello\r\n", [STATUS]),
    ("TLS", b"\x15\x03\x01\x00\x02\x02\x50", [STATUS]),
    ("a request", b"GET / HTTP/1.1\r\n", [STATUS]),
    ("9112 2.2: empty lines in front", b"\r\n\r\nHTTP/1.1 200 OK\r\n", line()),
    ("9112 2.2: one empty line in front", b"\r\nHTTP/1.1 200 OK\r\n", line()),
    ("CR in front", b"\rHTTP/1.1 200 OK\r\n", ["h1.line.start"]),
]


@pytest.mark.parametrize(("start", "expected"), [c[1:] for c in STATUS_LINES], ids=[c[0] for c in STATUS_LINES])
@pytest.mark.parametrize("lenient", [True, False])
def test_status_lines(start: bytes, expected: Plain, lenient: bool) -> None:
    assert decode(responses(lenient=lenient), start + CL2) == expected


LINE_END = ["h1.line.line-end"]
# clause, field lines, events when lenient, events when strict (None: the same)
FIELDS: list[tuple[str, bytes, Plain, Plain | None]] = [
    ("9112 5: as it should be", b"X: a\r\n", field("X", "a"), None),
    ("9112 5: no white space", b"X:a\r\n", field("X", "a"), None),
    ("9112 5: white space around", b"X: \t a b \t \r\n", field("X", "a b"), None),
    ("9110 5.5: empty value", b"X:\r\n", field("X", ""), None),
    ("9110 5.5: white space only", b"X: \t \r\n", field("X", ""), None),
    ("9110 5.5: a colon in the value", b"X:a:b\r\n", field("X", "a:b"), None),
    ("9110 5.6.2: every tchar", b"!#$%&'*+-.^_`|~09azAZ: a\r\n", field("!#$%&'*+-.^_`|~09azAZ", "a"), None),
    ("9110 5.5: obs-text", "X: é".encode() + b"\xe9\r\n", field("X", "é\udce9"), None),
    ("a surrogate in UTF-8 is three bytes", b"X: \xed\xb2\x80\r\n", field("X", "\udced\udcb2\udc80"), None),
    ("Unicode line ends are none", "X: a\u2028b\x85c\r\n".encode(), field("X", "a\u2028b\x85c"), None),
    ("9110 5.3: order and repetition", b"X: a\r\nx: b\r\n", [response(200, 2, pairs=(("X", "a"), ("x", "b"), *L2)),
                                                            b"ok", "end"], None),
    ("9112 5.1: space before the colon", b"X : a\r\n", ["h1.field.space-before-colon"], None),
    ("9112 5.1: tab before the colon", b"X\t: a\r\n", ["h1.field.space-before-colon"], None),
    ("no colon", b"Xabc\r\n", ["h1.field.colon"], None),
    ("empty name", b": a\r\n", ["h1.field.name"], None),
    ("space in the name", b"X Y: a\r\n", ["h1.field.name"], None),
    ("parenthesis in the name", b"X(Y): a\r\n", ["h1.field.name"], None),
    ("quote in the name", b'X"Y: a\r\n', ["h1.field.name"], None),
    ("slash in the name", b"X/Y: a\r\n", ["h1.field.name"], None),
    ("control in the name", b"X\x01: a\r\n", ["h1.field.name"], None),
    ("NUL in the name", b"X\x00: a\r\n", ["h1.field.name"], None),
    ("CR in the name", b"X\r: a\r\n", ["h1.field.name"], None),
    ("obs-text in the name", b"X\xe9: a\r\n", ["h1.field.name"], None),
    ("letter outside ASCII in the name", "Ünïcode: a\r\n".encode(), ["h1.field.name"], None),
    ("9110 5.5: NUL", b"X: a\x00b\r\n", ["h1.field.value"], None),
    ("9112 2.2: bare CR", b"X: a\rb\r\n", ["h1.field.line-end"], None),
    ("9112 2.2: bare CR at the end", b"X: a\r\r\n", ["h1.field.line-end"], None),
    ("9112 2.2: bare CR as a line end", b"X: a\rY: b\r\n", ["h1.field.line-end"], None),
    ("9110 5.5: other controls", b"X: a\x01\x0b\x0c\x1f\x7fb\r\n", field("X", "a\1\x0b\x0c\x1f\x7fb"),
     ["h1.field.value"]),
    ("9112 2.2: bare LF", b"X: a\n", field("X", "a"), LINE_END),
    ("9112 2.2: bare LF inside a value", b"X: a\nY: b\r\n", [response(200, 2, pairs=(("X", "a"), ("Y", "b"), *L2)),
                                                           b"ok", "end"], LINE_END),
    ("9112 5.2: folded", b"X: a\r\n b\r\n\t c \r\n", field("X", "a b c"), ["h1.field.fold"]),
    ("9112 5.2: folded, empty", b"X: a\r\n  \r\n b\r\n", field("X", "a  b"), ["h1.field.fold"]),
    ("9112 5.2: folded with LF", b"X: a\n b\n", field("X", "a b"), LINE_END),
    ("9112 5.2: folded after no value", b"X:\r\n a\r\n", field("X", "a"), ["h1.field.fold"]),
    ("9112 2.2: folded first", b" X: a\r\n", ["h1.field.fold"], None),
    ("9112 2.2: white space line first", b" \t\r\n", OK2, ["h1.field.fold"]),
    # A colon without its usual space must not make up for a character that belongs to no field.
    ("no space and a fold", b"A:b\r\n C: d\r\n", field("A", "b C: d"), ["h1.field.fold"]),
    ("no space and a NUL", b"A:b\r\n\x00C: d\r\n", ["h1.field.name"], None),
    ("no space and LF", b"A:b\r\n\nC: d\r\n", [response(200, "until close", False, pairs=(("A", "b"),)),
                                           b"C: d\r\n" + CL2, "end"], LINE_END),
    ("no spaces and a word", b"A:b\r\nC:d\r\nE:f\r\nxy Z: a\r\n", ["h1.field.name"], None),
]


@pytest.mark.parametrize(("block", "expected", "strict"), [c[1:] for c in FIELDS], ids=[c[0] for c in FIELDS])
def test_field_lines(block: bytes, expected: Plain, strict: Plain | None) -> None:
    assert decode(responses(), O + block + CL2) == expected
    assert decode(responses(lenient=False), O + block + CL2) == (expected if strict is None else strict)


# id, bytes, events when lenient; a strict decoder refuses all
SLOPPY: list[tuple[str, bytes, Plain]] = [
    ("LF everywhere", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", OK2),
    ("LF after the start line", b"HTTP/1.1 200 OK\n" + CL2, OK2),
    ("LF as the empty line", O + b"Content-Length: 2\r\n\nok", OK2),
    ("LF before the empty line", O + b"Content-Length: 2\n\r\nok", OK2),
    ("LF in front", b"\n\r\n\nHTTP/1.1 200 OK\r\n" + CL2, OK2),
    ("no fields", b"HTTP/1.1 204 N\n\n", [response(204, 0, reason="N"), "end"]),
    ("the body holds an end of head", b"HTTP/1.1 200 OK\nContent-Length: 6\n\na\r\n\r\nb",
     [response(200, 6, pairs=(("Content-Length", "6"),)), b"a\r\n\r\nb", "end"]),
    ("the body holds a head", b"HTTP/1.1 200 OK\nContent-Length: 41\n\n" + O + b"X: y\r\n\r\n" + b"z" * 16,
     [response(200, 41, pairs=(("Content-Length", "41"),)), O + b"X: y\r\n\r\n" + b"z" * 16, "end"]),
    ("interim", b"HTTP/1.1 100 C\nA: b\n\n" * 3 + O + CL2,
     [response(100, 0, reason="C", pairs=(("A", "b"),))] * 3 + OK2),
]


@pytest.mark.parametrize(("data", "expected"), [c[1:] for c in SLOPPY], ids=[c[0] for c in SLOPPY])
def test_bare_lf_in_heads(data: bytes, expected: Plain) -> None:
    assert decode(responses(), data) == expected
    slug = "h1.line.start" if data[:1] == b"\n" else "h1.line.line-end"
    assert decode(responses(lenient=False), data) == [slug]


def close(status: int = 200, pairs: Any = (), **kw: Any) -> tuple[Any, ...]:
    return response(status, "until close", False, pairs=pairs, **kw)


BODIES: list[tuple[str, str, bytes, Plain]] = [
    ("9112 6.3 rule 1: HEAD", "HEAD", O + b"Content-Length: 2\r\n\r\n", [response(200, 0, pairs=L2), "end"]),
    ("9112 6.3 rule 1: HEAD chunked", "HEAD", O + CHUNKED, [response(200, 0, pairs=TE), "end"]),
    ("9112 6.3 rule 1: HEAD with a body", "HEAD", O + CL2,
     [response(200, 0, pairs=L2), "end", "h1.response.unexpected"]),
    ("9112 6.3 rule 1: 204", "GET", b"HTTP/1.1 204 N\r\nContent-Length: 2\r\n\r\n",
     [response(204, 0, reason="N", pairs=L2), "end"]),
    ("9112 6.3 rule 1: 304", "GET", b"HTTP/1.1 304 N\r\nContent-Length: 2\r\n\r\n",
     [response(304, 0, reason="N", pairs=L2), "end"]),
    ("9112 6.3 rule 1: 304 chunked", "GET", b"HTTP/1.1 304 N\r\n" + CHUNKED,
     [response(304, 0, reason="N", pairs=TE), "end"]),
    ("9110 15.3.6: 205 has what it says", "GET", b"HTTP/1.1 205 N\r\n" + CL2,
     [response(205, 2, reason="N", pairs=L2), b"ok", "end"]),
    ("9112 6.3 rule 1: interim", "GET", b"HTTP/1.1 100 C\r\nContent-Length: 2\r\n\r\n" + O + CL2,
     [response(100, 0, reason="C", pairs=L2), *OK2]),
    ("9110 15.2: several kinds", "GET", b"".join(b"HTTP/1.1 %d \r\n\r\n" % n for n in (102, 103, 199)) + O + CL2,
     [response(n, 0, reason="") for n in (102, 103, 199)] + OK2),
    ("empty lines between", "GET", (b"HTTP/1.1 103 \r\n\r\n" + b"\r\n" * MAX_EMPTY_LINES) * 2 + O + CL2,
     [response(103, 0, reason="")] * 2 + OK2),
    ("interim and nothing more", "GET", b"HTTP/1.1 103 \r\n\r\n", [response(103, 0, reason="")]),
    ("9110 15.2.2: 101", "GET", b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x81\x00HTTP",
     [response(101, "tunnel", False, "S", pairs=(("Upgrade", "x"), ("Connection", "upgrade"))), b"\x81\x00HTTP",
      "end"]),
    ("101 to HEAD", "HEAD", b"HTTP/1.1 101 S\r\n\r\nab", [response(101, "tunnel", False, "S"), b"ab", "end"]),
    ("9112 6.3 rule 2: CONNECT", "CONNECT", O + b"\r\n\x16\x03HTTP/1.1 200 OK\r\n\r\n",
     [response(200, "tunnel", False), b"\x16\x03HTTP/1.1 200 OK\r\n\r\n", "end"]),
    ("9112 6.3 rule 2: framing is ignored", "CONNECT", O + CL2 + b"!",
     [response(200, "tunnel", False, pairs=L2), b"ok!", "end"]),
    ("9112 6.3 rule 2: 299", "CONNECT", b"HTTP/1.1 299 \r\n\r\na", [response(299, "tunnel", False, ""), b"a", "end"]),
    ("9110 9.3.6: CONNECT refused", "CONNECT", b"HTTP/1.1 407 No\r\n" + CL2,
     [response(407, 2, reason="No", pairs=L2), b"ok", "end"]),
    ("CONNECT interim", "CONNECT", b"HTTP/1.1 100 \r\n\r\n" + O + b"\r\na",
     [response(100, 0, reason=""), response(200, "tunnel", False), b"a", "end"]),
    ("9112 6.3 rule 4: chunked", "GET", O + CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
     [response(200, "chunked", pairs=TE), b"ok", "end"]),
    ("9112 6.3 rule 4: chunked last", "GET", O + b"Transfer-Encoding: gzip, Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
     [response(200, "chunked", pairs=(("Transfer-Encoding", "gzip, Chunked"),)), b"a", "end"]),
    ("9112 6.3 rule 4: chunked not last", "GET", O + b"Transfer-Encoding: chunked, gzip\r\n\r\n1\r\na\r\n",
     [close(pairs=(("Transfer-Encoding", "chunked, gzip"),)), b"1\r\na\r\n", "end"]),
    ("9112 6.1: chunked in HTTP/1.0", "GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + CHUNKED + b"0\r\n\r\n",
     [response(200, "chunked", False, version=(1, 0), pairs=(("Connection", "keep-alive"), *TE)), "end"]),
    ("9112 6.3 rule 3: both", "GET", O + b"Content-Length: 2\r\n" + CHUNKED, ["h1.length.conflict"]),
    ("9112 6.3 rule 6: length", "GET", O + CL2, OK2),
    ("9112 6.3 rule 6: no byte", "GET", O + b"Content-Length: 0\r\n\r\n",
     [response(200, 0, pairs=(("Content-Length", "0"),)), "end"]),
    ("9112 6.3 rule 6: cut", "GET", O + b"Content-Length: 3\r\n\r\nok",
     [response(200, 3, pairs=(("Content-Length", "3"),)), b"ok", "h1.eof.length"]),
    ("9112 6.3 rule 6: cut at once", "GET", O + b"Content-Length: 3\r\n\r\n",
     [response(200, 3, pairs=(("Content-Length", "3"),)), "h1.eof.length"]),
    ("9112 6.3 rule 8: until close", "GET", O + b"X: y\r\n\r\na\r\n\r\nHTTP/1.1 200 OK\r\n",
     [close(pairs=(("X", "y"),)), b"a\r\n\r\nHTTP/1.1 200 OK\r\n", "end"]),
    ("9112 6.3 rule 8: nothing", "GET", O + b"\r\n", [close(), "end"]),
    ("9112 8: chunked, cut", "GET", O + CHUNKED + b"2\r\no", [response(200, "chunked", pairs=TE), b"o",
                                                             "h1.eof.chunked"]),
    ("9112 8: chunked, no last chunk", "GET", O + CHUNKED + b"2\r\nok\r\n", [response(200, "chunked", pairs=TE), b"ok",
                                                                          "h1.eof.chunked"]),
    ("9112 8: chunked, no empty line", "GET", O + CHUNKED + b"0\r\n", [response(200, "chunked", pairs=TE),
                                                                       "h1.eof.chunked"]),
    ("cut in the start line", "GET", b"HTT", ["h1.eof.head"]),
    ("cut after the start line", "GET", O, ["h1.eof.head"]),
    ("cut in a field", "GET", O + b"X: ", ["h1.eof.head"]),
    ("cut in the empty line", "GET", O + b"X: y\r\n\r", ["h1.eof.head"]),
    ("cut after empty lines", "GET", b"\r\n", []),
    ("cut in an empty line", "GET", b"\r", ["h1.eof.head"]),
    ("9112 6.3: more than asked for", "GET", O + CL2 + O + CL2, [*OK2, "h1.response.unexpected"]),
    ("more than asked for: an empty line", "GET", O + CL2 + b"\r\n", [*OK2, "h1.response.unexpected"]),
]  # fmt: skip


@pytest.mark.parametrize(("method", "data", "expected"), [c[1:] for c in BODIES], ids=[c[0] for c in BODIES])
@pytest.mark.parametrize("lenient", [True, False])
def test_response_bodies(method: str, data: bytes, expected: Plain, lenient: bool) -> None:
    assert decode(responses(method, lenient=lenient), data) == expected


HOST = b"Host: a\r\n"
G = b"GET / HTTP/1.1\r\n"
P = b"POST / HTTP/1.1\r\n" + HOST
GET = [request("GET", "/"), "end"]
BAD_REQUEST = ["h1.line.request"]


def post(pairs: Any, length: int | str) -> tuple[Any, ...]:
    return request("POST", "/", length, pairs=(("Host", "a"), *pairs))


REQUESTS: list[tuple[str, bytes, Plain]] = [
    ("9112 3: as it should be", G + HOST + b"\r\n", GET),
    ("9112 3: one after the other", (G + HOST + b"\r\n") * 3, GET * 3),
    ("9112 2.2: empty lines in front", b"\r\n\r\n" + G + HOST + b"\r\n\r\n" + G + HOST + b"\r\n", GET * 2),
    ("9112 2.2: one empty line in front", b"\r\n" + G + HOST + b"\r\n", GET),
    ("9110 9.1: any token is a method", b"m-SEARCH! / HTTP/1.1\r\n" + HOST + b"\r\n",
     [request("m-SEARCH!", "/"), "end"]),
    ("9112 3.2.1: origin-form", b"GET /a?b=%20&c={|}\"<> HTTP/1.1\r\n" + HOST + b"\r\n",
     [request("GET", '/a?b=%20&c={|}"<>'), "end"]),
    ("9112 3.2.2: absolute-form", b"GET http://a/ HTTP/1.1\r\n" + HOST + b"\r\n", [request("GET", "http://a/"), "end"]),
    ("9112 3.2.4: asterisk-form", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", [request("OPTIONS", "*"), "end"]),
    ("bytes outside ASCII in the target", "GET /é".encode() + b"\xe9 HTTP/1.1\r\n" + HOST + b"\r\n",
     [request("GET", "/é\udce9"), "end"]),
    ("9112 2.3: HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", [request("GET", "/", 0, False, (1, 0), ()), "end"]),
    ("9112 9.3: HTTP/1.0 keep-alive", b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     [request("GET", "/", 0, True, (1, 0), (("Connection", "Keep-Alive"),)), "end"]),
    ("9112 9.3: close", G + HOST + b"Connection: close\r\n\r\n",
     [request("GET", "/", 0, False, pairs=(("Host", "a"), ("Connection", "close"))), "end"]),
    ("9112 2.3: HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ["h1.line.version"]),
    ("9112 2.3: HTTP/1.2", b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", ["h1.line.version"]),
    ("9112 2.3: HTTP/0.9", b"GET /\r\n\r\n", BAD_REQUEST),
    ("9112 3: two spaces", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("9112 3: space in the target", b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("9112 3: tab", b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("9112 3: space at the end", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("9112 3: no target", b"GET  HTTP/1.1\r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("9112 3: control in the target", b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("9112 3: DEL in the target", b"GET /\x7f HTTP/1.1\r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("9112 3: NUL in the target", b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("9112 3: CR in the line", b"GET / HTTP/1.1\rX\r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("method that is no token", b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("lower case version", b"GET / http/1.1\r\n" + HOST + b"\r\n", BAD_REQUEST),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00", BAD_REQUEST),
    ("a response", O + CL2, BAD_REQUEST),
    ("space in front", b" GET / HTTP/1.1\r\n", BAD_REQUEST),
    ("9112 2.2: LF in front", b"\n" + G, ["h1.line.start"]),
    ("9112 3.2: no Host", G + b"\r\n", ["h1.host"]),
    ("9112 3.2: two Hosts", G + HOST + HOST + b"\r\n", ["h1.host"]),
    ("9112 3.2: two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\n" + HOST + HOST + b"\r\n", ["h1.host"]),
    ("9112 6.3 rule 6: length", P + CL2, [post(L2, 2), b"ok", "end"]),
    ("9112 6.3 rule 6: length, then the next", P + CL2 + G + HOST + b"\r\n", [post(L2, 2), b"ok", "end", *GET]),
    ("9112 6.3 rule 4: chunked", P + CHUNKED + b"2\r\nok\r\n0\r\nT: v\r\n\r\n" + G + HOST + b"\r\n",
     [post(TE, "chunked"), b"ok", ("trailers", ("T", "v")), "end", *GET]),
    ("9112 6.3 rule 7: none", P + b"\r\n" + G + HOST + b"\r\n", [post((), 0), "end", *GET]),
    ("9110 9.3.1: GET with a body", G + HOST + CL2, [request("GET", "/", 2, pairs=(("Host", "a"), *L2)), b"ok", "end"]),
    ("cut in a body", P + b"Content-Length: 3\r\n\r\nok",
     [post((("Content-Length", "3"),), 3), b"ok", "h1.eof.length"]),
    ("cut in chunks", P + CHUNKED + b"2\r\nok", [post(TE, "chunked"), b"ok", "h1.eof.chunked"]),
    ("cut in a head", G, ["h1.eof.head"]),
    ("cut between", G + HOST + b"\r\n", GET),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), [c[1:] for c in REQUESTS], ids=[c[0] for c in REQUESTS])
def test_requests(data: bytes, expected: Plain) -> None:
    assert decode(requests(), data) == expected


TARGETS: list[tuple[str, str, bool]] = [
    ("GET", "/", True),
    ("GET", "//a", True),
    ("GET", "/a:80", True),
    ("GET", "http://a", True),
    ("GET", "http://a?b", True),
    ("GET", "http://a:80/b?c", True),
    ("GET", "http://a:/b", True),
    ("GET", "HTTPS://[::1]:80/b", True),
    ("GET", "ftp://a/b", True),
    ("OPTIONS", "*", True),
    ("OPTIONS", "/", True),
    ("OPTIONS", "http://a", True),
    ("CONNECT", "a:443", True),
    ("CONNECT", "[::1]:443", True),
    ("GET", "*", False),
    ("OPTIONS", "**", False),
    ("GET", "a", False),
    ("GET", "?a", False),
    ("GET", "#", False),
    ("GET", "a:443", False),
    ("GET", "http:", False),
    ("GET", "http:/a", False),
    ("GET", "http://", False),
    ("GET", "http:///a", False),
    ("GET", "http://:80/", False),
    ("GET", "http://u@a/", False),
    ("GET", "http://[::1/", False),
    ("GET", "http://a:b/", False),
    ("GET", "http://a#b", False),
    ("GET", "1http://a", False),
    ("CONNECT", "/", False),
    ("CONNECT", "*", False),
    ("CONNECT", "a", False),
    ("CONNECT", "a:", False),
    ("CONNECT", ":443", False),
    ("CONNECT", "a:443/b", False),
    ("CONNECT", "http://a:443", False),
]


@pytest.mark.parametrize(("method", "target", "good"), TARGETS)
def test_forms_of_the_target(method: str, target: str, good: bool) -> None:
    data = f"{method} {target} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
    assert decode(requests(), data) == ([request(method, target), "end"] if good else ["h1.line.target"])


GOOD_HOSTS = ["", "a", "a.example:80", "a:", "127.0.0.1", "[::1]", "[::1]:80", "[fe80::1%25eth0]", "a_b", "a%20b"]
BAD_HOSTS = ["a b", "a/b", "u@a", "a?b", "a#b", "a:b", "a:80:80", "[::1", "::1", "[]", "http://a", "a\\b", "é", "a%zz"]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_values_of_host(version: str) -> None:
    for value in GOOD_HOSTS:
        head = RequestDecoder().feed(f"GET / HTTP/{version}\r\nHost: {value}\r\n\r\n".encode())[0]
        assert head.headers["Host"] == value
    for value in BAD_HOSTS:
        data = f"GET / HTTP/{version}\r\nHost: {value}\r\n\r\n".encode()
        assert decode(requests(), data) == ["h1.host"], value


NEXT = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
# Requests that another reader could end elsewhere: each is refused before its body, and nothing after it is read.
SMUGGLING: list[tuple[str, bytes, str]] = [
    ("CL.TE", b"Content-Length: 4\r\n" + CHUNKED + b"0\r\n\r\n", "h1.length.conflict"),
    ("TE.CL", b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "h1.length.conflict"),
    ("CL.CL same", b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", "h1.length.duplicate"),
    ("CL.CL different", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", "h1.length.duplicate"),
    ("CL.cl", b"Content-Length: 2\r\ncontent-length: 3\r\n\r\nok", "h1.length.duplicate"),
    ("CL list", b"Content-Length: 2, 2\r\n\r\nok", "h1.length.syntax"),
    ("CL +", b"Content-Length: +2\r\n\r\nok", "h1.length.syntax"),
    ("CL -", b"Content-Length: -2\r\n\r\nok", "h1.length.syntax"),
    ("CL 0x", b"Content-Length: 0x2\r\n\r\nok", "h1.length.syntax"),
    ("CL _", b"Content-Length: 1_0\r\n\r\nok", "h1.length.syntax"),
    ("CL .", b"Content-Length: 2.0\r\n\r\nok", "h1.length.syntax"),
    ("CL inner space", b"Content-Length: 1 2\r\n\r\nok", "h1.length.syntax"),
    ("CL other digits", "Content-Length: ٢\r\n\r\nok".encode(), "h1.length.syntax"),
    ("CL superscript", "Content-Length: ²\r\n\r\nok".encode(), "h1.length.syntax"),
    ("CL no-break space", "Content-Length: \xa02\r\n\r\nok".encode(), "h1.length.syntax"),
    ("CL empty", b"Content-Length:\r\n\r\nok", "h1.length.empty"),
    ("CL overflow", b"Content-Length: 9223372036854775808\r\n\r\nok", "h1.length.overflow"),
    ("CL wraps to 2", b"Content-Length: 18446744073709551618\r\n\r\nok", "h1.length.overflow"),
    ("CL folded", b"Content-Length:\r\n 2\r\n\r\nok", "h1.field.fold"),
    ("CL hidden by a fold", b"X:y\r\n Content-Length: 2\r\n\r\nok", "h1.field.fold"),
    ("CL hidden by a fold, colons bare", b"X:y\r\n\tContent-Length:2\r\n\r\nok", "h1.field.fold"),
    ("CL, space before colon", b"Content-Length : 2\r\n\r\nok", "h1.field.space-before-colon"),
    ("TE, space before colon", b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "h1.field.space-before-colon"),
    ("TE, tab before colon", b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", "h1.field.space-before-colon"),
    ("TE after a bare LF", b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "h1.line.line-end"),
    ("TE after a bare CR", b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "h1.field.line-end"),
    ("TE after a NUL", b"X: y\x00Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "h1.field.value"),
    ("TE with a control", b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "h1.field.value"),
    ("end by LF LF", b"Content-Length: 2\n\nok", "h1.line.line-end"),
    ("end by CRLF LF", b"Content-Length: 2\r\n\nok", "h1.line.line-end"),
    ("end by LF CRLF", b"Content-Length: 2\n\r\nok", "h1.line.line-end"),
    ("end by CR CR", b"Content-Length: 2\r\r\r\n\r\n", "h1.field.line-end"),
    ("TE xchunked", b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "h1.length.coding"),
    ("TE chunked;q", b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", "h1.length.coding"),
    ("TE quoted", b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', "h1.length.coding"),
    ("TE identity", b"Transfer-Encoding: identity\r\n\r\n", "h1.length.coding"),
    ("TE gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "h1.length.coding"),
    ("TE chunked, gzip", b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "h1.length.coding"),
    ("TE chunked, chunked", b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "h1.length.coding"),
    ("TE chunked twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "h1.length.coding"),
    ("TE x, TE chunked", b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "h1.length.coding"),
    ("TE empty", b"Transfer-Encoding:\r\n\r\n", "h1.length.coding"),
    ("TE with a Kelvin sign", "Transfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n".encode(), "h1.length.coding"),
]  # fmt: skip


@pytest.mark.parametrize(("rest", "slug"), [c[1:] for c in SMUGGLING], ids=[c[0] for c in SMUGGLING])
def test_ambiguous_requests_are_refused(rest: bytes, slug: str) -> None:
    assert decode(requests(), P + rest + NEXT) == [slug]


# Bodies whose chunks another reader could see elsewhere: the error comes before a byte of the next request.
CHUNK_TRICKS: list[tuple[str, bytes, str]] = [
    ("0x", b"0x2\r\nok\r\n", "h1.chunk.size"),
    ("+", b"+2\r\nok\r\n", "h1.chunk.size"),
    ("-", b"-2\r\nok\r\n", "h1.chunk.size"),
    ("_", b"1_0\r\nok\r\n", "h1.chunk.size"),
    ("space first", b" 2\r\nok\r\n", "h1.chunk.size"),
    ("no digit", b";a=b\r\nok\r\n", "h1.chunk.size"),
    ("nothing", b"\r\nok\r\n", "h1.chunk.size"),
    ("other digits", "٢\r\nok\r\n".encode(), "h1.chunk.size"),
    ("overflow", b"10000000000000002\r\nok\r\n", "h1.chunk.overflow"),
    ("overflow, not over yet", b"fffffffffffffffff", "h1.chunk.overflow"),
    ("LF", b"2\nok\r\n", "h1.chunk.line-end"),
    ("CR", b"2\rok\r\n", "h1.chunk.size"),
    ("LF in an extension", b"2;a\nok\r\n", "h1.chunk.line-end"),
    ("CR in an extension", b"2;a\rb\r\nok\r\n", "h1.chunk.size"),
    ("NUL in an extension", b"2;a\x00b\r\nok\r\n", "h1.chunk.size"),
    ("NUL far in an extension", b"2;" + b"a" * 100 + b"\x00b\r\nok\r\n", "h1.chunk.size"),
    ("LF far in an extension", b"2;" + b"a" * 100 + b"\nok\r\n", "h1.chunk.line-end"),
    ("text after the size", b"2 a\r\nok\r\n", "h1.chunk.size"),
]


@pytest.mark.parametrize(("chunks", "slug"), [c[1:] for c in CHUNK_TRICKS], ids=[c[0] for c in CHUNK_TRICKS])
@pytest.mark.parametrize("lenient", [True, False])
def test_chunk_sizes_are_digits_only(chunks: bytes, slug: str, lenient: bool) -> None:
    head = post(TE, "chunked")
    assert decode(requests(), P + CHUNKED + b"1\r\na\r\n" + chunks + NEXT) == [head, b"a", slug]
    reply = response(200, "chunked", pairs=TE)
    assert decode(responses(lenient=lenient), O + CHUNKED + b"1\r\na\r\n" + chunks + NEXT) == [reply, b"a", slug]


@pytest.mark.parametrize("chunks", [b"2\r\nok\n0\r\n\r\n", b"2\r\nok\r\n0\r\n\n", b"2\r\nok\r\n0\r\nT: v\n\n"])
def test_only_a_lenient_decoder_takes_bare_lf_in_a_body(chunks: bytes) -> None:
    assert decode(responses(), O + CHUNKED + chunks)[-1] == "end"
    assert decode(responses(lenient=False), O + CHUNKED + chunks)[-1].startswith("h1.chunk.")
    assert decode(requests(), P + CHUNKED + chunks)[-1].startswith("h1.chunk.")


# ---- limits: at the limit, and one over it


@pytest.mark.parametrize(("lenient", "end"), [(True, b"\r\n"), (True, b"\n"), (False, b"\r\n")])
def test_limit_of_the_start_line(lenient: bool, end: bytes) -> None:
    make = responses(lenient=lenient, max_line_size=40)
    for fill in ("a" * 27, "é" * 13 + "a"):  # the limit counts bytes
        start = b"HTTP/1.1 200 " + fill.encode()
        assert decode(make, start + end + CL2) == line(fill)
        for more in (b"a", b"a" * 100, "é".encode()):
            assert decode(make, start + more + end + CL2) == ["h1.line.length"]
            assert decode(make, start + more + b"a") == ["h1.line.length"]
    assert decode(make, b"HTTP/1.1 200 " + b"a" * 27 + b"\r") == ["h1.eof.head"]


def test_limit_of_the_request_line() -> None:
    make = requests(max_line_size=40)
    for fill in ("a" * 26, "é" * 13):
        assert decode(make, f"GET /{fill} HTTP/1.1\r\n".encode() + HOST + b"\r\n")[1:] == ["end"]
        assert decode(make, f"GET /{fill}a HTTP/1.1\r\n".encode() + HOST + b"\r\n") == ["h1.line.length"]
        assert decode(make, f"GET /{fill}aaaaaaaaaaa".encode()) == ["h1.line.length"]


@pytest.mark.parametrize("lenient", [True, False])
@pytest.mark.parametrize("limit", [50, 8190])
def test_limit_of_names_and_values(lenient: bool, limit: int) -> None:
    make = responses(lenient=lenient, max_field_size=limit)
    for value in ("v" * limit, "é" * (limit // 2)):
        assert decode(make, O + f"X: {value}\r\n".encode() + CL2) == field("X", value)
        assert decode(make, O + f"X:{value}v\r\n".encode() + CL2) == ["h1.field.length"]
    assert decode(make, O + b"X" * limit + b": v\r\n" + CL2) == field("X" * limit, "v")
    assert decode(make, O + b"X" * (limit + 1) + b": v\r\n" + CL2) == ["h1.field.length"]
    assert decode(make, O + b"X" * limit + b": " + b"v" * limit + b"  \r\n" + CL2) == field("X" * limit, "v" * limit)
    # White space counts as soon as it is more than the largest field with a little of it.
    assert decode(make, O + b"X:" + b" " * (2 * limit + 1) + b"v\r\n" + CL2) == field("X", "v")
    assert decode(make, O + b"X:" + b" " * (2 * limit + 2) + b"v\r\n" + CL2) == ["h1.field.length"]
    assert decode(make, O + b"X:" + b" " * (2 * limit + 3)) == ["h1.field.length"]


def test_limit_of_folded_values() -> None:
    make = responses(max_field_size=20)
    assert decode(make, O + b"X: aaaaaaaaa\r\n bbbbbbbbbb\r\n" + CL2) == field("X", "aaaaaaaaa bbbbbbbbbb")
    assert decode(make, O + b"X: aaaaaaaaa\r\n bbbbbbbbbbb\r\n" + CL2) == ["h1.field.length"]


@pytest.mark.parametrize("lenient", [True, False])
def test_limit_of_the_number_of_fields(lenient: bool) -> None:
    make = responses(lenient=lenient, max_headers=5)
    four = [("X", str(n)) for n in range(4)]
    block = b"".join(b"X: %d\r\n" % n for n in range(4))
    assert decode(make, O + block + CL2) == [response(200, 2, pairs=(*four, *L2)), b"ok", "end"]
    assert decode(make, O + block + b"X: 4\r\n" + CL2) == ["h1.field.count"]
    assert decode(make, O + block + b"X: 4\r\nX: 5\r\n") == ["h1.field.count"]
    assert decode(make, O + b"X: y\r\n" * 10_000) == ["h1.field.count"]


def test_folded_lines_count_as_fields() -> None:
    make = responses(max_headers=5)
    assert decode(make, O + b"X: y\r\n" + b" z\r\n" * 3 + CL2) == field("X", "y z z z")
    assert decode(make, O + b"X: y\r\n" + b" z\r\n" * 4 + CL2) == ["h1.field.count"]


def test_a_limit_is_held_before_the_lines_are_judged() -> None:
    """The error does not depend on how the bytes were cut, so it can not be the later one."""
    assert decode(responses(max_headers=2), O + b"bad\r\nbad\r\nbad\r\n\r\n") == ["h1.field.count"]
    assert decode(responses(max_field_size=5), O + b"bad\r\n" + b"a" * 30 + b"\r\n\r\n") == ["h1.field.length"]
    assert decode(responses(), b"HTTP/x\r\nbad\r\n\r\n") == ["h1.line.status"]


@pytest.mark.parametrize("lenient", [True, False])
def test_limit_of_empty_lines(lenient: bool) -> None:
    make = responses(lenient=lenient)
    assert decode(make, b"\r\n" * MAX_EMPTY_LINES + O + CL2) == OK2
    assert decode(make, b"\r\n" * (MAX_EMPTY_LINES + 1) + O + CL2) == ["h1.line.empty"]
    between = (G + HOST + b"\r\n" + b"\r\n" * MAX_EMPTY_LINES) * 3
    assert decode(requests(), between) == GET * 3


def test_limit_of_interim_responses() -> None:
    interim = b"HTTP/1.1 103 \r\n\r\n"
    decoder = responses()()
    assert plain(feed_all(decoder, [interim * MAX_INTERIM + O + CL2]))[MAX_INTERIM:] == OK2
    decoder = responses()()
    events = plain(feed_all(decoder, [interim * (MAX_INTERIM + 5)]))
    assert events[MAX_INTERIM + 1 :] == ["h1.line.interim"]


def test_limits_can_be_changed_between_messages() -> None:
    decoder = responses()()
    assert plain(decoder.feed(O + b"X: " + b"a" * 100 + b"\r\n" + CL2))[-1] == "end"
    decoder.set_limits(15, 50, 2)
    decoder.expect("GET")
    assert plain(decoder.feed(O + CL2)) == OK2
    decoder.expect("GET")
    assert plain(decoder.feed(O + b"X: " + b"a" * 51 + b"\r\n" + CL2)) == ["h1.field.length"]


# ---- the states of a decoder


def test_one_response_after_the_other() -> None:
    decoder = ResponseDecoder()
    for method, expected in (("GET", OK2), ("HEAD", [response(200, 0, pairs=L2), "end"]), ("GET", OK2)):
        decoder.expect(method)
        data = O + CL2 if method == "GET" else O + CL2[:-2]
        assert plain(decoder.feed(data)) == expected
        assert not decoder.closed
    assert decoder.feed_eof() == []


def test_bytes_that_answer_nothing_are_an_error() -> None:
    decoder = ResponseDecoder(lenient=True)
    assert plain(decoder.feed(O + CL2)) == ["h1.response.unexpected"]
    assert decoder.closed


def test_an_error_is_the_last_word() -> None:
    decoder = responses()()
    assert plain(decoder.feed(b"garbage")) == ["h1.line.status"]
    assert decoder.error is not None
    error = decoder.error
    decoder.expect("GET")
    assert decoder.feed(O + CL2) == []
    assert decoder.feed_eof() == []
    assert decoder.closed
    assert decoder.error is error


def test_a_decoder_does_not_come_back_after_the_end() -> None:
    decoder = responses()()
    decoder.feed(O + b"\r\n")
    assert decoder.feed_eof() == [END]
    decoder.expect("GET")
    assert decoder.closed
    assert decoder.feed(O + CL2) == []


@pytest.mark.parametrize("data", [b"HTT", O + b"Content-Length: 2\r\n\r\no", O + CHUNKED, O + b"\r\n",
                                  b"HTTP/1.1 101 S\r\n\r\n"])  # fmt: skip
def test_expecting_inside_a_response_is_refused(data: bytes) -> None:
    decoder = responses()()
    decoder.feed(data)
    with pytest.raises(RuntimeError, match="another response"):
        decoder.expect("GET")


def test_a_request_that_was_never_sent_can_be_replaced() -> None:
    decoder = responses("GET")()
    decoder.expect("HEAD")
    assert plain(decoder.feed(O + b"Content-Length: 2\r\n\r\n")) == [response(200, 0, pairs=L2), "end"]


def test_what_is_missing_of_a_body_and_of_a_head() -> None:
    decoder = responses()()
    assert decoder.missing is None
    assert not decoder.in_head
    decoder.feed(O)
    assert decoder.in_head
    decoder.feed(b"Content-Length: 10\r\n\r\nabc")
    assert not decoder.in_head
    assert decoder.missing == 7
    decoder.feed(b"d")
    assert decoder.missing == 6
    decoder.feed(b"efghij")
    assert decoder.missing is None


ASKING = [b"CONNECT a:1 HTTP/1.1\r\n" + HOST, G + HOST + b"Upgrade: x\r\nConnection: a, Upgrade\r\n"]


@pytest.mark.parametrize("ask", ASKING)
def test_what_follows_a_request_for_an_upgrade_is_held(ask: bytes) -> None:
    for after in (b"", b"\x81\x00", NEXT):
        decoder = RequestDecoder()
        assert plain(decoder.feed(ask + b"\r\n" + after))[1:] == ["end"]
        assert decoder.held
        assert not decoder.in_head
        assert decoder.feed(b"more") == []
        assert decoder.tunnel() == after + b"more"
        assert not decoder.held
        assert decoder.feed(b"GET") == [b"GET"]
        assert decoder.feed_eof() == [END]
        with pytest.raises(RuntimeError):
            RequestDecoder().tunnel()


def test_a_request_for_an_upgrade_may_have_a_body() -> None:
    for pieces in ([G + HOST + b"Upgrade: x\r\nConnection: upgrade\r\n" + CL2, b"\x81"],
                   [G + HOST + b"Upgrade: x\r\nConnection: upgrade\r\n" + CL2 + b"\x81"]):  # fmt: skip
        decoder = RequestDecoder()
        assert [event for piece in pieces for event in plain(decoder.feed(piece))][1:] == [b"ok", "end"]
        assert decoder.held
        assert decoder.tunnel() == b"\x81"


def test_a_refused_upgrade_resumes_http() -> None:
    decoder = RequestDecoder()
    with pytest.raises(RuntimeError):
        decoder.resume()
    decoder.feed(b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n" + NEXT[:10])
    assert plain(decoder.resume()) == []
    assert plain(decoder.feed(NEXT[10:] + b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\nabc"))[1::2] == ["end", "end"]
    assert plain(decoder.resume()) == []
    assert plain(decoder.feed_eof()) == ["h1.eof.head"]
    assert decoder.tunnel() == b""
    assert decoder.resume() == []
    assert decoder.closed


@pytest.mark.parametrize(
    "fields", [b"Upgrade: x\r\n", b"Connection: upgrade\r\n", b"Upgrade: x\r\nConnection: close\r\n"]
)
def test_an_upgrade_needs_both_fields(fields: bytes) -> None:
    assert decode(requests(), G + HOST + fields + b"\r\n" + NEXT)[2:] == [request("GET", "/smuggled"), "end"]
    decoder = RequestDecoder()
    decoder.feed(b"GET / HTTP/1.0\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    assert not decoder.held


def test_what_is_held_is_bounded() -> None:
    decoder = RequestDecoder()
    decoder.feed(b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n" + b"x" * http1.MAX_HELD)
    assert plain(decoder.feed(b"x")) == ["h1.request.early"]
    assert decoder.tunnel() == b""


def test_body_data_is_passed_on_uncopied() -> None:
    decoder = responses()()
    decoder.feed(O + b"Content-Length: 9\r\n\r\n")
    for piece in (b"abc", b"def", b"ghi"):
        assert decoder.feed(piece)[0] is piece
    decoder.expect("GET")
    decoder.feed(O + b"\r\n")
    assert decoder.feed(piece)[0] is piece
    decoder = responses()()
    decoder.feed(O + CHUNKED + b"6\r\n")
    assert decoder.feed(piece)[0] is piece


def test_heads_give_the_bytes_back() -> None:
    head = responses()().feed(O + b"x-A:\xc3\xa9\xff \r\n" + CL2)[0]
    assert isinstance(head, ResponseHead)
    assert head.raw_headers == ((b"x-A", b"\xc3\xa9\xff"), (b"Content-Length", b"2"))
    assert repr(head) == "<ResponseHead 200 'OK' length=2 keep_alive=True>"
    asked = RequestDecoder().feed(G + HOST + b"\r\n")[0]
    assert isinstance(asked, RequestHead)
    assert repr(asked) == "<RequestHead GET '/' length=0 keep_alive=True>"


def test_errors_say_what_came_and_which_option_counts() -> None:
    for data, words in (
        (b"ICY 200 OK\r\n", ["HTTP/1.1", "ICY"]),
        (O + b"X: " + b"a" * 9000 + b"\r\n\r\n", ["8190", "value of X", "max_field_size"]),
        (b"HTTP/1.1 200 " + b"a" * 9000, ["8190", "max_line_size"]),
        (O + b"X: a\r\n" * 200 + b"\r\n", ["128", "max_headers"]),
        (O + b"bad name: \x00\r\n\r\n", ["not a token", r"bad name: \x00"]),
    ):
        error = responses()().feed(data)[-1]
        assert isinstance(error, ProtocolError)
        for word in words:
            assert word in error.message


# ---- encoding


def test_encode_heads() -> None:
    fields = [("Host", "a"), ("X", "")]
    assert encode_request("GET", "/é", HttpVersion11, fields) == "GET /é HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".encode()
    assert encode_response(200, "OK", HttpVersion10, []) == b"HTTP/1.0 200 OK\r\n\r\n"
    assert encode_response(599, "", HttpVersion11, [("A", "b")]) == b"HTTP/1.1 599 \r\nA: b\r\n\r\n"


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "GÉT", "GET\x00", "G:T"])
def test_methods_that_are_not_sent(method: str) -> None:
    with pytest.raises(ValueError, match="method"):
        encode_request(method, "/", HttpVersion11, [])


@pytest.mark.parametrize("target", ["", "/a b", "/\r\nX: y", "/\x00", "/ HTTP/1.1\r\n\r\nGET /", "/\n"])
def test_targets_that_are_not_sent(target: str) -> None:
    with pytest.raises(ValueError, match=r"target|control"):
        encode_request("GET", target, HttpVersion11, [])


@pytest.mark.parametrize(("status", "reason"), [(200, "a\r\nb"), (200, "a\nb"), (200, "\x00"), (99, "a"), (1000, "a")])
def test_status_lines_that_are_not_sent(status: int, reason: str) -> None:
    with pytest.raises(ValueError, match=r"control|status"):
        encode_response(status, reason, HttpVersion11, [])


def test_what_is_encoded_is_decoded() -> None:
    head = encode_response(200, "Fine \udce9", HttpVersion11, [("X", "é\udce9"), *TE])
    expected = [response(200, "chunked", True, "Fine \udce9", pairs=(("X", "é\udce9"), *TE)), b"ok", "end"]
    assert decode(responses(), head + encode_chunk(b"ok") + LAST_CHUNK) == expected


def test_one_by_one_each_request_waits_for_the_answer_to_the_one_before() -> None:
    decoder = RequestDecoder(one_by_one=True)
    first, second = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
    events = decoder.feed(first + second + first[:20])
    assert [getattr(event, "target", event) for event in events] == ["/1", b"ab", END]
    assert decoder.held
    assert not decoder.upgrading
    assert decoder.held_size == len(second) + 20
    assert [getattr(event, "target", event) for event in decoder.resume()] == ["/2", END]
    assert decoder.held_size == 20
    assert list(decoder.resume()) == []
    assert [getattr(event, "target", event) for event in decoder.feed(first[20:])] == ["/1", b"ab", END]


def test_a_repeated_request_has_the_head_of_the_first() -> None:
    decoder = RequestDecoder()
    data = b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
    first, again = decoder.feed(data), decoder.feed(bytes(bytearray(data)))
    assert first[0] is again[0]
    other = decoder.feed(data.replace(b"/2", b"/3"))
    assert other[0].target == "/3"  # type: ignore[union-attr]
    assert decoder.feed(data)[0].target == "/2"  # type: ignore[union-attr]


def test_a_request_for_an_upgrade_is_not_remembered() -> None:
    decoder = RequestDecoder()
    data = b"GET /2 HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    for _ in range(2):
        decoder.feed(data)
        assert decoder.held
        assert decoder.upgrading
        assert decoder.resume() == []
