"""The clients that are compared, each behind the same few actions.

An action is what a user of that library would write, with its default options; only what a case needs is changed (no
cap of connections below the requests in flight, the authority of the server's certificate).
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import json
import ssl
from collections.abc import Callable
from typing import Any, cast

from .cases import POST_OBJECT

PIECE = 64 * 1024
POST_BYTES = json.dumps(POST_OBJECT).encode()


class Library:
    """One HTTP client with one open session; an action takes a URL and returns the size of the body or the JSON."""

    def __init__(self, in_flight: int, ca_file: str | None, sizes: dict[str, int]) -> None:
        self.in_flight = in_flight
        self.ca_file = ca_file
        self.sizes = sizes

    def tls_context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None

    async def open(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    async def get(self, url: str) -> int:
        raise NotImplementedError

    async def json(self, url: str) -> Any:
        raise NotImplementedError

    async def stream(self, url: str) -> int:
        raise NotImplementedError

    async def stream_any(self, url: str) -> int:
        raise NotImplementedError

    async def post(self, url: str) -> int:
        raise NotImplementedError

    async def session(self, url: str) -> int:
        raise NotImplementedError


class AiohttpApi(Library):
    """aiohttp, and fairlead, which has the same public API: one adapter drives both."""

    module = "aiohttp"

    async def open(self) -> None:
        self.http = importlib.import_module(self.module)
        options: dict[str, Any] = {"limit": self.in_flight} if self.in_flight > 100 else {}
        if self.ca_file:
            options["ssl"] = self.tls_context()
        self.client = self.http.ClientSession(connector=self.http.TCPConnector(**options))

    async def close(self) -> None:
        await self.client.close()

    async def get(self, url: str) -> int:
        async with self.client.get(url) as response:
            return len(await response.read())

    async def json(self, url: str) -> Any:
        async with self.client.get(url) as response:
            return await response.json()

    async def stream(self, url: str) -> int:
        size = 0
        async with self.client.get(url) as response:
            async for piece in response.content.iter_chunked(PIECE):
                size += len(piece)
        return size

    async def stream_any(self, url: str) -> int:
        size = 0
        async with self.client.get(url) as response:
            async for piece in response.content.iter_any():
                size += len(piece)
        return size

    async def post(self, url: str) -> int:
        async with self.client.post(url, json=POST_OBJECT) as response:
            return len(await response.read())

    async def session(self, url: str) -> int:
        session = self.http.ClientSession()
        await session.close()
        return 0


class Fairlead(AiohttpApi):
    module = "fairlead"


class Httpx2(Library):
    """httpx2, or httpx, whose names are the same."""

    module = "httpx2"

    async def open(self) -> None:
        self.http = importlib.import_module(self.module)
        limits = self.http.Limits(max_connections=self.in_flight + 1, max_keepalive_connections=self.in_flight + 1)
        self.client = self.http.AsyncClient(limits=limits, timeout=300, verify=self.tls_context() or True)

    async def close(self) -> None:
        await self.client.aclose()

    async def get(self, url: str) -> int:
        return len((await self.client.get(url)).content)

    async def json(self, url: str) -> Any:
        return (await self.client.get(url)).json()

    async def stream(self, url: str) -> int:
        size = 0
        async with self.client.stream("GET", url) as response:
            async for piece in response.aiter_bytes(PIECE):
                size += len(piece)
        return size

    async def stream_any(self, url: str) -> int:
        size = 0
        async with self.client.stream("GET", url) as response:
            async for piece in response.aiter_bytes():
                size += len(piece)
        return size

    async def post(self, url: str) -> int:
        return len((await self.client.post(url, json=POST_OBJECT)).content)

    async def session(self, url: str) -> int:
        client = self.http.AsyncClient()
        await client.aclose()
        return 0


class Httpx(Httpx2):
    module = "httpx"


class Pyreqwest(Library):
    """pyreqwest: Rust's reqwest with Tokio on a thread of its own."""

    async def open(self) -> None:
        self.http = importlib.import_module("pyreqwest.client")
        builder = self.http.ClientBuilder()
        if self.ca_file:
            with open(self.ca_file, "rb") as file:
                builder = builder.add_root_certificate_pem(file.read())
        self.client = builder.build()

    async def close(self) -> None:
        await self.client.close()

    async def get(self, url: str) -> int:
        response = await self.client.get(url).build().send()
        return len(await response.bytes())

    async def json(self, url: str) -> Any:
        response = await self.client.get(url).build().send()
        return await response.json()

    async def stream(self, url: str) -> int:
        size = 0
        async with self.client.get(url).build_streamed() as response:
            reader = response.body_reader
            while piece := await reader.read(PIECE):
                size += len(piece)
        return size

    async def stream_any(self, url: str) -> int:
        size = 0
        async with self.client.get(url).build_streamed() as response:
            reader = response.body_reader
            while (piece := await reader.read_chunk()) is not None:
                size += len(piece)
        return size

    async def post(self, url: str) -> int:
        response = await self.client.post(url).body_json(POST_OBJECT).build().send()
        return len(await response.bytes())

    async def session(self, url: str) -> int:
        await self.http.ClientBuilder().build().close()
        return 0


