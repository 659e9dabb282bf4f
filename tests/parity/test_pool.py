"""Parity of connection reuse, of what a dead connection does to a request, of limits, and of the session's life."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.parity.compare import (
    BRIEFLY,
    HANG,
    OK,
    Names,
    Observation,
    Options,
    options_of,
    outcome,
    same,
    settle,
    table,
)
from tests.peers.raw import Handler, RawConnection, RawServer, answering, chunks, raw_server, response


@dataclass(frozen=True)
class Pair:
    """Two requests in a row through one session; what is seen is which connection each took."""

    answer: bytes | tuple[bytes, ...] | Handler
    method: str = "GET"
    read: bool = True
    session: Options = field(default_factory=dict)
    connector: Options = field(default_factory=dict)
    options: Options = field(default_factory=dict)
    pause: float = 0.0
    ask: Callable[[Any, RawServer, Names], Awaitable[Any]] | None = None

    def handler(self) -> Handler:
        if callable(self.answer):
            return self.answer
        return answering(*(self.answer if isinstance(self.answer, tuple) else (self.answer,)))


async def take(library: Any, pair: Pair) -> Observation:
    names, results = Names(), []
    async with raw_server(pair.handler()) as server:
        names.learn(server, "PORT")
        connector = library.TCPConnector(**options_of(pair.connector, library))
        async with library.ClientSession(connector=connector, **options_of(pair.session, library)) as session:

            async def ask() -> Any:
                if pair.ask is not None:
                    return await pair.ask(session, server, names)
                async with session.request(pair.method, server.url, **options_of(pair.options, library)) as r:
                    return [r.status, await r.read() if pair.read else None]

            for _ in range(2):
                results.append(await outcome(names, ask()))
                await settle()
                if pair.pause:
                    await asyncio.sleep(pair.pause)
        served = [[r.line for r in c.requests] for c in server.connections if c.requests]
    return {"results": results, "served": served}


def http10(**options: Any) -> Options:
    return lambda lib: {"version": lib.HttpVersion10, **options}


async def to_the_end(connection: RawConnection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\n\r\nok")


async def unfinished(connection: RawConnection) -> None:
    while await connection.request():
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")


async def closing_while_idle(connection: RawConnection) -> None:
    if await connection.request():
        await connection.send(OK)


REUSE = {
    "plain": Pair(OK),
    "chunked": Pair(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"ok")),
    "connection close": Pair(response(200, b"ok", ("Connection", "close"))),
    "connection CLOSE": Pair(response(200, b"ok", ("Connection", "CLOSE"))),
    "connection list": Pair(response(200, b"ok", ("Connection", "keep-alive, close"))),
    "connection other": Pair(response(200, b"ok", ("Connection", "foo"))),
    "HTTP/1.0": Pair(response(200, b"ok", version="1.0")),
    "HTTP/1.0 keep-alive": Pair(response(200, b"ok", ("Connection", "keep-alive"), version="1.0")),
    "HTTP/1.0 client": Pair(OK, session=http10()),
    "HTTP/1.0 both": Pair(response(200, b"ok", version="1.0"), session=http10()),
    "no read small": Pair(OK, read=False),
    "no read large": Pair(response(200, b"x" * 2_000_000), read=False),
    "until the end": Pair(to_the_end),
    "HEAD": Pair(response(200, b""), method="HEAD"),
    "HEAD with length": Pair(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method="HEAD"),
    "204": Pair(b"HTTP/1.1 204 N\r\n\r\n"),
    "304": Pair(b"HTTP/1.1 304 N\r\n\r\n"),
    "204 with length": Pair(b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n"),
    "101": Pair(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", read=False),
    "force_close": Pair(OK, connector={"force_close": True}),
    "keepalive_timeout 0": Pair(OK, connector={"keepalive_timeout": 0}),
    "keepalive_timeout None": Pair(OK, connector={"keepalive_timeout": None}),
    "keepalive_timeout over": Pair(OK, connector={"keepalive_timeout": 0.01}, pause=0.05),
    "keep-alive field": Pair(response(200, b"ok", ("Keep-Alive", "timeout=60"))),
    "unfinished": Pair(unfinished, read=False),
    "raise_for_status": Pair(response(404, b"no"), options={"raise_for_status": True}),
    "extra response": Pair(OK + OK),
    "closed while idle": Pair(closing_while_idle, method="POST"),
    "POST": Pair(OK, method="POST", options={"data": b"abc"}),
    "server hostname": Pair(OK, options={"server_hostname": "a"}),
    "interim first": Pair(b"HTTP/1.1 103 Early\r\n\r\n" + OK),
}


@table("reuse", REUSE)
async def test_reuse(case: str, shot: Pair) -> None:
    await same(case, lambda lib: take(lib, shot))


# --- a pooled connection that is dead ---------------------------------------------------------------------------------


def dying(end: str, answer: bytes = OK) -> Handler:
    """The first connection answers once, then reads the second request and ends instead of answering."""

    async def handler(connection: RawConnection) -> None:
        if connection.number == 0:
            if await connection.request():
                await connection.send(answer)
            await connection.read()
            if end == "reset":
                connection.reset()
            elif end == "half":
                await connection.send(b"HTTP/1.1 200")
            return
        while await connection.request():
            await connection.send(answer)

    return handler


async def all_dead(connection: RawConnection) -> None:
    if connection.number == 0 and await connection.request():
        await connection.send(OK)
    await connection.read()


async def pieces() -> AsyncIterator[bytes]:
    yield b"ab"


EMPTY = response(200, b"")
DEAD = {
    **{
        f"{method} closed": Pair(dying("close", EMPTY), method=method)
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"]
    },
    "GET reset": Pair(dying("reset")),
    "POST reset": Pair(dying("reset"), method="POST"),
    "all connections": Pair(all_dead),
    "PUT bytes": Pair(dying("close"), method="PUT", options={"data": b"abc"}),
    "PUT bytesio": Pair(dying("close"), method="PUT", options=lambda lib: {"data": io.BytesIO(b"abc")}),
    "PUT generator": Pair(dying("close"), method="PUT", options=lambda lib: {"data": pieces()}),
    "GET half a status line": Pair(dying("half")),
}


@table("dead", DEAD)
async def test_dead_connections(case: str, shot: Pair) -> None:
    await same(case, lambda lib: take(lib, shot))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_fresh_connection_that_ends_is_not_replayed(method: str) -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()

    await same(f"dead/fresh {method}", lambda lib: take(lib, Pair(handler, method=method)))


# --- answers before the request is whole -----------------------------------------------------------------------------


async def endless() -> AsyncIterator[bytes]:
    for _ in range(200):
        yield b"x" * 10_000
        await asyncio.sleep(0)


async def raising() -> AsyncIterator[bytes]:
    yield b"a"
    raise KeyError("mine")


async def not_bytes() -> AsyncIterator[Any]:
    yield "text"


def uploading(make: Callable[[], Any], **options: Any) -> Callable[[Any, RawServer, Names], Awaitable[Any]]:
    async def ask(session: Any, server: RawServer, names: Names) -> Any:
        async with session.post(server.url, data=make(), **options) as r:
            return [r.status, await r.read()]

    return ask


def early(*, close: bool) -> Handler:
    async def handler(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(response(413, b"no", *([("Connection", "close")] if close else []), reason="Big"))
        if not close:
            await connection.wait_closed_by_peer()

    return handler


async def reset_in_upload(connection: RawConnection) -> None:
    await connection.head()
    await asyncio.sleep(BRIEFLY)
    connection.reset()


async def listening(connection: RawConnection) -> None:
    await connection.wait_closed_by_peer()


UPLOADS = {
    "early answer to a generator": Pair(early(close=False), ask=uploading(endless)),
    "early answer and close to a generator": Pair(early(close=True), ask=uploading(endless)),
    "early answer and close to bytes": Pair(early(close=True), ask=uploading(lambda: b"x" * 20_000_000)),
    "early answer and close to a file": Pair(early(close=True), ask=uploading(lambda: io.BytesIO(b"x" * 20_000_000))),
    "reset to a generator": Pair(reset_in_upload, ask=uploading(endless)),
    "reset to bytes": Pair(reset_in_upload, ask=uploading(lambda: b"x" * 20_000_000)),
    "generator raises": Pair(listening, ask=uploading(raising)),
    "generator gives str": Pair(listening, ask=uploading(not_bytes)),
}


@table("upload", UPLOADS)
async def test_uploads(case: str, shot: Pair) -> None:
    def counted(seen: Observation) -> Observation:
        # How far an upload came before the answer is a matter of buffers; how many connections it took is not.
        return {"results": seen["results"], "connections": len(seen["served"])}

    async def scenario(lib: Any) -> Observation:
        return counted(await take(lib, shot))

    await same(case, scenario)


# --- limits ----------------------------------------------------------------------------------------------------------


async def slowly(connection: RawConnection) -> None:
    while await connection.request():
        await asyncio.sleep(BRIEFLY)
        await connection.send(OK)


LIMITS = [{"limit": 2}, {"limit": 0}, {"limit_per_host": 1}, {"limit": 3, "limit_per_host": 2}]


@pytest.mark.parametrize("options", LIMITS, ids=str)
async def test_limits(options: dict[str, int]) -> None:
    async def scenario(lib: Any) -> Observation:
        async with raw_server(slowly) as server:
            connector = lib.TCPConnector(**options)
            async with lib.ClientSession(connector=connector) as session:
                order: list[int] = []

                async def get(i: int) -> None:
                    async with session.get(f"{server.url}{i}") as r:
                        await r.read()
                        order.append(i)

                await asyncio.gather(*[get(i) for i in range(6)])
                facts = [connector.limit, connector.limit_per_host, connector.force_close, connector.closed]
            return {"connections": len(server.connections), "order": sorted(order), "facts": facts}

    await same(f"limit/{options}", scenario)


async def test_waiters_of_one_host_are_served_in_turn() -> None:
    async def scenario(lib: Any) -> Observation:
        async with raw_server(slowly) as server:
            async with lib.ClientSession(connector=lib.TCPConnector(limit=1)) as session:
                tasks = []
                for i in range(5):
                    tasks.append(asyncio.ensure_future(session.get(f"{server.url}{i}")))
                    await asyncio.sleep(0)
                for task in tasks:
                    async with await task as r:
                        await r.read()
            return {"order": [q.target for q in server.requests]}

    await same("limit/turn", scenario)


async def test_the_longest_idle_connection_is_taken_first() -> None:
    async def scenario(lib: Any) -> Observation:
        async with raw_server(answering(OK)) as server, lib.ClientSession() as session:
            responses = [await session.get(server.url) for _ in range(3)]
            for r in responses:
                await r.read()
            for i in range(3):
                async with session.get(f"{server.url}n{i}") as r:
                    await r.read()
            return {"served": [[q.target for q in c.requests] for c in server.connections]}

    await same("limit/idle order", scenario)


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    async def scenario(lib: Any) -> Observation:
        async with raw_server(slowly) as server:
            async with lib.ClientSession(connector=lib.TCPConnector(limit=1)) as session:
                first = asyncio.ensure_future(session.get(f"{server.url}0"))
                await asyncio.sleep(0)
                waiting = asyncio.ensure_future(session.get(f"{server.url}1"))
                last = asyncio.ensure_future(session.get(f"{server.url}2"))
                await asyncio.sleep(0)
                waiting.cancel()
                for task in (first, last):
                    async with await task as r:
                        await r.read()
            return {"order": [q.target for q in server.requests], "cancelled": waiting.cancelled()}

    await same("limit/cancelled waiter", scenario)


# --- life ------------------------------------------------------------------------------------------------------------


async def test_life_of_a_session() -> None:
    async def scenario(lib: Any) -> Observation:
        names, seen = Names(), Observation()
        async with raw_server(answering(OK)) as server:
            names.learn(server, "PORT")
            session = lib.ClientSession()
            seen["defaults"] = names.plain(
                {
                    name: getattr(session, name)
                    for name in (
                        "closed", "connector_owner", "headers", "auth", "trust_env", "raise_for_status",
                        "auto_decompress", "skip_auto_headers", "requote_redirect_url", "trace_configs",
                    )
                }
            )  # fmt: skip
            timeout = session.timeout
            seen["timeout"] = [timeout.total, timeout.connect, timeout.sock_read, timeout.sock_connect]
            seen["types"] = names.plain([type(session.cookie_jar), type(session.connector), type(session.headers)])
            seen["settable"] = {
                name: await outcome(names, lambda name=name: setattr(session, name, 1))
                for name in ("closed", "connector", "headers", "cookie_jar", "timeout", "auth")
            }
            connector = session.connector
            seen["closing"] = [await session.close(), session.closed, session.connector, connector.closed]
            seen["closing again"] = await session.close()
            seen["use after close"] = await outcome(names, lambda: session.get(server.url))
            seen["use"] = await outcome(names, connector.close)
        return seen

    await same("life/session", scenario)


async def test_life_of_a_shared_connector() -> None:
    async def scenario(lib: Any) -> Observation:
        names, seen = Names(), Observation()
        async with raw_server(answering(OK)) as server:
            names.learn(server, "PORT")
            connector = lib.TCPConnector()
            for i in range(2):
                session = lib.ClientSession(connector=connector, connector_owner=False)
                async with session.get(server.url) as r:
                    await r.read()
                await session.close()
                seen[f"closed {i}"] = [session.closed, connector.closed]
            seen["connections"] = len(server.connections)
            session = lib.ClientSession(connector=connector)
            session.detach()
            seen["detached"] = [session.closed, session.connector, connector.closed]
            await connector.close()
            session = lib.ClientSession(connector=connector)
            seen["closed connector"] = [session.closed, await outcome(names, lambda: session.get(server.url))]
            await session.close()
        return seen

    await same("life/connector", scenario)


async def test_the_object_that_a_verb_returns() -> None:
    async def scenario(lib: Any) -> Observation:
        names, seen = Names(), Observation()
        async with raw_server(answering(OK)) as server, lib.ClientSession() as session:
            names.learn(server, "PORT")
            request = session.get(server.url)
            members = ("send", "throw", "close", "__await__", "__aenter__", "__enter__")
            seen["has"] = [hasattr(request, name) for name in members]
            response = await request
            seen["first"] = [response.status, await response.read()]
            seen["second"] = await outcome(names, request)
            seen["task"] = (await asyncio.ensure_future(session.get(server.url))).status
            async with lib.request("GET", server.url) as r:
                seen["module"] = [r.status, await r.read()]
            try:
                with session:
                    pass
            except TypeError:
                seen["sync with"] = "TypeError"
            unused = session.get(server.url)
            unused.close()
        return seen

    await same("life/verb", scenario)


async def test_session_close_with_a_response_open() -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        async with raw_server(unfinished) as server:
            session = lib.ClientSession()
            r = await session.get(server.url)
            await session.close()
            async with asyncio.timeout(HANG):
                ended = await server.connections[0].wait_closed_by_peer()
            return {"ended": ended, "read": await outcome(names, r.read), "closed": session.closed}

    await same("life/open response", scenario)
