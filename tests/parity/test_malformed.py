"""Parity of the answer to odd and malformed responses: refused with which classes, or accepted and shown how.

The wording of parser errors is not compared; the classes, status, request and history of the exception are.
"""

from __future__ import annotations

import gzip
import zlib

import pytest
from tests.parity.compare import Shot, fire, same, table
from tests.peers.raw import RawConnection, chunks

O = b"HTTP/1.1 200 OK\r\n"
CL = O + b"Content-Length: 2\r\n"
BODY = b"Content-Length: 2\r\n\r\nok"


def status(line: bytes, rest: bytes = BODY) -> Shot:
    return Shot(line + b"\r\n" + rest, sent=False)


def field(line: bytes) -> Shot:
    return Shot(CL + line + b"\r\n\r\nok", sent=False)


def framed(fields: bytes, body: bytes = b"ok", close: bool = False) -> Shot:
    return Shot(O + fields + b"\r\n\r\n" + body, sent=False, close=close)


STATUS_LINES = {
    "garbage": Shot(b"garbage\r\n\r\n", sent=False),
    "html": Shot(b"<html>hello\r\n", close=True, sent=False),
    "no version": status(b"200 OK"),
    "icy": status(b"ICY 200 OK"),
    "lower case": status(b"http/1.1 200 OK"),
    "HTTP/2": status(b"HTTP/2 200 OK"),
    "HTTP/2.0": status(b"HTTP/2.0 200 OK"),
    "HTTP/0.9": status(b"HTTP/0.9 200 OK"),
    "HTTP/1.2": status(b"HTTP/1.2 200 OK"),
    "HTTP/1.0": status(b"HTTP/1.0 200 OK"),
    "HTTP/11.1": status(b"HTTP/11.1 200 OK"),
    "HTTP/3.0": status(b"HTTP/3.0 200 OK"),
    "HTTP/1.": status(b"HTTP/1. 200 OK"),
    "HTTP/a.b": status(b"HTTP/a.b 200 OK"),
    "no reason": status(b"HTTP/1.1 200"),
    "empty reason": status(b"HTTP/1.1 200 "),
    "two spaces": status(b"HTTP/1.1  200 OK"),
    "reason starts with a space": status(b"HTTP/1.1 200  OK"),
    "tab": status(b"HTTP/1.1\t200 OK"),
    "status 20": status(b"HTTP/1.1 20 OK"),
    "status 2000": status(b"HTTP/1.1 2000 OK"),
    "status 099": status(b"HTTP/1.1 099 OK"),
    "status 600": status(b"HTTP/1.1 600 Odd"),
    "status 999": status(b"HTTP/1.1 999 Odd"),
    "status letters": status(b"HTTP/1.1 abc OK"),
    "status negative": status(b"HTTP/1.1 -20 OK"),
    "status arabic digits": status("HTTP/1.1 ٢٠٠ OK".encode()),
    "reason latin-1": status(b"HTTP/1.1 200 \xe9\xff"),
    "reason utf-8": status("HTTP/1.1 200 é".encode()),
    "reason NUL": status(b"HTTP/1.1 200 a\x00b"),
    "reason control": status(b"HTTP/1.1 200 a\x01b"),
    "reason tab": status(b"HTTP/1.1 200 a\tb "),
    "reason CR": status(b"HTTP/1.1 200 a\rb"),
    "empty lines before": Shot(b"\r\n\r\nHTTP/1.1 200 OK\r\n" + BODY, sent=False),
    "space before": status(b" HTTP/1.1 200 OK"),
    "reason of 8170": status(b"HTTP/1.1 200 " + b"a" * 8170),
    "reason of 9000": status(b"HTTP/1.1 200 " + b"a" * 9000),
}

