"""aiohttp's server as a peer, so that the client meets an implementation that it shares nothing with.

In: an installed aiohttp; tests are skipped where there is none. Out: `AiohttpServer.url`, with the routes below.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from types import TracebackType
from typing import Any

import pytest
from yarl import URL

MAX_BODY = 64 * 2**20
"""Bytes of a request body that the peer accepts."""


class AiohttpServer:
    """A running aiohttp server with echo, form, stream, redirect, cookie, compressed and slow routes."""

    def __init__(self, ssl: ssl_module.SSLContext | None = None) -> None:
        self.web: Any = pytest.importorskip("aiohttp.web")
        self.ssl = ssl
        self.url = URL()
        self._runner: Any = None

    async def echo(self, request: Any) -> Any:
        body = await request.read()
        return self.web.json_response(
            {
                "method": request.method,
                "target": str(request.rel_url),
                "fields": list(map(list, request.headers.items())),
                "body": body.decode("latin-1"),
                "length": len(body),
                "chunked": request.headers.get("Transfer-Encoding") == "chunked",
            }
        )

    async def form(self, request: Any) -> Any:
        found = []
        for name, value in (await request.post()).items():
            if hasattr(value, "file"):
                value = [value.filename, value.content_type, value.file.read().decode("latin-1")]
            found.append([name, value])
        return self.web.json_response(found)

    async def stream(self, request: Any) -> Any:
        response = self.web.StreamResponse()
        if "gzip" in request.query:
            response.enable_compression()
        await response.prepare(request)
        for i in range(int(request.query["n"])):
            await response.write(b"%06d\n" % i)
        await response.write_eof()
        return response

    async def compressed(self, request: Any) -> Any:
        response = self.web.Response(text="compress me " * 1000)
        response.enable_compression()
        return response

    async def redirect(self, request: Any) -> Any:
        raise self.web.HTTPSeeOther("/echo")

    async def cookies(self, request: Any) -> Any:
        response = self.web.json_response(dict(request.cookies))
        response.set_cookie("seen", "yes it was")
        return response

    async def hold(self, request: Any) -> Any:
        await asyncio.Event().wait()

    async def early(self, request: Any) -> Any:
        return self.web.Response(status=413, text="too much")

    async def close(self, request: Any) -> Any:
        response = self.web.Response(text="bye")
        response.force_close()
        return response

    async def __aenter__(self) -> AiohttpServer:
        app = self.web.Application(client_max_size=MAX_BODY)
        for name in ("echo", "form", "stream", "compressed", "redirect", "cookies", "hold", "early", "close"):
            app.router.add_route("*", f"/{name}", getattr(self, name))
        self._runner = self.web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = self.web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.ssl)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = URL(f"{'https' if self.ssl else 'http'}://127.0.0.1:{port}/")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        # Its connection tasks outlive the clean-up by some turns, or for good when the client left in the middle.
        mine = [t for t in asyncio.all_tasks() if "RequestHandler" in getattr(t.get_coro(), "__qualname__", "")]
        for task in mine:
            task.cancel()
        if mine:
            await asyncio.wait(mine)


def aiohttp_server(ssl: ssl_module.SSLContext | None = None) -> AiohttpServer:
    """aiohttp's server; skips the test where aiohttp is not installed."""
    return AiohttpServer(ssl)
