"""What a second look at the server's wire end has found: each test is a bug that was there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.peers.turns import turns, until
from tests.web.raw_cases import HOST, get
from tests.web.raw_client import connect
from tests.web.raw_site import web_module
from tests.web.test_cancel_and_leaks import quiet

web: Any = web_module()

LARGE = 20_000_000
"""Bytes that no socket buffers."""

POST = b"POST / HTTP/1.1\r\n" + HOST


class Low:
    """A low level server with one handler; use with `async with`."""

    def __init__(self, handler: Callable[[Any], Awaitable[Any]], **options: Any) -> None:
        options.setdefault("access_log", None)
        options.setdefault("logger", quiet())
        self.server = web.Server(handler, **options)
        self.listening: Any = None
        self.port = 0

    async def __aenter__(self) -> Low:
        self.listening = await asyncio.get_running_loop().create_server(self.server, "127.0.0.1", 0)
        self.port = self.listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.listening.close()
        await self.server.shutdown(0.1)
        await self.listening.wait_closed()


async def hello(request: Any) -> Any:
    return web.Response(text="hello")


async def read(request: Any) -> Any:
    return web.Response(body=await request.read())


# --- handlers --------------------------------------------------------------------------------------------------------


async def test_many_handlers_wait_for_one_future_in_their_first_step() -> None:
    shared = asyncio.get_running_loop().create_future()
    waiting: list[asyncio.Task[Any]] = []

    async def handler(request: Any) -> Any:
        if request.path == "/shared":
            waiting.append(request.task)
            await shared
        return web.Response(text="hello")

    async with Low(handler) as low, contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(connect(low.port)) for _ in range(4)]
        for client in opened:
            await client.send(get("/"))
            await client.response()
        # All connections are ready in one turn of the loop.
        for connection in low.server.connections:
            asyncio.get_running_loop().call_soon(connection.data_received, get("/shared"))
        await turns(3)
        assert len(waiting) == 4
        shared.set_result(None)
        assert [(await client.response()).status for client in opened] == [200] * 4


class Fatal(BaseException):
    pass


async def test_a_connection_is_closed_when_its_handler_raises_what_is_no_exception() -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def handler(request: Any) -> Any:
        tasks.append(request.task)
        await asyncio.sleep(0)
        raise Fatal

    async with Low(handler) as low, connect(low.port) as client:
        await client.send(get("/"))
        assert await client.rest() == b""
    assert type(tasks[0].exception()) is Fatal


async def test_a_connection_is_closed_when_the_next_request_can_not_be_made() -> None:
    made: list[str] = []

    def factory(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Any:
        made.append(message.path)
        if message.path == "/bad":
            raise RuntimeError("no request")
        return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())

    async def handler(request: Any) -> Any:
        await asyncio.sleep(0)
        return web.Response(text="hello")

    async with Low(handler, request_factory=factory) as low, connect(low.port) as client:
        await client.send(get("/") + get("/bad") + get("/"))
        assert (await client.response()).status == 200
        assert await client.rest() == b""
    assert made == ["/", "/bad"]


# --- hooks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [b"BAD\r\n\r\n", get("/") + b"BAD\r\n\r\n", POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"GE"]
)
async def test_an_error_hook_that_fails_keeps_nobody_from_the_answer(sent: bytes) -> None:
    def hook(protocol: Any, error: Any) -> None:
        raise ValueError

    async with Low(read, error_hook=hook, headers_timeout=0.1) as low, connect(low.port) as client:
        await client.send(sent)
        if sent.startswith(b"GET"):
            assert (await client.response()).status == 200
        assert (await client.response()).status in (400, 408)
        assert await client.rest() == b""


async def test_an_access_logger_that_fails_keeps_the_connection_open() -> None:
    class Failing(web.AccessLogger):
        def log(self, request: Any, response: Any, time: float) -> None:
            raise ValueError

    log = logging.getLogger("tests.review.access")
    async with Low(hello, access_log=log, access_log_class=Failing) as low, connect(low.port) as client:
        for _ in range(2):
            await client.send(get("/"))
            assert (await client.response()).status == 200
        await client.send(b"BAD\r\n\r\n")
        assert (await client.response()).status == 400


# --- ends of connections ---------------------------------------------------------------------------------------------


async def test_a_body_that_nobody_reads_and_that_comes_slowly_is_cut_off() -> None:
    async with Low(hello, lingering_time=0.5) as low, connect(low.port) as client:
        await client.send(POST + b"Content-Length: 1000\r\n\r\n")
        assert (await client.response()).status == 200

        async def trickle() -> None:
            while True:
                await client.send(b"x")
                await asyncio.sleep(0.1)

        trickling = asyncio.ensure_future(trickle())
        try:
            assert await client.rest() == b""
        finally:
            trickling.cancel()
            await asyncio.wait((trickling,))


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_client_that_reads_nothing_does_not_outlive_the_server(version: str) -> None:
    async def handler(request: Any) -> Any:
        return web.Response(body=b"x" * LARGE)

    async with Low(handler) as low, connect(low.port) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        await until(lambda: low.server.connections and low.server.connections[0].writing_paused, "the answer waits")
        transport = low.server.connections[0].transport
        await low.server.shutdown(0.05)
        assert transport.get_write_buffer_size() == 0


async def test_a_closed_connection_whose_client_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.web.protocol.SENDING_TIME", 0.1)

    async def handler(request: Any) -> Any:
        request.transport.write(b"x" * LARGE)
        request.protocol.close()
        return web.Response()

    async with Low(handler) as low, connect(low.port) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(get("/"))
        await until(lambda: low.server.connections and low.server.connections[0].transport is None, "it is closed")
        async with asyncio.timeout(10):
            await low.server.connections[0].lost()


async def test_a_connection_that_is_made_after_the_server_has_stopped_is_closed() -> None:
    async with Low(hello) as low:
        await low.server.shutdown(0.1)
        async with connect(low.port) as client:
            assert await client.rest() == b""


async def test_the_answer_to_a_broken_body_is_not_lost_when_much_follows() -> None:
    async with Low(read) as low, connect(low.port) as client:
        client.writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + b"x" * 1_000_000)
        await asyncio.sleep(0.05)
        assert (await client.response()).status == 400
        assert await client.rest() == b""


# --- limits ----------------------------------------------------------------------------------------------------------


async def test_a_body_that_is_full_stays_so_when_more_waits_behind() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    bodies: list[Any] = []

    async def handler(request: Any) -> Any:
        if request.path == "/first":
            await first.wait()
            return web.Response(text="first")
        bodies.append(request.content)
        await second.wait()
        return web.Response(text="second")

    async with Low(handler, read_bufsize=1024) as low, connect(low.port) as client:
        await client.send(get("/first") + POST + b"Content-Length: 100000000\r\n\r\n" + b"x" * 5000)
        await asyncio.sleep(0.05)
        client.writer.write(b"x" * 5000)
        await asyncio.sleep(0.05)
        first.set()
        assert (await client.response()).body == b"first"
        client.writer.write(b"x" * LARGE)
        await asyncio.sleep(0.2)
        assert bodies[0].total_bytes == 10_000
        second.set()


# --- responses -------------------------------------------------------------------------------------------------------


async def test_an_answer_that_is_shorter_than_announced_ends_the_connection() -> None:
    async def handler(request: Any) -> Any:
        if request.path == "/stream":
            response = web.StreamResponse()
            response.content_length = 10
            await response.prepare(request)
            await response.write(b"12345")
            return response
        return web.Response(text="12345", headers={"Content-Length": "10"})

    for path in ("/stream", "/response"):
        async with Low(handler) as low, connect(low.port) as client:
            await client.send(get(path) + get(path))
            await client.raw_head()
            assert await client.rest() == b"12345"


async def test_a_response_that_is_shared_goes_to_each_client_though_one_reads_nothing() -> None:
    shared = web.Response(body=b"x" * LARGE)

    async def handler(request: Any) -> Any:
        return shared

    async with Low(handler) as low, connect(low.port) as slow:
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await slow.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        await until(lambda: low.server.connections and low.server.connections[0].writing_paused, "the answer waits")
        for request in (get("/"), b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"):
            async with connect(low.port) as client:
                await client.send(request)
                assert len((await client.response()).body) == LARGE


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_response_that_is_shared_survives_a_client_that_leaves(version: str) -> None:
    shared = web.Response(body=b"x" * LARGE)

    async def handler(request: Any) -> Any:
        return shared

    async with Low(handler) as low:
        async with connect(low.port) as leaving:
            leaving.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await leaving.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            await until(lambda: low.server.connections and low.server.connections[0].writing_paused, "it waits")
        await until(lambda: not low.server.connections, "the client has left")
        for _ in range(2):
            async with connect(low.port) as client:
                await client.send(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
                assert len((await client.response()).body) == LARGE


async def test_a_compressed_response_that_is_shared_is_coded_for_each_client() -> None:
    shared = web.Response(text="hello " * 100)
    shared.enable_compression()

    async def handler(request: Any) -> Any:
        return shared

    async with Low(handler) as low, connect(low.port) as client:
        for coding, bits in (("deflate", 15), ("gzip", 31), (None, 0), ("deflate", 15)):
            await client.send(get("/", f"Accept-Encoding: {coding or 'identity'}".encode()))
            answer = await client.response()
            assert answer.get("Content-Encoding") == coding
            body = zlib.decompress(answer.body, bits) if bits else answer.body
            assert body == b"hello " * 100
