"""A body that is shorter than its Content-Length says so: the server would wait for bytes that never come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.peers.raw import RawConnection, raw_server

import fairlead


async def silent(connection: RawConnection) -> None:
    await connection.head()
    await connection.wait_closed_by_peer()


async def test_a_known_length_is_compared_before_anything_is_sent() -> None:
    async with raw_server(silent) as server, fairlead.ClientSession() as session:
        with pytest.raises(ValueError, match="announces 5 bytes, but the body has 2"):
            await session.post(server.url, data=b"ab", headers={"Content-Length": "5"})
        assert not server.connections
        assert session.connector is not None
        assert session.connector.in_use == 0


async def test_a_source_that_ends_early_fails_the_request() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"

    async with raw_server(silent) as server, fairlead.ClientSession() as session:
        with pytest.raises(fairlead.ClientConnectionError, match="3 bytes before its Content-Length"):
            await session.post(server.url, data=pieces(), headers={"Content-Length": "5"})
        assert session.connector is not None
        assert (session.connector.in_use, session.connector.idle) == (0, 0)
