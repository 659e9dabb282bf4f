"""wire.exchange: limits on a clock that the test moves, and the end of an exchange, which comes once."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import Callable

import pytest
from tests.wire.exchanges import Scene
from tests.wire.fakes import FakeClock, turns

from fairlead.errors import (
    ClientConnectionError,
    ClientPayloadError,
    ServerDisconnectedError,
    ServerTimeoutError,
    SocketTimeoutError,
    TotalTimeoutError,
)
from fairlead.wire.clock import RESOLUTION
from fairlead.wire.exchange import TIMER_SLACK, Exchange
from fairlead.wire.streams import EMPTY_PAYLOAD

OK = b"HTTP/1.1 200 OK\r\n"
SMALL = OK + b"Content-Length: 2\r\n\r\nok"
PART = OK + b"Content-Length: 100\r\n\r\nhello"


def timed(
    clock: FakeClock,
    *,
    total: float | None = None,
    read: float | None = None,
    ceil_threshold: float = 5,
    ago: float = 0.0,
    limit: int = 65536,
) -> Scene:
    """An exchange with limits, on a fake clock."""
    scene = Scene(clock.loop)
    exchange = scene.begin(limit=limit)
    exchange.what = "http://h/path"
    exchange.watch(started=clock.now - ago, total=total, read_limit=read, ceil_threshold=ceil_threshold)
    return scene


def ended_at(clock: FakeClock, exchange: Exchange, within: float, step: float = 0.01) -> float:
    """Let time pass in small steps until the exchange has ended; return how long that took."""
    start = clock.now
    while not exchange.ended:
        assert clock.now - start < within, "the limit was not applied"
        clock.advance(step)
    return clock.now - start


# ---- limits


@pytest.mark.parametrize("limit", [0.05, 1.0, 2.5, 5.0])
@pytest.mark.parametrize("kind", ["total", "read"])
async def test_short_limits_are_kept_precisely(kind: str, limit: float) -> None:
    clock = FakeClock()
    scene = timed(clock, total=limit if kind == "total" else None, read=limit if kind == "read" else None)
    assert limit - TIMER_SLACK <= ended_at(clock, scene.exchange, 10) <= limit + 0.02


@pytest.mark.parametrize("limit", [5.01, 7.5, 300.0])
@pytest.mark.parametrize("kind", ["total", "read"])
async def test_long_limits_are_kept_to_the_second_and_never_early(kind: str, limit: float) -> None:
    clock = FakeClock()
    scene = timed(clock, total=limit if kind == "total" else None, read=limit if kind == "read" else None)
    clock.advance(limit - 0.01)
    assert not scene.exchange.ended
    assert ended_at(clock, scene.exchange, 10) <= RESOLUTION + 0.02


@pytest.mark.parametrize(
    ("total", "read", "expected"),
    [(4.0, 0.5, 0.5), (0.5, 4.0, 0.5), (300.0, 0.5, 0.5), (2.0, 300.0, 2.0), (5.0, 5.0, 5.0)],
)
async def test_the_earlier_of_two_limits_counts(total: float, read: float, expected: float) -> None:
    clock = FakeClock()
    scene = timed(clock, total=total, read=read)
    assert ended_at(clock, scene.exchange, 10) == pytest.approx(expected, abs=0.02)
    with pytest.raises(TotalTimeoutError if total <= read else SocketTimeoutError):
        await scene.exchange.response_head()


async def test_the_threshold_of_precision_is_an_option() -> None:
    clock = FakeClock()
    scene = timed(clock, total=20.0, ceil_threshold=60)
    clock.advance(19.9)
    assert not scene.exchange.ended
    assert ended_at(clock, scene.exchange, 1) <= 0.12
    scene = timed(clock, total=2.0, ceil_threshold=0)
    assert 2.0 <= ended_at(clock, scene.exchange, 10) <= 2.0 + RESOLUTION + 0.02


async def test_total_counts_from_the_beginning_of_the_call() -> None:
    clock = FakeClock()
    scene = timed(clock, total=3.0, ago=2.0)
    assert scene.exchange.started(clock.now) == clock.now - 2.0
    assert ended_at(clock, scene.exchange, 10) == pytest.approx(1.0, abs=0.02)
    late = timed(clock, total=3.0, ago=10.0)
    clock.advance(0.001)
    assert late.exchange.ended


async def test_timers_that_fire_early_do_no_harm() -> None:
    clock = FakeClock()
    clock.early = 0.0005
    scene = timed(clock, total=2.0, read=1.0)
    scene.receive(b"H")
    clock.advance(0.5)
    scene.receive(b"T")
    assert ended_at(clock, scene.exchange, 10, 0.001) == pytest.approx(1.0, abs=0.01)


async def test_no_limits_mean_no_end() -> None:
    clock = FakeClock()
    scene = timed(clock)
    clock.advance(100_000)
    assert not scene.exchange.ended
    assert scene.exchange.started(clock.now) == clock.now
    scene.exchange.abort()


async def test_each_byte_starts_the_read_limit_anew() -> None:
    for limit in (1.0, 10.0):
        clock = FakeClock()
        scene = timed(clock, read=limit)
        for byte in range(20):
            clock.advance(limit * 0.9)
            assert not scene.exchange.ended
            scene.receive(PART[byte : byte + 1])
        clock.advance(limit + 2 * RESOLUTION)
        assert scene.exchange.ended


async def test_the_time_of_a_slow_reader_is_not_the_peers() -> None:
    for limit in (1.0, 10.0):
        clock = FakeClock()
        scene = timed(clock, read=limit, limit=2)
        scene.receive(PART)
        assert scene.transport.paused
        clock.advance(limit * 5 + 0.7)
        assert not scene.exchange.ended
        assert await scene.exchange.stream().read(5) == b"hello"
        assert not scene.transport.paused
        clock.advance(limit * 0.95)
        assert not scene.exchange.ended, "the limit began before the reader asked for more"
        clock.advance(limit * 0.05 + 2 * RESOLUTION)
        assert scene.exchange.ended


async def test_the_time_of_the_upload_is_not_the_peers() -> None:
    for limit in (1.0, 10.0):
        clock = FakeClock()
        scene = timed(clock, read=limit)
        scene.exchange.uploading = True
        clock.advance(limit * 5 + 0.7)
        assert not scene.exchange.ended
        scene.exchange.uploading = False
        scene.exchange.read_at = clock.now
        clock.advance(limit * 0.95)
        assert not scene.exchange.ended
        clock.advance(limit * 0.05 + 2 * RESOLUTION)
        assert scene.exchange.ended


async def test_total_counts_the_upload_and_the_slow_reader() -> None:
    clock = FakeClock()
    scene = timed(clock, total=3.0, read=1.0, limit=2)
    scene.exchange.uploading = True
    scene.receive(PART)
    assert scene.transport.paused
    assert ended_at(clock, scene.exchange, 10) == pytest.approx(3.0, abs=0.02)
    assert await scene.exchange.stream().read(5) == b"hello"
    with pytest.raises(TotalTimeoutError):
        await scene.exchange.stream().read(5)


@pytest.mark.parametrize(
    ("sent", "uploading", "words"),
    [
        (b"", False, ["'headers'", "GET http://h/path", "while the response was awaited", "3 s"]),
        (b"", True, ["'headers'", "while the request body was being sent"]),
        (PART, False, ["'body'", "after 5 bytes of the body"]),
    ],
)
async def test_the_message_of_total_says_limit_phase_and_what_is_pending(
    sent: bytes, uploading: bool, words: list[str]
) -> None:
    clock = FakeClock()
    scene = timed(clock, total=3.0)
    scene.exchange.uploading = uploading
    scene.receive(sent)
    clock.advance(4)
    error = scene.exchange.error
    assert isinstance(error, TotalTimeoutError)
    assert error.limit == 3.0
    assert error.phase == ("body" if sent else "headers")
    assert error.elapsed == pytest.approx(3.0, abs=0.01)
    for word in words:
        assert word in str(error)


async def test_the_message_of_sock_read_says_limit_phase_and_option() -> None:
    clock = FakeClock()
    scene = timed(clock, read=3.0)
    scene.receive(PART)
    clock.advance(4)
    error = scene.exchange.error
    assert isinstance(error, SocketTimeoutError)
    assert isinstance(error, ServerTimeoutError)
    for word in ("no byte for 3 s", "body", "GET http://h/path", "after 5 bytes", "ClientTimeout.sock_read"):
        assert word in str(error)


@pytest.mark.parametrize("total", [None, 2.0, 300.0])
@pytest.mark.parametrize("read", [None, 1.0, 100.0])
@pytest.mark.parametrize("end", ["response", "lost", "abort", "fail"])
async def test_no_timer_outlives_the_exchange(total: float | None, read: float | None, end: str) -> None:
    clock = FakeClock()
    scene = timed(clock, total=total, read=read)
    before = 1  # the one that looks at all links
    if end == "response":
        scene.receive(SMALL)
    elif end == "lost":
        scene.end()
    elif end == "abort":
        scene.exchange.abort()
    else:
        scene.exchange.fail(OSError())
    assert len(clock.timers) == before
    scene.exchange.expire(clock.now + 10_000)
    assert len(scene.returned) == 1


async def test_limits_set_after_the_end_are_not_kept() -> None:
    clock = FakeClock()
    scene = timed(clock)
    scene.receive(SMALL)
    scene.exchange.watch(started=clock.now, total=1.0, read_limit=1.0, ceil_threshold=5)
    assert len(clock.timers) == 1
    clock.advance(10)
    assert await scene.outcome() == (200, b"ok")


async def test_thousands_of_exchanges_leave_one_timer() -> None:
    clock = FakeClock()
    scene = Scene(clock.loop)
    for _ in range(2000):
        scene.begin().watch(started=clock.now, total=300.0, read_limit=60.0, ceil_threshold=5)
        scene.receive(SMALL)
        clock.now += 0.0001
    assert len(clock.heap) == 1


# ---- the end


ENDS: dict[str, Callable[[Exchange], None]] = {
    "finish": lambda exchange: exchange.finish(True),
    "close": lambda exchange: exchange.finish(False),
    "fail": lambda exchange: exchange.fail(LookupError("failed")),
    "abort": lambda exchange: exchange.abort(),
    "release": lambda exchange: exchange.abort(ClientConnectionError("released")),
    "expire": lambda exchange: exchange.expire(1e9),
}


# What those who wait get; not the TimeoutError of a test that waits in vain.
TOLD = (LookupError, ClientConnectionError, TotalTimeoutError)


@pytest.mark.parametrize("order", list(itertools.permutations(ENDS, 3)), ids="-".join)
@pytest.mark.parametrize("sent", [b"", PART])
async def test_an_exchange_ends_once(order: tuple[str, ...], sent: bytes) -> None:
    scene = Scene()
    exchange = scene.begin()
    exchange.watch(started=0.0, total=300.0, read_limit=None, ceil_threshold=5)
    scene.receive(sent)
    # What the link does before it reports the end of a response.
    for name in order:
        if name in ("finish", "close"):
            scene.link.detach(exchange)
        ENDS[name](exchange)
        assert exchange.ended
        assert scene.returned == [order[0] == "finish"]
    scene.end()
    scene.receive(SMALL)
    assert scene.returned == [order[0] == "finish"]


@pytest.mark.parametrize("name", ["fail", "abort", "release", "expire"])
async def test_whoever_waits_for_the_head_is_told_of_the_end(name: str) -> None:
    scene = Scene()
    exchange = scene.begin()
    exchange.watch(started=0.0, total=300.0, read_limit=None, ceil_threshold=5)
    task = asyncio.ensure_future(exchange.response_head())
    await turns()
    ENDS[name](exchange)
    with pytest.raises(TOLD):
        await asyncio.wait_for(task, 5)
    with pytest.raises(TOLD):
        await asyncio.wait_for(exchange.response_head(), 5)


@pytest.mark.parametrize("name", ["fail", "abort", "release", "expire"])
async def test_whoever_reads_the_body_is_told_of_the_end(name: str) -> None:
    scene = Scene()
    exchange = scene.begin()
    exchange.watch(started=0.0, total=300.0, read_limit=None, ceil_threshold=5)
    scene.receive(PART)
    task = asyncio.ensure_future(exchange.stream().read())
    await turns()
    ENDS[name](exchange)
    with pytest.raises(TOLD):
        await asyncio.wait_for(task, 5)
    with pytest.raises(TOLD):
        await asyncio.wait_for(exchange.stream().read(), 5)


async def test_a_body_that_was_given_up_is_forgotten() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.receive(PART)
    exchange.abort(ClientConnectionError("released"))
    with pytest.raises(ClientConnectionError, match="released"):
        await exchange.stream().read(5)


async def test_errors_that_nobody_waits_for_make_no_noise() -> None:
    """The test runner reports futures whose exception was never looked at."""
    for name in ("fail", "abort", "release"):
        scene = Scene()
        exchange = scene.begin()
        task = asyncio.ensure_future(exchange.response_head())
        await turns()
        task.cancel()
        ENDS[name](exchange)
        await asyncio.wait([task])
        assert task.cancelled()
        scene = Scene()
        ENDS[name](scene.begin())


async def test_a_cancelled_wait_leaves_the_exchange_open() -> None:
    scene = Scene()
    exchange = scene.begin()
    task = asyncio.ensure_future(exchange.response_head())
    await turns()
    task.cancel()
    await asyncio.wait([task])
    scene.receive(SMALL)
    assert await scene.outcome() == (200, b"ok")


@pytest.mark.parametrize("sent", [SMALL, PART, OK + b"Content-Length: 0\r\n\r\n"])
async def test_the_head_that_arrives_as_the_wait_is_cancelled_is_no_trouble(sent: bytes) -> None:
    scene = Scene()
    exchange = scene.begin()
    task = asyncio.ensure_future(exchange.response_head())
    await turns()
    task.cancel()
    scene.receive(sent)
    await asyncio.wait([task])
    assert task.cancelled()
    exchange.abort()
    assert len(scene.returned) == 1


async def test_the_head_can_be_asked_for_late_and_again() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.receive(SMALL)
    for _ in range(2):
        assert (await exchange.response_head()).status == 200
        await exchange.head_waiter()


# ---- the body


async def test_a_small_body_makes_no_stream_until_it_is_asked_for() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.receive(SMALL)
    assert (exchange.whole, exchange.body) == (b"ok", None)
    stream = exchange.stream()
    assert exchange.stream() is stream is exchange.body
    assert exchange.whole is None
    assert await stream.read() == b"ok"
    assert scene.transport.calls == []


async def test_a_large_whole_body_does_not_touch_the_connection() -> None:
    scene = Scene()
    old = scene.begin(limit=10)
    scene.receive(OK + b"Content-Length: 1000\r\n\r\n" + bytes(1000))
    new = scene.begin(limit=10)
    scene.receive(OK + b"Content-Length: 1000\r\n\r\n" + bytes(500))
    assert scene.transport.calls == ["pause"]
    assert len(await old.stream().read(995)) == 995
    assert len(await old.stream().read()) == 5
    assert scene.transport.calls == ["pause"]
    new.abort()


async def test_a_message_without_a_body_shares_one_stream() -> None:
    scene = Scene()
    exchange = scene.begin("HEAD")
    scene.receive(OK + b"Content-Length: 5\r\n\r\n")
    assert exchange.stream() is EMPTY_PAYLOAD


async def test_a_finished_exchange_is_freed_with_its_body() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.receive(PART[:-5])
    scene.receive(b"x" * 100)
    assert scene.returned == [True]
    gone = weakref.ref(exchange.stream()), weakref.ref(exchange)
    del exchange, scene.exchange
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    assert scene.link.reusable


@pytest.mark.parametrize("error", [ClientPayloadError("x"), ServerDisconnectedError()])
async def test_a_failed_exchange_keeps_what_was_received(error: Exception) -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.receive(PART)
    exchange.fail(error)
    assert await exchange.stream().readany() == b"hello"
    with pytest.raises(type(error)):
        await exchange.stream().readany()
