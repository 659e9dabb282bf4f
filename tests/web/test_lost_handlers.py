"""A handler whose client has gone is still the server's: it waits for it when it stops, then cancels it."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from tests.peers.turns import until

from fairlead import web


async def reset(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readexactly(1)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(("timeout", "end"), [(5.0, "done"), (0.05, "cancelled")])
async def test_the_server_waits_for_a_handler_whose_client_has_gone(timeout: float, end: str) -> None:
    gate = asyncio.Event()
    ends: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await request.wait_for_disconnection()
        try:
            await gate.wait()
            ends.append("done")
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=timeout)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await reset(runner.addresses[0][1])
    server = runner.server
    assert server is not None
    await until(lambda: all(connection.transport is None for connection in server.connections), "the client has gone")
    assert len(server.connections) == 1
    cleanup = asyncio.ensure_future(runner.cleanup())
    if end == "done":
        asyncio.get_running_loop().call_soon(gate.set)
    await cleanup
    assert ends == [end]
    assert server.connections == []
