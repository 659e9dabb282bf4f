"""A WebSocket server for peers that nobody here wrote, and the messages that they exchange with it.

Out: `echo_server(library)`, an application of fairlead or aiohttp with `/echo` (every message back; text that starts
with `close ` closes with the code and the reason after it) and `/leave` (closes with 4000 at once).  What each
WebSocket said of its end is put into `ends`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

MESSAGES: tuple[str | bytes, ...] = (
    "",
    b"",
    "grüße €",
    bytes(range(256)),
    "x" * 125,
    "x" * 126,
    b"y" * 65535,
    b"y" * 65536,
    "say it again, " * 5000,
    bytes(range(256)) * 12_000,
)
"""Of all lengths that a frame's head tells apart, and one of 3 MB."""


class Echo:
    """A running server; `url` without a path, `ends` what the handlers saw: code, reason or error, compression."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ends: asyncio.Queue[tuple[int | None, bool]] = asyncio.Queue()


@contextlib.asynccontextmanager
async def echo_server(
    library: str = "fairlead", *, ssl_context: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Echo]:
    """An echo server; `options` go to its `WebSocketResponse`."""
    root, web = importlib.import_module(library), importlib.import_module(f"{library}.web")

    async def echo(request: Any) -> Any:
        ws = web.WebSocketResponse(protocols=("chat.v2", "chat.v1"), **options)
        await ws.prepare(request)
        async for message in ws:
            if message.type is root.WSMsgType.BINARY:
                await ws.send_bytes(message.data)
            elif message.type is root.WSMsgType.TEXT and message.data.startswith("close "):
                _, code, reason = message.data.split(" ", 2)
                await ws.close(code=int(code), message=reason.encode())
            elif message.type is root.WSMsgType.TEXT:
                await ws.send_str(message.data)
        server.ends.put_nowait((ws.close_code, bool(ws.compress)))
        return ws

    async def leave(request: Any) -> Any:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.close(code=4000, message=b"not today")
        return ws

    app = web.Application()
    app.add_routes([web.get("/echo", echo), web.get("/leave", leave)])
    runner = web.AppRunner(app, shutdown_timeout=5.0, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context).start()
    server = Echo(f"{'ws' if ssl_context is None else 'wss'}://127.0.0.1:{runner.addresses[0][1]}")
    try:
        yield server
    finally:
        await runner.cleanup()
