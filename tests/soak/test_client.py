"""A crowd of callers that do everything at once, well and badly, and cancel each other; then nothing may be left.

Every caller picks what to do at random, from a fixed seed. What is checked is what a service that runs for months lives
on: answers are right, errors are documented ones, and connections, descriptors, tasks and objects do not pile up.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.peers.http import PATTERN, http_server

import fairlead

SECONDS = float(os.environ.get("FAIRLEAD_SOAK_SECONDS", "20"))
CALLERS = 24
LIMIT = 16

# Objects that caches may keep for good (URLs, header blocks), far below one for each request.
OBJECTS_ALLOWED = 4000


class Caller:
    """One caller; each method is something that callers do."""

    def __init__(self, session: Any, base: str, seed: int, tally: Counter[str]) -> None:
        self.session = session
        self.base = base
        self.random = random.Random(seed)
        self.tally = tally

    async def small(self) -> None:
        async with self.session.get(f"{self.base}/echo", params={"n": "1"}) as response:
            assert (await response.json())["method"] == "GET"

    async def large(self) -> None:
        size = self.random.randrange(1, 300_000)
        async with self.session.get(f"{self.base}/bytes/{size}") as response:
            assert await response.read() == PATTERN[:size]

    async def chunked(self) -> None:
        async with self.session.get(f"{self.base}/chunked/20/1000") as response:
            assert len(await response.read()) == 20_000

    async def coded(self) -> None:
        coding = self.random.choice(["gzip", "deflate"])
        async with self.session.get(f"{self.base}/coded/{coding}/50000") as response:
            assert await response.read() == PATTERN[:50_000]

    async def upload(self) -> None:
        pieces = [self.random.randbytes(self.random.randrange(1, 20_000)) for _ in range(5)]

        async def body() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        async with self.session.post(f"{self.base}/upload", data=body()) as response:
            assert (await response.json())["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()

    async def redirected(self) -> None:
        async with self.session.get(f"{self.base}/redirect/3") as response:
            assert response.status == 200
            assert len(response.history) == 3

    async def half_read(self) -> None:
        async with self.session.get(f"{self.base}/bytes/500000") as response:
            assert len(await response.content.read(10)) > 0

    async def cut(self) -> None:
        with pytest.raises(fairlead.ClientPayloadError):
            async with self.session.get(f"{self.base}/cut/10") as response:
                await response.read()

    async def closed(self) -> None:
        async with self.session.get(f"{self.base}/close") as response:
            await response.read()

    async def timed_out(self) -> None:
        limit = fairlead.ClientTimeout(total=self.random.uniform(0.001, 0.05))
        with pytest.raises(TimeoutError):
            async with self.session.get(f"{self.base}/stall/10", timeout=limit) as response:
                await response.read()

    async def cancelled(self) -> None:
        action = self.random.choice([self.large, self.upload, self.redirected, self.chunked, self.coded])
        task = asyncio.create_task(action())
        for _ in range(self.random.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass

    ACTIONS = (small, large, chunked, coded, upload, redirected, half_read, cut, closed, timed_out, cancelled)

    async def call(self, until: float) -> None:
        while time.monotonic() < until:
            action = self.random.choice(self.ACTIONS)
            await action(self)
            self.tally[action.__name__] += 1


def descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except FileNotFoundError:
        pytest.skip("counting descriptors needs /proc")


def objects(server: Any) -> int:
    server.connections.clear()  # its record of every connection is the one thing that is meant to grow
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.slow
async def test_nothing_piles_up() -> None:
    tally: Counter[str] = Counter()

    async def crowd(session: Any, base: str, seconds: float, seed: int) -> None:
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for n in range(CALLERS):
                group.create_task(Caller(session, base, seed + n, tally).call(until))

    async def settled() -> None:
        """Wait until the connections that were closed are gone on both sides."""
        for _ in range(50):
            await asyncio.sleep(0.01)

    async with http_server() as server:
        base = str(server.url).rstrip("/")
        before = descriptors()
        connector = fairlead.TCPConnector(limit=LIMIT)
        async with fairlead.ClientSession(connector=connector) as session:
            await crowd(session, base, SECONDS / 4, 0)
            await settled()
            first = objects(server)
            await crowd(session, base, SECONDS, 1000)
            await settled()
            grown = objects(server) - first
            # Both ends of every connection live in this process.
            assert descriptors() - before <= 2 * LIMIT
        await settled()
        assert descriptors() <= before
    assert set(tally) == {action.__name__ for action in Caller.ACTIONS}
    assert grown <= OBJECTS_ALLOWED, f"{grown} objects more after {sum(tally.values())} calls"
