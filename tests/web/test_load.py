"""Many clients at once, large bodies, and the end in the middle of all; tests/soak does the same at full size."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from tests.web import load

MIB = load.MIB
LARGE = 32 * MIB
ALLOWED = 16 * MIB
"""Growth of the process, with the buffers of the client; far below what is sent."""

OBJECTS_ALLOWED = 100


async def test_slow_clients_do_not_hold_up_fast_ones() -> None:
    await load.fast_and_slow(fast=100, slow=20, rounds=4)


@pytest.mark.parametrize("fresh", [False, True])
async def test_requests_leave_no_objects(fresh: bool) -> None:
    async with load.Site() as site:
        mix = load.Mix(site, fresh=fresh)
        await mix.some(70)
        gc.collect()
        first = len(gc.get_objects())
        await mix.some(280)
        gc.collect()
        grown = len(gc.get_objects()) - first
        assert grown < OBJECTS_ALLOWED, f"{grown} objects more after 280 requests"


async def test_a_large_body_up() -> None:
    await load.upload_streamed(LARGE, ALLOWED)


async def test_a_large_body_is_refused_early() -> None:
    assert await load.upload_refused(LARGE, ALLOWED) < LARGE


async def test_a_large_stream_down() -> None:
    await load.download_streamed(LARGE, ALLOWED)


async def test_a_large_file_down(tmp_path: Path) -> None:
    await load.download_file(LARGE, ALLOWED, tmp_path / "large")


async def test_a_stop_under_load_loses_nothing() -> None:
    await load.stop_under_load(fresh=8, staying=12, pausing=4, pipelining=6, before=100)


async def test_a_stop_under_load_of_another_thread() -> None:
    await load.stop_seen_from_elsewhere(fresh=6, staying=8, before=80)


@pytest.mark.parametrize("sends_on", [False, True])
async def test_a_stop_waits_for_slow_readers(sends_on: bool) -> None:
    await load.stop_with_slow_readers(count=4, size=8 * MIB, sends_on=sends_on)


async def test_idle_and_streaming_connections_do_not_hold_up_the_end() -> None:
    assert await load.stop_with_streams(idle=20, streams=5, polite=5) < 1
