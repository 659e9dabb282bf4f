"""wire.link: both directions of flow control, and the end of a connection, told once."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.wire.fakes import FakeTransport, turns

from fairlead.errors import ClientConnectionResetError
from fairlead.wire.h1_link import H1ClientLink
from fairlead.wire.link import Link


def connected() -> tuple[Link, FakeTransport]:
    link = Link(asyncio.get_running_loop())
    return link, FakeTransport(link)


async def test_a_link_is_connected_while_its_transport_is_open() -> None:
    link = Link(asyncio.get_running_loop())
    assert not link.connected
    transport = FakeTransport(link)
    assert link.connected
    assert link.transport is transport
    transport.close()
    assert not link.connected
    transport.lose()
    assert (link.connected, link.transport) == (False, None)


async def test_extra_info_comes_from_the_transport() -> None:
    link, transport = connected()
    assert link.get_extra_info("peername", "nobody") == "nobody"
    transport._extra = {"peername": ("127.0.0.1", 80)}  # type: ignore[attr-defined]
    assert link.get_extra_info("peername") == ("127.0.0.1", 80)
    transport.lose()
    assert link.get_extra_info("peername", "nobody") == "nobody"


# ---- out


async def test_drain_returns_at_once_while_there_is_room() -> None:
    link, _ = connected()
    await link.drain()
    assert not link.writing_paused


async def test_drain_waits_until_there_is_room() -> None:
    link, _ = connected()
    link.pause_writing()
    assert link.writing_paused
    tasks = [asyncio.ensure_future(link.drain()) for _ in range(3)]
    await turns()
    tasks[1].cancel()
    await turns()
    assert [task.done() for task in tasks] == [False, True, False]
    link.resume_writing()
    await asyncio.gather(tasks[0], tasks[2])
    link.resume_writing()
    await link.drain()


@pytest.mark.parametrize("exc", [None, ConnectionResetError(104, "reset")])
async def test_drain_fails_when_the_connection_is_lost(exc: Exception | None) -> None:
    link, transport = connected()
    link.pause_writing()
    tasks = [asyncio.ensure_future(link.drain()) for _ in range(2)]
    await turns()
    tasks[0].cancel()  # its future must not be touched any more
    transport.lose(exc)
    with pytest.raises(ClientConnectionResetError, match="Connection lost") as caught:
        await tasks[1]
    assert caught.value.__cause__ is exc
    with pytest.raises(ClientConnectionResetError):
        await link.drain()


# ---- in


async def test_reading_is_paused_and_resumed_once() -> None:
    link, transport = connected()
    link.resume_reading()
    for _ in range(2):
        link.pause_reading()
    assert link.reading_paused
    for _ in range(2):
        link.resume_reading()
    assert not link.reading_paused
    assert transport.calls == ["pause", "resume"]


async def test_a_link_without_a_transport_can_be_paused_and_resumed() -> None:
    link, transport = connected()
    link.pause_reading()
    transport.lose()
    link.resume_reading()
    link.pause_reading()
    assert transport.calls == ["pause"]


# ---- the end


async def test_close_closes_once() -> None:
    link, transport = connected()
    link.close()
    link.close()
    link.abort()
    assert transport.calls == ["close"]
    assert link.transport is None


async def test_abort_aborts_once() -> None:
    link, transport = connected()
    link.abort()
    link.abort()
    link.close()
    assert transport.calls == ["abort"]


async def test_a_paused_link_is_closed_so_that_it_notices_the_end() -> None:
    link, transport = connected()
    link.pause_reading()
    link.close()
    assert transport.calls == ["pause", "resume", "close"]
    assert not link.reading_paused


async def test_the_end_can_be_awaited_before_and_after() -> None:
    link, transport = connected()
    lost = link.lost()
    assert link.lost() is lost
    link.close()
    await turns()
    assert not lost.done()
    transport.lose()
    await lost
    late, transport = connected()
    transport.lose(OSError("gone"))
    await late.lost()


# ---- real transports, which have ideas of their own


@asynccontextmanager
async def pair(link: Link) -> AsyncIterator[tuple[asyncio.Transport, socket.socket]]:
    """A link with a real transport, and the blocking socket at its other end."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport, _ = await loop.create_connection(lambda: link, *listener.getsockname())
        peer, _ = listener.accept()
    try:
        yield transport, peer
    finally:
        peer.close()
        transport.abort()
        await asyncio.wait_for(link.lost(), 5)


def reset(peer: socket.socket) -> None:
    """Close a socket with a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def test_a_paused_link_whose_peer_is_gone_can_be_closed() -> None:
    link = Link(asyncio.get_running_loop())
    async with pair(link) as (_, peer):
        link.pause_reading()
        reset(peer)
        await turns(10)
        link.close()
        await asyncio.wait_for(link.lost(), 5)
        link.resume_reading()


async def test_a_link_can_be_paused_and_resumed_while_its_transport_is_closing() -> None:
    link = Link(asyncio.get_running_loop())
    async with pair(link) as (transport, _):
        link.pause_reading()
        transport.abort()
        link.resume_reading()
        link.pause_reading()
        link.resume_reading()
        await asyncio.wait_for(link.lost(), 5)


async def test_a_peer_that_does_not_read_can_not_keep_a_client_connection_open() -> None:
    link = H1ClientLink(asyncio.get_running_loop())
    async with pair(link) as (transport, _):
        while not transport.get_write_buffer_size():
            transport.write(bytes(1 << 20))
        link.close()
        await asyncio.wait_for(link.lost(), 5)
