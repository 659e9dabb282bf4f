"""A small site for raw tests: the same application for aiohttp.web and fairlead.web.

In: the `web` module and options of its runner. Out: `Site`, which listens on loopback and remembers in `handled` which
requests reached a handler, so that a test can show that none did after a malformed one.

    /hello       text: hello                      /echo     JSON: method, path, query, host, version, body
    /unread      answers without reading a body   /gate     answers when the test opens `gate`
    /stream      three chunks                     /length   three writes under a Content-Length of 6
    /raise       raises RuntimeError              /teapot   raises HTTPException 418 with a field
    /post        POST only                        /empty    204
    /pieces      the size of the streamed body, read in pieces, slowly
    /later       the same, begun when the test opens `gate`
    /large       LARGE bytes                       /again    what the test says in `wait_again`
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType, TracebackType
from typing import Any

LIBRARY = os.environ.get("FAIRLEAD_PARITY_LIBRARY", "fairlead")
"""Which library the raw tests drive: aiohttp shows where the original answers otherwise."""

LARGE = 500_000
"""Bytes of a response that does not fit in the buffers of a connection that is not read many times over."""


def web_module(library: str = LIBRARY) -> ModuleType:
    return importlib.import_module(f"{library}.web")


class Site:
    """A running application on loopback; use with `async with`. `options` go to AppRunner."""

    def __init__(self, web: Any = None, *, application: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.web = web or web_module()
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.handled: list[str] = []
        self.failures: list[BaseException] = []
        self.wait_again: Callable[[Any], Awaitable[Any]] | None = None
        self.app = self.web.Application(middlewares=[self.remembering()], **(application or {}))
        for method, path, handler in self.routes():
            self.app.router.add_route(method, path, handler)
        options.setdefault("access_log", None)
        options.setdefault("logger", logging.getLogger("tests.raw_site"))
        self.runner = self.web.AppRunner(self.app, **options)
        self.port = 0

    def remembering(self) -> Any:
        @self.web.middleware
        async def remember(request: Any, handler: Any) -> Any:
            self.handled.append(f"{request.method} {request.raw_path}")
            return await handler(request)

        return remember

    def routes(self) -> list[tuple[str, str, Any]]:
        everything = [
            (self.hello, "/hello"),
            (self.echo, "/echo"),
            (self.unread, "/unread"),
            (self.wait, "/gate"),
            (self.stream, "/stream"),
            (self.length, "/length"),
            (self.fail, "/raise"),
            (self.teapot, "/teapot"),
            (self.empty, "/empty"),
            (self.pieces, "/pieces"),
            (self.later, "/later"),
            (self.large, "/large"),
            (self.again, "/again"),
        ]
        return [*(("*", path, handler) for handler, path in everything), ("POST", "/post", self.hello)]

    async def hello(self, request: Any) -> Any:
        return self.web.Response(text="hello")

    async def echo(self, request: Any) -> Any:
        try:
            body = await request.read()
        except self.web.HTTPException:
            raise
        except Exception as exc:
            self.failures.append(exc)
            raise
        seen = {
            "method": request.method,
            "path": request.path,
            "query": request.query_string,
            "host": request.host,
            "version": list(request.version),
            "body": body.decode("latin-1"),
        }
        return self.web.json_response(seen)

    async def unread(self, request: Any) -> Any:
        return self.web.Response(text="unread")

    async def wait(self, request: Any) -> Any:
        self.entered.set()
        await self.gate.wait()
        return self.web.Response(text="open")

    async def stream(self, request: Any) -> Any:
        response = self.web.StreamResponse()
        await response.prepare(request)
        for piece in (b"one", b"two", b"three"):
            await response.write(piece)
        await response.write_eof()
        return response

    async def length(self, request: Any) -> Any:
        response = self.web.StreamResponse()
        response.content_length = 6
        await response.prepare(request)
        for piece in (b"ab", b"cd", b"ef"):
            await response.write(piece)
        await response.write_eof()
        return response

    async def fail(self, request: Any) -> Any:
        raise RuntimeError("the handler failed")

    async def teapot(self, request: Any) -> Any:
        raise self.web.HTTPBadRequest(text="no coffee", headers={"X-Pot": "tea"})

    async def empty(self, request: Any) -> Any:
        return self.web.Response(status=204)

    async def pieces(self, request: Any) -> Any:
        size = 0
        while piece := await request.content.read(1000):
            size += len(piece)
            await asyncio.sleep(0)
        return self.web.Response(text=str(size))

    async def later(self, request: Any) -> Any:
        self.entered.set()
        await self.gate.wait()
        return await self.pieces(request)

    async def again(self, request: Any) -> Any:
        assert self.wait_again is not None
        return await self.wait_again(request)

    async def large(self, request: Any) -> Any:
        return self.web.Response(body=b"x" * LARGE)

    async def __aenter__(self) -> Site:
        await self.runner.setup()
        site = self.web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.gate.set()
        await self.runner.cleanup()
        if self.web.__name__.startswith("aiohttp"):  # its tasks may outlive the clean-up
            mine = [t for t in asyncio.all_tasks() if "RequestHandler" in getattr(t.get_coro(), "__qualname__", "")]
            for task in mine:
                task.cancel()
            if mine:
                await asyncio.wait(mine)
