"""Connectors: limits, turns, idle connections, and every way to close one."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.peers.raw import RawConnection, RawServer, answering, raw_server, response
from tests.peers.tls import client_context, server_context
from tests.peers.turns import until

import fairlead
from fairlead.client.connector import KEEPALIVE_TIMEOUT, BaseConnector, Connection
from fairlead.client.timeouts import ClientTimeout

OK = response(200, b"ok")
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


async def get(session: fairlead.ClientSession, url: Any, **options: Any) -> bytes:
    async with session.get(url, **options) as answer:
        return await answer.read()


class Gate:
    """A server that counts the requests it has in hand and answers when told to."""

    def __init__(self) -> None:
        self.now = self.most = self.seen = 0
        self.open = asyncio.Event()

    async def __call__(self, connection: RawConnection) -> None:
        while await connection.request() is not None:
            self.now += 1
            self.seen += 1
            self.most = max(self.most, self.now)
            await self.open.wait()
            self.now -= 1
            await connection.send(OK)


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (3, 3), (0, 8), (None, 8), (100, 8)])
async def test_limit(limit: int | None, expected: int) -> None:
    gate = Gate()
    async with raw_server(gate) as server:
        async with fairlead.ClientSession(connector=fairlead.TCPConnector(limit=limit)) as session:
            assert session.connector.limit == (limit or 0)
            tasks = [asyncio.ensure_future(get(session, server.url)) for _ in range(8)]
            await until(lambda: gate.seen == expected, "as many as the limit allows are under way")
            assert session.connector.in_use == expected
            gate.open.set()
            assert await asyncio.gather(*tasks) == [b"ok"] * 8
            assert gate.most == expected
            assert (session.connector.in_use, session.connector.idle) == (0, expected)
            assert len(server.connections) == expected


async def test_limit_per_host_is_for_each_host() -> None:
    one, two = Gate(), Gate()
    async with raw_server(one) as first, raw_server(two) as second:
        connector = fairlead.TCPConnector(limit_per_host=2)
        assert (connector.limit, connector.limit_per_host) == (100, 2)
        async with fairlead.ClientSession(connector=connector) as session:
            tasks = [asyncio.ensure_future(get(session, server.url)) for server in (first, second) for _ in range(5)]
            await until(lambda: one.seen == two.seen == 2, "two of each are under way")
            assert connector.in_use == 4
            one.open.set()
            two.open.set()
            await asyncio.gather(*tasks)
            assert one.most == two.most == 2


async def test_callers_of_one_host_do_not_keep_those_of_another_waiting() -> None:
    """Hosts take turns: whoever comes with one request is not behind ten of somebody else's."""
    order: list[str] = []

    async def slow(connection: RawConnection) -> None:
        while await connection.request() is not None:
            await asyncio.sleep(0)
            await connection.send(OK)

    async def call(name: str, url: Any) -> None:
        await get(session, url)
        order.append(name)

    async with raw_server(slow) as first, raw_server(slow) as second:
        async with fairlead.ClientSession(connector=fairlead.TCPConnector(limit=1)) as session:
            tasks = [asyncio.ensure_future(call(f"a{n}", first.url)) for n in range(10)]
            await asyncio.sleep(0)
            tasks.append(asyncio.ensure_future(call("b", second.url)))
            await asyncio.gather(*tasks)
    assert order.index("b") <= 2
    assert [name for name in order if name != "b"] == [f"a{n}" for n in range(10)]  # and in turn among themselves


async def test_a_host_at_its_limit_does_not_block_the_others() -> None:
    stuck, free = Gate(), Gate()
    free.open.set()
    async with raw_server(stuck) as first, raw_server(free) as second:
        connector = fairlead.TCPConnector(limit=3, limit_per_host=1)
        async with fairlead.ClientSession(connector=connector) as session:
            tasks = [asyncio.ensure_future(get(session, first.url)) for _ in range(5)]
            await until(lambda: stuck.seen == 1, "the first host is at its limit")
            assert await get(session, second.url) == b"ok"
            assert await get(session, second.url) == b"ok"
            stuck.open.set()
            await asyncio.gather(*tasks)


# --- idle connections ------------------------------------------------------------------------------------------------


