"""Cancellation at every await: the slot comes back, nothing is left behind, and the session works afterwards.

Each scenario runs once for each turn of the loop that its call takes, and is cancelled there; the last run is the one
that was not cancelled. Warnings, pending tasks and errors that nobody retrieved are found by `tests/conftest.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.peers.raw import RawConnection, RawServer, answering, chunks, raw_server, response
from tests.peers.tls import client_context, server_context
from tests.peers.turns import turns

import fairlead
from fairlead.client.request import UploadTracker
from fairlead.wire.dns import AbstractResolver

OK = response(200, b"ok")

MOST_TURNS = 400
"""Turns after which a call that is still going on counts as hanging."""

Call = Callable[[fairlead.ClientSession, RawServer], Awaitable[object]]


def client_tasks() -> list[asyncio.Task[Any]]:
    """The tasks that are neither the test's own nor one of its servers'."""
    mine = asyncio.current_task()
    return [
        task
        for task in asyncio.all_tasks()
        if task is not mine and "RawServer" not in getattr(task.get_coro(), "__qualname__", "")
    ]


async def at_rest(connector: fairlead.BaseConnector) -> None:
    """Nothing of a call is left: checked at once, but for a cancelled upload, which ends on the next turns."""
    assert connector.in_use == 0
    await turns(5)
    assert client_tasks() == []
    assert connector.in_use == 0


async def works(session: fairlead.ClientSession, server: RawServer) -> None:
    async with session.get(server.url) as answer:
        assert (answer.status, await answer.read()) == (200, b"ok")


async def cancelled_everywhere(
    handler: Callable[[], Callable[[RawConnection], Awaitable[None]]],
    call: Call,
    *,
    least: int,
    warm: bool = False,
    tls: bool = False,
    resolver: Callable[[], AbstractResolver] | None = None,
    host: str = "127.0.0.1",
) -> None:
    """Run `call` against a server with a fresh `handler()`, cancelled one turn later each time, until it gets through.

    `least` is how many turns the call takes at least, so that a scenario can not become a trivial one unnoticed.
    """
    for tick in range(MOST_TURNS):
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(raw_server(handler(), ssl=server_context() if tls else None))
            options: dict[str, Any] = {"resolver": resolver()} if resolver is not None else {}
            connector = fairlead.TCPConnector(ssl=client_context() if tls else True, **options)
            session = await stack.enter_async_context(fairlead.ClientSession(connector=connector))
            if warm:
                await works(session, server)
            task = asyncio.ensure_future(call(session, server))
            await turns(tick)
            through = task.done()
            if not through:
                task.cancel()
            await asyncio.wait([task])
            if through:
                task.result()
            else:
                assert task.cancelled(), f"cancelled at turn {tick}, but {task!r}"
            await at_rest(connector)
            await works(session, server)
        if through:
            assert tick >= least
            return
    raise AssertionError(f"not through after {MOST_TURNS} turns")


async def get(session: fairlead.ClientSession, server: RawServer) -> None:
    async with session.get(server.url) as answer:
        assert await answer.read() == b"ok"


async def get_with_everything(session: fairlead.ClientSession, server: RawServer) -> None:
    """The same by the long way: with options that keep the request off the short path."""
    async with session.get(server.url, headers={"X": "1"}, cookies={"a": "b"}) as answer:
        assert await answer.read() == b"ok"


@pytest.mark.parametrize("call", [get, get_with_everything])
async def test_fresh_connection(call: Call) -> None:
    await cancelled_everywhere(lambda: answering(OK), call, least=3)


@pytest.mark.parametrize("call", [get, get_with_everything])
async def test_reused_connection(call: Call) -> None:
    await cancelled_everywhere(lambda: answering(OK), call, least=2, warm=True)


async def test_tls() -> None:
    if asyncio.get_running_loop().get_debug():
        pytest.skip("in debug mode the server reports each handshake that ends early")
    await cancelled_everywhere(lambda: answering(OK), get, least=6, tls=True)


class SlowResolver(AbstractResolver):
    """Answers with loopback after five turns."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        await turns(5)
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 6, "flags": 0}]

    async def close(self) -> None:
        """Nothing is open."""


async def test_dns() -> None:
    async def call(session: fairlead.ClientSession, server: RawServer) -> None:
        async with session.get(server.url.with_host("name.test")) as answer:
            assert await answer.read() == b"ok"

    await cancelled_everywhere(lambda: answering(OK), call, least=8, resolver=SlowResolver)


@pytest.mark.parametrize("size", [100_000, 1_000_000])
async def test_big_upload(size: int) -> None:
    async def call(session: fairlead.ClientSession, server: RawServer) -> None:
        async with session.post(server.url, data=b"x" * size) as answer:
            assert await answer.read() == b"ok"

    await cancelled_everywhere(lambda: answering(OK), call, least=4)


