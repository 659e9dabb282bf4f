"""Handlers whose answers are compared between aiohttp.web and fairlead.web.

In: nothing. Out: `SCENES`, name to `Scene`: a handler that is given the web module, the library, the request and a list
for notes, and the requests that it is asked with.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from multidict import CIMultiDict


@dataclass
class Context:
    """What a handler can use: the libraries, the request, and a place for notes that are compared."""

    web: Any
    library: Any
    request: Any
    notes: list[Any]
    kept: dict[str, Any]
    """The same for all requests of a scene."""

    async def attempt(self, what: Any) -> Any:
        """Await (or call) `what`; note the class of the exception if it fails."""
        try:
            value = what() if callable(what) else what
            return await value if hasattr(value, "__await__") else value
        except (Exception, asyncio.CancelledError) as exc:
            self.notes.append(type(exc).__name__)
            return None


Handler = Callable[[Context], Awaitable[Any]]


def ask(
    method: str = "GET", *fields: str, version: str = "1.1", body: bytes = b"", path: str = "/scene"
) -> tuple[bytes, ...]:
    lines = [f"{method} {path} HTTP/{version}", "Host: a.example", *fields]
    if body and not any("Transfer-Encoding" in line for line in fields):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join([*lines, "", ""]).encode() + body,)


USUAL: dict[str, tuple[bytes, ...]] = {
    "GET": ask(),
    "HEAD": ask("HEAD"),
    "POST": ask("POST", body=b"not read"),
    "1.0": ask(version="1.0"),
    "1.0 keep-alive": ask("GET", "Connection: keep-alive", version="1.0"),
    "close": ask("GET", "Connection: close"),
}

CODINGS: dict[str, tuple[bytes, ...]] = {
    "none": ask(),
    "gzip": ask("GET", "Accept-Encoding: gzip"),
    "deflate": ask("GET", "Accept-Encoding: deflate"),
    "both": ask("GET", "Accept-Encoding: gzip, deflate"),
    "other": ask("GET", "Accept-Encoding: br, zstd"),
    "identity": ask("GET", "Accept-Encoding: identity"),
    "HEAD": ask("HEAD", "Accept-Encoding: gzip"),
    "1.0": ask("GET", "Accept-Encoding: gzip", version="1.0"),
    "1.0 keep-alive": ask("GET", "Accept-Encoding: gzip", "Connection: keep-alive", version="1.0"),
}

ONLY_GET = {"GET": ask()}


@dataclass
class Scene:
    handler: Handler
    requests: Mapping[str, tuple[bytes, ...]] = field(default_factory=lambda: USUAL)
    application: Mapping[str, Any] | Callable[[Any], Mapping[str, Any]] = field(default_factory=dict)
    prepare: Callable[[Any, Any], None] | None = None
    """Called with the web module and the application before it starts."""
    runner: Mapping[str, Any] = field(default_factory=dict)


SCENES: dict[str, Scene] = {}


def scene(name: str, requests: Mapping[str, tuple[bytes, ...]] = USUAL, **rest: Any) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        assert name not in SCENES, name
        SCENES[name] = Scene(handler, requests, **rest)
        return handler

    return keep


def simple(
    name: str, make: Callable[[Any], Any], requests: Mapping[str, tuple[bytes, ...]] = USUAL, **rest: Any
) -> None:
    """A scene whose handler returns what `make(web)` makes."""

    async def handler(c: Context) -> Any:
        return make(c.web)

    scene(name, requests, **rest)(handler)


def changed(name: str, change: Callable[[Any], Any], requests: Mapping[str, tuple[bytes, ...]] = USUAL) -> None:
    """A scene whose handler returns a text response after a change to it."""

    async def handler(c: Context) -> Any:
        response = c.web.Response(text="changed")
        await c.attempt(lambda: change(response))
        return response

    scene(name, requests)(handler)


def raising(name: str, make: Callable[[Any], BaseException], requests: Mapping[str, tuple[bytes, ...]] = USUAL) -> None:
    async def handler(c: Context) -> Any:
        raise make(c.web)

    scene(name, requests)(handler)


# ---- plain responses

simple("text", lambda web: web.Response(text="hello"))
simple("text outside ASCII", lambda web: web.Response(text="grüße"))
simple("text in latin-1", lambda web: web.Response(text="grüße", charset="latin-1"))
simple("text of a type", lambda web: web.Response(text="<p>", content_type="text/html"))
simple("empty text", lambda web: web.Response(text=""))
simple("bytes", lambda web: web.Response(body=b"hello"))
simple("bytes of a type", lambda web: web.Response(body=b"hello", content_type="image/png"))
simple("bytes of a type and charset", lambda web: web.Response(body=b"a", content_type="text/css", charset="utf-8"))
simple("no bytes", lambda web: web.Response(body=b""))
simple("bytearray", lambda web: web.Response(body=bytearray(b"hello")))
simple("memoryview", lambda web: web.Response(body=memoryview(b"hello")))
simple("str as body", lambda web: web.Response(body="hello"))
simple("nothing", lambda web: web.Response())
simple("body None", lambda web: web.Response(body=None, status=202))
simple("json", lambda web: web.json_response({"a": [1, "é", None]}))
simple("json body", lambda web: web.json_response(body=b"[]"))
simple("json text", lambda web: web.json_response(text="[]", status=201, reason="Made", headers={"X": "y"}))
simple("json dumps", lambda web: web.json_response({"b": 1}, dumps=lambda value: json.dumps(value, indent=1)))
simple("json bytes", lambda web: web.json_bytes_response({"b": 1}, dumps=lambda value: json.dumps(value).encode()))
simple("json type", lambda web: web.json_response({}, content_type="application/problem+json"))
simple("headers", lambda web: web.Response(text="a", headers={"X-One": "1", "x-two": "2", "Y": "é"}))
simple("repeated headers", lambda web: web.Response(headers=CIMultiDict([("X", "1"), ("x", "2"), ("Link", "<a>")])))
simple("header list", lambda web: web.Response(headers=[("X", "1"), ("X", "2")]))
simple("content type in headers", lambda web: web.Response(body=b"a", headers={"Content-Type": "a/b; c=d"}))
simple("content type in headers of text", lambda web: web.Response(text="a", headers={"Content-Type": "a/b"}))
simple("large", lambda web: web.Response(body=b"x" * 300_000))
simple("large text", lambda web: web.Response(text="x" * 100_000))

for status in (200, 201, 202, 203, 205, 206, 207, 226, 299, 300, 400, 418, 429, 451, 499, 500, 507, 511, 599, 700, 999):
    simple(f"status {status}", lambda web, status=status: web.Response(status=status, text="x"), {"GET": ask()})
for status in (100, 101, 102, 103, 199, 204, 304):
    simple(f"bodiless {status}", lambda web, status=status: web.Response(status=status))
    simple(f"bodiless {status} with text", lambda web, status=status: web.Response(status=status, text="x"))
for status in (0, 1, 99, 1000):
    simple(f"status {status}", lambda web, status=status: web.Response(status=status), {"GET": ask()})
simple("status as text", lambda web: web.Response(status="201"), ONLY_GET)
simple("reason", lambda web: web.Response(reason="Very Good"), ONLY_GET)
simple("empty reason", lambda web: web.Response(reason=""), ONLY_GET)
simple("reason outside ASCII", lambda web: web.Response(reason="Schön"), ONLY_GET)
simple("reason with a line end", lambda web: web.Response(reason="a\r\nX: b"), ONLY_GET)
simple("header with a line end", lambda web: web.Response(headers={"X": "a\r\nY: b"}), ONLY_GET)
simple("header with NUL", lambda web: web.Response(headers={"X": "a\0"}), ONLY_GET)
simple("header name with a space", lambda web: web.Response(headers={"X Y": "a"}), ONLY_GET)
simple("header of a number", lambda web: web.Response(headers={"X": 5}), ONLY_GET)
simple("text and body", lambda web: web.Response(text="a", body=b"a"), ONLY_GET)
simple("text that is no text", lambda web: web.Response(text=5), ONLY_GET)
simple("body of a wrong type", lambda web: web.Response(body=object()), ONLY_GET)
simple("body of a number", lambda web: web.Response(body=5), ONLY_GET)
simple("charset in the type", lambda web: web.Response(text="a", content_type="text/plain; charset=utf-8"), ONLY_GET)
simple("type twice", lambda web: web.Response(text="a", content_type="a/b", headers={"Content-Type": "c/d"}), ONLY_GET)

# ---- headers that say something about the message

simple("Content-Length that is right", lambda web: web.Response(body=b"abc", headers={"Content-Length": "3"}))
simple("Content-Length that is too small", lambda web: web.Response(body=b"abc", headers={"Content-Length": "2"}),
       {"HEAD": ask("HEAD")})
simple("Content-Length of HEAD", lambda web: web.Response(headers={"Content-Length": "500"}), {"HEAD": ask("HEAD")})
simple("Connection: close", lambda web: web.Response(text="a", headers={"Connection": "close"}))
simple("Connection: Close", lambda web: web.Response(text="a", headers={"Connection": "Close"}))
simple("Connection: keep-alive", lambda web: web.Response(text="a", headers={"Connection": "keep-alive"}))
simple("Connection: foo", lambda web: web.Response(text="a", headers={"Connection": "foo"}))
simple("Transfer-Encoding: chunked", lambda web: web.Response(text="a", headers={"Transfer-Encoding": "chunked"}))
simple("Date", lambda web: web.Response(text="a", headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}))
simple("Server", lambda web: web.Response(text="a", headers={"Server": "mine"}))
simple("Content-Encoding", lambda web: web.Response(body=b"a", headers={"Content-Encoding": "foo"}))
simple("Location", lambda web: web.Response(status=302, headers={"Location": "/é"}))

changed("set status", lambda r: r.set_status(202))
changed("set status and reason", lambda r: r.set_status(202, "Fine"))
changed("set status to 204", lambda r: r.set_status(204))
changed("set text", lambda r: setattr(r, "text", "other ü"))
changed("set text to None", lambda r: setattr(r, "text", None))
changed("set body", lambda r: setattr(r, "body", b"other"))
changed("set body to None", lambda r: setattr(r, "body", None))
changed("set content type", lambda r: setattr(r, "content_type", "text/x"))
changed("set charset", lambda r: setattr(r, "charset", "koi8-r"))
changed("set charset to None", lambda r: setattr(r, "charset", None))
changed("set content length", lambda r: setattr(r, "content_length", 3))
changed("set last modified", lambda r: setattr(r, "last_modified", datetime(2020, 1, 2, tzinfo=UTC)))
changed("set last modified to a number", lambda r: setattr(r, "last_modified", 1.5))
changed("set last modified to text", lambda r: setattr(r, "last_modified", "Thu, 02 Jan 2020 00:00:00 GMT"))
changed("set last modified to None", lambda r: setattr(r, "last_modified", None))
changed("set etag", lambda r: setattr(r, "etag", "abc"))
changed("set a bad etag", lambda r: setattr(r, "etag", 'a"b'))
changed("force close", lambda r: r.force_close())
changed("force chunks", lambda r: r.enable_chunked_encoding(), {k: USUAL[k] for k in ("GET", "HEAD", "1.0", "close")})
changed("a member", lambda r: r.__setitem__("key", 1))

# ---- cookies

changed("cookie", lambda r: r.set_cookie("a", "b"))
changed("cookies", lambda r: [r.set_cookie("b", "1"), r.set_cookie("a", "2", path="/x"), r.set_cookie("b", "3")])
changed("cookie with everything", lambda r: r.set_cookie(
    "a", "b c", domain="a.example", max_age=5, path="/p", secure=True, httponly=True, samesite="Lax", partitioned=True,
    expires="Thu, 01 Jan 1970 00:00:00 GMT"))
changed("cookie outside ASCII", lambda r: r.set_cookie("a", "é"))
changed("cookie with a line end", lambda r: r.set_cookie("a", "b\r\nX: y"))
changed("cookie of an odd name", lambda r: r.set_cookie("a b", "c"))
changed("cookie deleted", lambda r: r.del_cookie("a"))
changed("cookie deleted with everything", lambda r: r.del_cookie(
    "a", domain="a.example", path="/x", secure=True, httponly=True, samesite="Strict"))
changed("cookie set and deleted", lambda r: [r.set_cookie("a", "b"), r.del_cookie("a")])
changed("cookie deleted and set", lambda r: [r.del_cookie("a"), r.set_cookie("a", "b")])

# ---- payloads as bodies

CONTENT = b"content " * 100


def file_of(data: bytes) -> Any:
    file = tempfile.TemporaryFile()  # closed by the payload, or by the scene
    file.write(data)
    file.seek(0)
    return file


async def pieces() -> Any:
    for piece in (b"one", b"two", b"", b"three"):
        yield piece


simple("BytesIO", lambda web: web.Response(body=io.BytesIO(CONTENT)))
simple("BytesIO, half read", lambda web: web.Response(body=half_read()))
simple("BytesIO of a type", lambda web: web.Response(body=io.BytesIO(b"a"), content_type="text/x"))
simple("BytesIO with type in headers", lambda web: web.Response(body=io.BytesIO(b"a"), headers={"Content-Type": "a/b"}))
simple("StringIO", lambda web: web.Response(body=io.StringIO("grüße")))
simple("generator", lambda web: web.Response(body=pieces()))
simple("generator with a length", lambda web: web.Response(body=pieces(), headers={"Content-Length": "11"}))
simple("large BytesIO", lambda web: web.Response(body=io.BytesIO(b"x" * 300_000)))


def half_read() -> io.BytesIO:
    file = io.BytesIO(b"abcdef")
    file.read(3)
    return file


@scene("file")
async def _(c: Context) -> Any:
    file = file_of(CONTENT)
    c.kept.setdefault("files", []).append(file)
    return c.web.Response(body=file)


@scene("multipart")
async def _(c: Context) -> Any:
    with c.library.MultipartWriter("mixed", boundary="edge") as writer:
        writer.append("text")
        writer.append_json({"a": 1})
    return c.web.Response(body=writer)


@scene("form")
async def _(c: Context) -> Any:
    form = c.library.FormData({"a": "b"})
    return c.web.Response(body=form())


@scene("multipart form")
async def _(c: Context) -> Any:
    form = c.library.FormData()
    form.add_field("file", io.BytesIO(b"data"), filename="a.txt", content_type="text/plain")
    return c.web.Response(body=form())


@scene("JsonPayload")
async def _(c: Context) -> Any:
    return c.web.Response(body=c.library.JsonPayload({"a": 1}))


@scene("BytesPayload")
async def _(c: Context) -> Any:
    return c.web.Response(body=c.library.BytesPayload(b"abc", headers={"X-From": "payload"}, content_type="a/b"))


@scene("StreamReader as body")
async def _(c: Context) -> Any:
    reader = asyncio.StreamReader()
    reader.feed_data(b"stream")
    reader.feed_eof()
    return c.web.Response(body=reader)


@scene("the body of the request", {"POST": ask("POST", body=b"mirror"), "GET": ask()})
async def _(c: Context) -> Any:
    return c.web.Response(body=c.request.content)


@scene("generator that fails", ONLY_GET)
async def _(c: Context) -> Any:
    async def failing() -> Any:
        yield b"one"
        raise RuntimeError("the generator failed")

    return c.web.Response(body=failing())


# ---- streams


def streaming(name: str, *steps: Any, requests: Mapping[str, tuple[bytes, ...]] = USUAL, **options: Any) -> None:
    """A scene that prepares a StreamResponse; a step is bytes to write or something to do to it."""

    async def handler(c: Context) -> Any:
        response = c.web.StreamResponse(**options)
        for step in steps:
            if isinstance(step, bytes):
                await c.attempt(response.write(step))
            elif step is PREPARE:
                await c.attempt(response.prepare(c.request))
            elif step is EOF:
                await c.attempt(response.write_eof())
            else:
                await c.attempt(lambda step=step: step(response))
        c.notes.append([response.prepared, response.keep_alive, response.chunked, response.body_length])
        return response

    scene(f"stream: {name}", requests)(handler)


PREPARE, EOF = "prepare", "eof"


def length(value: int | None) -> Callable[[Any], None]:
    return lambda response: setattr(response, "content_length", value)


streaming("nothing written", PREPARE)
streaming("nothing at all")
streaming("one piece", PREPARE, b"one", EOF)
streaming("pieces", PREPARE, b"one", b"two", b"", b"three", EOF)
streaming("no eof", PREPARE, b"one")
streaming("eof with data", PREPARE, b"one", lambda r: r.write_eof(b"two"))
streaming("only eof with data", PREPARE, lambda r: r.write_eof(b"two"))
streaming("eof twice", PREPARE, b"one", EOF, EOF)
streaming("write after eof", PREPARE, b"one", EOF, b"two", requests=ONLY_GET)
streaming("write before prepare", b"one", PREPARE, b"two", EOF)
streaming("eof before prepare", EOF, requests=ONLY_GET)
streaming("prepared twice", PREPARE, PREPARE, b"one", EOF)
streaming("write text", PREPARE, lambda r: r.write("text"), b"one", EOF, requests=ONLY_GET)
streaming("write memoryview", PREPARE, lambda r: r.write(memoryview(b"one")), lambda r: r.write(bytearray(b"two")), EOF)
streaming("drain", PREPARE, b"one", lambda r: r.drain(), EOF)
streaming("with a length", length(6), PREPARE, b"one", b"two", EOF)
streaming("with a length of 0", length(0), PREPARE, EOF)
streaming("with a length that is too large", length(10), PREPARE, b"one", b"two", EOF, requests=ONLY_GET)
streaming("with a length that is too small", length(4), PREPARE, b"one", b"two", EOF, requests=ONLY_GET)
streaming("length in headers", PREPARE, b"abc", EOF, headers={"Content-Length": "3"})
streaming("chunked", lambda r: r.enable_chunked_encoding(), PREPARE, b"one", b"two", EOF,
          requests={k: v for k, v in USUAL.items() if not k.startswith("1.0")})
streaming("chunked to HTTP/1.0", lambda r: r.enable_chunked_encoding(), PREPARE, b"one", EOF,
          requests={"1.0": USUAL["1.0"], "1.0 keep-alive": USUAL["1.0 keep-alive"]})
streaming("chunked with a length", length(3), lambda r: r.enable_chunked_encoding(), PREPARE, b"one", EOF,
          requests=ONLY_GET)
streaming("length of chunked", lambda r: r.enable_chunked_encoding(), length(3), PREPARE, b"one", EOF,
          requests=ONLY_GET)
streaming("status 204", PREPARE, EOF, status=204)
streaming("status 304", PREPARE, EOF, status=304)
streaming("status 204 with data", PREPARE, b"one", EOF, status=204, requests=ONLY_GET)
streaming("status 205", PREPARE, EOF, status=205, reason="Again")
streaming("a type", PREPARE, b"one", EOF, headers={"Content-Type": "text/event-stream", "X": "y"})
streaming("type after prepare", PREPARE, lambda r: setattr(r, "content_type", "a/b"), b"one", EOF, requests=ONLY_GET)
streaming("status after prepare", PREPARE, lambda r: r.set_status(500), b"one", EOF, requests=ONLY_GET)
streaming("force close", lambda r: r.force_close(), PREPARE, b"one", EOF)
streaming("force close after prepare", PREPARE, lambda r: r.force_close(), b"one", EOF)
streaming("cookie", lambda r: r.set_cookie("a", "b"), PREPARE, b"one", EOF)
streaming("large", PREPARE, b"x" * 200_000, b"y" * 100_000, EOF)
streaming("many", PREPARE, *[b"%d," % i for i in range(200)], EOF)

# ---- compression


def compressing(name: str, make: Callable[[Any], Any], force: Any = None, **rest: Any) -> None:
    async def handler(c: Context) -> Any:
        response = make(c.web)
        coding = getattr(c.web.ContentCoding, force) if isinstance(force, str) else force
        await c.attempt(lambda: response.enable_compression(coding, **rest) if coding is not None
                        else response.enable_compression(**rest))
        return response

    scene(f"compress: {name}", CODINGS)(handler)


compressing("text", lambda web: web.Response(text="hello " * 100))
compressing("short", lambda web: web.Response(text="a"))
compressing("empty", lambda web: web.Response(text=""))
compressing("nothing", lambda web: web.Response())
compressing("bytes", lambda web: web.Response(body=b"hello " * 100))
compressing("large", lambda web: web.Response(body=b"hello " * 50_000))
compressing("json", lambda web: web.json_response(["a"] * 100))
compressing("BytesIO", lambda web: web.Response(body=io.BytesIO(b"hello " * 100)))
compressing("generator", lambda web: web.Response(body=pieces()))
compressing("gzip", lambda web: web.Response(text="hello " * 100), "gzip")
compressing("deflate", lambda web: web.Response(text="hello " * 100), "deflate")
compressing("identity", lambda web: web.Response(text="hello " * 100), "identity")
compressing("204", lambda web: web.Response(status=204))
compressing("304", lambda web: web.Response(status=304))
compressing("with Content-Encoding", lambda web: web.Response(body=b"abc", headers={"Content-Encoding": "br"}))
compressing("more", lambda web: web.Response(body=b"abc", headers={"Content-Encoding": "br"}), "gzip")
compressing("with Content-Length", lambda web: web.Response(body=b"abc" * 9, headers={"Content-Length": "27"}))
compressing("with Vary", lambda web: web.Response(body=b"abc" * 9, headers={"Vary": "Accept"}))
compressing("HTTP exception", lambda web: web.HTTPOk(text="abc" * 100))


@scene("compress: stream", CODINGS)
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    response.enable_compression()
    await response.prepare(c.request)
    for piece in (b"one " * 50, b"two " * 50, b"three"):
        await response.write(piece)
    await response.write_eof(b"end")
    return response


@scene("compress: stream with a length", CODINGS)
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    response.content_length = 6
    response.enable_compression()
    await response.prepare(c.request)
    await response.write(b"onetwo")
    return response


@scene("compress: stream in chunks", {k: v for k, v in CODINGS.items() if "1.0" not in k})
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    response.enable_chunked_encoding()
    response.enable_compression(c.web.ContentCoding.gzip)
    await response.prepare(c.request)
    await response.write(b"one " * 50)
    return response


@scene("compress: empty stream", CODINGS)
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    response.enable_compression()
    await response.prepare(c.request)
    return response


@scene("compress: in a thread", CODINGS)
async def _(c: Context) -> Any:
    response = c.web.Response(body=b"hello " * 1000, zlib_executor_size=10)
    response.enable_compression()
    return response


for accepted in ("", "*", "GZIP", "gzip;q=0", "gzip;q=0.5, deflate;q=0.9", "deflate, gzip", "x-gzip", "gzipped",
                 "br, gzip", "identity;q=0, gzip"):
    async def _accepting(c: Context) -> Any:
        response = c.web.Response(text="hello " * 50)
        response.enable_compression()
        return response

    scene(f"compress: Accept-Encoding {accepted!r}", {"GET": ask("GET", f"Accept-Encoding: {accepted}")})(_accepting)

# ---- exceptions

raising("raise 404", lambda web: web.HTTPNotFound())
raising("raise 404 with text", lambda web: web.HTTPNotFound(text="nothing hére"))
raising("raise 404 with body", lambda web: web.HTTPNotFound(body=b"\x00", content_type="a/b"))
raising("raise 404 with reason", lambda web: web.HTTPNotFound(reason="Gone Fishing"))
raising("raise 404 with headers", lambda web: web.HTTPNotFound(headers={"X": "y", "Content-Type": "a/b"}))
raising("raise 200", lambda web: web.HTTPOk())
raising("raise 201", lambda web: web.HTTPCreated())
raising("raise 204", lambda web: web.HTTPNoContent())
raising("raise 205", lambda web: web.HTTPResetContent())
raising("raise 206", lambda web: web.HTTPPartialContent())
raising("raise 302", lambda web: web.HTTPFound("/there"))
raising("raise 302 with text", lambda web: web.HTTPFound("/there?a=b c&d=é", text="go"))
raising("raise 303", lambda web: web.HTTPSeeOther("http://a.example/x"))
raising("raise 304", lambda web: web.HTTPNotModified())
raising("raise 307", lambda web: web.HTTPTemporaryRedirect("/there"))
raising("raise 308", lambda web: web.HTTPPermanentRedirect("/there"))
raising("raise 400", lambda web: web.HTTPBadRequest(text="bad"))
raising("raise 401", lambda web: web.HTTPUnauthorized(headers={"WWW-Authenticate": "Basic"}))
raising("raise 405", lambda web: web.HTTPMethodNotAllowed("GET", ["POST", "PUT"]))
raising("raise 413", lambda web: web.HTTPRequestEntityTooLarge(max_size=5, actual_size=6))
raising("raise 451", lambda web: web.HTTPUnavailableForLegalReasons("http://a.example"))
raising("raise 500", lambda web: web.HTTPInternalServerError())
raising("raise 503", lambda web: web.HTTPServiceUnavailable(headers={"Retry-After": "5"}))
raising("raise RuntimeError", lambda web: RuntimeError("secret"))
raising("raise KeyError", lambda web: KeyError("secret"))
raising("raise TimeoutError", lambda web: TimeoutError(), ONLY_GET)
raising("raise ConnectionError", lambda web: ConnectionError("other"), ONLY_GET)
raising("raise ExceptionGroup", lambda web: ExceptionGroup("g", [ValueError("secret")]), ONLY_GET)
simple("return an exception", lambda web: web.HTTPNotFound())
simple("return a redirect", lambda web: web.HTTPFound("/there"))
raising("redirect to nothing", lambda web: web.HTTPFound(""), ONLY_GET)


@scene("raise with a cookie")
async def _(c: Context) -> Any:
    error = c.web.HTTPSeeOther("/login")
    error.set_cookie("a", "b")
    error.del_cookie("c")
    raise error


@scene("raise, asked for html", {"html": ask("GET", "Accept: text/html"), "any": ask("GET", "Accept: */*")})
async def _(c: Context) -> Any:
    raise RuntimeError("secret")


@scene("raise after prepare", ONLY_GET)
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    await response.prepare(c.request)
    await response.write(b"one")
    raise RuntimeError("secret")


@scene("raise after prepare with a length", ONLY_GET)
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    response.content_length = 10
    await response.prepare(c.request)
    await response.write(b"one")
    raise RuntimeError("secret")


@scene("raise 404 after prepare", ONLY_GET)
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    await response.prepare(c.request)
    await response.write(b"one")
    raise c.web.HTTPNotFound()


@scene("raise after eof", ONLY_GET)
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    await response.prepare(c.request)
    await response.write_eof(b"one")
    raise RuntimeError("secret")


@scene("raise CancelledError", ONLY_GET)
async def _(c: Context) -> Any:
    raise asyncio.CancelledError


# ---- results

simple("return None", lambda web: None, ONLY_GET)
simple("return text", lambda web: "text", ONLY_GET)
simple("return bytes", lambda web: b"text", ONLY_GET)
simple("return a dict", lambda web: {"a": 1}, ONLY_GET)
simple("return the class", lambda web: web.Response, ONLY_GET)


@scene("return None after prepare", ONLY_GET)
async def _(c: Context) -> Any:
    response = c.web.Response(text="prepared")
    await response.prepare(c.request)
    await response.write_eof()


@scene("return another response than the prepared one", ONLY_GET)
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    await response.prepare(c.request)
    await response.write(b"one")
    return c.web.Response(text="two")


@scene("return another response than the one that is sent", ONLY_GET)
async def _(c: Context) -> Any:
    response = c.web.Response(text="one")
    await response.prepare(c.request)
    await response.write_eof()
    return c.web.Response(text="two")


@scene("raise 404 after eof", ONLY_GET)
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    await response.prepare(c.request)
    await response.write_eof(b"one")
    raise c.web.HTTPNotFound()


@scene("return what is sent already")
async def _(c: Context) -> Any:
    response = c.web.Response(text="prepared")
    await response.prepare(c.request)
    await response.write_eof()
    return response


@scene("return what is prepared")
async def _(c: Context) -> Any:
    response = c.web.Response(text="prepared")
    await response.prepare(c.request)
    return response


@scene("the same response for several requests", {"GET": ask() * 2, "again": ask()})
async def _(c: Context) -> Any:
    return c.kept.setdefault("response", c.web.Response(text="kept"))


@scene("keep_alive(False) on the protocol", ONLY_GET)
async def _(c: Context) -> Any:
    c.request.protocol.keep_alive(False)
    return c.web.Response(text="last")


# ---- requests

BODIES = {
    "length": (*ask("POST", body=b"hello"), *ask("POST", body=b"again")),
    "chunks": (*ask("POST", "Transfer-Encoding: chunked", body=b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), *ask()),
    "GET": (*ask("GET", body=b"hello"), *ask()),
    "none": ask("POST"),
    "HEAD": (*ask("HEAD", body=b"hello"), *ask("HEAD")),
    "1.0": ask("POST", version="1.0", body=b"hello"),
    "100-continue": (*ask("POST", "Expect: 100-continue", body=b"hello"), *ask()),
    "gzip": (*ask("POST", "Content-Encoding: gzip", body=gzip.compress(b"hello", mtime=0)), *ask()),
}


@scene("read the body", BODIES)
async def _(c: Context) -> Any:
    r = c.request
    c.notes.append([r.has_body, r.can_read_body, r.body_exists, r.content_length, r.content.is_eof(), r.keep_alive])
    body = await r.read()
    c.notes.append([r.has_body, r.can_read_body, r.body_exists, r.content.at_eof()])
    return c.web.Response(body=body or b"none")


@scene("read a part of the body", BODIES)
async def _(c: Context) -> Any:
    return c.web.Response(body=(await c.request.content.read(2)) or b"none")


@scene("read nothing", BODIES)
async def _(c: Context) -> Any:
    return c.web.Response(text="unread")


@scene("read the body while streaming", {"length": ask("POST", body=b"hello"), "chunks": BODIES["chunks"]})
async def _(c: Context) -> Any:
    response = c.web.StreamResponse()
    await response.prepare(c.request)
    async for piece in c.request.content.iter_any():
        await response.write(piece)
    return response


@scene("release the body", BODIES)
async def _(c: Context) -> Any:
    await c.request.release()
    return c.web.Response(text="released")


@scene("body over the limit", BODIES, application={"client_max_size": 3})
async def _(c: Context) -> Any:
    return c.web.Response(body=await c.request.read())


@scene("body as json", {"bad": ask("POST", body=b"{"), "good": ask("POST", body=b"[1]"), "none": ask("POST")})
async def _(c: Context) -> Any:
    return c.web.json_response(await c.attempt(c.request.json()))


@scene("body as form", {
    "urlencoded": ask("POST", "Content-Type: application/x-www-form-urlencoded", body=b"a=b&c=%C3%A9&a=d"),
    "multipart": ask("POST", "Content-Type: multipart/form-data; boundary=e",
                     body=b'--e\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--e\r\n'
                          b'Content-Disposition: form-data; name="f"; filename="x"\r\n\r\ncontent\r\n--e--\r\n'),
    "no type": ask("POST", body=b"a=b"),
    "GET": ask("GET", "Content-Type: application/x-www-form-urlencoded", body=b"a=b"),
})
async def _(c: Context) -> Any:
    form = await c.request.post()
    return c.web.json_response([
        [name, value if isinstance(value, str) else [value.filename, value.content_type, value.file.read().decode()]]
        for name, value in form.items()
    ])


@scene("facts of the request", {
    "plain": ask(),
    "query": ask(path="/scene?a=b&a=c&d=%C3%A9+x"),
    "escapes": ask(path="/sc%65ne"),
    "absolute": ask(path="http://b.example/scene?x"),
    "1.0": ask(version="1.0"),
    "fields": ask("GET", "Cookie: a=b; c=d", "X: 1", "x: 2", "Accept: é", "If-None-Match: \"a\", W/\"b\"",
                  "Range: bytes=1-2", "If-Modified-Since: Thu, 02 Jan 2020 00:00:00 GMT"),
    "forwarded": ask("GET", "Forwarded: for=1.2.3.4;host=h;proto=https", "X-Forwarded-For: 5.6.7.8"),
    "type": ask("POST", "Content-Type: text/plain; charset=latin-1", body=b"\xe9"),
})
async def _(c: Context) -> Any:
    r = c.request
    found = {
        name: getattr(r, name)
        for name in ("method", "path", "path_qs", "raw_path", "query_string", "host", "scheme", "secure", "remote",
                     "keep_alive", "content_type", "charset", "content_length", "has_body")
    }
    found |= {name: str(getattr(r, name)) for name in ("url", "rel_url", "http_range", "if_modified_since", "if_range")}
    found["query"] = list(map(list, r.query.items()))
    found["headers"] = list(map(list, r.headers.items()))
    found["raw"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in r.raw_headers]
    found["cookies"] = dict(r.cookies)
    found["forwarded"] = [dict(element) for element in r.forwarded]
    found["if_none_match"] = [[tag.value, tag.is_weak] for tag in r.if_none_match or ()]
    found["version"] = list(r.version)
    found["match"] = dict(r.match_info)
    c.notes.append(found)
    return c.web.Response(text="facts")


# ---- middlewares and signals


def with_middleware(make: Callable[[Any], Any]) -> Callable[[Any], Mapping[str, Any]]:
    return lambda web: {"middlewares": [web.middleware(make(web))]}


def adding(web: Any) -> Any:
    async def add(request: Any, handler: Any) -> Any:
        response = await handler(request)
        response.headers["X-Middle"] = "ware"
        response.set_cookie("m", "1")
        return response

    return add


def replacing(web: Any) -> Any:
    async def replace(request: Any, handler: Any) -> Any:
        await handler(request)
        return web.Response(text="replaced", status=202)

    return replace


def catching(web: Any) -> Any:
    async def catch(request: Any, handler: Any) -> Any:
        try:
            return await handler(request)
        except web.HTTPException as exc:
            return web.json_response({"status": exc.status, "reason": exc.reason}, status=exc.status)

    return catch


def forgetting(web: Any) -> Any:
    async def forget(request: Any, handler: Any) -> Any:
        await handler(request)

    return forget


def refusing(web: Any) -> Any:
    async def refuse(request: Any, handler: Any) -> Any:
        raise web.HTTPForbidden(text="no")

    return refuse


def failing(web: Any) -> Any:
    async def fail(request: Any, handler: Any) -> Any:
        raise RuntimeError("secret")

    return fail


EVERY = {"GET": ask(), "HEAD": ask("HEAD"), "none": ask(path="/none"), "POST": ask("POST", body=b"a")}
for name, make in {"adds": adding, "replaces": replacing, "catches": catching, "forgets": forgetting,
                   "refuses": refusing, "fails": failing}.items():
    simple(f"middleware {name}", lambda web: web.Response(text="inner"), EVERY, application=with_middleware(make))


def on_prepare(signal: Callable[[Any, Any], Awaitable[None]]) -> Callable[[Any, Any], None]:
    def prepare(web: Any, app: Any) -> None:
        app.on_response_prepare.append(signal)

    return prepare


async def add_field(request: Any, response: Any) -> None:
    response.headers["X-Signal"] = request.method
    response.headers["Server"] = "hidden"


async def drop_fields(request: Any, response: Any) -> None:
    for name in ("Content-Type", "Server", "Date"):
        response.headers.pop(name, None)


async def change_status(request: Any, response: Any) -> None:
    response.set_status(202, "Changed")
    response.set_cookie("s", "1")


async def fail_to_prepare(request: Any, response: Any) -> None:
    raise RuntimeError("secret")


async def note_fields(request: Any, response: Any) -> None:
    response.headers["X-Fields"] = " ".join(response.headers)


for signal in (add_field, drop_fields, change_status, note_fields):
    simple(f"signal {signal.__name__}", lambda web: web.Response(text="inner"), EVERY, prepare=on_prepare(signal))
simple("signal fails", lambda web: web.Response(text="inner"), ONLY_GET, prepare=on_prepare(fail_to_prepare))
simple("signal changes a stream", lambda web: web.StreamResponse(), EVERY, prepare=on_prepare(add_field))

# ---- routes and their absence

ROUTES = {
    "none": ask(path="/none"),
    "none HEAD": ask("HEAD", path="/none"),
    "none POST": (*ask("POST", path="/none", body=b"abc"), *ask()),
    "none 1.0": ask(path="/none", version="1.0"),
    "405": ask("DELETE", path="/only-get"),
    "405 POST": (*ask("POST", path="/only-get", body=b"abc"), *ask()),
    "HEAD of get": ask("HEAD", path="/only-get"),
    "OPTIONS": ask("OPTIONS", path="/only-get"),
    "slashes": ask(path="//scene"),
    "slash": ask(path="/scene/"),
    "417": ask("GET", "Expect: something"),
    "variable": ask(path="/var/a%2Fb"),
    "*": ask("OPTIONS", path="*"),
}


def more_routes(web: Any, app: Any) -> None:
    async def only(request: Any) -> Any:
        return web.Response(text="only")

    async def variable(request: Any) -> Any:
        return web.Response(text=request.match_info["name"])

    app.router.add_get("/only-get", only)
    app.router.add_get("/var/{name}", variable)


simple("routes", lambda web: web.Response(text="scene"), ROUTES, prepare=more_routes)
