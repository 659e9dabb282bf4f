"""A small correct HTTP/1.1 server for tests, independent of every library under test.

In: requests over TCP, TLS or a unix socket. Out: the routes below, with framing by RFC 9112: Content-Length or chunked,
no body for HEAD, 204 and 304, keep-alive decided by version and `Connection`, `Expect: 100-continue` answered.

    /echo                    JSON: method, target, fields, body (latin-1), length, sha256, version, connection number
    /status/{code}           that status, the reason from ?reason=
    /headers?name=value      fields as the query says, repeated names kept
    /bytes/{n}               n bytes of a repeating pattern with Content-Length
    /chunked/{n}/{size}      n chunks of size bytes each; ?trailer=1 adds a trailer field
    /coded/{coding}/{n}      n bytes under gzip, deflate, br or zstd; ?chunked=1
    /json /html /text        small bodies with their types
    /slow/{ms}               answers after that many milliseconds
    /drip/{n}/{ms}           n single bytes, that many milliseconds apart
    /stall/{n}               announces n+1 bytes, sends n, then waits for the peer to leave
    /redirect/{n}            n redirects, then /echo; ?status= and ?absolute=1
    /redirect-to?url=&status=  one redirect to that place
    /cookies                 JSON of the Cookie field; /cookies/set?name=value sets and redirects to /cookies
    /basic-auth/{user}/{password}  401 with a challenge, or JSON
    /upload                  JSON with the length and sha256 of the body, which is not kept
    /close                   a body that ends with the connection; /cut/{n} ends n bytes before the announced end
Limits: a body that is kept is at most `MAX_KEPT_BODY`; a head at most `MAX_HEAD`.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import ssl as ssl_module
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.peers.raw import RawConnection, RawServer

MAX_HEAD = 256 * 2**10
"""Bytes of one request head."""

MAX_KEPT_BODY = 16 * 2**20
"""Bytes of a request body that /echo holds."""

PATTERN = bytes(range(256)) * 4096
"""One MiB that every generated body repeats."""

REASONS = {200: "OK", 204: "No Content", 206: "Partial Content", 302: "Found", 304: "Not Modified", 404: "Not Found"}


class Request:
    """One request at the server: the head parsed, the body still on the wire."""

    def __init__(self, connection: RawConnection, head: bytes) -> None:
        self.connection = connection
        line, *rest = head[:-4].decode("latin-1").split("\r\n")
        self.method, self.target, self.version = line.split(" ")
        self.fields = [(name, value.strip(" \t")) for name, _, value in (field.partition(":") for field in rest)]
        parts = urlsplit(self.target)
        self.path = unquote(parts.path)
        self.query = parse_qsl(parts.query, keep_blank_values=True)
        self.sent_continue = False
        self.length = 0
        self._digest = hashlib.sha256()

    def field(self, name: str, default: str = "") -> str:
        wanted = name.lower()
        return ", ".join(value for key, value in self.fields if key.lower() == wanted) or default

    def argument(self, name: str, default: str = "") -> str:
        return dict(self.query).get(name, default)

    @property
    def keep_alive(self) -> bool:
        options = self.field("Connection").lower()
        return "close" not in options and (self.version == "HTTP/1.1" or "keep-alive" in options)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _count(self, data: bytes) -> bytes:
        self.length += len(data)
        self._digest.update(data)
        return data

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body in the pieces of the wire; the running length and digest are kept."""
        connection = self.connection
        chunked = self.field("Transfer-Encoding").lower() == "chunked"
        left = int(self.field("Content-Length", "0"))
        if "100-continue" in self.field("Expect").lower() and (chunked or left) and not self.sent_continue:
            self.sent_continue = True
            await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if chunked:
            while size := int((await connection.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield self._count((await connection.reader.readexactly(size + 2))[:-2])
            while await connection.reader.readuntil(b"\r\n") != b"\r\n":
                pass
        while left:
            data = await connection.reader.read(min(left, 2**18))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
            yield self._count(data)

    async def body(self) -> bytes:
        kept = bytearray()
        async for piece in self.pieces():
            kept += piece
            if len(kept) > MAX_KEPT_BODY:
                raise ValueError(f"a test sent more than {MAX_KEPT_BODY} bytes to a route that keeps them")
        return bytes(kept)

    async def drain(self) -> None:
        async for _ in self.pieces():
            pass


class Exchange:
    """The answer to one request, written with the framing that fits."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.keep_alive = request.keep_alive
        self.fields: list[tuple[str, str]] = []

    def _head(self, status: int, reason: str | None, framing: list[tuple[str, str]]) -> bytes:
        if not self.keep_alive:
            framing = [*framing, ("Connection", "close")]
        elif self.request.version == "HTTP/1.0":
            framing = [*framing, ("Connection", "keep-alive")]
        text = REASONS.get(status, "") if reason is None else reason
        lines = [f"HTTP/1.1 {status} {text}", *(f"{name}: {value}" for name, value in [*self.fields, *framing])]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def send(self, body: bytes = b"", status: int = 200, *, reason: str | None = None) -> None:
        bodiless = status in (204, 304)
        head = self._head(status, reason, [] if bodiless else [("Content-Length", str(len(body)))])
        await self.request.connection.send(head + (b"" if bodiless or self.request.method == "HEAD" else body))

    async def send_json(self, value: object, status: int = 200) -> None:
        self.fields.append(("Content-Type", "application/json"))
        await self.send(json.dumps(value).encode(), status)

    async def send_stream(self, pieces: AsyncIterator[bytes], length: int, *, announced: int | None = None) -> None:
        shown = length if announced is None else announced
        await self.request.connection.send(self._head(200, None, [("Content-Length", str(shown))]))
        if self.request.method != "HEAD":
            async for piece in pieces:
                await self.request.connection.send(piece)

    async def send_chunked(self, pieces: AsyncIterator[bytes], trailer: bytes = b"") -> None:
        await self.request.connection.send(self._head(200, None, [("Transfer-Encoding", "chunked")]))
        if self.request.method == "HEAD":
            return
        async for piece in pieces:
            if piece:
                await self.request.connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await self.request.connection.send(b"0\r\n" + trailer + b"\r\n")

    async def send_until_close(self, body: bytes) -> None:
        self.keep_alive = False
        await self.request.connection.send(self._head(200, None, []) + body)


Route = Callable[[Request, Exchange, list[str]], Awaitable[None]]


def compress(coding: str, data: bytes) -> bytes:
    """`data` under one content coding (RFC 9110 section 8.4.1)."""
    if coding == "gzip":
        return gzip.compress(data, mtime=0)
    if coding == "deflate":
        return zlib.compress(data)
    if coding == "br":
        import brotli

        return bytes(brotli.compress(data))
    if coding == "zstd":
        from backports import zstd

        return bytes(zstd.compress(data))
    raise ValueError(f"no such coding in the test server: {coding}")


async def generated(n: int, size: int = 2**18) -> AsyncIterator[bytes]:
    """n bytes of `PATTERN`, in pieces."""
    view = memoryview(PATTERN)
    at = 0
    while at < n:
        start = at % len(PATTERN)
        piece = bytes(view[start : start + min(size, n - at)])
        at += len(piece)
        yield piece


async def echo(request: Request, exchange: Exchange, _: list[str]) -> None:
    body = await request.body()
    await exchange.send_json(
        {
            "method": request.method,
            "target": request.target,
            "version": request.version,
            "fields": request.fields,
            "body": body.decode("latin-1"),
            "length": request.length,
            "sha256": request.sha256,
            "connection": request.connection.number,
        }
    )


async def status(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    await exchange.send(f"status {rest[0]}".encode(), int(rest[0]), reason=request.argument("reason"))


async def headers(request: Request, exchange: Exchange, _: list[str]) -> None:
    await request.drain()
    exchange.fields += request.query
    await exchange.send(b"headers")


async def some_bytes(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    n = int(rest[0])
    exchange.fields.append(("Content-Type", "application/octet-stream"))
    await exchange.send_stream(generated(n), n)


async def chunked(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    n, size = int(rest[0]), int(rest[1])
    trailer = b"X-Trailer: done\r\n" if request.argument("trailer") else b""
    await exchange.send_chunked(generated(n * size, size), trailer)


async def coded(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    plain = b"".join([piece async for piece in generated(int(rest[1]))])
    body = compress(rest[0], plain)
    exchange.fields.append(("Content-Encoding", rest[0]))
    if request.argument("chunked"):

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 1000):
                yield body[start : start + 1000]

        await exchange.send_chunked(pieces())
    else:
        await exchange.send(body)


async def typed(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    kind = request.path.strip("/")
    body, mime = {
        "json": (b'{"name": "fairlead", "n": [1, 2, 3]}', "application/json"),
        "html": (b"<!doctype html><title>t</title><p>hello</p>\n", "text/html; charset=utf-8"),
        "text": ("grüße\n".encode(), "text/plain; charset=utf-8"),
    }[kind]
    exchange.fields.append(("Content-Type", mime))
    await exchange.send(body)


async def slow(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    await asyncio.sleep(int(rest[0]) / 1000)
    await exchange.send(b"slow")


async def drip(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    n, pause = int(rest[0]), int(rest[1]) / 1000

    async def pieces() -> AsyncIterator[bytes]:
        for i in range(n):
            if i:
                await asyncio.sleep(pause)
            yield PATTERN[i % 256 : i % 256 + 1]

    await exchange.send_stream(pieces(), n)


async def stall(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    n = int(rest[0])
    await exchange.send_stream(generated(n), n, announced=n + 1)
    exchange.keep_alive = False
    await request.connection.wait_closed_by_peer()


async def redirect(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    n = int(rest[0])
    query = urlsplit(request.target).query
    place = (f"/redirect/{n - 1}" if n > 1 else "/echo") + (f"?{query}" if query else "")
    if request.argument("absolute"):
        place = f"http://{request.field('Host')}{place}"
    exchange.fields.append(("Location", place))
    await exchange.send(b"moved", int(request.argument("status", "302")))


async def redirect_to(request: Request, exchange: Exchange, _: list[str]) -> None:
    await request.drain()
    exchange.fields.append(("Location", request.argument("url")))
    await exchange.send(b"moved", int(request.argument("status", "302")))


async def cookies(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    if rest == ["set"]:
        exchange.fields += [("Set-Cookie", f"{name}={value}; Path=/") for name, value in request.query]
        exchange.fields.append(("Location", "/cookies"))
        await exchange.send(b"", 302)
        return
    pairs = [pair.split("=", 1) for pair in request.field("Cookie").split("; ") if pair]
    await exchange.send_json(dict(pairs))


async def basic_auth(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    wanted = "Basic " + base64.b64encode(":".join(rest).encode()).decode()
    if request.field("Authorization") == wanted:
        await exchange.send_json({"authenticated": True, "user": rest[0]})
        return
    exchange.fields.append(("WWW-Authenticate", 'Basic realm="test"'))
    await exchange.send(b"", 401, reason="Unauthorized")


async def upload(request: Request, exchange: Exchange, _: list[str]) -> None:
    await request.drain()
    await exchange.send_json({"length": request.length, "sha256": request.sha256})


async def close(request: Request, exchange: Exchange, _: list[str]) -> None:
    await request.drain()
    await exchange.send_until_close(b"until the end")


async def cut(request: Request, exchange: Exchange, rest: list[str]) -> None:
    await request.drain()
    body = PATTERN[:1000]
    exchange.keep_alive = False
    await exchange.send_stream(generated(len(body) - int(rest[0])), 0, announced=len(body))


ROUTES: dict[str, Route] = {
    "echo": echo,
    "status": status,
    "headers": headers,
    "bytes": some_bytes,
    "chunked": chunked,
    "coded": coded,
    "json": typed,
    "html": typed,
    "text": typed,
    "slow": slow,
    "drip": drip,
    "stall": stall,
    "redirect": redirect,
    "redirect-to": redirect_to,
    "cookies": cookies,
    "basic-auth": basic_auth,
    "upload": upload,
    "close": close,
    "cut": cut,
}


async def serve(connection: RawConnection) -> None:
    """Answer requests on one connection until it ends."""
    while True:
        try:
            head = await connection.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        if len(head) > MAX_HEAD:
            return
        request = Request(connection, head)
        exchange = Exchange(request)
        name, *rest = request.path.strip("/").split("/")
        route = ROUTES.get(name)
        if route is None:
            await request.drain()
            await exchange.send(b"no such route", 404)
        else:
            await route(request, exchange, rest)
        if not exchange.keep_alive:
            return


def http_server(
    *, ssl: ssl_module.SSLContext | None = None, host: str = "127.0.0.1", path: str | None = None
) -> RawServer:
    """The server above; `async with http_server() as server: server.url / "echo"`."""
    return RawServer(serve, ssl=ssl, host=host, path=path)
