"""Time limits: each one ends what it is for, says so, and leaves nothing behind.

The phases are stalled on purpose, so the limits here are tiny, and no test waits longer than for one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs
import pytest
from tests.peers.raw import RawConnection, RawServer, answering, raw_server, response

import fairlead
from fairlead import ClientTimeout
from fairlead.client.timeouts import DEFAULT_TIMEOUT, check_request_timeout, check_session_timeout, limit_of
from fairlead.errors import TotalTimeoutError
from fairlead.wire.dns import AbstractResolver

LIMIT = 0.03
OK = response(200, b"ok")


async def silent(connection: RawConnection) -> None:
    """Take a connection and say nothing, whatever comes."""
    await connection.until(b"never")


class DeafResolver(AbstractResolver):
    """Never answers."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    async def close(self) -> None:
        """Nothing is open."""


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """The port of a listener that completes no further handshake (on Linux)."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.asynccontextmanager
async def stalled(phase: str) -> AsyncIterator[tuple[fairlead.ClientSession, dict[str, Any]]]:
    """A session and the arguments of a request that gets stuck in a phase."""

    async def headers(connection: RawConnection) -> None:
        await connection.head()
        await silent(connection)

    async def body(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await silent(connection)

    async def redirect(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(response(302, b"", ("Location", "/next"), reason="Found"))
        await headers(connection)

    async def upload(connection: RawConnection) -> None:
        await connection.head()
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    handlers = {"headers": headers, "body": body, "redirect": redirect, "upload": upload, "expect": headers}
    async with contextlib.AsyncExitStack() as stack:
        server: RawServer = await stack.enter_async_context(raw_server(handlers.get(phase, silent)))
        options: dict[str, Any] = {}
        arguments: dict[str, Any] = {"method": "GET", "url": server.url}
        if phase == "pool":
            options["limit"] = 1
        elif phase == "dns":
            options["resolver"] = DeafResolver()
            arguments["url"] = "http://name.test/"
        elif phase == "connect":
            arguments["url"] = f"http://127.0.0.1:{stack.enter_context(full_backlog())}/"
        elif phase == "tls":
            arguments["url"] = f"https://127.0.0.1:{server.port}/"
        elif phase == "proxy":
            arguments.update(url="https://name.test/", proxy=server.url)
        elif phase == "upload":
            arguments.update(method="POST", data=endless())
        elif phase == "expect":
            arguments.update(method="POST", data=b"x", expect100=True)
        session = await stack.enter_async_context(
            fairlead.ClientSession(connector=fairlead.TCPConnector(**options), timeout=ClientTimeout())
        )
        if phase == "pool":
            holder = asyncio.ensure_future(session._request("GET", server.url))
            stack.callback(holder.cancel)
            await asyncio.sleep(0)  # it has the only slot now
        yield session, arguments
        if phase == "pool":
            holder.cancel()
            await asyncio.wait([holder])


async def stalls(phase: str, **limits: float) -> tuple[Exception, float]:
    """Let one call run into its limits; return the error and how long it took."""
    async with stalled(phase) as (session, arguments):
        assert session.connector is not None
        before = session.connector.in_use
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(TimeoutError) as caught:
            async with session.request(**arguments, timeout=ClientTimeout(**limits)) as answer:
                await answer.read()
        took = loop.time() - started
        assert session.connector.in_use == before
        return caught.value, took


@pytest.mark.parametrize(
    ("phase", "named"),
    [
        ("pool", "pool"),
        ("dns", "dns"),
        ("connect", "connect"),
        ("tls", "tls"),
        ("proxy", "proxy"),
        ("headers", "headers"),
        ("redirect", "headers"),
        ("upload", "headers"),
        ("expect", "headers"),
        ("body", "body"),
    ],
)
async def test_total(phase: str, named: str) -> None:
    error, took = await stalls(phase, total=LIMIT)
    assert isinstance(error, TotalTimeoutError)
    assert type(error).__mro__.index(TimeoutError) > 0
    assert (error.limit, error.phase) == (LIMIT, named)
    assert LIMIT - 0.002 <= error.elapsed <= took + 0.01
    assert re.search(rf"within {LIMIT} s \(ClientTimeout\.total\).* in phase '{named}'", str(error))
    assert "http" in str(error)


@pytest.mark.parametrize("phase", ["pool", "dns", "connect", "tls", "proxy"])
async def test_connect(phase: str) -> None:
    error, _ = await stalls(phase, connect=LIMIT)
    assert type(error) is fairlead.ConnectionTimeoutError
    assert isinstance(error, fairlead.ServerTimeoutError)
    assert f"within {LIMIT} s (option ClientTimeout.connect;" in str(error)
    assert f"in phase '{phase}'" in str(error)
    assert ("1 connections in use, 0 other callers waiting" in str(error)) is (phase == "pool")


@pytest.mark.parametrize(
    ("phase", "words"), [("connect", "no connection was made"), ("tls", "the TLS handshake was not done")]
)
async def test_sock_connect(phase: str, words: str) -> None:
    error, _ = await stalls(phase, sock_connect=LIMIT)
    assert type(error) is fairlead.ConnectionTimeoutError
    assert f"{words} within ClientTimeout.sock_connect={LIMIT} seconds" in str(error)
    assert "127.0.0.1" in str(error)


@pytest.mark.parametrize(("phase", "named"), [("headers", "headers"), ("redirect", "headers"), ("body", "body")])
async def test_sock_read(phase: str, named: str) -> None:
    error, _ = await stalls(phase, sock_read=LIMIT)
    assert type(error) is fairlead.SocketTimeoutError
    assert isinstance(error, fairlead.ServerTimeoutError)
    assert f"no byte for {LIMIT} s in the {named} phase" in str(error)
    assert "option ClientTimeout.sock_read" in str(error)


async def test_sock_read_is_not_about_uploads() -> None:
    """While the request is being sent nobody expects a byte."""

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(LIMIT * 3)
        yield b"b"

    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        timeout = ClientTimeout(sock_read=LIMIT)
        async with session.post(server.url, data=slow(), timeout=timeout) as answer:
            assert await answer.read() == b"ok"
        assert server.requests[0].body == b"ab"


async def test_total_is_counted_from_the_first_hop() -> None:
    async def handler(connection: RawConnection) -> None:
        for _ in range(100):
            if await connection.request() is None:
                return
            await asyncio.sleep(LIMIT / 4)
            await connection.send(response(302, b"", ("Location", "/again"), reason="Found"))

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        with pytest.raises(TotalTimeoutError):
            await session.get(server.url, timeout=ClientTimeout(total=LIMIT), max_redirects=100)
        assert 1 < len(server.requests) < 20


async def test_total_ends_a_middleware_that_waits_for_something_else() -> None:
    async def waiting(request: Any, handler: Any) -> Any:
        await asyncio.Event().wait()

    async def asking_for_ever(request: Any, handler: Any) -> Any:
        while True:
            answer = await handler(request)
            await answer.read()

    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        for middleware in (waiting, asking_for_ever):
            with pytest.raises(TotalTimeoutError) as caught:
                await session.get(server.url, timeout=ClientTimeout(total=LIMIT), middlewares=(middleware,))
            assert caught.value.limit == LIMIT
            assert session.connector.in_use == 0
        assert caught.value.phase in ("middlewares", "headers")

        async def too_late(request: Any, handler: Any) -> Any:
            raise TimeoutError("my own")

        with pytest.raises(TimeoutError, match="my own") as own:
            await session.get(server.url, timeout=ClientTimeout(total=5), middlewares=(too_late,))
        assert type(own.value) is TimeoutError


async def test_total_ends_a_listener_that_holds_the_request_back() -> None:
    """Its error is that of the limit, although it is the write that fails in the end; nothing is sent twice."""
    attempts = 0

    async def hold(session: Any, context: Any, params: Any) -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(LIMIT * 3)

    config = fairlead.TraceConfig()
    config.on_request_headers_sent.append(hold)
    async with raw_server(answering(OK)) as server, fairlead.ClientSession(trace_configs=[config]) as session:
        with pytest.raises(TotalTimeoutError):
            await session.get(server.url, timeout=ClientTimeout(total=LIMIT))
        assert attempts == 1
        assert session.connector.in_use == 0


async def test_a_limit_that_was_met_is_forgotten() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        answers = []
        for timeout in (ClientTimeout(total=LIMIT), ClientTimeout(sock_read=LIMIT), ClientTimeout(connect=LIMIT)):
            answers.append(await session.get(server.url, timeout=timeout))
        await asyncio.sleep(LIMIT * 2)
        for answer in answers:
            assert await answer.read() == b"ok"
        assert len(server.connections) == 1


async def test_long_limits_are_kept_to_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no timer of their own: one sweep looks at all connections."""
    monkeypatch.setattr("fairlead.wire.clock.RESOLUTION", 0.01)
    for limits, kind in (({"total": LIMIT}, TotalTimeoutError), ({"sock_read": LIMIT}, fairlead.SocketTimeoutError)):
        for phase in ("headers", "body"):
            error, _ = await stalls(phase, **limits, ceil_threshold=0.001)
            assert type(error) is kind


