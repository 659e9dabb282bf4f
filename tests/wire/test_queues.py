"""wire.queues: items in order, one end or one error, and a connection that pauses in between."""

from __future__ import annotations

import asyncio

import pytest
from tests.wire.fakes import Tap, turns

from fairlead.wire.queues import DataQueue, FlowControlDataQueue
from fairlead.wire.streams import EofStream


def queue() -> DataQueue[str]:
    return DataQueue(asyncio.get_running_loop())


async def test_items_come_out_in_order() -> None:
    q = queue()
    q.feed_data("a", 1)
    q.feed_data("b")
    assert len(q) == 2
    assert [await q.read(), await q.read()] == ["a", "b"]
    assert len(q) == 0


async def test_read_waits_for_an_item() -> None:
    q = queue()
    task = asyncio.ensure_future(q.read())
    await turns()
    with pytest.raises(RuntimeError, match="already waiting"):
        await q.read()
    q.feed_data("a")
    q.feed_data("b")
    assert await task == "a"
    assert await q.read() == "b"


async def test_the_end_comes_after_the_items() -> None:
    q = queue()
    q.feed_data("a")
    q.feed_eof()
    assert (q.is_eof(), q.at_eof()) == (True, False)
    assert await q.read() == "a"
    assert q.at_eof()
    for _ in range(2):
        with pytest.raises(EofStream):
            await q.read()


async def test_the_end_wakes_the_reader() -> None:
    q = queue()
    task = asyncio.ensure_future(q.read())
    await turns()
    q.feed_eof()
    with pytest.raises(EofStream):
        await task


async def test_an_error_comes_after_the_items_and_stays() -> None:
    q = queue()
    error, cause = OSError("lost"), ValueError("why")
    q.feed_data("a")
    q.set_exception(error, cause)
    assert q.exception() is error
    assert error.__cause__ is cause
    assert await q.read() == "a"
    for _ in range(2):
        with pytest.raises(OSError, match="lost"):
            await q.read()


async def test_an_error_wakes_the_reader() -> None:
    q = queue()
    task = asyncio.ensure_future(q.read())
    await turns()
    q.set_exception(OSError("lost"))
    with pytest.raises(OSError, match="lost"):
        await task


@pytest.mark.parametrize("fed_first", [False, True])
async def test_cancellation_loses_no_item(fed_first: bool) -> None:
    q = queue()
    task = asyncio.ensure_future(q.read())
    await turns()
    if fed_first:
        q.feed_data("a")
    task.cancel()
    if not fed_first:
        q.feed_data("a")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await q.read() == "a"
    for _ in range(2):
        task = asyncio.ensure_future(q.read())
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    task = asyncio.ensure_future(q.read())
    await turns()
    task.cancel()
    q.set_exception(OSError("nobody waits for it"))
    await asyncio.wait([task])


async def test_a_queue_is_iterated_to_its_end() -> None:
    q = queue()
    for item in "abc":
        q.feed_data(item)
    q.feed_eof()
    assert [item async for item in q] == ["a", "b", "c"]


async def test_the_connection_pauses_above_twice_the_limit() -> None:
    tap = Tap()
    q: FlowControlDataQueue[str] = FlowControlDataQueue(tap, 10, loop=asyncio.get_running_loop())
    for item in ("a", "b"):
        q.feed_data(item, 10)
    assert not tap.paused
    q.feed_data("c", 1)
    assert tap.paused
    q.feed_data("d", 1)
    assert await q.read() == "a"
    assert [await q.read(), await q.read(), await q.read()] == ["b", "c", "d"]
    assert tap.calls == ["pause", "resume"]


async def test_a_limit_of_nothing_does_not_stop_the_flow() -> None:
    tap = Tap()
    q: FlowControlDataQueue[str] = FlowControlDataQueue(tap, 0, loop=asyncio.get_running_loop())
    for item in "abc":
        q.feed_data(item, 1)
        assert tap.paused
        assert await q.read() == item
        assert not tap.paused
