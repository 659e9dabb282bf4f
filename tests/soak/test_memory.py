"""What large bodies and many requests do to the size of the process.  Client and server share it, so both count."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.peers.http import PATTERN, http_server

import fairlead

GIB = 2**30
MIB = 2**20
GROWTH_ALLOWED = 30 * MIB
REQUESTS = 20_000


def resident() -> int:
    """Bytes of memory that the process has now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        pytest.skip("the size of a process is read from /proc")
    return pages * os.sysconf("SC_PAGE_SIZE")


class Largest:
    """The size of the process, looked at often; the growth counts from the beginning."""

    def __init__(self) -> None:
        gc.collect()
        self.first = self.most = resident()

    def look(self) -> None:
        self.most = max(self.most, resident())

    @property
    def growth(self) -> int:
        return self.most - self.first


@pytest.mark.slow
@pytest.mark.parametrize("how", ["iter_any", "iter_chunked", "iter_chunks", "read"])
async def test_a_gibibyte_down(how: str) -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        async with session.get(server.url / "bytes" / str(4 * MIB)) as answer:
            await answer.read()  # what is allocated once
        size = Largest()
        received = pieces = 0
        async with session.get(server.url / "bytes" / str(GIB)) as answer:
            content = answer.content
            if how == "read":
                while piece := await content.read(100_000):
                    received += len(piece)
                    pieces += 1
                    if pieces % 256 == 0:
                        size.look()
            elif how == "iter_chunks":
                async for piece, _ in content.iter_chunks():
                    received += len(piece)
                    pieces += 1
                    if pieces % 256 == 0:
                        size.look()
            else:
                async for piece in content.iter_any() if how == "iter_any" else content.iter_chunked(65536):
                    received += len(piece)
                    pieces += 1
                    if pieces % 256 == 0:
                        size.look()
        size.look()
        assert received == GIB
        assert size.growth < GROWTH_ALLOWED, f"grew by {size.growth / MIB:.1f} MiB"


@pytest.mark.slow
async def test_a_gibibyte_down_compressed() -> None:
    """A small body that decodes to a large one is decoded as it is read, not before."""
    import gzip

    from tests.peers.raw import answering, raw_server, response

    plain = 256 * MIB
    coded = gzip.compress(bytes(plain), 1)
    async with raw_server(answering(response(200, coded, ("Content-Encoding", "gzip")))) as server:
        async with fairlead.ClientSession() as session:
            size = Largest()
            received = 0
            async with session.get(server.url) as answer:
                async for piece in answer.content.iter_any():
                    received += len(piece)
                    size.look()
            assert received == plain
            assert size.growth < GROWTH_ALLOWED, f"grew by {size.growth / MIB:.1f} MiB"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["generator", "file"])
async def test_a_gibibyte_up(kind: str, tmp_path: Path) -> None:
    size = Largest()

    async def pieces() -> AsyncIterator[bytes]:
        for n in range(GIB // MIB):
            yield PATTERN
            if n % 16 == 0:
                size.look()

    async with http_server() as server, fairlead.ClientSession() as session:
        async with session.post(server.url / "upload", data=PATTERN) as answer:
            await answer.read()
        if kind == "generator":
            size = Largest()
            async with session.post(server.url / "upload", data=pieces()) as answer:
                assert (await answer.json())["length"] == GIB
        else:
            path = tmp_path / "large"
            with path.open("wb") as file:
                file.truncate(GIB)
            size = Largest()

            async def watch() -> None:
                while True:
                    size.look()
                    await asyncio.sleep(0.05)

            watching = asyncio.ensure_future(watch())
            with path.open("rb") as file:
                async with session.post(server.url / "upload", data=file) as answer:
                    assert (await answer.json())["length"] == GIB
            watching.cancel()
            await asyncio.wait([watching])
        size.look()
        assert size.growth < GROWTH_ALLOWED, f"grew by {size.growth / MIB:.1f} MiB"


@pytest.mark.slow
async def test_many_requests() -> None:
    """No growth: what a service that runs for months lives on."""
    async with http_server() as server, fairlead.ClientSession() as session:

        async def some(count: int) -> None:
            for n in range(count):
                if n % 4:
                    async with session.get(server.url / "text") as answer:
                        await answer.text()
                else:
                    async with session.post(server.url / "upload", json={"n": n}, headers={"X": "1"}) as answer:
                        await answer.json()

        await some(2000)
        size = Largest()
        await some(REQUESTS)
        gc.collect()
        grown = resident() - size.first
        assert grown < MIB, f"grew by {grown / 1024:.0f} KiB in {REQUESTS} requests"
