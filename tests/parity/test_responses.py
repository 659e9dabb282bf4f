"""Parity of `ClientResponse` and its stream: attributes, text and JSON rules, closing, and reading in every way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.parity.compare import Names, Shot, fire, outcome, same, table
from tests.peers.raw import RawConnection, chunks

Look = Callable[[Any, Any, Names], Awaitable[Any]]


def answer(body: bytes = b"", *fields: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def looking(look: Look, body: bytes = b"", *fields: str, status: str = "200 OK", **options: Any) -> Shot:
    return Shot(answer(body, *fields, status=status), look=look, sent=False, received=False, **options)


# --- attributes ------------------------------------------------------------------------------------------------------


async def attributes(r: Any, session: Any, names: Names) -> Any:
    before = {
        name: await outcome(names, lambda name=name: getattr(r, name))
        for name in (
            "method", "url", "real_url", "host", "status", "reason", "ok", "version", "headers", "raw_headers",
            "content_type", "charset", "content_length", "content_disposition", "cookies", "history", "links",
            "closed", "connection", "request_info",
        )
    }  # fmt: skip
    body = await r.read()
    again = [await r.read(), await r.text(), r.closed, r.connection, r.content.at_eof(), repr(r)]
    return [before, body, again, bool(r), type(r.cookies), type(r.headers), type(r.links)]


ATTRIBUTES = {
    "plain": looking(
        attributes, b"hello", "Content-Type: text/plain; charset=latin-1", "X: 1", "x: 2", path="p?q=1#frag"
    ),
    "empty": looking(attributes),
    "no reason": looking(attributes, b"x", status="299 "),
    "404": looking(attributes, b"x", status="404 Not Found"),
    "399": looking(attributes, b"x", status="399 Odd"),
    "cookies": looking(attributes, b"", "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d"),
    "HEAD": Shot(answer(b"")[:-2] + b"X: 1\r\n\r\n", method="HEAD", look=attributes, sent=False),
    "userinfo": looking(attributes, b"x", path="http://u:p@127.0.0.1:PORT/a?b#c"),
    "POST": looking(attributes, b"x", method="POST", options={"data": b"abc"}),
    "unusual content length": looking(attributes, b"x", "X-Content-Length: 5"),
}


@table("attributes", ATTRIBUTES)
async def test_attributes(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


# --- text and JSON ---------------------------------------------------------------------------------------------------


async def texts(r: Any, session: Any, names: Names) -> Any:
    before = await outcome(names, r.get_encoding)
    text = await outcome(names, r.text)
    return [r.content_type, r.charset, before, text, await outcome(names, r.get_encoding)]


TYPES = {
    "none": ([], b"\xc3\xa9"),
    "none undecodable": ([], b"\xff\xfe\xe9"),
    "latin-1": (["text/plain; charset=latin-1"], b"\xe9"),
    "unknown charset": (["text/plain; charset=foo"], b"\xc3\xa9"),
    "quoted charset": (['text/html; charset="ISO-8859-1"'], b"\xe9"),
    "json": (["application/json"], b'"\xc3\xa9"'),
    "json latin-1": (["application/json; charset=latin-1"], b'"\xe9"'),
    "json undecodable": (["application/json"], b'"\xe9"'),
    "rdap": (["application/rdap+json"], b'"\xe9"'),
    "no slash": (["foo"], b"\xc3\xa9"),
    "empty": ([""], b"a"),
    "two types": (["text/a", "text/b"], b"a"),
    "bom": (["text/plain; charset=utf-8"], b"\xef\xbb\xbfa"),
    "upper case": (["TEXT/HTML; CHARSET=UTF-8"], b"a"),
    "charset without value": (["text/html; charset"], b"a"),
    "parameters only": (["; charset=x"], b"a"),
    "control in charset": (["text/html; charset=a\x7fb"], b"a"),
    "hex": (["text/html; charset=hex"], b"a"),
    "utf-16": (["text/html; charset=utf-16"], "aé".encode("utf-16")),
    "spaces": (["text/html ; charset = utf-8 "], b"a"),
    "two charsets": (["text/html; charset=utf-8; charset=latin-1"], b"\xc3\xa9"),
    "empty charset": (["text/html; charset="], b"a"),
    "image": (["image/png"], b"\x89PNG"),
    "wildcard": (["*/*"], b"a"),
}


TEXTS = {name: looking(texts, body, *[f"Content-Type: {t}" for t in types]) for name, (types, body) in TYPES.items()}


@table("text", TEXTS)
async def test_text(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


def text(*args: Any, **kw: Any) -> Look:
    async def look(r: Any, session: Any, names: Names) -> Any:
        return await outcome(names, r.text(*args, **kw))

    return look


TEXT_ARGUMENTS = {
    "encoding": looking(text("latin-1"), b"\xe9"),
    "errors": looking(text(errors="replace"), b"\xe9"),
    "unknown encoding": looking(text(encoding="zz"), b"\xe9"),
    "resolver": looking(text(), b"\xe9", session={"fallback_charset_resolver": lambda r, body: "latin-1"}),
    "resolver with charset": looking(
        text(),
        b"\xc3\xa9",
        "Content-Type: a/b; charset=utf-8",
        session={"fallback_charset_resolver": lambda r, body: "latin-1"},
    ),
}


@table("text", TEXT_ARGUMENTS)
async def test_text_arguments(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


def json(**kw: Any) -> Look:
    async def look(r: Any, session: Any, names: Names) -> Any:
        found = await outcome(names, r.json(**kw))
        return [found, getattr(r, "closed", None)]

    return look


JSON = "Content-Type: application/json"
JSONS = {
    "ok": looking(json(), b'{"a":1}', JSON),
    "+json": looking(json(), b"1", "Content-Type: application/vnd.x+json; charset=utf-8"),
    "text/plain": looking(json(), b"1", "Content-Type: text/plain"),
    "no type": looking(json(), b"1"),
    "type none": looking(json(content_type=None), b"1", "Content-Type: text/html"),
    "type given": looking(json(content_type="text/html"), b"1", "Content-Type: text/html"),
    "type given and other": looking(json(content_type="text/html"), b"1", "Content-Type: application/x+json"),
    "type given with charset": looking(json(content_type="text/html"), b"1", "Content-Type: text/html; charset=utf-8"),
    "type empty": looking(json(content_type=""), b"1", "Content-Type: text/html"),
    "empty body": looking(json(), b"", JSON),
    "blank body": looking(json(), b"  \n", JSON),
    "bad": looking(json(), b"{", JSON),
    "upper case": looking(json(), b"1", "Content-Type: APPLICATION/JSON"),
    "loads": looking(json(loads=lambda text: ["loaded", text]), b"1", JSON),
    "encoding": looking(json(encoding="latin-1"), b'"\xe9"', JSON),
    "bom": looking(json(), b"\xef\xbb\xbf1", JSON),
    "text/json": looking(json(), b"1", "Content-Type: text/json"),
    "application/jsonx": looking(json(), b"1", "Content-Type: application/jsonx"),
    "application/json-seq": looking(json(), b"1", "Content-Type: application/json-seq"),
    "x-application/json": looking(json(), b"1", "Content-Type: x-application/json"),
    "404": looking(json(), b"1", "Content-Type: text/plain", status="404 Not Found"),
    "204": Shot(b"HTTP/1.1 204 N\r\nContent-Type: application/json\r\n\r\n", look=json(), sent=False),
}


@table("json", JSONS)
async def test_json(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


# --- header facts ----------------------------------------------------------------------------------------------------


async def disposition(r: Any, session: Any, names: Names) -> Any:
    found = r.content_disposition
    return found if found is None else [found.type, dict(found.parameters), found.filename]


DISPOSITIONS = [
    "attachment; filename=x.txt",
    'attachment; filename="a b.txt"; size=5',
    "attachment; filename*=UTF-8''%e2%82%ac.txt",
    "attachment; filename=a.txt; filename*=UTF-8''%e2%82%ac.txt",
    "inline",
    'form-data; name=f; filename=""',
    "ATTACHMENT; FileName=Q",
]


@table("disposition", {d: looking(disposition, b"", f"Content-Disposition: {d}") for d in DISPOSITIONS})
async def test_content_disposition(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


async def links(r: Any, session: Any, names: Names) -> Any:
    return r.links


LINKS = [
    '<http://example.com/page/1.html>; rel=next, <http://ex/2>; rel="prev"; title="x"',
    "</rel?a=b>; rel=next",
    "<a>",
    '<a>; rel="next prev"',
    "garbage",
    "<>; rel=x",
    "<a>; rel=1; rel=2",
    "<a,b>; rel=z",
    "<a>; title='q;w'; rel=u",
    "<a>; rel=\"x\"; title*=UTF-8''y",
    "<http://h/?q=a,b>; rel=c, <d>; rel=e",
    "<a>;rel=b,<c>;rel=d",
]


@table("links", {link: looking(links, b"", f"Link: {link}", path="dir/page") for link in LINKS})
async def test_links(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


async def stored(r: Any, session: Any, names: Names) -> Any:
    def facts(m: Any) -> Any:
        attributes = ("path", "domain", "max-age", "httponly", "secure", "samesite", "expires")
        return [m.key, m.value, *(m[k] for k in attributes)]

    return [[facts(m) for m in r.cookies.values()], sorted(facts(m) for m in session.cookie_jar)]


SET_COOKIES = [
    ["a=b"],
    ["a=b; Path=/x; Max-Age=5; HttpOnly; Secure; SameSite=Lax"],
    ["a=b", "a=c"],
    ['a="q r"'],
    ["bad"],
    ["=v"],
    ["a="],
    ["a=b; Domain=127.0.0.1"],
    ["a=b; Domain=example.com"],
    ["a=b; Expires=Wed, 21 Oct 2055 07:28:00 GMT"],
    ["a=b; Expires=Wed, 21 Oct 2015 07:28:00 GMT"],
    ["a=b; Max-Age=0"],
    ["a=b; Max-Age=-1"],
    ["a=b; Max-Age=x"],
    ["a=b, c=d"],
    ["a{}=b"],
    ["a=b c=d"],
    ["a=é"],
    ["a=b; Path=nope"],
    ["a=b;Path=/;path=/y"],
    ["__Host-a=b; Path=/"],
    ["a=b;;; ;Secure"],
]


@pytest.mark.parametrize("lines", SET_COOKIES, ids=lambda lines: " & ".join(lines))
async def test_set_cookies(lines: list[str]) -> None:
    shot = looking(
        stored, b"", *[f"Set-Cookie: {line}" for line in lines], path="x/y",
        session=lambda lib: {"cookie_jar": lib.CookieJar(unsafe=True)},
    )  # fmt: skip
    await same(f"set-cookie/{' & '.join(lines)}", lambda lib: fire(lib, shot))


# --- raise_for_status ------------------------------------------------------------------------------------------------


async def raising(r: Any, session: Any, names: Names) -> Any:
    return [r.ok, await outcome(names, r.raise_for_status), r.closed, r.connection is None]


async def hook(r: Any) -> None:
    if r.status == 404:
        raise KeyError(await r.text())


RAISING = {
    **{
        status: looking(raising, b"body", status=status, options={"allow_redirects": False})
        for status in ["200 OK", "301 X", "399 X", "400 Bad", "404 Not Found", "500 E", "600 E", "999 ", "404 "]
    },
    "session": looking(raising, b"b", status="404 NF", session={"raise_for_status": True}),
    "request": looking(raising, b"b", status="404 NF", options={"raise_for_status": True}),
    "session but not request": looking(
        raising, b"b", status="404 NF", session={"raise_for_status": True}, options={"raise_for_status": False}
    ),
    "session hook": looking(raising, b"b", status="404 NF", session={"raise_for_status": hook}),
    "session hook ok": looking(raising, b"b", session={"raise_for_status": hook}),
    "request hook": looking(raising, b"b", status="404 NF", options={"raise_for_status": hook}),
    "session hook but request true": looking(
        raising, b"b", status="404 NF", session={"raise_for_status": hook}, options={"raise_for_status": True}
    ),
}


@table("raise_for_status", RAISING)
async def test_raise_for_status(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


# --- closing ---------------------------------------------------------------------------------------------------------


async def stalled(connection: RawConnection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    await connection.read()


async def cut(connection: RawConnection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")


async def after_release(r: Any, session: Any, names: Names) -> Any:
    released = r.release()
    return [
        released is None,
        await released,
        r.closed,
        r.connection,
        await outcome(names, r.read),
        await outcome(names, r.text),
        await outcome(names, r.json),
        await outcome(names, r.content.read),
    ]


async def after_close(r: Any, session: Any, names: Names) -> Any:
    return [
        r.close(),
        r.closed,
        r.connection,
        await outcome(names, r.read),
        await outcome(names, r.text),
        await outcome(names, r.content.read),
        await outcome(names, r.content.readany),
        await outcome(names, r.content.readline),
    ]


async def after_context(r: Any, session: Any, names: Names) -> Any:
    async with r:
        pass
    return [r.closed, await outcome(names, r.read), await outcome(names, r.content.read)]


async def read_then_context(r: Any, session: Any, names: Names) -> Any:
    async with r:
        await r.read()
    return [r.closed, await outcome(names, r.read), await outcome(names, r.text), await outcome(names, r.content.read)]


async def some_then_read(r: Any, session: Any, names: Names) -> Any:
    return [await r.content.read(1), await r.read(), await r.read(), r.closed]


async def content_then_read(r: Any, session: Any, names: Names) -> Any:
    return [await r.content.read(), await outcome(names, r.read), await outcome(names, r.text), r.closed]


async def waiting_for_close(r: Any, session: Any, names: Names) -> Any:
    await r.read()
    return [await outcome(names, r.wait_for_close), r.closed]


async def session_closed(r: Any, session: Any, names: Names) -> Any:
    await session.close()
    return [r.closed, await outcome(names, r.read)]


async def read_twice(r: Any, session: Any, names: Names) -> Any:
    first, second = await outcome(names, r.read), await outcome(names, r.read)
    return [first, second, r.closed, r.connection, await outcome(names, r.content.read)]


async def pieces(r: Any, session: Any, names: Names) -> Any:
    return [await outcome(names, r.content.read(2)) for _ in range(3)]


async def cancelled(r: Any, session: Any, names: Names) -> Any:
    task = asyncio.ensure_future(r.read())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    return [task.cancelled(), r.closed, r.connection]


async def closed_meanwhile(r: Any, session: Any, names: Names) -> Any:
    task = asyncio.ensure_future(r.read())
    await asyncio.sleep(0.01)
    r.close()
    return await outcome(names, task)


async def two_readers(r: Any, session: Any, names: Names) -> Any:
    task = asyncio.ensure_future(r.content.read())
    await asyncio.sleep(0.01)
    second = await outcome(names, r.content.read)
    task.cancel()
    await asyncio.wait([task])
    return second


async def connection_facts(r: Any, session: Any, names: Names) -> Any:
    connection = r.connection
    before = [connection.closed, connection.transport is not None, connection.protocol is not None, r.closed]
    members = ("add_callback", "close", "closed", "loop", "protocol", "release", "transport")
    before += [hasattr(connection, name) for name in members]
    r.close()
    return [before, connection.closed, connection.transport]


def whole(look: Look) -> Shot:
    return looking(look, b"abc")


def partial(look: Look) -> Shot:
    return Shot(stalled, look=look, sent=False, received=False)


CLOSING = {
    "release whole": whole(after_release),
    "close whole": whole(after_close),
    "context whole": whole(after_context),
    "read then context": whole(read_then_context),
    "some then read": whole(some_then_read),
    "content then read": whole(content_then_read),
    "wait_for_close": whole(waiting_for_close),
    "session closed whole": whole(session_closed),
    "release part": partial(after_release),
    "close part": partial(after_close),
    "context part": partial(after_context),
    "session closed part": partial(session_closed),
    "cancelled read": partial(cancelled),
    "close during read": partial(closed_meanwhile),
    "two readers": partial(two_readers),
    "connection": partial(connection_facts),
    "cut read twice": Shot(cut, look=read_twice, sent=False, received=False),
    "cut in pieces": Shot(cut, look=pieces, sent=False, received=False),
}


@table("closing", CLOSING)
async def test_closing(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


# --- the stream ------------------------------------------------------------------------------------------------------


async def operations(r: Any, session: Any, names: Names) -> Any:
    c = r.content
    seen = [await c.read(0), await c.readline(), await c.readexactly(3), await c.readuntil(b";"), c.at_eof()]
    c.unread_data(b"ZZ")
    seen += [await c.read(2), await outcome(names, c.readexactly(100)), c.at_eof(), c.is_eof()]
    seen += [c.total_bytes, c.total_raw_bytes, c.exception(), await c.read(), await c.readany(), await c.readchunk()]
    seen += [await c.readline(), await outcome(names, c.read_nowait), await outcome(names, c.readexactly(1))]
    seen += [await c.read(-5), await outcome(names, c.readuntil(b"")), await c.wait_eof()]
    return seen


async def long_line(r: Any, session: Any, names: Names) -> Any:
    return [await outcome(names, r.content.readline), await outcome(names, r.content.read(5))]


async def limited_line(r: Any, session: Any, names: Names) -> Any:
    return [
        await outcome(names, r.content.readline(max_line_length=10)),
        await outcome(names, r.content.read(5)),
    ]


async def limited_until(r: Any, session: Any, names: Names) -> Any:
    return [await outcome(names, r.content.readuntil(b"z", max_size=4))]


def collected(iterate: Callable[[Any], Any]) -> Look:
    async def look(r: Any, session: Any, names: Names) -> Any:
        return [piece async for piece in iterate(r)]

    return look


async def nowait(r: Any, session: Any, names: Names) -> Any:
    return [await outcome(names, lambda: r.content.read_nowait(2)), await outcome(names, r.content.read_nowait)]


async def on_eof(r: Any, session: Any, names: Names) -> Any:
    called: list[int] = []
    r.content.on_eof(lambda: called.append(1))
    await r.read()
    return called


async def empty(r: Any, session: Any, names: Names) -> Any:
    c = r.content
    return [
        type(c), await c.read(), await c.readany(), await c.readline(),
        await outcome(names, c.readexactly(1)), await outcome(names, c.readexactly(0)), c.at_eof(), c.is_eof(),
        c.total_bytes, await c.wait_eof(), await outcome(names, c.read_nowait), c.exception(),
    ]  # fmt: skip


async def iterate_response(r: Any, session: Any, names: Names) -> Any:
    async def walk() -> list[Any]:
        return [line async for line in r]

    return await outcome(names, walk())


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"abc", b"de")
LINES = b"a\nb\n\nc"
STREAMS = {
    "operations": looking(operations, b"line1\nabcdef;gh"),
    "line over the limit": looking(long_line, b"a" * 300 + b"\n", session={"read_bufsize": 16}),
    "line over max_line_length": looking(limited_line, b"a" * 300 + b"\n"),
    "until over max_size": looking(limited_until, b"a" * 300 + b"\n"),
    "iter_chunks chunked": Shot(CHUNKED, look=collected(lambda r: r.content.iter_chunks()), sent=False),
    "iter_chunks length": looking(collected(lambda r: r.content.iter_chunks()), b"abcdef"),
    "iter_chunks empty": looking(collected(lambda r: r.content.iter_chunks())),
    "iter_any chunked": Shot(CHUNKED, look=collected(lambda r: r.content.iter_any()), sent=False),
    "iter_chunked": Shot(CHUNKED, look=collected(lambda r: r.content.iter_chunked(2)), sent=False),
    "lines": looking(collected(lambda r: r.content), LINES),
    "lines none": looking(collected(lambda r: r.content)),
    "iterate the response": looking(iterate_response, LINES),
    "read_nowait": looking(nowait, b"abcdef"),
    "on_eof": looking(on_eof, b"abc"),
    "empty": looking(empty),
    "empty HEAD": Shot(answer(), method="HEAD", look=empty, sent=False),
}


@table("stream", STREAMS)
async def test_streams(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@pytest.mark.parametrize("size", [1, 7, 48, 49, 50, 51, 52])
async def test_iter_chunks_does_not_see_how_the_bytes_were_cut(size: int) -> None:
    async def handler(connection: RawConnection) -> None:
        if await connection.request():
            await connection.send_each(CHUNKED, size)
            await connection.read()

    async def look(r: Any, session: Any, names: Names) -> Any:
        found: list[bytes] = [b""]
        async for data, end in r.content.iter_chunks():
            found[-1] += data
            if end:
                found.append(b"")
        return found

    await same(f"stream/split {size}", lambda lib: fire(lib, Shot(handler, look=look, sent=False)))


async def test_a_response_of_several_mebibytes_is_whole() -> None:
    body = bytes(range(256)) * 16384

    async def look(r: Any, session: Any, names: Names) -> Any:
        got = bytearray()
        async for piece in r.content.iter_any():
            got += piece
        return [len(got), bytes(got) == body, r.content.total_bytes, r.closed]

    shot = Shot(answer(body), look=look, sent=False, received=False)
    await same("stream/large", lambda lib: fire(lib, shot))
