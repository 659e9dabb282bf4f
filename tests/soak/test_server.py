"""The server at full size: thousands of connections, gibibytes, and stops in the middle of it, see `tests.web.load`."""

from __future__ import annotations

import asyncio
import gc
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from tests.web import load

pytestmark = pytest.mark.slow

MIB = load.MIB
GIB = 2**30
GROWTH_ALLOWED = 30 * MIB
REQUESTS = 20_000
IDLE = 1000

IDLE_SERVER = """
import asyncio, sys
from {library} import web

async def hello(request):
    return web.Response(text="hello")

async def main():
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()

asyncio.run(main())
"""
"""A server that ends with its standard input."""


async def test_a_thousand_fast_clients_and_a_hundred_slow_ones() -> None:
    await load.fast_and_slow(fast=1000, slow=100, rounds=10)


@pytest.mark.parametrize("fresh", [False, True])
async def test_many_requests_of_all_kinds(fresh: bool) -> None:
    async with load.Site() as site:
        mix = load.Mix(site, fresh=fresh)
        await mix.some(2000)
        gc.collect()
        first = load.resident()
        await mix.some(REQUESTS)
        gc.collect()
        grown = load.resident() - first
        print(f"grew by {grown / 1024:.0f} KiB in {REQUESTS} requests")
        assert grown < MIB, f"grew by {grown / 1024:.0f} KiB in {REQUESTS} requests"
        assert mix.connections > (REQUESTS if fresh else REQUESTS // 10)


async def test_a_gibibyte_up() -> None:
    await load.upload_streamed(GIB, GROWTH_ALLOWED)


async def test_a_gibibyte_is_refused_early() -> None:
    assert await load.upload_refused(GIB, GROWTH_ALLOWED) < 64 * MIB


async def test_a_gibibyte_down() -> None:
    await load.download_streamed(GIB, GROWTH_ALLOWED)


async def test_a_gibibyte_of_a_file_down(tmp_path: Path) -> None:
    await load.download_file(GIB, GROWTH_ALLOWED, tmp_path / "large")


@pytest.mark.parametrize("before", [0, 1, 500, 2000, 5000])
async def test_a_stop_under_load_loses_nothing(before: int) -> None:
    await load.stop_under_load(fresh=100, staying=200, pausing=40, pipelining=0, before=before)


@pytest.mark.parametrize("before", [1, 30, 100])
async def test_a_stop_loses_no_answer_to_clients_that_send_on(before: int) -> None:
    """Few at a time: a client that does not take its answers for a while, and sends on after the end, gets a reset."""
    for _ in range(10):
        await load.stop_under_load(fresh=2, staying=2, pausing=0, pipelining=6, before=before)


@pytest.mark.parametrize("before", [1, 300, 1000, 1001, 1002, 3000])
async def test_a_stop_under_load_of_another_thread(before: int) -> None:
    await load.stop_seen_from_elsewhere(fresh=60, staying=100, before=before)


@pytest.mark.parametrize("sends_on", [False, True])
async def test_a_stop_waits_for_slow_readers(sends_on: bool) -> None:
    await load.stop_with_slow_readers(count=20, size=16 * MIB, sends_on=sends_on)


async def test_a_thousand_idle_connections_do_not_hold_up_the_end() -> None:
    assert await load.stop_with_streams(idle=IDLE, streams=100, polite=100) < 1


async def memory_of_idle_connections(library: str) -> tuple[float, float]:
    """Bytes for each connection: just opened, and after a request."""
    code = IDLE_SERVER.format(library=library)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    data = load.message("/")
    warm = await load.crowd(50, lambda n: load.opened(port))
    for client in warm:
        assert (await load.exchange(client, data)).status == 200
    before = load.resident(process.pid)
    clients = await load.crowd(IDLE, lambda n: load.opened(port))
    assert (await load.exchange(warm[0], data)).status == 200  # so that all were accepted
    fresh = (load.resident(process.pid) - before) / IDLE
    for client in clients:
        assert (await load.exchange(client, data)).body == b"hello"
    used = (load.resident(process.pid) - before) / IDLE
    await load.closed(*clients, *warm)
    process.stdin.close()
    assert await process.wait() == 0
    print(f"{library}: {fresh:.0f} bytes for a connection, {used:.0f} after a request")
    return fresh, used


async def test_idle_connections_take_little_memory() -> None:
    pytest.importorskip("aiohttp")
    ours = await memory_of_idle_connections("fairlead")
    theirs = await memory_of_idle_connections("aiohttp")
    assert ours[0] < theirs[0]
    assert ours[1] < theirs[1]
