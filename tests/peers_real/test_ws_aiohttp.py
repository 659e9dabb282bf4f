"""WebSockets with aiohttp at the other end: messages of all sizes, compressed and not, over TLS, and how they end."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from tests.peers.tls import client_context, server_context
from tests.peers.ws_echo import MESSAGES, echo_server

PAIRS = [("aiohttp", "fairlead"), ("fairlead", "aiohttp")]
pairs = pytest.mark.parametrize(("client", "server"), PAIRS)


async def exchange(ws: Any) -> None:
    for message in MESSAGES:
        if isinstance(message, str):
            await ws.send_str(message)
            assert await ws.receive_str() == message
        else:
            await ws.send_bytes(message)
            assert await ws.receive_bytes() == message


@pairs
@pytest.mark.parametrize("compress", [0, 9, 15])
async def test_messages(client: str, server: str, compress: int) -> None:
    library = importlib.import_module(client)
    async with echo_server(server) as running, library.ClientSession() as session:
        async with session.ws_connect(f"{running.url}/echo", compress=compress) as ws:
            assert bool(ws.compress) == (compress > 0)
            await exchange(ws)
            await ws.close(code=4001)
        assert await running.ends.get() == (4001, compress > 0)


@pairs
async def test_over_tls_with_a_subprotocol(client: str, server: str) -> None:
    library = importlib.import_module(client)
    async with echo_server(server, ssl_context=server_context()) as running, library.ClientSession() as session:
        url = running.url.replace("127.0.0.1", "localhost")
        async with session.ws_connect(
            f"{url}/echo", compress=15, ssl=client_context(), protocols=("none", "chat.v1"), heartbeat=5
        ) as ws:
            assert ws.protocol == "chat.v1"
            await exchange(ws)


@pairs
async def test_the_server_closes(client: str, server: str) -> None:
    library = importlib.import_module(client)
    async with echo_server(server) as running, library.ClientSession() as session:
        async with session.ws_connect(f"{running.url}/leave") as ws:
            message = await ws.receive()
            assert (message.type, message.data, message.extra) == (library.WSMsgType.CLOSE, 4000, "not today")
            assert ws.close_code == 4000
