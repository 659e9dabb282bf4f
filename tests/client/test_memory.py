"""What requests leave behind: nothing. The short version; tests/soak has the long ones."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.peers.raw import response

import fairlead

REQUESTS = 2000
OBJECTS_ALLOWED = 60
"""Objects that may be there after the requests and not before: far below one in twenty requests."""


class Echo(asyncio.Protocol):
    """A server's connection that keeps nothing: one answer for each head, bodies are not looked at."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        while True:
            if self.held.startswith(b"0\r\n\r\n"):  # the end of an upload
                self.held = self.held[5:]
                self.transport.write(response(200, b"ok"))
                continue
            head, end, rest = self.held.partition(b"\r\n\r\n")
            if not end:
                return
            if b"chunked" in head:
                at = rest.find(b"0\r\n\r\n")
                if at < 0:
                    return
                self.held = rest[at:]
                continue
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self.held = rest[length:]
            if head.startswith(b"GET /away"):
                self.transport.write(response(302, b"", ("Location", "/end"), reason="Found"))
            elif head.startswith(b"GET /cut"):
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            else:
                self.transport.write(response(200, b"ok", ("Set-Cookie", "a=b")))


async def plain(session: fairlead.ClientSession, url: str) -> None:
    async with session.get(url) as answer:
        await answer.read()


async def posted(session: fairlead.ClientSession, url: str) -> None:
    async with session.post(url, json={"a": 1}) as answer:
        await answer.read()


async def in_full(session: fairlead.ClientSession, url: str) -> None:
    async with session.get(url, headers={"X": "1"}, params={"q": "1"}, timeout=1) as answer:
        await answer.text()


async def redirected(session: fairlead.ClientSession, url: str) -> None:
    async with session.get(f"{url}away") as answer:
        await answer.read()


async def uploaded(session: fairlead.ClientSession, url: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with session.put(url, data=pieces()) as answer:
        await answer.read()


async def given_up(session: fairlead.ClientSession, url: str) -> None:
    async with session.get(f"{url}cut"):
        pass


async def cancelled(session: fairlead.ClientSession, url: str) -> None:
    task = asyncio.ensure_future(in_full(session, f"{url}cut"))
    for _ in range(6):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    ("call", "count"),
    [
        (plain, REQUESTS),
        (posted, REQUESTS),
        (in_full, REQUESTS),
        (redirected, REQUESTS // 2),
        (uploaded, REQUESTS // 2),
        (given_up, REQUESTS // 4),
        (cancelled, REQUESTS // 4),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_objects_do_not_pile_up(call: Any, count: int) -> None:
    loop = asyncio.get_running_loop()
    if loop.get_debug():
        pytest.skip("in debug mode the loop keeps a stack for each timer")
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=64)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

    async def objects() -> Counter[str]:
        for _ in range(20):
            await asyncio.sleep(0)
        gc.collect()
        return Counter(type(item).__name__ for item in gc.get_objects())

    async with server, fairlead.ClientSession() as session:
        for _ in range(100):
            await call(session, url)
        before = await objects()
        for _ in range(count):
            await call(session, url)
        grown = await objects()
        grown.subtract(before)
        for name in ("TimerHandle", "Context"):
            del grown[name]  # the loop keeps up to a hundred timers that were cancelled
        assert session.connector is not None
        assert session.connector.in_use == 0
    piled = {name: more for name, more in grown.items() if more > 5}
    assert sum(grown.values()) <= OBJECTS_ALLOWED, piled
