"""nginx starts with its configuration, serves, and is gone afterwards."""

from __future__ import annotations

import asyncio

import pytest
from tests.peers.nginx import HELLO, nginx
from tests.peers.tls import client_context


@pytest.mark.slow
async def test_nginx_serves_plain_and_tls_and_ends() -> None:
    async with nginx() as server:
        for port, context in ((server.port, None), (server.tls_port, client_context())):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(b"GET /hello.txt HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"\r\n\r\n" + HELLO)
            writer.close()
        root = server.root
    assert not root.exists()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
