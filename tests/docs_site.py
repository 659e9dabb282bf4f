"""The internet as the documentation sees it: every host name leads to one small server on this machine.

The examples of the pages use public names (httpbin.org, badssl.com, example.org). `Site` answers for all of them, in a
thread with a loop of its own, so that examples run as they are written: over TCP, TLS, a Unix socket, or as a proxy.
`resolver_for` makes the resolver class that leads there.

    /get /post /put /patch /delete /anything   JSON: args, data, files, form, headers, json, url (as httpbin answers)
    /json /html /headers /status/{n} /bytes/{n} /stream/{n} /redirect/{n} /delay/{seconds} /gzip /image/png /etag
    /cookies /cookies/set?name=value /basic-auth/{user}/{password} /digest-auth/{qop}/{user}/{password}
    /flaky?key=&times=                         503 so many times, then 200
    /reject                                    413 without reading the body
    /cut                                       ends before the announced end
    /v1/chat/completions                       a stream of events, word by word
    /whoami                                    the name in the client's certificate
Limits: those of `tests.peers.http`, whose requests and answers it uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.peers import tls
from tests.peers.http import Exchange, Request, basic_auth, generated
from tests.peers.raw import RawConnection

from fairlead.abc import AbstractResolver, ResolveResult

NAMES = ("localhost", "httpbin.org", "example.org", "*.example.org", "badssl.com", "*.badssl.com")
"""What the certificate of the site is for."""

TLS_PORTS = frozenset({443, 8443})
"""Ports of the examples that lead to TLS."""

CLOSED_PORT = 1
"""Port of the examples where nobody listens."""

ANSWER = "A stream is read as it comes."
"""What the language model of the examples says."""


def first_or_all(query: str) -> dict[str, Any]:
    return {name: values[0] if len(values) == 1 else values for name, values in parse_qs(query, True).items()}


async def described(request: Request) -> dict[str, Any]:
    """What httpbin tells of a request."""
    body = await request.body()
    kind = request.field("Content-Type")
    told: dict[str, Any] = {
        "args": first_or_all(urlsplit(request.target).query),
        "data": "",
        "files": {},
        "form": {},
        "headers": dict(request.fields),
        "json": None,
        "method": request.method,
        "url": f"http://{request.field('Host')}{request.target}",
    }
    if request.field("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    if kind.startswith("multipart/"):
        whole = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=policy.HTTP)
        for part in whole.iter_parts():
            name = part.get_param("name", header="content-disposition")
            content = bytes(part.get_payload(decode=True)).decode("utf-8", "replace")
            told["form" if part.get_filename() is None else "files"][name] = content
    elif kind.startswith("application/x-www-form-urlencoded"):
        told["form"] = first_or_all(body.decode())
    else:
        told["data"] = body.decode("utf-8", "replace")
        with contextlib.suppress(ValueError):
            told["json"] = json.loads(body)
    return told


class SiteConnection(RawConnection):
    """One connection that ends the page when the peer has left, as a client does that has read enough."""

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # a lost connection is told in the next turn of the loop


class Site:
    """The server; use with `with`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.tls_port = 0
        self.connections = 0
        self._seen: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="docs-site")
        self._stop: asyncio.Event | None = None

    def __enter__(self) -> Site:
        self._thread.start()
        assert self._ready.wait(20), "the site did not start"
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            task = self._loop.create_task(self._talk(SiteConnection(reader, writer, self.connections)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        plain = await asyncio.start_server(accept, "127.0.0.1", 0)
        secure = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=secured())
        self.port = plain.sockets[0].getsockname()[1]
        self.tls_port = secure.sockets[0].getsockname()[1]
        servers = [plain, secure]
        if hasattr(socket, "AF_UNIX"):
            servers.append(await asyncio.start_unix_server(accept, self.directory / "app.sock"))
        self._ready.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk(self, connection: RawConnection) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while await self._answer(connection):
                pass
        connection.close()

    async def _answer(self, connection: RawConnection) -> bool:
        """Answer one request; tell whether another one may follow."""
        request = Request(connection, await connection.reader.readuntil(b"\r\n\r\n"))
        if request.method == "CONNECT":
            await self._tunnel(connection)
            return False
        exchange = Exchange(request)
        name, *rest = request.path.strip("/").split("/")
        route = getattr(self, f"do_{name.replace('-', '_') or 'index'}", None)
        if route is None:
            await request.drain()
            await exchange.send(b"no such page", 404, reason="NOT FOUND")
        else:
            await route(request, exchange, rest)
        return exchange.keep_alive

    async def _tunnel(self, connection: RawConnection) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.tls_port)
        await connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def back() -> None:
            while data := await reader.read(65536):
                await connection.send(data)

        returning = self._loop.create_task(back())
        try:
            while data := await connection.reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            returning.cancel()
            await asyncio.gather(returning, return_exceptions=True)
            writer.close()

    # ---- pages

    async def do_index(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        exchange.fields.append(("Content-Type", "text/html; charset=utf-8"))
        await exchange.send(b"<!doctype html><title>Example Domain</title>\n<h1>Example Domain</h1>\n")

    do_html = do_index

    async def do_anything(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        await exchange.send_json(await described(request))

    do_get = do_post = do_put = do_patch = do_delete = do_anything

    async def do_headers(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        await exchange.send_json({"headers": dict(request.fields)})

    async def do_json(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        await exchange.send_json({"slideshow": {"title": "Sample Slide Show", "slides": [1, 2]}})

    async def do_status(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        await request.drain()
        reasons = {404: "NOT FOUND", 503: "SERVICE UNAVAILABLE"}
        await exchange.send(b"", int(rest[0]), reason=reasons.get(int(rest[0])))

    async def do_bytes(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        exchange.fields.append(("Content-Type", "application/octet-stream"))
        await exchange.send_stream(generated(int(rest[0])), int(rest[0]))

    async def do_stream(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        async def lines() -> AsyncIterator[bytes]:
            for number in range(int(rest[0])):
                yield (
                    json.dumps({"id": number, "url": f"http://{request.field('Host')}{request.target}"}).encode()
                    + b"\n"
                )

        exchange.fields.append(("Content-Type", "application/json"))
        await exchange.send_chunked(lines())

    async def do_redirect(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        left = int(rest[0]) - 1
        exchange.fields.append(("Location", f"/redirect/{left}" if left else "/get"))
        await exchange.send(b"", 302)

    async def do_delay(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        await request.drain()
        await asyncio.sleep(float(rest[0]))
        await exchange.send_json({"waited": rest[0]})

    async def do_gzip(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        exchange.fields += [("Content-Type", "application/json"), ("Content-Encoding", "gzip")]
        await exchange.send(gzip.compress(json.dumps({"gzipped": True}).encode()))

    async def do_image(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        exchange.fields.append(("Content-Type", "image/png"))
        await exchange.send(b"\x89PNG\r\n\x1a\n" + bytes(8082))

    async def do_cookies(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        if rest == ["set"]:
            exchange.fields += [("Set-Cookie", f"{name}={value}; Path=/") for name, value in request.query]
            exchange.fields.append(("Location", "/cookies"))
            await exchange.send(b"", 302)
            return
        pairs = [pair.split("=", 1) for pair in request.field("Cookie").split("; ") if pair]
        await exchange.send_json({"cookies": dict(pairs)})

    async def do_basic_auth(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        await basic_auth(request, exchange, rest)

    async def do_digest_auth(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        """RFC 7616 section 3.4 with MD5 and qop=auth, as httpbin does it."""
        qop, user, password = rest[:3]
        given = request.field("Authorization")
        if given.startswith("Digest "):
            pairs = (item.strip().partition("=") for item in given[len("Digest ") :].split(","))
            params = {name: value.strip('"') for name, _, value in pairs}
            ha1 = hashlib.md5(f"{user}:site:{password}".encode()).hexdigest()
            ha2 = hashlib.md5(f"{request.method}:{params['uri']}".encode()).hexdigest()
            middle = f"{params['nonce']}:{params['nc']}:{params['cnonce']}:{params['qop']}"
            if hashlib.md5(f"{ha1}:{middle}:{ha2}".encode()).hexdigest() == params["response"]:
                await exchange.send_json({"authenticated": True, "user": user})
                return
        exchange.fields.append(("WWW-Authenticate", f'Digest realm="site", nonce="{self.connections}", qop="{qop}"'))
        await exchange.send(b"", 401, reason="UNAUTHORIZED")

    async def do_flaky(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        await request.drain()
        key = request.argument("key", "all")
        self._seen[key] += 1
        if self._seen[key] <= int(request.argument("times", "2")):
            exchange.fields.append(("Retry-After", "0"))
            await exchange.send(b"not now", 503, reason="SERVICE UNAVAILABLE")
        else:
            await exchange.send_json({"attempt": self._seen[key]})

    async def do_reject(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        exchange.keep_alive = False
        await exchange.send(b"too much", 413, reason="Content Too Large")
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and await request.connection.reader.read(65536):
            pass

    async def do_cut(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        exchange.keep_alive = False
        await exchange.send_stream(generated(3), 3, announced=10)

    async def do_v1(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        await request.body()

        async def events() -> AsyncIterator[bytes]:
            for word in ANSWER.split(" "):
                yield b": keep the connection\n\n"
                piece = {"choices": [{"delta": {"content": f"{word} "}}]}
                yield b"data: " + json.dumps(piece).encode() + b"\n\n"
            yield b"data: [DONE]\n\n"

        exchange.fields.append(("Content-Type", "text/event-stream"))
        await exchange.send_chunked(events())

    async def do_whoami(self, request: Request, exchange: Exchange, rest: list[str]) -> None:
        certificate = request.connection.writer.get_extra_info("peercert")
        names = [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"]
        await exchange.send_json({"client": names[0] if names else None})


def certificate() -> str:
    """The certificate of the site as PEM, the same for the whole run."""
    return tls._certificate(NAMES, False, False).cert_chain_pems[0].bytes().decode()


def secured() -> ssl.SSLContext:
    """A context with a good certificate, that of badssl.com's bad hosts by SNI, and a look at client certificates."""
    good = tls.server_context(*NAMES)
    good.verify_mode = ssl.CERT_OPTIONAL
    tls.authority().configure_trust(good)
    bad = {
        "expired.badssl.com": tls.server_context("*.badssl.com", expired=True),
        "untrusted-root.badssl.com": tls.server_context("*.badssl.com", foreign=True),
        "wrong.host.badssl.com": tls.server_context("badssl.com"),
    }

    def choose(sock: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if name in bad:
            sock.context = bad[name]

    good.sni_callback = choose
    return good


def resolver_for(site: Site) -> type[AbstractResolver]:
    """Make the resolver class that leads every name to the site, but for those that do not exist."""

    class SiteResolver(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            if host.endswith(".invalid"):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            if port != CLOSED_PORT:
                port = site.tls_port if port in TLS_PORTS else site.port
            return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

        async def close(self) -> None:
            """Hold nothing."""

    return SiteResolver