async def test_upload_from_a_generator_that_is_closed_with_the_call() -> None:
    opened, closed = 0, 0

    async def call(session: fairlead.ClientSession, server: RawServer) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            nonlocal opened, closed
            opened += 1
            try:
                for _ in range(8):
                    yield b"x" * 300_000
                    await asyncio.sleep(0)
            finally:
                closed += 1

        async with session.post(server.url, data=pieces()) as answer:
            assert await answer.read() == b"ok"

    await cancelled_everywhere(lambda: answering(OK), call, least=8)
    assert opened == closed > 4


async def test_upload_watched_by_a_tracker() -> None:
    trackers: list[UploadTracker] = []

    async def call(session: fairlead.ClientSession, server: RawServer) -> None:
        tracker = UploadTracker()
        trackers.append(tracker)
        async with session.post(server.url, data=b"x" * 1_000_000, upload_tracker=tracker) as answer:
            assert await answer.read() == b"ok"

    await cancelled_everywhere(lambda: answering(OK), call, least=4)
    assert trackers[-1].upload_complete.result() is None
    for tracker in trackers[:-1]:
        if tracker.attempts:
            await asyncio.wait_for(asyncio.wait([tracker.upload_complete]), 5)


def dripping() -> Callable[[RawConnection], Awaitable[None]]:
    turn = 0

    async def handler(connection: RawConnection) -> None:
        nonlocal turn
        while (request := await connection.request()) is not None:
            if request.target == "/":
                await connection.send(OK)
                continue
            await connection.send(response(200, b"", ("Transfer-Encoding", "chunked"), length=False))
            for n in range(12):
                await connection.send(chunks(b"%02d" % n, end=False))
                await turns(2)
            await connection.send(chunks())

    return handler


@pytest.mark.parametrize("how", ["read", "iter_chunked", "iter_chunks", "readline"])
async def test_chunked_download(how: str) -> None:
    async def call(session: fairlead.ClientSession, server: RawServer) -> None:
        async with session.get(server.url / "drip") as answer:
            if how == "read":
                data = await answer.read()
            elif how == "iter_chunked":
                data = b"".join([piece async for piece in answer.content.iter_chunked(3)])
            elif how == "iter_chunks":
                data = b"".join([piece async for piece, _ in answer.content.iter_chunks()])
            else:
                data = await answer.content.readline()
            assert data == b"".join(b"%02d" % n for n in range(12))

    await cancelled_everywhere(dripping, call, least=20)


def redirecting() -> Callable[[RawConnection], Awaitable[None]]:
    async def handler(connection: RawConnection) -> None:
        while (request := await connection.request()) is not None:
            place = {"/1": "/2", "/2": "/"}.get(request.target)
            await connection.send(OK if place is None else response(307, b"moved", ("Location", place)))

    return handler


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_redirect(method: str) -> None:
    async def call(session: fairlead.ClientSession, server: RawServer) -> None:
        data = b"x" * 200_000 if method == "POST" else None
        async with session.request(method, server.url / "1", data=data) as answer:
            assert await answer.read() == b"ok"
            assert len(answer.history) == 2

    await cancelled_everywhere(redirecting, call, least=6)


async def test_middleware_that_asks_twice() -> None:
    async def again(request: Any, handler: Any) -> Any:
        first = await handler(request)
        await turns(2)  # the first response is still open here, its body on its way
        first.release()
        await turns(2)
        return await handler(request)

    async def call(session: fairlead.ClientSession, server: RawServer) -> None:
        async with session.get(server.url / "drip", middlewares=(again,)) as answer:
            await answer.read()

    await cancelled_everywhere(dripping, call, least=20)


def continuing() -> Callable[[RawConnection], Awaitable[None]]:
    async def handler(connection: RawConnection) -> None:
        while (request := await connection.head()) is not None:
            if request.field("Expect"):
                await turns(2)
                await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await connection.body(request)
            await turns(2)
            await connection.send(OK)

    return handler


@pytest.mark.parametrize("size", [5, 1_000_000])
async def test_expect_continue(size: int) -> None:
    async def call(session: fairlead.ClientSession, server: RawServer) -> None:
        async with session.put(server.url, data=b"x" * size, expect100=True) as answer:
            assert await answer.read() == b"ok"

    await cancelled_everywhere(continuing, call, least=8)


async def test_trace_listeners_that_wait() -> None:
    """A caller can be cancelled inside each of its listeners."""

    async def call(session: fairlead.ClientSession, server: RawServer) -> None:
        async def listen(*args: Any) -> None:
            await turns(2)

        config = fairlead.TraceConfig()
        for name in dir(config):
            if name.startswith("on_"):
                getattr(config, name).append(listen)
        async with fairlead.ClientSession(
            connector=session.connector, connector_owner=False, trace_configs=[config]
        ) as traced:
            async with traced.post(server.url / "1", data=b"abc") as answer:
                assert await answer.read() == b"ok"

    await cancelled_everywhere(redirecting, call, least=20, resolver=SlowResolver)


async def test_raise_for_status_that_waits() -> None:
    async def check(answer: fairlead.ClientResponse) -> None:
        await turns(3)

    async def call(session: fairlead.ClientSession, server: RawServer) -> None:
        async with session.get(server.url / "drip", raise_for_status=check) as answer:
            await answer.read()

    await cancelled_everywhere(dripping, call, least=20)


