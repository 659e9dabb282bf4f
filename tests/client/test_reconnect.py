"""`ws_connect_forever`: how long it waits, what it tries again, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.peers.raw import RawConnection, raw_server, response
from tests.peers.turns import turns, until

import fairlead
from fairlead import web
from fairlead.client import reconnect
from fairlead.client.reconnect import Backoff, may_pass
from fairlead.keys import ConnectionKey

QUICK = Backoff(first=0.001, most=0.004, jitter=0.0)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def site(handler: Handler) -> AsyncIterator[Any]:
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


# ---- how long


def test_waits_grow_to_a_ceiling() -> None:
    backoff = Backoff(first=1.0, factor=2.0, most=10.0, jitter=0.5)
    assert [backoff.delay(n, 0.0) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert [backoff.delay(n, 1.0) for n in range(1, 7)] == [0.5, 1, 2, 4, 5, 5]
    assert backoff.delay(100_000, 0.0) == 10.0


def test_waits_stay_in_their_bounds() -> None:
    for backoff in (Backoff(), Backoff(first=0.0), Backoff(factor=1.0), Backoff(jitter=0.0), Backoff(jitter=1.0)):
        for failures in (1, 2, 10, 1000, 10**9):
            for chance in (0.0, 0.3, 1.0):
                delay = backoff.delay(failures, chance)
                assert 0 <= delay <= backoff.most
                assert not math.isnan(delay)


def test_the_defaults_are_named() -> None:
    names = ("FIRST_DELAY", "FACTOR", "MOST_DELAY", "JITTER", "STEADY")
    values = [getattr(reconnect, name) for name in names]
    assert Backoff() == Backoff(*values) == fairlead.Backoff()


@pytest.mark.parametrize("wrong", [{"first": -1}, {"factor": 0.5}, {"most": -1}, {"jitter": 1.5}, {"jitter": -0.1}])
def test_wrong_backoffs(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a backoff has"):
        Backoff(**wrong)  # type: ignore[arg-type]


def test_what_may_pass() -> None:
    key = ConnectionKey("h", 80, False, True, None, None, None, None)

    def refused(status: int) -> Exception:
        return fairlead.WSServerHandshakeError(None, (), status=status)  # type: ignore[arg-type]

    passing = [
        fairlead.ClientConnectorError(key, OSError(1, "x")),
        fairlead.ServerDisconnectedError(),
        TimeoutError(),
        refused(503),
        refused(429),
    ]
    lasting = [refused(401), refused(404), refused(200), fairlead.InvalidURL("x"), ValueError(), RuntimeError()]
    assert all(map(may_pass, passing))
    assert not any(map(may_pass, lasting))


# ---- what is tried again


async def test_a_server_that_keeps_dying() -> None:
    """Each connection ends after one message, half of them without a word."""
    lives = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal lives
        ws: web.WebSocketResponse[bool] = web.WebSocketResponse()
        await ws.prepare(request)
        lives += 1
        await ws.send_str(f"life {lives}")
        if lives % 2:
            await ws.close(code=1012)
        else:
            assert request.transport is not None
            request.transport.abort()
        return ws

    told: list[tuple[int, float, str]] = []

    def on_failure(connections: fairlead.Reconnection, delay: float) -> None:
        told.append((connections.failures, delay, type(connections.error).__name__))

    got: list[str] = []
    codes: list[int | None] = []
    async with site(handler) as url, fairlead.ClientSession() as session:
        async for ws in session.ws_connect_forever(url, backoff=QUICK, on_failure=on_failure):
            async for message in ws:
                got.append(message.data)
            codes.append(ws.close_code)
            if len(got) == 6:
                break
        assert session.connector is not None
        assert session.connector.in_use == 0
    assert got == [f"life {number}" for number in range(1, 7)]
    assert codes == [1012, 1006] * 3
    assert [failures for failures, *_ in told] == [1, 2, 3, 4, 5]
    assert [delay for _, delay, _ in told] == [0.001, 0.002, 0.004, 0.004, 0.004]
    assert [error for *_, error in told] == ["NoneType", "ClientConnectionResetError"] * 2 + ["NoneType"]


async def test_a_connection_that_was_steady_forgets_what_was_before() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        ws: web.WebSocketResponse[bool] = web.WebSocketResponse()
        await ws.prepare(request)
        return ws

    failures: list[int] = []
    async with site(handler) as url, fairlead.ClientSession() as session:
        backoff = Backoff(first=0.001, most=0.001, steady=0.0)
        connections = session.ws_connect_forever(url, backoff=backoff)
        async for ws in connections:
            failures.append(connections.failures)
            async for _ in ws:
                pass
            if len(failures) == 4:
                break
    assert failures == [0, 1, 1, 1]


async def test_fresh_headers_for_each_attempt() -> None:
    tokens: list[str | None] = []

    async def handler(connection: RawConnection) -> None:
        while (request := await connection.request()) is not None:
            tokens.append(request.field("Authorization"))
            await connection.send(response(503, b"busy"))

    made = 0

    def fresh() -> dict[str, str]:
        nonlocal made
        made += 1
        return {"Authorization": f"token {made}"}

    async def later() -> dict[str, str]:
        await asyncio.sleep(0)
        return fresh()

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        limited = Backoff(first=0.001, most=0.001, attempts=3)
        for headers in (fresh, later, {"Authorization": "always"}):
            with pytest.raises(fairlead.WSServerHandshakeError) as caught:
                async for _ in session.ws_connect_forever(server.url, backoff=limited, headers=headers):
                    pytest.fail("nothing was opened")
            assert caught.value.body == b"busy"
    assert tokens == [*[f"token {number}" for number in range(1, 7)], *["always"] * 3]


async def test_what_will_not_pass_is_raised_at_once() -> None:
    async def handler(connection: RawConnection) -> None:
        while await connection.request() is not None:
            await connection.send(response(403, b"no"))

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        with pytest.raises(fairlead.WSServerHandshakeError):
            await anext(session.ws_connect_forever(server.url))
        with pytest.raises(fairlead.WSServerHandshakeError):
            limited = Backoff(first=0.0, attempts=4)
            await anext(session.ws_connect_forever(server.url, backoff=limited, retry=lambda error: True))
        assert len(server.requests) == 5
        with pytest.raises(ValueError, match="9 to 15"):
            await anext(session.ws_connect_forever(server.url, compress=5))
    with pytest.raises(RuntimeError, match="Session is closed"):
        await anext(session.ws_connect_forever(server.url))


async def test_a_server_that_says_when_to_come_back() -> None:
    async def handler(connection: RawConnection) -> None:
        while await connection.request() is not None:
            await connection.send(response(503, b"", ("Retry-After", "7")))

    delays: list[float] = []
    async with raw_server(handler) as server, fairlead.ClientSession() as session:

        def on_failure(connections: fairlead.Reconnection, delay: float) -> None:
            delays.append(delay)
            asyncio.get_running_loop().call_soon(asyncio.ensure_future, connections.close())

        for backoff in (Backoff(), Backoff(most=3.0)):
            async for _ in session.ws_connect_forever(server.url, backoff=backoff, on_failure=on_failure):
                pytest.fail("nothing was opened")
    assert delays == [7, 3.0]


async def test_too_many_ends_in_a_row() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        ws: web.WebSocketResponse[bool] = web.WebSocketResponse()
        await ws.prepare(request)
        return ws

    opened = 0
    async with site(handler) as url, fairlead.ClientSession() as session:
        with pytest.raises(fairlead.ClientConnectionError, match="closed 3 times in a row"):
            async for ws in session.ws_connect_forever(url, backoff=Backoff(first=0.0, attempts=3)):
                opened += 1
                async for _ in ws:
                    pass
    assert opened == 3


# ---- how it stops


async def silent(request: web.Request) -> web.StreamResponse:
    ws: web.WebSocketResponse[bool] = web.WebSocketResponse()
    await ws.prepare(request)
    async for _ in ws:
        pass
    return ws


async def test_the_last_one_is_closed_by_the_block() -> None:
    async with site(silent) as url, fairlead.ClientSession() as session:
        async with session.ws_connect_forever(url) as connections:
            async for ws in connections:
                assert not ws.closed
                break
        assert ws.closed
        assert [ws async for ws in connections] == []
        left = await anext(session.ws_connect_forever(url))
        assert not left.closed
        await left.close()


async def test_the_next_one_closes_the_one_before() -> None:
    async with site(silent) as url, fairlead.ClientSession() as session:
        async with session.ws_connect_forever(url, backoff=QUICK) as connections:
            first = await anext(connections)
            second = await anext(connections)
            assert (first.closed, first.close_code, second.closed) == (True, 1000, False)


@pytest.mark.parametrize("when", ["while it talks", "while it waits", "while it opens", "before it begins"])
async def test_another_task_stops_it(when: str) -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        if when == "while it waits":
            await connection.send(response(503))
        await connection.wait_closed_by_peer()

    opened: list[Any] = []

    async def talk(connections: fairlead.Reconnection) -> None:
        async for ws in connections:
            opened.append(ws)
            async for _ in ws:
                pass

    async with raw_server(handler) as server, site(silent) as url, fairlead.ClientSession() as session:
        target = url if when == "while it talks" else server.url
        connections = session.ws_connect_forever(target, backoff=Backoff(first=60.0, jitter=0.0))
        if when == "before it begins":
            await connections.close()
        task = asyncio.ensure_future(talk(connections))
        if when == "while it talks":
            await until(lambda: opened, "it is open")
        elif when == "while it waits":
            await until(lambda: connections.failures, "an attempt has failed")
        elif when == "while it opens":
            await until(lambda: server.requests, "an attempt is under way")
        await turns(3)
        await connections.close()
        await connections.close()
        await asyncio.wait_for(task, 5.0)
        assert session.connector is not None
        assert session.connector.in_use == 0


async def test_cancellation_at_every_step() -> None:
    async def talk(connections: fairlead.Reconnection) -> None:
        async with connections:
            async for ws in connections:
                await ws.send_str("a")
                await ws.receive(timeout=0.001)

    async with site(silent) as url:
        for steps in range(40):
            async with fairlead.ClientSession() as session:
                task = asyncio.ensure_future(talk(session.ws_connect_forever(url, backoff=QUICK)))
                await turns(steps)
                task.cancel()
                await asyncio.wait([task])
                assert session.connector is not None
                await turns(3)
                assert session.connector.in_use == 0
