"""An application that tells its clients what it understood, for clients that nobody here wrote.

Out: `Told`, a server in the running loop with the routes `/told` (any method: the request as JSON), `/form` (fields and
files as JSON), `/stream?n=&gzip=` (lines), `/compressed`, `/files/` (a directory), `/cookies`, `/picky` (refuses by
Expect), `/refuse` (answers 413 without reading), `/endless` (until the client leaves), `/swallow` (how reading went).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any

from yarl import URL

from fairlead import web

LINE = b"%06d\n"
BIG = bytes(range(256)) * 16_384
"""4 MiB, as `/files/big.bin` too."""

PAGE = "compress me " * 1000


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Told:
    """A running application on a free port, or at `path` as a Unix socket; use with `async with`."""

    def __init__(self, root: Path, *, path: str = "", ssl_context: ssl.SSLContext | None = None) -> None:
        (root / "big.bin").write_bytes(BIG)
        (root / "small.txt").write_text("0123456789abcdefghij")
        os.utime(root / "small.txt", (1_700_000_000, 1_700_000_000))
        self.requests: list[dict[str, Any]] = []
        self.forms: list[dict[str, Any]] = []
        self.peers: set[Any] = set()
        self.arrived = asyncio.Event()
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self.app = web.Application(client_max_size=64 * 1024**2)
        self.app.on_response_prepare.append(self._count)
        self.app.add_routes(
            [
                web.route("*", "/told", self.told),
                web.post("/form", self.form),
                web.get("/stream", self.stream),
                web.get("/compressed", self.compressed),
                web.get("/cookies", self.cookies),
                web.get("/endless", self.endless),
                web.route("*", "/refuse", self.refuse),
                web.route("*", "/swallow", self.swallow),
                web.route("*", "/picky", self.told, expect_handler=self.picky),
                web.static("/files", root),
            ]
        )
        self._runner = web.AppRunner(self.app, shutdown_timeout=5.0, access_log=None)
        self._path = path
        self._ssl = ssl_context

    @property
    def port(self) -> int:
        port: int = self._runner.addresses[0][1]
        return port

    @property
    def url(self) -> URL:
        return URL(f"{'http' if self._ssl is None else 'https'}://127.0.0.1:{self.port}/")

    async def _count(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        self.peers.add(request.get_extra_info("peername"))

    async def told(self, request: web.Request) -> web.Response:
        body = await request.read()
        seen = {
            "method": request.method,
            "version": f"{request.version.major}.{request.version.minor}",
            "path": request.path,
            "query": list(request.query.items()),
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "host": request.host,
            "forwarded": [dict(element) for element in request.forwarded],
            "length": len(body),
            "digest": digest(body),
        }
        self.requests.append(seen)
        return web.json_response(seen)

    async def form(self, request: web.Request) -> web.Response:
        seen: dict[str, Any] = {}
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                content = value.file.read()
                seen[name] = [value.filename, value.content_type, len(content), digest(content)]
            else:
                seen[name] = value
        self.forms.append(seen)
        return web.json_response(seen)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if "gzip" in request.query:
            response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        for i in range(int(request.query["n"])):
            await response.write(LINE % i)
        await response.write_eof()
        return response

    async def compressed(self, request: web.Request) -> web.Response:
        response = web.Response(text=PAGE)
        response.enable_compression()
        return response

    async def cookies(self, request: web.Request) -> web.Response:
        response = web.json_response(dict(request.cookies))
        response.set_cookie("first", "one two")
        response.set_cookie("second", "2", max_age=3600, httponly=True, samesite="Lax")
        return response

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first\n")
        try:
            async with asyncio.timeout(20):
                await request.wait_for_disconnection()
        except TimeoutError:
            self.ends.put_nowait("still there")
        else:
            self.ends.put_nowait("left")
        return response

    async def refuse(self, request: web.Request) -> web.Response:
        return web.Response(status=413, text="too much\n")

    async def swallow(self, request: web.Request) -> web.Response:
        self.arrived.set()
        try:
            body = await request.read()
        except Exception as exc:
            self.ends.put_nowait(type(exc).__name__)
            raise
        self.ends.put_nowait(f"{len(body)} bytes")
        return web.Response()

    async def picky(self, request: web.Request) -> None:
        if request.content_length != 5:
            raise web.HTTPRequestEntityTooLarge(max_size=5, actual_size=request.content_length or 0)
        assert request.writer is not None
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0

    async def __aenter__(self) -> Told:
        await self._runner.setup()
        site: web.BaseSite
        if self._path:
            site = web.UnixSite(self._runner, self._path)
        else:
            site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._ssl)
        await site.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._runner.cleanup()


def parsed(text: str | bytes) -> Any:
    return json.loads(text)