class Wreq(Library):
    """wreq: a Rust client with Tokio on threads of its own."""

    async def open(self) -> None:
        self.http = importlib.import_module("wreq")
        options: dict[str, Any] = {}
        if self.ca_file:
            with open(self.ca_file) as file:
                options["tls_verify"] = importlib.import_module("wreq.tls").CertStore(pem_certs=[file.read()])
        self.client = self.http.Client(**options)

    async def close(self) -> None:
        self.client.close()

    async def get(self, url: str) -> int:
        response = await self.client.get(url)
        return len(await response.bytes())

    async def json(self, url: str) -> Any:
        response = await self.client.get(url)
        return await response.json()

    async def stream_any(self, url: str) -> int:
        size = 0
        response = await self.client.get(url)
        async with response.stream() as streamer:
            async for piece in streamer:
                size += len(piece)
        return size

    stream = stream_any  # wreq has no way to ask for a size

    async def post(self, url: str) -> int:
        response = await self.client.post(url, json=POST_OBJECT)
        return len(await response.bytes())

    async def session(self, url: str) -> int:
        self.http.Client().close()
        return 0


class BareProtocol(asyncio.Protocol):
    """Sends prebuilt bytes, looks for the blank line, counts bytes until the answer is whole: a client's floor."""

    __slots__ = ("blank_line", "left", "transport", "waiter")

    def __init__(self) -> None:
        self.left = 0
        self.blank_line = -1
        self.waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes, size: int, waiter: asyncio.Future[None]) -> None:
        self.left = size
        self.blank_line = -1
        self.waiter = waiter
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.blank_line < 0:
            self.blank_line = data.find(b"\r\n\r\n")
        self.left -= len(data)
        if self.left <= 0 and self.waiter is not None:
            self.waiter.set_result(None)
            self.waiter = None


class LlhttpProtocol(BareProtocol):
    """The same, with each byte through llhttp (httptools) and its callbacks, the fields kept in a list."""

    __slots__ = ("body", "fields", "parser")

    def ask(self, request: bytes, size: int, waiter: asyncio.Future[None]) -> None:
        import httptools

        self.parser = httptools.HttpResponseParser(self)
        self.fields: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.waiter = waiter
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        if self.waiter is not None:
            self.waiter.set_result(None)
            self.waiter = None


class Bare(Library):
    """No library at all: the event loop, a transport, and one future for each request."""

    protocol: type[BareProtocol] = BareProtocol

    async def open(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.idle: list[BareProtocol] = []
        self.everyone: list[BareProtocol] = []
        self.requests: dict[tuple[str, bytes], tuple[bytes, int]] = {}

    async def close(self) -> None:
        for protocol in self.everyone:
            protocol.transport.close()

    def prepare(self, url: str, body: bytes) -> tuple[bytes, int]:
        authority, path = url.split("://", 1)[1].split("/", 1)
        lines = [
            f"{'POST' if body else 'GET'} /{path} HTTP/1.1",
            f"Host: {authority}",
            "Accept: */*",
            "Accept-Encoding: gzip, deflate",
            "User-Agent: bare/0",
        ]
        if body:
            lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        prepared = ("\r\n".join(lines) + "\r\n\r\n").encode() + body, self.sizes[f"/{path}"]
        self.requests[url, body] = prepared
        return prepared

    async def get(self, url: str, body: bytes = b"") -> int:
        request, size = self.requests.get((url, body)) or self.prepare(url, body)
        if self.idle:
            protocol = self.idle.pop()
        else:
            host, port = url.split("/")[2].split(":")
            _, protocol = await self.loop.create_connection(self.protocol, host, int(port), ssl=self.tls_context())
            self.everyone.append(protocol)
        waiter = self.loop.create_future()
        protocol.ask(request, size, waiter)
        await waiter
        self.idle.append(protocol)
        return size

    stream = stream_any = get

    async def json(self, url: str) -> Any:
        raise NotImplementedError("a bare protocol parses no JSON")

    async def post(self, url: str) -> int:
        return await self.get(url, POST_BYTES)


class BareLlhttp(Bare):
    protocol = LlhttpProtocol


LIBRARIES: dict[str, tuple[str, Callable[..., Library]]] = {
    "fairlead": ("fairlead", Fairlead),
    "aiohttp": ("aiohttp", AiohttpApi),
    "httpx2": ("httpx2", Httpx2),
    "httpx": ("httpx", Httpx),
    "pyreqwest": ("pyreqwest", Pyreqwest),
    "wreq": ("wreq", Wreq),
    "bare": ("asyncio", Bare),
    "bare-llhttp": ("httptools", BareLlhttp),
}


def installed(name: str) -> bool:
    """Tell whether the distribution behind a library's name can be imported."""
    return importlib.util.find_spec(LIBRARIES[name][0]) is not None


def version(name: str) -> str:
    """Return the version of a library, or '' for what has none."""
    if name.startswith("bare"):
        return ""
    try:
        return importlib.metadata.version(LIBRARIES[name][0])
    except importlib.metadata.PackageNotFoundError:
        return "source tree"