async def test_waiting_for_a_slot_of_the_pool() -> None:
    """One of two callers in the queue is cancelled at each turn, also when it has just been handed the slot."""
    for tick in range(MOST_TURNS):
        async with raw_server(answering(OK)) as server:
            async with fairlead.ClientSession(connector=fairlead.TCPConnector(limit=1)) as session:
                connector = session.connector
                assert connector is not None
                first, second, third = (asyncio.ensure_future(get(session, server)) for _ in range(3))
                await turns(tick)
                through = second.done()
                second.cancel()
                await asyncio.wait([first, second, third])
                assert second.cancelled() or through
                first.result()
                third.result()
                await at_rest(connector)
                await works(session, server)
        if through:
            assert tick > 4
            return
    raise AssertionError("the second caller never got through")


async def test_cancelled_in_the_same_turn_as_the_slot_is_granted() -> None:
    async with raw_server(answering(OK)) as server:
        async with fairlead.ClientSession(connector=fairlead.TCPConnector(limit=1)) as session:
            connector = session.connector
            assert connector is not None
            holder = await session.get(server.url / "hold")
            await holder.read()
            # The answer was whole, so hold the slot with one that is not.
            async with raw_server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")) as stalling:
                held = await session.get(stalling.url)
                waiting = [asyncio.ensure_future(get(session, server)) for _ in range(2)]
                await turns(3)
                held.close()  # grants the slot to the first
                waiting[0].cancel()
                await asyncio.wait(waiting)
                assert waiting[0].cancelled()
                waiting[1].result()
            await at_rest(connector)


async def test_cancelled_in_the_same_turn_as_the_connection_is_lost() -> None:
    """The error that the caller will not see counts as retrieved."""
    for where in ("head", "body", "upload"):

        async def handler(connection: RawConnection, where: str = where) -> None:
            await connection.head()
            if where == "body":
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            await connection.until(b"never")

        async with raw_server(handler) as server, fairlead.ClientSession() as session:
            connector = session.connector
            assert connector is not None
            data = b"x" * 900_000 if where == "upload" else None

            async def call(url: Any = server.url, data: bytes | None = data) -> None:
                async with session.post(url, data=data) as answer:
                    await answer.read()

            task = asyncio.ensure_future(call())
            while not (server.connections and server.connections[0].requests):
                await turns(1)
            await turns(20)
            (link,) = connector._links
            transport = link.transport
            assert transport is not None
            transport.abort()  # connection_lost on the next turn ...
            await turns(1)
            task.cancel()  # ... and its error on the way to the task
            await asyncio.wait([task])
            assert task.cancelled()
            await at_rest(connector)


class Census(asyncio.Protocol):
    """A server's connection that counts requests in progress on connections whose peer is still there."""

    busy: set[Census]
    most = 0
    served = 0

    def __init__(self, busy: set[Census], seed: random.Random) -> None:
        self.busy = busy
        self.random = seed
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.busy.add(self)
        # After the other events of this turn: the end of one connection may be told later than what replaced it.
        loop.call_soon(self.count)
        loop.call_later(self.random.random() * 0.004, self.answer)

    def count(self) -> None:
        Census.most = max(Census.most, len(self.busy))

    def answer(self) -> None:
        if self in self.busy and not self.transport.is_closing():
            self.busy.discard(self)
            Census.served += 1
            self.transport.write(OK)

    def eof_received(self) -> None:
        self.busy.discard(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.busy.discard(self)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [{"limit": 10}, {"limit": 0, "limit_per_host": 10}], ids=["limit", "per host"])
async def test_a_crowd_that_is_cancelled_at_random(seed: int, options: dict[str, int]) -> None:
    chance = random.Random(seed)
    Census.most = Census.served = 0
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Census(busy, chance), "127.0.0.1", 0, backlog=512)
    busy: set[Census] = set()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, fairlead.ClientSession(connector=fairlead.TCPConnector(**options)) as session:
        connector = session.connector
        assert connector is not None
        over = 0

        async def one() -> None:
            nonlocal over
            async with session.get(url, headers={"X": "1"} if chance.random() < 0.3 else None) as answer:
                over = max(over, connector.in_use)
                assert await answer.read() == b"ok"

        tasks = [asyncio.ensure_future(one()) for _ in range(200)]
        victims = chance.sample(tasks, 100)
        while victims:
            await turns(chance.randrange(4))
            for _ in range(min(len(victims), chance.randrange(4))):
                victims.pop().cancel()
            over = max(over, connector.in_use)
        await asyncio.wait(tasks)
        kept = [task for task in tasks if not task.cancelled()]
        assert len(kept) >= 100
        for task in kept:
            task.result()
        await at_rest(connector)
        assert 0 < over <= 10
        assert 0 < Census.most <= 10
        assert Census.served >= 100
        # And all of the slots are still there.
        over = Census.most = 0
        await asyncio.gather(*(one() for _ in range(40)))
        assert over == 10
        assert Census.most <= 10
        await at_rest(connector)