@contextmanager
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Add to the clock of the loop: `ahead[0] = 20` is twenty seconds later."""
    loop = asyncio.get_running_loop()
    ahead = [0.0]
    real = loop.time
    if type(loop).__module__.startswith("uvloop"):
        pytest.skip("the clock of this loop can not be moved")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: real() + ahead[0])
        yield ahead
        ahead[0] = 0.0


async def test_an_idle_connection_is_used_again_and_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEEPALIVE_TIMEOUT == 15
    with clock(monkeypatch) as ahead:
        async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
            await get(session, server.url)
            ahead[0] = 14.0
            await get(session, server.url)
            ahead[0] = 28.0
            await get(session, server.url)  # the time counts from the last use
            assert len(server.connections) == 1
            ahead[0] = 44.0
            await until(lambda: server.connections[0].eof, "the connection was closed without another request")
            assert session.connector.idle == 0
            await get(session, server.url)
            assert len(server.connections) == 2


async def test_a_connection_that_is_too_old_is_not_used_although_nobody_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    with clock(monkeypatch) as ahead:
        async with raw_server(answering(OK)) as server:
            async with fairlead.ClientSession(connector=fairlead.TCPConnector(keepalive_timeout=5)) as session:
                await get(session, server.url)
                ahead[0] = 5.5
                await get(session, server.url)
                assert len(server.connections) == 2
                await until(lambda: server.connections[0].eof, "the old one is closed")


async def test_only_the_old_ones_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    with clock(monkeypatch) as ahead:
        async with raw_server(gate) as server, fairlead.ClientSession() as session:
            two = asyncio.gather(get(session, server.url), get(session, server.url))
            await until(lambda: gate.seen == 2, "two connections are open")
            gate.open.set()
            await two
            ahead[0] = 10.0
            await get(session, server.url)
            ahead[0] = 16.0
            await until(lambda: sum(connection.eof for connection in server.connections) == 1, "one is closed")
            for _ in range(20):
                await asyncio.sleep(0)
            assert session.connector.idle == 1


async def test_an_idle_connection_that_the_server_closes_is_not_used() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(OK)

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        for n in range(1, 4):
            assert await get(session, server.url) == b"ok"
            await until(lambda: not any(link.connected for link in session.connector._links), "the end was seen")
            assert len(server.connections) == n


@pytest.mark.parametrize("option", ["force_close", "Connection: close", "HTTP/1.0"])
async def test_connections_that_are_used_once(option: str) -> None:
    answer = {
        "force_close": OK,
        "Connection: close": response(200, b"ok", ("Connection", "close")),
        "HTTP/1.0": response(200, b"ok", version="1.0"),
    }[option]
    connector = fairlead.TCPConnector(force_close=option == "force_close")
    assert connector.force_close is (option == "force_close")
    async with raw_server(answering(answer)) as server, fairlead.ClientSession(connector=connector) as session:
        for _ in range(3):
            await get(session, server.url)
        assert len(server.connections) == 3
        assert (connector.in_use, connector.idle) == (0, 0)
        await until(lambda: all(connection.eof for connection in server.connections), "all were closed")


async def test_force_close_leaves_no_room_for_a_keepalive_timeout() -> None:
    with pytest.raises(ValueError, match="keepalive_timeout cannot be set if force_close is True"):
        fairlead.TCPConnector(force_close=True, keepalive_timeout=5)
    await fairlead.TCPConnector(force_close=True, keepalive_timeout=None).close()


# --- closing ---------------------------------------------------------------------------------------------------------


async def test_close_ends_idle_connections_and_is_final() -> None:
    async with raw_server(answering(OK)) as server:
        connector = fairlead.TCPConnector()
        async with fairlead.ClientSession(connector=connector) as session:
            await get(session, server.url)
            await connector.close()
            assert connector.closed
            assert session.closed
            await until(lambda: server.connections[0].eof, "the connection is closed")
            await connector.close()
            with pytest.raises(RuntimeError, match="Session is closed"):
                await get(session, server.url)


async def test_close_while_a_body_is_read() -> None:
    async with raw_server(answering(HALF)) as server, fairlead.ClientSession() as session:
        answer = await session.get(server.url)
        reader = asyncio.ensure_future(answer.read())
        await asyncio.sleep(0)
        await session.close()
        with pytest.raises(fairlead.ClientConnectionError, match="Connector is closed"):
            await reader
        await until(lambda: server.connections[0].eof, "the connection is closed")


async def test_close_while_a_response_is_awaited() -> None:
    gate = Gate()
    async with raw_server(gate) as server, fairlead.ClientSession() as session:
        task = asyncio.ensure_future(get(session, server.url))
        await until(lambda: gate.seen == 1, "the request has arrived")
        connector = session.connector
        await session.close()
        with pytest.raises(fairlead.ClientConnectionError, match="Connector is closed"):
            await task
        assert connector.in_use == 0


async def test_close_while_a_body_is_sent() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.head()
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async def endless() -> Any:
        while True:
            yield b"x" * 100_000

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        task = asyncio.ensure_future(session._request("POST", server.url, data=endless()))
        await until(lambda: server.requests, "the request has arrived")
        connector = session.connector
        await asyncio.wait_for(session.close(), 1)  # does not wait for a peer that does not read
        with pytest.raises(fairlead.ClientConnectionError, match="Connector is closed"):
            await task
        assert connector.in_use == 0


async def test_close_while_callers_wait_for_a_slot() -> None:
    gate = Gate()
    async with raw_server(gate) as server:
        async with fairlead.ClientSession(connector=fairlead.TCPConnector(limit=1)) as session:
            tasks = [asyncio.ensure_future(get(session, server.url)) for _ in range(4)]
            await until(lambda: gate.seen == 1, "the first has the slot")
            connector = session.connector
            await session.close()
            for task in tasks:
                with pytest.raises(fairlead.ClientConnectionError, match="Connector is closed"):
                    await task
            assert connector.in_use == 0
            assert len(server.connections) == 1


class Held(BaseConnector):
    """Opens connections to one server, when told to."""

    def __init__(self, server: RawServer, **options: Any) -> None:
        super().__init__(**options)
        self.server = server
        self.gate = asyncio.Event()
        self.gate.set()
        self.dialled = 0
        self.waiting = 0

    async def _create_connection(self, req: Any, traces: Any, timeout: ClientTimeout) -> Any:
        self.waiting += 1
        await self.gate.wait()
        self.dialled += 1
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(self._factory, self.server.host, self.server.port)
        return link


async def test_close_while_a_connection_is_opened() -> None:
    async with raw_server(answering(OK)) as server:
        connector = Held(server)
        connector.gate.clear()
        async with fairlead.ClientSession(connector=connector) as session:
            task = asyncio.ensure_future(get(session, "http://any.test/"))
            await until(lambda: connector.waiting == 1, "the connection is being opened")
            await session.close()
            connector.gate.set()
            with pytest.raises(fairlead.ClientConnectionError, match="Connector is closed"):
                await task
            assert connector.in_use == 0
        if server.connections:
            await until(lambda: server.connections[0].eof, "nothing is left open")


async def test_close_of_the_base_does_its_work_whether_or_not_it_is_awaited() -> None:
    async with raw_server(answering(HALF)) as server:
        connector = Held(server)
        session = fairlead.ClientSession(connector=connector)
        answer = await session.get("http://any.test/")
        connector.close()
        assert connector.closed
        assert session.closed
        with pytest.raises(fairlead.ClientConnectionError, match="Connector is closed"):
            await answer.read()
        await until(lambda: server.connections[0].eof, "the connection is closed")


async def test_close_over_tls_does_not_wait_for_the_peer() -> None:
    async with raw_server(answering(OK), ssl=server_context()) as server:
        connector = fairlead.TCPConnector(ssl=client_context())
        async with fairlead.ClientSession(connector=connector) as session:
            await get(session, server.url)
            server.connections[0].writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.wait_for(session.close(), 1)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Warnings and messages to the loop's exception handler, of what the garbage collector finds."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    told: list[str] = []
    loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield told
        gc.collect()
        told.extend(str(entry.message) for entry in seen)
    loop.set_exception_handler(before)


async def test_a_connector_that_is_dropped_open_says_so_and_closes_its_connections() -> None:
    async with raw_server(answering(OK)) as server:
        with collected() as told:
            connector = fairlead.TCPConnector()
            async with fairlead.ClientSession(connector=connector, connector_owner=False) as session:
                await get(session, server.url)
            del connector, session
        assert "Unclosed connector" in told
        assert any(text.startswith("Unclosed connector <") for text in told)
        await until(lambda: server.connections[0].eof, "the connection is closed")


async def test_a_connector_without_connections_is_dropped_in_silence() -> None:
    with collected() as told:
        fairlead.TCPConnector()
    assert told == []


def test_a_connector_needs_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        fairlead.TCPConnector()


# --- connectors of one's own -----------------------------------------------------------------------------------------


async def test_a_connector_that_opens_its_own_connections() -> None:
    async with raw_server(answering(OK)) as server:
        connector = Held(server)
        async with fairlead.ClientSession(connector=connector) as session:
            for _ in range(3):
                assert await get(session, "http://any.test/path?q=1") == b"ok"
            assert connector.dialled == 1
            await get(session, "http://other.test/")
            assert connector.dialled == 2
        assert server.requests[0].target == "/path?q=1"
        assert server.requests[0].field("Host") == "any.test"


async def test_a_connector_with_a_connect_of_its_own_is_asked_for_each_request() -> None:
    class Counting(fairlead.TCPConnector):
        asked: list[str] = []

        async def connect(self, req: Any, traces: Any, timeout: ClientTimeout) -> Connection:
            self.asked.append(str(req.url))
            await asyncio.sleep(0)
            return await super().connect(req, traces, timeout)

    async with raw_server(answering(OK)) as server, fairlead.ClientSession(connector=Counting()) as session:
        for n in range(3):
            await get(session, server.url / str(n))
        assert Counting.asked == [str(server.url / str(n)) for n in range(3)]
        assert len(server.connections) == 1


async def test_the_base_does_not_know_how_to_connect() -> None:
    async with BaseConnector() as connector, fairlead.ClientSession(connector=connector) as session:
        with pytest.raises(NotImplementedError, match="BaseConnector does not say how to open a connection"):
            await session.get("http://any.test/")
        assert connector.in_use == 0


async def test_schemes_that_a_connector_allows() -> None:
    class Odd(BaseConnector):
        allowed_protocol_schema_set = BaseConnector.allowed_protocol_schema_set | {"odd"}

        async def _create_connection(self, req: Any, traces: Any, timeout: ClientTimeout) -> Any:
            raise OSError("opened")

    async with fairlead.ClientSession(connector=Odd()) as session:
        with pytest.raises(OSError, match="opened"):
            await session.get("odd://any.test/")
        with pytest.raises(fairlead.NonHttpUrlClientError):
            await session.get("other://any.test/")


# --- one connection --------------------------------------------------------------------------------------------------


async def test_a_connection_is_given_back_once_and_tells_its_callbacks() -> None:
    gate = Gate()
    async with raw_server(gate) as server, fairlead.ClientSession() as session:
        answer = asyncio.ensure_future(session._request("GET", server.url, headers={"X": "1"}))
        await until(lambda: gate.seen == 1, "the request has arrived")
        connector = session.connector
        request = session.request_class("GET", server.url, loop=asyncio.get_running_loop(), session=session)
        conn = await connector.connect(request, [], ClientTimeout())
        called: list[str] = []
        errors: list[str] = []
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(lambda loop, context: errors.append(context["message"]))
        conn.add_callback(lambda: called.append("first"))
        conn.add_callback(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        conn.add_callback(lambda: called.append("third"))
        assert conn.key == request.connection_key
        assert conn.protocol is not None
        assert conn.transport is conn.protocol.transport
        assert conn.loop is loop
        assert (bool(conn), conn.closed, connector.in_use) == (True, False, 2)
        conn.release()
        conn.release()
        conn.close()
        loop.set_exception_handler(before)
        assert called == ["first", "third"]
        assert errors == ["Exception in a Connection callback"]
        assert (conn.closed, conn.protocol, conn.transport) == (True, None, None)
        assert (connector.in_use, connector.idle) == (1, 1)
        gate.open.set()
        await (await answer).read()


async def test_the_connection_of_a_response() -> None:
    async with raw_server(answering(HALF)) as server, fairlead.ClientSession() as session:
        for options in ({}, {"headers": {"X": "1"}}):
            answer = await session.get(server.url, **options)
            assert isinstance(answer.connection, Connection)
            assert answer.connection.transport.get_extra_info("peername")[1] == server.port
            assert not answer.closed
            answer.close()
            assert (answer.connection, answer.closed) == (None, True)
        assert session.connector.in_use == 0
