"""Reading in pieces: the bytes are the same, no piece is too large, and the link reads freely afterwards."""

from __future__ import annotations

import asyncio

import pytest
from tests.peers.raw import RawConnection, raw_server

import fairlead
from fairlead.wire.pieces import MIN_PIECE, read_pieces

BODY = bytes(range(256)) * 4096  # 1 MiB


async def answer(peer: RawConnection) -> None:
    while await peer.request():
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)


@pytest.mark.parametrize("size", [1000, MIN_PIECE, 100_000, 300_000])
async def test_pieces_and_whole_bodies_take_turns_on_one_connection(size: int) -> None:
    async with raw_server(answer) as server, fairlead.ClientSession() as session:
        for _ in range(2):
            async with session.get(server.url) as response:
                pieces = [piece async for piece in response.content.iter_chunked(size)]
            assert b"".join(pieces) == BODY
            assert max(map(len, pieces)) <= size
            async with session.get(server.url) as response:
                assert await response.read() == BODY
        assert session.connector is not None
        assert (session.connector.in_use, session.connector.idle) == (0, 1)


async def test_a_body_that_is_left_in_the_middle_closes_its_connection() -> None:
    async with raw_server(answer) as server, fairlead.ClientSession() as session:
        async with session.get(server.url) as response:
            async for piece in response.content.iter_chunked(MIN_PIECE):
                assert len(piece) <= MIN_PIECE
                break
        assert session.connector is not None
        assert (session.connector.in_use, session.connector.idle) == (0, 0)


async def test_small_pieces_are_not_worth_it() -> None:
    assert not read_pieces(object(), asyncio.Transport(), MIN_PIECE - 1)  # type: ignore[arg-type]