@pytest.mark.parametrize("value", [None, 0, -1])
async def test_no_limit(value: Any) -> None:
    timeout = ClientTimeout(total=value, connect=value, sock_connect=value, sock_read=value)
    async with raw_server(answering(OK)) as server, fairlead.ClientSession(timeout=timeout) as session:
        async with session.get(server.url) as answer:
            assert await answer.read() == b"ok"


def test_the_defaults_are_five_minutes_in_all_and_half_a_minute_to_connect() -> None:
    assert ClientTimeout(total=300, sock_connect=30) == DEFAULT_TIMEOUT
    assert (DEFAULT_TIMEOUT.connect, DEFAULT_TIMEOUT.sock_read, DEFAULT_TIMEOUT.ceil_threshold) == (None, None, 5)


def test_a_client_timeout_is_a_value() -> None:
    timeout = ClientTimeout(total=1)
    assert attrs.evolve(timeout, sock_read=2) == ClientTimeout(total=1, sock_read=2)
    assert hash(timeout) == hash(ClientTimeout(1))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        timeout.total = 5  # type: ignore[misc]


def test_what_counts_as_a_timeout() -> None:
    timeout = ClientTimeout(total=1)
    assert check_request_timeout(timeout) is check_session_timeout(timeout) is timeout
    assert check_request_timeout(None) == check_session_timeout(None) == ClientTimeout()
    assert check_request_timeout(2.5) == ClientTimeout(total=2.5)
    for wrong in (True, "5", object()):
        with pytest.raises(TypeError, match="timeout must be a ClientTimeout"):
            check_request_timeout(wrong)
    with pytest.raises(ValueError, match="please use 'timeout=ClientTimeout"):
        check_session_timeout(5)
    assert [limit_of(value) for value in (None, 0, -1, 0.5)] == [None, None, None, 0.5]


@pytest.mark.parametrize("phase", ["headers", "body"])
async def test_the_total_of_a_plain_request_on_a_connection_in_use(phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest path has no timer at all, only a deadline that the sweep looks at."""
    loop = asyncio.get_running_loop()
    if type(loop).__module__.startswith("uvloop"):
        pytest.skip("the clock of this loop can not be moved")
    arrived = asyncio.Event()

    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(OK)
        await connection.request()
        if phase == "body":
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        arrived.set()
        await silent(connection)

    async def read(session: fairlead.ClientSession, url: Any) -> bytes:
        async with session.get(url) as answer:
            return await answer.read()

    async with raw_server(handler) as server, fairlead.ClientSession(timeout=ClientTimeout(total=20)) as session:
        await read(session, server.url)
        real = loop.time
        task = asyncio.ensure_future(read(session, server.url))
        await arrived.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        with monkeypatch.context() as patch:
            patch.setattr(loop, "time", lambda: real() + 22)
            await asyncio.wait([task])
        error = task.exception()
        assert isinstance(error, TotalTimeoutError)
        assert (error.limit, error.phase) == (20, phase)
        assert 20 <= error.elapsed < 25
        assert str(server.url) in str(error)
        assert session.connector.in_use == 0