LONG = b"X: " + b"a" * 100 + b"\r\n\r\nok"
FIELDS = {
    "space before colon": field(b"X : a"),
    "tab before colon": field(b"X\t: a"),
    "NUL in value": field(b"X: a\x00b"),
    "control in value": field(b"X: a\x01b\x7f"),
    "vertical tab in value": field(b"X: a\x0bb\x0c"),
    "CR in value": field(b"X: a\rb"),
    "empty name": field(b": a"),
    "no colon": field(b"Xabc"),
    "parenthesis in name": field(b"X(y): a"),
    "control in name": field(b"X\x01: a"),
    "latin-1 in name": field(b"X\xe9: a"),
    "space in name": field(b"X Y: a"),
    "slash in name": field(b"X/Y: a"),
    "at in name": field(b"X@Y: a"),
    "quote in name": field(b'X"Y: a'),
    "every token character": field(b"!#$%&'*+-.^_`|~09azAZ: a"),
    "latin-1 in value": field(b"X: \xe9"),
    "utf-8 in value": field("X: é".encode()),
    "space around value": field(b"X: \t a b \t "),
    "no space": field(b"X:a"),
    "empty value": field(b"X:\r\nY: "),
    "repeated": field(b"X: a\r\nx: b"),
    "obs-fold": field(b"X: a\r\n b\r\n\tc"),
    "fold on first line": Shot(O + b" X: a\r\n" + BODY, sent=False),
    "bare LF everywhere": Shot(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", sent=False),
    "bare LF after a field": Shot(O + b"X: a\n" + BODY, sent=False),
    "bare LF at the end": Shot(CL + b"\nok", sent=False),
    "bare LF after status": Shot(b"HTTP/1.1 200 OK\n" + BODY, sent=False),
    "bare CR everywhere": Shot(b"HTTP/1.1 200 OK\rContent-Length: 2\r\r", close=True, sent=False),
    "value of 8190": field(b"X: " + b"a" * 8190),
    "value of 8191": field(b"X: " + b"a" * 8191),
    "value of 70000": field(b"X: " + b"a" * 70_000),
    "name of 9000": field(b"a" * 9000 + b": v"),
    "128 fields": field(b"\r\n".join(b"X-%d: v" % i for i in range(127))),
    "129 fields": field(b"\r\n".join(b"X-%d: v" % i for i in range(128))),
    "1000 fields": field(b"\r\n".join(b"X-%d: v" % i for i in range(1000))),
    "endless head": Shot(O + b"X: a\r\n" * 100_000, sent=False),
    "session max_field_size": Shot(CL + LONG, session={"max_field_size": 50}, sent=False),
    "session max_headers": Shot(CL + b"X: a\r\nY: b\r\n\r\nok", session={"max_headers": 2}, sent=False),
    "request max_field_size": Shot(CL + LONG, options={"max_field_size": 50}, sent=False),
    "request max_headers": Shot(CL + b"X: a\r\nY: b\r\n\r\nok", options={"max_headers": 2}, sent=False),
    "request max_line_size": Shot(
        b"HTTP/1.1 200 " + b"r" * 100 + b"\r\n" + BODY, options={"max_line_size": 50}, sent=False
    ),
    "larger max_field_size": Shot(
        CL + b"X: " + b"a" * 20_000 + b"\r\n\r\nok", session={"max_field_size": 30_000}, sent=False
    ),
}

LENGTHS = {
    "+2": framed(b"Content-Length: +2"),
    "0x2": framed(b"Content-Length: 0x2"),
    "-1": framed(b"Content-Length: -1"),
    "empty": framed(b"Content-Length:"),
    "2_0": framed(b"Content-Length: 2_0"),
    "02": framed(b"Content-Length: 02"),
    "huge": framed(b"Content-Length: 99999999999999999999999"),
    "space after": framed(b"Content-Length: 2 "),
    "list same": framed(b"Content-Length: 2, 2"),
    "twice same": framed(b"Content-Length: 2\r\nContent-Length: 2"),
    "twice different": framed(b"Content-Length: 2\r\nContent-Length: 3"),
    "letters": framed(b"Content-Length: abc"),
    "fraction": framed(b"Content-Length: 1.5"),
    "arabic": framed("Content-Length: ٢".encode()),
    "folded": framed(b"Content-Length:\r\n 2"),
    "and chunked": framed(b"Content-Length: 2\r\nTransfer-Encoding: chunked", chunks(b"ok")),
    "after chunked": framed(b"Transfer-Encoding: chunked\r\nContent-Length: 2", chunks(b"ok")),
    "none": framed(b"X: 1", close=True),
    "none keep-alive": framed(b"Connection: keep-alive", close=True),
    "none read_until_eof false": Shot(O + b"\r\nabc", options={"read_until_eof": False}, sent=False),
    "0": framed(b"Content-Length: 0", b""),
}

CODINGS = {
    "gzip": framed(b"Transfer-Encoding: gzip", close=True),
    "gzip, chunked": framed(b"Transfer-Encoding: gzip, chunked", chunks(b"ok")),
    "identity": framed(b"Transfer-Encoding: identity", close=True),
    "identity and length": framed(b"Transfer-Encoding: identity\r\nContent-Length: 2"),
    "CHUNKED": framed(b"Transfer-Encoding: CHUNKED", chunks(b"ok")),
    "chunked, chunked": framed(b"Transfer-Encoding: chunked, chunked", chunks(b"ok")),
    "chunked twice": framed(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", chunks(b"ok")),
    "chunked, gzip": framed(b"Transfer-Encoding: chunked, gzip", close=True),
    "xchunked": framed(b"Transfer-Encoding: xchunked", close=True),
    "empty": framed(b"Transfer-Encoding:", close=True),
    "space around": framed(b"Transfer-Encoding: \tchunked ", chunks(b"ok")),
    "HTTP/1.0": Shot(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"ok"), sent=False, close=True),
}


def chunked(data: bytes) -> Shot:
    return framed(b"Transfer-Encoding: chunked", data)


CHUNKS = {
    "letters": chunked(b"zz\r\nok\r\n0\r\n\r\n"),
    "negative": chunked(b"-2\r\nok\r\n0\r\n\r\n"),
    "0x": chunked(b"0x2\r\nok\r\n0\r\n\r\n"),
    "space after size": chunked(b"2 \r\nok\r\n0\r\n\r\n"),
    "space before size": chunked(b" 2\r\nok\r\n0\r\n\r\n"),
    "underscore": chunked(b"1_0\r\n0123456789012345\r\n0\r\n\r\n"),
    "upper case": chunked(b"A\r\n0123456789\r\n0\r\n\r\n"),
    "leading zeros": chunked(b"002\r\nok\r\n000\r\n\r\n"),
    "huge": chunked(b"fffffffffffffffffffff\r\nok\r\n"),
    "empty size": chunked(b"\r\nok\r\n0\r\n\r\n"),
    "extension": chunked(b'2;a=b;c="d"\r\nok\r\n0;z\r\n\r\n'),
    "extension with LF": chunked(b"2;a\nb\r\nok\r\n0\r\n\r\n"),
    "extension with spaces": chunked(b"2 ; a = b\r\nok\r\n0\r\n\r\n"),
    "extension of 20000": chunked(b"2;" + b"a" * 20_000 + b"\r\nok\r\n0\r\n\r\n"),
    "data too long": chunked(b"2\r\nokk\r\n0\r\n\r\n"),
    "bare LF": chunked(b"2\nok\n0\n\n"),
    "bare LF after data": chunked(b"2\r\nok\n0\r\n\r\n"),
    "CR CR": chunked(b"2\r\rok\r\n0\r\n\r\n"),
    "trailer": chunked(b"2\r\nok\r\n0\r\nX-T: v\r\n\r\n"),
    "trailer bad": chunked(b"2\r\nok\r\n0\r\nbad\r\n\r\n"),
    "trailer Content-Length": chunked(b"2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n"),
    "trailers 300": chunked(b"2\r\nok\r\n0\r\n" + b"".join(b"X-%d: v\r\n" % i for i in range(300)) + b"\r\n"),
    "trailer of 20000": chunked(b"2\r\nok\r\n0\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"),
    "empty": chunked(b"0\r\n\r\n"),
    "many small": chunked(chunks(*[b"x"] * 500)),
}

INTERIM = {
    **{f"103 x{n}": Shot(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * n + CL + b"\r\nok") for n in (1, 5, 20)},
    "100 unasked": Shot(b"HTTP/1.1 100 Continue\r\n\r\n" + CL + b"\r\nok"),
    "102": Shot(b"HTTP/1.1 102 Processing\r\n\r\n" + CL + b"\r\nok"),
    "199": Shot(b"HTTP/1.1 199 Odd\r\n\r\n" + CL + b"\r\nok"),
    "101 unasked": Shot(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\nabc", close=True
    ),
    "101 without upgrade": Shot(b"HTTP/1.1 101 Switching Protocols\r\n\r\nabc", close=True),
    "100 with length": Shot(b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n" + CL + b"\r\nok"),
}

BODILESS = {
    "204 with length": Shot(b"HTTP/1.1 204 N\r\nContent-Length: 2\r\n\r\n"),
    "304 with length": Shot(b"HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n"),
    "204 chunked": Shot(b"HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "304 chunked": Shot(b"HTTP/1.1 304 N\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "205": Shot(b"HTTP/1.1 205 N\r\nContent-Length: 0\r\n\r\n"),
    "HEAD length": Shot(b"HTTP/1.1 200 N\r\nContent-Length: 5\r\n\r\n", method="HEAD"),
    "HEAD chunked": Shot(b"HTTP/1.1 200 N\r\nTransfer-Encoding: chunked\r\n\r\n", method="HEAD"),
    "HEAD no length": Shot(b"HTTP/1.1 200 N\r\n\r\n", method="HEAD"),
    "HEAD gzip": Shot(b"HTTP/1.1 200 N\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n", method="HEAD"),
    "204 gzip": Shot(b"HTTP/1.1 204 N\r\nContent-Encoding: gzip\r\n\r\n"),
    "304 gzip": Shot(b"HTTP/1.1 304 N\r\nContent-Encoding: gzip\r\n\r\n"),
    "CONNECT 200": Shot(b"HTTP/1.1 200 N\r\n\r\nabc", method="CONNECT", close=True),
    "CONNECT 200 with length": Shot(CL + b"\r\nok", method="CONNECT", close=True),
    "extra response": Shot(CL + b"\r\nok" + CL + b"\r\nno"),
    "extra bytes": Shot(CL + b"\r\nokEXTRA"),
    "extra bytes after chunks": chunked(chunks(b"ok") + b"EXTRA"),
    "204 with body": Shot(b"HTTP/1.1 204 N\r\n\r\nabc"),
    "HEAD with body": Shot(CL + b"\r\nok", method="HEAD"),
    "extra CRLF": Shot(CL + b"\r\nok\r\n"),
}

GZIPPED = gzip.compress(b"hello" * 10, mtime=0)


def coded(coding: bytes, body: bytes) -> bytes:
    return O + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(body)) + body


CONTENT_CODINGS = {
    "gzip": Shot(coded(b"gzip", GZIPPED), sent=False),
    "GZIP": Shot(coded(b"GZIP", GZIPPED), sent=False),
    "deflate zlib": Shot(coded(b"deflate", zlib.compress(b"hi")), sent=False),
    "deflate raw": Shot(coded(b"deflate", zlib.compress(b"hi")[2:-4]), sent=False),
    "gzip bad": Shot(coded(b"gzip", b"notgzip"), sent=False),
    "gzip truncated": Shot(coded(b"gzip", GZIPPED[:-6]), sent=False),
    "gzip half": Shot(coded(b"gzip", GZIPPED[:12]), sent=False),
    "gzip and junk": Shot(coded(b"gzip", GZIPPED + b"junk"), sent=False),
    "gzip two members": Shot(coded(b"gzip", GZIPPED + GZIPPED), sent=False),
    "gzip empty": Shot(coded(b"gzip", b""), sent=False),
    "br bad": Shot(coded(b"br", b"notbr"), sent=False),
    "zstd bad": Shot(coded(b"zstd", b"zzzz"), sent=False),
    "unknown": Shot(coded(b"foo", b"ab"), sent=False),
    "identity": Shot(coded(b"identity", b"ab"), sent=False),
    "x-gzip": Shot(coded(b"x-gzip", GZIPPED), sent=False),
    "gzip, gzip": Shot(coded(b"gzip, gzip", gzip.compress(GZIPPED, mtime=0)), sent=False),
    "deflate bad": Shot(coded(b"deflate", b"zzzz"), sent=False),
    "gzip chunked": framed(
        b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip", chunks(GZIPPED[:5], GZIPPED[5:20], GZIPPED[20:])
    ),
    "gzip until the end": Shot(O + b"Content-Encoding: gzip\r\n\r\n" + GZIPPED, close=True, sent=False),
    "session auto_decompress false": Shot(coded(b"gzip", GZIPPED), session={"auto_decompress": False}, sent=False),
    "request auto_decompress false": Shot(coded(b"gzip", GZIPPED), options={"auto_decompress": False}, sent=False),
}

CUT = {
    "at once": Shot(None, sent=False),
    "in status line": Shot(b"HTT", close=True, sent=False),
    "after status line": Shot(O, close=True, sent=False),
    "in a field": Shot(CL + b"X: ", close=True, sent=False),
    "before the empty line": Shot(CL, close=True, sent=False),
    "in a body with length": framed(b"Content-Length: 10", b"abc", close=True),
    "before a body with length": framed(b"Content-Length: 10", b"", close=True),
    "in a chunk": framed(b"Transfer-Encoding: chunked", b"5\r\nab", close=True),
    "in a chunk size": framed(b"Transfer-Encoding: chunked", b"2\r\nab\r\n5", close=True),
    "between chunks": framed(b"Transfer-Encoding: chunked", b"2\r\nab\r\n", close=True),
    "before the last CRLF": framed(b"Transfer-Encoding: chunked", b"2\r\nab\r\n0\r\n", close=True),
    "after 100": Shot(b"HTTP/1.1 100 Continue\r\n\r\n", close=True, sent=False),
    "gzip with length": Shot(coded(b"gzip", GZIPPED)[:-5], close=True, sent=False),
}


@table("status", STATUS_LINES)
async def test_status_lines(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("field", FIELDS)
async def test_fields(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("length", LENGTHS)
async def test_lengths(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("transfer coding", CODINGS)
async def test_transfer_codings(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("chunk", CHUNKS)
async def test_chunks(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("interim", INTERIM)
async def test_interim_responses(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("bodiless", BODILESS)
async def test_bodiless_responses(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("content coding", CONTENT_CODINGS)
async def test_content_codings(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("cut", CUT)
async def test_ends_of_connection(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


VALID = {
    "length": CL + b"X-A: 1\r\n\r\nok",
    "chunked": O + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(b"ab", b"c" * 20, trailer=b"T: v\r\n"),
    "interim": b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" + CL + b"\r\nok",
    "gzip": coded(b"gzip", GZIPPED),
}


@pytest.mark.parametrize("name", VALID)
async def test_a_response_byte_by_byte_reads_the_same(name: str) -> None:
    async def handler(connection: RawConnection) -> None:
        if await connection.request():
            await connection.send_each(VALID[name])
            await connection.read()

    await same(f"bytewise/{name}", lambda lib: fire(lib, Shot(handler)))


async def _reset_before(connection: RawConnection) -> None:
    await connection.request()
    connection.reset()


async def _reset_on_accept(connection: RawConnection) -> None:
    connection.reset()


@pytest.mark.parametrize("handler", [_reset_before, _reset_on_accept])
async def test_resets(handler: object) -> None:
    name = getattr(handler, "__name__", "").strip("_").replace("_", " ")
    await same(f"reset/{name}", lambda lib: fire(lib, Shot(handler, sent=False)))  # type: ignore[arg-type]


async def test_reset_in_the_body() -> None:
    async def look(response: object, session: object, names: object) -> object:
        from tests.parity.compare import outcome

        reading = await response.content.readany()  # type: ignore[attr-defined]
        release.set()
        return [reading, await outcome(names, response.read())]  # type: ignore[arg-type, attr-defined]

    import asyncio

    release = asyncio.Event()

    async def scenario(lib: object) -> dict[str, object]:
        nonlocal release
        release = asyncio.Event()

        async def handler(connection: RawConnection) -> None:
            await connection.request()
            await connection.send(O + b"Content-Length: 10\r\n\r\nabc")
            await release.wait()
            connection.reset()

        return await fire(lib, Shot(handler, look=look, sent=False))

    await same("reset/in the body", scenario)
