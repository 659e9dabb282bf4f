"""Clients that leave and servers that stop, at every stage: nothing is left behind.

The runner of the tests fails a test that leaves a task, an open transport, a warning or an exception that nobody saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import pytest
from tests.peers.turns import turns, until
from tests.web.raw_cases import HELLO, HOST, chunked, get, post
from tests.web.raw_client import RawClient, connect
from tests.web.raw_site import web_module

LARGE = b"x" * 1_000_000

SOON = 1.0
"""Seconds within which a server stops that has nothing real to do."""

DRAIN = 20.0
"""A shutdown timeout that no test waits for."""


class Running:
    """A low level server whose handlers write down how they ended."""

    def __init__(self, *, handler_cancellation: bool = False, **options: Any) -> None:
        self.web: Any = web_module()
        self.gate = asyncio.Event()
        self.entered = 0
        self.ended: list[str] = []
        options.setdefault("access_log", None)
        options.setdefault("logger", quiet())
        self.server = self.web.Server(self.handle, handler_cancellation=handler_cancellation, **options)
        self.listening: Any = None
        self.port = 0

    async def handle(self, request: Any) -> Any:
        self.entered += 1
        try:
            response = await getattr(self, request.path.strip("/"), self.hello)(request)
        except BaseException as exc:
            self.ended.append(f"{request.path} {type(exc).__name__}")
            raise
        self.ended.append(f"{request.path} answered")
        return response

    async def hello(self, request: Any) -> Any:
        return self.web.Response(text="hello")

    async def echo(self, request: Any) -> Any:
        return self.web.Response(body=await request.read())

    async def gated(self, request: Any) -> Any:
        await self.gate.wait()
        return self.web.Response(text="open")

    async def stubborn(self, request: Any) -> Any:
        """Goes on after it was cancelled once."""
        with contextlib.suppress(asyncio.CancelledError):
            await self.gate.wait()
        await asyncio.sleep(0)
        return self.web.Response(text="stubborn")

    async def stream(self, request: Any) -> Any:
        """Writes until somebody stops it."""
        response = self.web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 10_000)
            await asyncio.sleep(0)

    async def large(self, request: Any) -> Any:
        return self.web.Response(body=LARGE)

    async def trickle(self, request: Any) -> Any:
        """Says something once, and then waits."""
        response = self.web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        await self.gate.wait()
        await response.write(b"two")
        return response

    async def polite(self, request: Any) -> Any:
        """A stream that ends when the server is told to stop."""
        response = self.web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        opened = asyncio.ensure_future(self.gate.wait())
        told = asyncio.ensure_future(request.wait_for_shutdown())
        try:
            await asyncio.wait((opened, told), return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()
            told.cancel()
        assert request.shutting_down or self.gate.is_set()
        await response.write(b"bye")
        return response

    async def watching(self, request: Any) -> Any:
        await request.wait_for_disconnection()
        return self.web.Response(text="nobody reads this")

    async def children(self, request: Any) -> Any:
        """Has tasks of its own."""
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(self.gate.wait())
        return self.web.Response(text="all")

    async def timed(self, request: Any) -> Any:
        try:
            async with asyncio.timeout(0.02):
                await self.gate.wait()
        except TimeoutError:
            return self.web.Response(text="late")
        return self.web.Response(text="in time")

    async def __aenter__(self) -> Running:
        self.listening = await asyncio.get_running_loop().create_server(self.server, "127.0.0.1", 0)
        self.port = self.listening.sockets[0].getsockname()[1]
        return self

    async def gone(self) -> None:
        """Wait until the server has forgotten every connection."""
        await until(lambda: not self.server.connections, "no connection is left")

    async def serves(self) -> None:
        """Check that the server still answers."""
        async with connect(self.port) as client:
            await client.send(HELLO)
            assert (await client.response()).body == b"hello"

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.listening.close()
        await self.server.shutdown(0.1)
        await self.listening.wait_closed()
        if exc is None:
            await self.gone()


def quiet() -> logging.Logger:
    logger = logging.getLogger("tests.cancel_and_leaks")
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1)
    return logger


# ---- ways to leave


async def fin(client: RawClient) -> None:
    client.close()


async def rst(client: RawClient) -> None:
    client.reset()


async def half(client: RawClient) -> None:
    client.end()


WAYS: dict[str, Callable[[RawClient], Awaitable[None]]] = {"FIN": fin, "RST": rst, "half": half}

P = b"POST /echo HTTP/1.1\r\n" + HOST

STAGES: dict[str, tuple[bytes, int]] = {
    # what was sent before the client leaves, and how many handlers have begun by then
    "before a request": (b"", 0),
    "in an empty line": (b"\r\n", 0),
    "in a request line": (b"GET /he", 0),
    "in a head": (b"GET /hello HTTP/1.1\r\nHost: a\r\nX: ", 0),
    "before a body": (P + b"Content-Length: 10\r\n\r\n", 1),
    "in a body": (P + b"Content-Length: 10\r\n\r\nabc", 1),
    "in a chunk size": (P + b"Transfer-Encoding: chunked\r\n\r\n1", 1),
    "in a chunk": (P + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", 1),
    "in trailers": (P + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", 1),
    "in a large body": (P + b"Content-Length: 9000000\r\n\r\n" + b"x" * 500_000, 1),
    "in a body that nobody reads": (get("/gated", b"Content-Length: 10", method=b"POST") + b"abc", 1),
    "in a large body that nobody reads": (
        get("/gated", b"Content-Length: 9000000", method=b"POST") + b"x" * 3_000_000,
        1,
    ),
    "in a body after the answer": (get("/hello", b"Content-Length: 10", method=b"POST") + b"abc", 1),
    "while the handler waits": (get("/gated"), 1),
    "while the handler has tasks": (get("/children"), 1),
    "while the handler waits, others behind it": (get("/gated") + HELLO * 5, 1),
    "while the handler waits, a part of a body behind it": (get("/gated") + P + b"Content-Length: 10\r\n\r\nabc", 1),
    "while the handler waits, a part of a head behind it": (get("/gated") + HELLO + b"GET /he", 1),
    "while a stream runs": (get("/stream"), 1),
    "while a stream waits": (get("/trickle"), 1),
    "while a large answer is sent": (get("/large") * 20, 1),
    "while a polite stream waits": (get("/polite"), 1),
    "after an answer": (HELLO, 1),
    "after an answer, in the next head": (HELLO + b"GET /he", 1),
    "after the last answer": (get("/hello", b"Connection: close"), 1),
    "after a malformed request": (b"garbage\r\n\r\n", 0),
    "in a request for an upgrade": (get("/gated", b"Connection: upgrade", b"Upgrade: foo") + b"bytes", 1),
    "while waiting for 100": (get("/gated", b"Content-Length: 5", b"Expect: 100-continue", method=b"POST"), 1),
}

@pytest.mark.parametrize("cancelling", [False, True], ids=["", "cancelling"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", STAGES)
async def test_a_client_leaves(stage: str, way: str, cancelling: bool) -> None:
    sent, handlers = STAGES[stage]
    async with Running(handler_cancellation=cancelling) as running:
        async with connect(running.port) as client:
            sending = asyncio.ensure_future(client.send(sent))
            await until(lambda: running.server.connections, "a connection is there")
            await until(lambda: running.entered >= handlers, "the handlers have begun")
            await turns(5)
            await WAYS[way](client)
            await turns(20)
            if way == "half":  # it reads what comes, so that nothing keeps the server from ending
                reading = asyncio.ensure_future(client.rest())
                await turns(50)
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                    await reading
            client.writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await sending
        await turns(20)
        running.gate.set()
        await running.gone()
        await running.serves()
        assert len(running.ended) == running.entered, "a handler never ended"
        assert running.entered >= handlers


@pytest.mark.parametrize("way", ["FIN", "RST"])
@pytest.mark.parametrize(
    "path", ["/gated", "/children", "/trickle", "/stream", "/polite"]
)
async def test_a_handler_is_cancelled_when_its_client_leaves_if_the_server_says_so(path: str, way: str) -> None:
    async with Running(handler_cancellation=True) as running:
        async with connect(running.port) as client:
            await client.send(get(path))
            await until(lambda: running.entered, "the handler has begun")
            await turns(10)
            await WAYS[way](client)
            await until(lambda: running.ended, "the handler has ended")
        # The one that writes may find out by itself before it is told.
        errors = ("CancelledError", "ClientConnectionResetError", "ConnectionResetError")
        assert running.ended[0].split()[1] in (errors if path == "/stream" else errors[:1])


@pytest.mark.parametrize("way", ["FIN", "RST"])
async def test_a_handler_goes_on_when_its_client_leaves_otherwise(way: str) -> None:
    async with Running() as running:
        async with connect(running.port) as client:
            await client.send(get("/gated"))
            await until(lambda: running.entered, "the handler has begun")
            await WAYS[way](client)
            await turns(100)
        assert running.ended == []
        running.gate.set()
        await until(lambda: running.ended, "the handler has ended")
        assert running.ended == ["/gated answered"]


async def test_a_stream_ends_with_an_error_when_its_client_leaves() -> None:
    async with Running() as running:
        async with connect(running.port) as client:
            await client.send(get("/stream"))
            await until(lambda: running.entered, "the handler has begun")
            await client.raw_head()
            client.reset()
            await until(lambda: running.ended, "the handler has ended")
        assert running.ended[0] in ("/stream ClientConnectionResetError", "/stream ConnectionResetError")


@pytest.mark.parametrize("read", [0, 3])
async def test_reading_a_body_ends_with_an_error_when_its_client_leaves(read: int) -> None:
    async with Running() as running:
        async with connect(running.port) as client:
            await client.send(P + b"Content-Length: 10\r\n\r\n" + b"x" * read)
            await until(lambda: running.entered, "the handler has begun")
            await turns(5)
            client.close()
            await until(lambda: running.ended, "the handler has ended")
        assert running.ended[0].split()[1] != "answered"


@pytest.mark.parametrize("way", ["FIN", "RST"])
async def test_a_handler_can_wait_until_its_client_leaves(way: str) -> None:
    async with Running() as running:
        async with connect(running.port) as client:
            await client.send(get("/watching"))
            await until(lambda: running.entered, "the handler has begun")
            await turns(20)
            assert not running.ended
            await WAYS[way](client)
            await until(lambda: running.ended, "the handler has ended")
        assert running.ended == ["/watching answered"]


async def test_a_client_that_says_no_more_gets_its_answer() -> None:
    async with Running() as running, connect(running.port) as client:
        await client.send(get("/gated"))
        client.end()
        await until(lambda: running.entered, "the handler has begun")
        await turns(20)
        running.gate.set()
        assert (await client.response()).body == b"open"
        assert await client.rest() == b""


async def test_a_client_that_says_no_more_gets_all_its_answers() -> None:
    async with Running() as running, connect(running.port) as client:
        await client.send(get("/gated"))
        await until(lambda: running.entered, "the handler has begun")
        await client.send(HELLO * 3 + post(b"abc") + P + b"Content-Length: 10\r\n\r\ncut")
        client.end()
        await turns(20)
        running.gate.set()
        answers = [await client.response() for _ in range(5)]
        assert [answer.body for answer in answers] == [b"open", b"hello", b"hello", b"hello", b"abc"]
        assert b" 200 " not in await client.rest()
        await until(lambda: len(running.ended) == running.entered, "all handlers have ended")
        assert "answered" not in running.ended[-1]


async def test_a_handler_that_swallows_its_cancellation_harms_nobody() -> None:
    async with Running(handler_cancellation=True) as running:
        async with connect(running.port) as client:
            await client.send(get("/stubborn"))
            await until(lambda: running.entered, "the handler has begun")
            client.close()
            await until(lambda: running.ended, "the handler has ended")
        assert running.ended == ["/stubborn answered"]
        await running.gone()
        await running.serves()


async def test_timeouts_in_handlers_leave_the_connection_as_it_is() -> None:
    async with Running() as running, connect(running.port) as client:
        for _ in range(3):
            await client.send(get("/timed") + HELLO)
            assert (await client.response()).body == b"late"
            assert (await client.response()).body == b"hello"
        running.gate.set()
        await client.send(get("/timed") * 5)
        for _ in range(5):
            assert (await client.response()).body == b"in time"


async def test_a_connection_that_is_lost_in_the_first_step_of_a_handler() -> None:
    async with Running() as running:

        async def abort(request: Any) -> Any:
            request.transport.abort()
            return running.web.Response(text="to nobody")

        async def abort_and_wait(request: Any) -> Any:
            request.transport.abort()
            await asyncio.sleep(0)
            response = running.web.StreamResponse()
            await response.prepare(request)
            for _ in range(5):
                await response.write(b"x" * 100_000)
                await asyncio.sleep(0)
            return response

        running.abort, running.abort_and_wait = abort, abort_and_wait  # type: ignore[attr-defined]
        for path in ("/abort", "/abort_and_wait"):
            async with connect(running.port) as client:
                await client.send(get(path) + HELLO)
                assert await client.rest() == b""
            await running.gone()
        assert len(running.ended) == running.entered


# ---- the server stops


async def seconds(what: Awaitable[Any]) -> float:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await what
    return loop.time() - start


QUICK = [
    "before a request", "in an empty line", "in a request line", "in a head", "while a stream runs",
    "while a stream waits", "while a polite stream waits", "after an answer", "after an answer, in the next head",
    "after the last answer", "after a malformed request", "in a body after the answer",
]  # fmt: skip
"""Stages in which nothing real waits for an answer."""


@pytest.mark.parametrize("cancelling", [False, True], ids=["", "cancelling"])
@pytest.mark.parametrize("stage", STAGES)
async def test_the_server_stops(stage: str, cancelling: bool) -> None:
    sent, handlers = STAGES[stage]
    async with Running(handler_cancellation=cancelling) as running:
        async with connect(running.port) as client:
            sending = asyncio.ensure_future(client.send(sent))
            await until(lambda: running.server.connections, "a connection is there")
            await until(lambda: running.entered >= handlers, "the handlers have begun")
            await turns(5)
            running.listening.close()
            assert await seconds(running.server.shutdown(0.05)) < SOON
            assert running.server.connections == []
            client.writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await sending
        running.gate.set()
        await turns(20)
        assert len(running.ended) == running.entered, "a handler never ended"


@pytest.mark.parametrize("stage", QUICK)
async def test_the_server_stops_quickly_when_nothing_real_is_to_be_answered(stage: str) -> None:
    sent, handlers = STAGES[stage]
    async with Running() as running, connect(running.port) as client:
        await client.send(sent)
        await until(lambda: running.entered >= handlers, "the handlers have begun")
        reading = asyncio.ensure_future(client.rest())
        running.listening.close()
        assert await seconds(running.server.shutdown(DRAIN)) < SOON
        assert running.server.connections == []
        await reading


async def test_a_request_is_answered_while_the_server_stops() -> None:
    async with Running() as running:
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connect(running.port)) for _ in range(20)]
            for client in clients:
                await client.send(get("/gated"))
            await until(lambda: running.entered == 20, "the handlers have begun")
            running.listening.close()
            stopping = asyncio.ensure_future(running.server.shutdown(DRAIN))
            await turns(20)
            assert not stopping.done()
            running.gate.set()
            for client in clients:
                answer = await client.response()
                assert (answer.body, answer.get("Connection")) == (b"open", "close")
                assert await client.rest() == b""
            await stopping


async def test_a_request_that_is_on_its_way_when_the_server_stops_is_answered() -> None:
    async with Running() as running, connect(running.port) as client:
        await client.send(HELLO)
        await client.response()
        running.server.pre_shutdown()
        await client.send(HELLO)
        answer = await client.response()
        assert (answer.body, answer.get("Connection")) == (b"hello", "close")
        assert await client.rest() == b""


async def test_requests_behind_the_one_that_is_answered_are_not_begun_while_the_server_stops() -> None:
    async with Running() as running, connect(running.port) as client:
        await client.send(get("/gated") + HELLO)
        await until(lambda: running.entered, "the handler has begun")
        running.listening.close()
        stopping = asyncio.ensure_future(running.server.shutdown(DRAIN))
        await turns(5)
        running.gate.set()
        answer = await client.response()
        assert answer.get("Connection") == "close"
        assert await client.rest() == b""
        await stopping
        assert running.entered == 1


async def test_a_polite_stream_ends_in_order_when_the_server_stops() -> None:
    async with Running() as running, connect(running.port) as client:
        await client.send(get("/polite"))
        await until(lambda: running.entered, "the handler has begun")
        running.listening.close()
        stopping = asyncio.ensure_future(running.server.shutdown(DRAIN))
        answer = await client.response()
        assert answer.chunks == [b"one", b"bye"]
        await stopping
        assert running.ended == ["/polite answered"]


async def test_a_handler_that_takes_too_long_is_cancelled_when_the_server_stops() -> None:
    async with Running() as running, connect(running.port) as client:
        await client.send(get("/gated"))
        await until(lambda: running.entered, "the handler has begun")
        running.listening.close()
        await running.server.shutdown(0.05)
        assert running.ended == ["/gated CancelledError"]
        assert b"200 OK" not in await client.rest()


@pytest.mark.parametrize("timeout", [0, 0.05])
async def test_a_shutdown_without_connections_ends_at_once(timeout: float) -> None:
    async with Running() as running:
        await running.serves()
        await running.gone()
        assert await seconds(running.server.shutdown(timeout)) < SOON / 2


async def test_a_cancelled_shutdown_closes_the_connections() -> None:
    async with Running() as running, connect(running.port) as client:
        await client.send(get("/gated"))
        await until(lambda: running.entered, "the handler has begun")
        stopping = asyncio.ensure_future(running.server.shutdown(DRAIN))
        await turns(10)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert await client.rest() == b""
        running.gate.set()


# ---- many


async def one_random_client(running: Running, chance: random.Random) -> None:
    """Do something random, well or badly, and leave in a random way."""
    pieces = [
        HELLO, post(b"abc"), post(b"x" * 100_000), chunked(b"3\r\nabc\r\n0\r\n\r\n"), get("/timed"), get("/large"),
        get("/stream"), get("/hello", b"Connection: close"), get("/hello", version=b"1.0"), b"garbage\r\n\r\n",
        get("/hello", method=b"HEAD"), chunked(b"zz\r\n"), post(b"abcde", path="/hello"),
        get("/trickle"), get("/hello", b"Connection: upgrade", b"Upgrade: foo"), b"\r\n",
    ]  # fmt: skip
    data = b"".join(chance.choice(pieces) for _ in range(chance.randrange(1, 6)))
    if chance.random() < 0.4:
        data = data[: chance.randrange(len(data) + 1)]
    async with connect(running.port) as client:
        at = 0
        while at < len(data):
            step = chance.choice([1, 10, 1000, 100_000])
            client.writer.write(data[at : at + step])
            at += step
            if chance.random() < 0.3:
                await turns(chance.randrange(5))
            if client.writer.is_closing():
                break
        reading = asyncio.ensure_future(client.read()) if chance.random() < 0.6 else None
        await turns(chance.randrange(30))
        await WAYS[chance.choice(list(WAYS))](client)
        await turns(chance.randrange(10))
        if reading is not None:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading


@pytest.mark.parametrize("cancelling", [False, True], ids=["", "cancelling"])
@pytest.mark.parametrize("seed", range(3))
async def test_200_random_clients_leave_nothing_behind(seed: int, cancelling: bool) -> None:
    chance = random.Random(seed)
    async with Running(handler_cancellation=cancelling) as running:
        for _ in range(5):
            await asyncio.gather(*(one_random_client(running, random.Random(chance.random())) for _ in range(40)))
            await running.serves()
        running.gate.set()
        await running.gone()
        await until(lambda: len(running.ended) == running.entered, "all handlers have ended")
        await running.serves()


@pytest.mark.parametrize("seed", range(4))
async def test_the_server_stops_among_random_clients(seed: int) -> None:
    chance = random.Random(seed)
    async with Running(handler_cancellation=bool(seed % 2)) as running:
        clients = [
            asyncio.ensure_future(one_random_client(running, random.Random(chance.random()))) for _ in range(60)
        ]
        await turns(chance.randrange(40))
        running.listening.close()
        await running.server.shutdown(0.05)
        await asyncio.gather(*clients, return_exceptions=True)
        running.gate.set()
        await turns(20)
        assert running.server.connections == []
        assert len(running.ended) == running.entered, "a handler never ended"
