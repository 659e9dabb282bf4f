"""The traps that users of HTTP clients fall into, and what they meet here instead: one test, or a few, for each."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.peers.http import http_server
from tests.peers.raw import RawConnection, answering, raw_server, response
from tests.peers.tls import authority, client_context, server_context
from tests.peers.turns import until

import fairlead
from fairlead.client import request as request_module
from fairlead.client.request import UploadTracker
from fairlead.codec.http1 import MAX_INTERIM
from fairlead.wire.dns import AbstractResolver

ROOT = Path(__file__).resolve().parents[2]
OK = response(200, b"ok")


# --- the body after the block ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_body_received_whole_is_readable_after_the_block(pieces: int) -> None:
    async def handler(connection: RawConnection) -> None:
        while await connection.request() is not None:
            data = response(200, b'{"a": 1}', ("Content-Type", "application/json"))
            cut = len(data) if pieces == 1 else len(data) - 3
            await connection.send(data[:cut])
            await asyncio.sleep(0)
            await connection.send(data[cut:])

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        async with session.get(server.url) as answer:
            await until(answer.content.is_eof, "the body has been received")
        assert await answer.json() == {"a": 1}
        assert await answer.text() == '{"a": 1}'
        assert await answer.read() == b'{"a": 1}'
    assert await answer.read() == b'{"a": 1}'  # even after the session


async def test_a_body_not_received_whole_says_what_to_do_at_once() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        async with session.get(server.url / "stall/10") as answer:
            pass
        for read in (answer.read, answer.text, answer.json, answer.content.read, answer.content.readany):
            with pytest.raises(fairlead.ClientConnectionError, match=r"inside the `async with` block.*response\.read"):
                await asyncio.wait_for(read(), 5)
        with pytest.raises(fairlead.ClientConnectionError, match="inside the `async with` block"):
            async for _ in answer.content.iter_chunked(5):
                raise AssertionError("half a body must not look like a whole one")


async def test_a_reader_is_told_when_somebody_else_releases_the_response() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        answer = await session.get(server.url / "stall/10")
        reader = asyncio.ensure_future(answer.read())
        await asyncio.sleep(0)
        answer.release()
        with pytest.raises(fairlead.ClientConnectionError, match="inside the `async with` block"):
            await reader


# --- never closed ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """What finalizers warn of and tell the loop's exception handler."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    told: list[str] = []
    loop.set_exception_handler(lambda loop, context: told.append(f"handler: {context['message']}"))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            yield told
        finally:
            gc.collect()
            told.extend(f"{entry.category.__name__}: {entry.message}" for entry in seen)
            loop.set_exception_handler(before)


async def test_a_session_that_is_dropped_says_where_it_was_made_and_closes_its_connections() -> None:
    async with raw_server(answering(OK)) as server:
        with collected_warnings() as told:
            session = fairlead.ClientSession()
            line = sys._getframe().f_lineno - 1
            async with session.get(server.url) as answer:
                await answer.read()
            del session, answer
        (warning,) = [text for text in told if text.startswith("ResourceWarning")]
        assert f"{__file__}:{line}" in warning
        assert "async with" in warning
        assert "handler: Unclosed client session" in told
        await until(lambda: server.connections[0].eof, "the peer has seen the end")


async def test_a_session_that_was_not_used_or_shares_its_connector_is_no_matter() -> None:
    async with fairlead.TCPConnector() as connector:
        with collected_warnings() as told:
            fairlead.ClientSession(connector=connector, connector_owner=False)
        assert [text for text in told if text.startswith("ResourceWarning")]
        assert not connector.closed  # it belongs to somebody else


async def test_a_dropped_session_closes_its_connections_even_if_warnings_are_errors() -> None:
    async with raw_server(answering(OK)) as server:
        raised: list[Any] = []
        before, sys.unraisablehook = sys.unraisablehook, raised.append
        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()
        loop.set_exception_handler(lambda loop, context: None)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                session = fairlead.ClientSession()
                async with session.get(server.url) as answer:
                    await answer.read()
                del session, answer
                gc.collect()
        finally:
            sys.unraisablehook = before
            loop.set_exception_handler(handler)
        assert [type(entry.exc_value) for entry in raised] == [ResourceWarning]
        await until(lambda: server.connections[0].eof, "the peer has seen the end")


@pytest.mark.parametrize("options", [{}, {"headers": {"X": "1"}}], ids=["short path", "long path"])
async def test_a_response_that_is_dropped_unread_gives_its_connection_back(options: dict[str, Any]) -> None:
    """Without a word, as in aiohttp, unless the loop is in debug mode."""
    loop = asyncio.get_running_loop()
    debug = loop.get_debug()
    async with http_server() as server, fairlead.ClientSession() as session:
        connector = session.connector
        assert connector is not None
        for mode in (False, True):
            with collected_warnings() as told:
                answer = await session.get(server.url / "stall/10", **options)
                assert connector.in_use == 1
                loop.set_debug(mode)
                del answer
                loop.set_debug(debug)
                assert connector.in_use == 0
            expected = ["handler: Unclosed response", "ResourceWarning: Unclosed response"] if mode else []
            assert [text[: len("ResourceWarning: Unclosed response")] for text in told] == expected


async def test_a_request_leaves_no_cycle_behind() -> None:
    """What a call makes is freed when the caller lets go of it, not when the collector comes around."""
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        for options in ({}, {"headers": {"X": "1"}}, {"json": {"a": 1}}):
            async with session.request("POST", server.url, **options) as answer:
                await answer.read()
        del answer
        gc.collect()
        gc.disable()
        try:
            for options in ({}, {"headers": {"X": "1"}}, {"json": {"a": 1}}):
                async with session.request("POST", server.url, **options) as answer:
                    await answer.read()
            del answer
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            mine = [kind for kind in (type(item).__name__ for item in gc.garbage) if kind.startswith("Client")]
            assert mine == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


# --- the end of the program ------------------------------------------------------------------------------------------

CLIENT_SCRIPT = """
import asyncio, os, ssl
import fairlead

url = os.environ["URL"]
trust = ssl.create_default_context(cafile=os.environ["AUTHORITY"])

def run(main):
    async def patient():
        asyncio.get_running_loop().slow_callback_duration = 60
        await main()
    asyncio.run(patient())

{text}

print("done")
"""


@contextlib.contextmanager
def serving(answer: bytes, *, tls: bool, close: bool) -> Iterator[str]:
    """The URL of a server on a loop and thread of its own."""

    async def main() -> None:
        async with raw_server(answering(answer, close=close), ssl=server_context() if tls else None) as server:
            places.append(str(server.url))
            ready.set()
            await stop.wait()

    places: list[str] = []
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield places[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


def run_script(text: str, tmp_path: Path, url: str, *options: str) -> str:
    """Run a client in an interpreter of its own; return what it wrote to stderr."""
    authority().cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    script = tmp_path / "client.py"
    script.write_text(CLIENT_SCRIPT.format(text=text))
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, *options, str(script)],
        env=dict(os.environ, PYTHONPATH=path, URL=url, AUTHORITY=str(tmp_path / "authority.pem")),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr
    return ran.stderr


CLOSED = """
async def read(session):
    async with session.get(url) as r:
        await r.read()

async def unread(session):
    async with session.get(url):
        pass

async def left_open(session):
    await asyncio.gather(*(session.get(url) for _ in range(3)))

async def several(session):
    await asyncio.gather(*(read(session) for _ in range(3)))

for use in (read, unread, left_open, several):
    async def main():
        async with fairlead.ClientSession(connector=fairlead.TCPConnector(ssl=trust)) as session:
            kept = await use(session)
    run(main)
"""

NEVER_CLOSED = """
async def main():
    global session, kept
    session = fairlead.ClientSession(connector=fairlead.TCPConnector(ssl=trust))
    kept = await session.get(url)

run(main)
"""


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("close", [False, True], ids=["kept", "closed by server"])
def test_no_sleep_is_needed_after_a_session_was_closed(tmp_path: Path, tls: bool, close: bool) -> None:
    """With all warnings on, and the loop's debug mode, nothing at all is written to stderr."""
    with serving(response(200, b"x" * 300_000), tls=tls, close=close) as url:
        assert run_script(CLOSED, tmp_path, url, "-X", "dev", "-W", "default") == ""


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "half"])
def test_a_session_never_closed_makes_no_noise_at_exit(tmp_path: Path, tls: bool, whole: bool) -> None:
    answer = response(200, b"x" * 10) if whole else b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"
    with serving(answer, tls=tls, close=False) as url:
        assert run_script(NEVER_CLOSED, tmp_path, url) == ""
        shown = run_script(NEVER_CLOSED, tmp_path, url, "-W", "default")
    # One warning with one place, and nothing else that would be of this library's making.
    assert len(re.findall("ResourceWarning: Unclosed", shown)) == 1
    assert re.search(r"ResourceWarning: Unclosed client session .*created at .*client\.py:\d+", shown)
    assert "Event loop is closed" not in shown
    assert "Traceback" not in shown


def test_a_session_never_closed_does_not_keep_its_loop() -> None:
    """Its resolver lets go of it, too: one that lived until exit would end there with noise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)

        async def main() -> None:
            session = fairlead.ClientSession()
            with pytest.raises(fairlead.ClientConnectionError):
                await session.get("http://localhost:1/")

        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)
        loop.run_until_complete(main())
        loop.close()
        gone = weakref.ref(loop)
        del loop
        gc.collect()
        assert gone() is None


# --- 4xx and 5xx -----------------------------------------------------------------------------------------------------


async def test_an_error_status_goes_unnoticed_unless_asked_as_in_aiohttp() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        async with session.get(server.url / "status/404") as answer:
            assert (answer.status, answer.ok, await answer.read()) == (404, False, b"status 404")


@pytest.mark.parametrize("where", ["session", "call", "method"])
async def test_an_error_status_raised_says_what_came(where: str) -> None:
    body = b'{"error": "no such thing"}' + b" " * 5000
    answer = response(404, body, ("X-Id", "7"), reason="Not Found")
    async with raw_server(answering(answer)) as server:
        async with fairlead.ClientSession(raise_for_status=where == "session") as session:
            with pytest.raises(fairlead.ClientResponseError) as caught:
                if where == "method":
                    async with session.get(server.url / "x") as given:
                        await until(given.content.is_eof, "the body has been received")
                        given.raise_for_status()
                else:
                    async with session.get(server.url / "x", raise_for_status=True if where == "call" else None):
                        raise AssertionError("not reached")
            error = caught.value
            assert (error.status, error.message, error.headers["X-Id"]) == (404, "Not Found", "7")
            assert error.request_info.real_url == server.url / "x"
            assert error.body == body[:1024]
            assert session.connector.in_use == 0
            copy = pickle.loads(pickle.dumps(error))
            assert (copy.status, copy.body) == (404, error.body)


async def test_an_error_status_waits_for_the_first_bytes_of_the_body_but_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Servers often send head and body in two pieces; the error of `raise_for_status=True` has the second one, too."""
    head = b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n"
    told = asyncio.Event()

    async def handler(connection: RawConnection) -> None:
        while (request := await connection.request()) is not None:
            await connection.send(head)
            if request.target == "/two":
                await asyncio.sleep(0.01)
                await connection.send(b"it broke!")
            else:
                await told.wait()

    async with raw_server(handler) as server, fairlead.ClientSession(raise_for_status=True) as session:
        with pytest.raises(fairlead.ClientResponseError) as caught:
            await session.get(server.url / "two")
        assert caught.value.body == b"it broke!"
        monkeypatch.setattr("fairlead.client.response.EXCERPT_TIMEOUT", 0.01)
        with pytest.raises(fairlead.ClientResponseError) as caught:
            await asyncio.wait_for(session.get(server.url / "stalled"), 10)
        assert caught.value.body == b""
        assert session.connector.in_use == 0


def test_the_body_of_an_error_is_empty_bytes_by_default() -> None:
    assert fairlead.ClientResponseError(None, ()).body == b""  # type: ignore[arg-type]


# --- names -----------------------------------------------------------------------------------------------------------


class MovingResolver(AbstractResolver):
    """A name that moves from one port to another."""

    def __init__(self, *ports: int) -> None:
        self.ports = list(ports)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        self.asked += 1
        port = self.ports.pop(0) if len(self.ports) > 1 else self.ports[0]
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 6, "flags": 0}]

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_cached_address_that_fails_is_looked_up_anew() -> None:
    async with raw_server(answering(OK)) as second:
        async with raw_server(answering(response(200, b"old"))) as first:
            resolver = MovingResolver(first.port, second.port)
            connector = fairlead.TCPConnector(resolver=resolver, ttl_dns_cache=None, force_close=True)
            session = fairlead.ClientSession(connector=connector)
            for _ in range(2):
                async with session.get("http://moving.test/") as answer:
                    assert await answer.read() == b"old"
            assert resolver.asked == 1
        async with session, session.get("http://moving.test/") as answer:
            assert await answer.read() == b"ok"
        assert resolver.asked == 2


# --- the keep-alive race ---------------------------------------------------------------------------------------------


def closing_on_the_second(connections: int = 1) -> Any:
    """Answer the first request of each of the first connections, read the next one, and leave without a word."""

    async def handler(connection: RawConnection) -> None:
        served = 0
        while (request := await connection.request()) is not None:
            if served and connection.number < connections:
                return
            served += 1
            await connection.send(OK if request.method != "HEAD" else OK[:-2])

    return handler


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_an_idempotent_request_on_a_dead_connection_is_sent_once_more(method: str) -> None:
    async with raw_server(closing_on_the_second()) as server, fairlead.ClientSession() as session:
        for data in (None, b"abc"):
            async with session.request(method, server.url, data=data if method == "PUT" else None) as answer:
                assert answer.status == 200
        assert [len(connection.requests) for connection in server.connections] == [2, 1]


@pytest.mark.parametrize("options", [{}, {"headers": {"X": "1"}}], ids=["short path", "long path"])
async def test_the_second_attempt_is_on_a_fresh_connection_however_many_dead_ones_there_are(
    options: dict[str, Any],
) -> None:
    """A server that restarts closes them all at once."""
    all_open = asyncio.Barrier(4)

    async def handler(connection: RawConnection) -> None:
        await connection.request()
        if connection.number < 4:
            await all_open.wait()
            await connection.send(OK)
            await connection.request()
        else:
            await connection.send(OK)
            await connection.request()

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        for answer in await asyncio.gather(*(session.get(server.url) for _ in range(4))):
            await answer.read()
        assert session.connector.idle == 4
        async with session.get(server.url, **options) as answer:
            assert await answer.read() == b"ok"
        assert len(server.connections) == 5
        assert session.connector.in_use == 0


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_request_that_may_have_been_processed_is_not_repeated_and_says_so(method: str) -> None:
    async with raw_server(closing_on_the_second()) as server, fairlead.ClientSession() as session:
        async with session.get(server.url) as answer:
            await answer.read()
        with pytest.raises(fairlead.ServerDisconnectedError) as caught:
            await session.request(method, server.url, data=b"abc")
        assert any("may have been processed" in note for note in caught.value.__notes__)
        assert len(server.requests) == 2
        assert session.connector.in_use == 0


async def test_a_stream_that_was_read_is_not_repeated() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"

    async with raw_server(closing_on_the_second()) as server, fairlead.ClientSession() as session:
        async with session.get(server.url) as answer:
            await answer.read()
        with pytest.raises(fairlead.ServerDisconnectedError) as caught:
            await session.put(server.url, data=pieces())
        assert caught.value.__notes__
        assert len(server.requests) == 2


async def test_a_file_is_sent_again_from_where_it_was() -> None:
    source = io.BytesIO(b"skipped" + b"x" * 200_000)
    source.seek(7)
    async with raw_server(closing_on_the_second()) as server, fairlead.ClientSession() as session:
        async with session.get(server.url) as answer:
            await answer.read()
        tracker = UploadTracker()
        async with session.put(server.url, data=source, upload_tracker=tracker) as answer:
            assert answer.status == 200
        assert [len(request.body) for request in server.requests] == [0, 200_000, 200_000]
        assert tracker.attempts == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_any_request_is_sent_again_if_nothing_of_it_was_written(method: str) -> None:
    """The connection ends between the moment it is taken and the moment it is written to."""

    async def cut(session: fairlead.ClientSession, context: Any, params: Any) -> None:
        for link in session.connector._links:
            link.transport.abort()

    config = fairlead.TraceConfig()
    config.on_connection_reuseconn.append(cut)
    async with raw_server(answering(OK)) as server, fairlead.ClientSession(trace_configs=[config]) as session:
        for _ in range(2):
            async with session.request(method, server.url, data=b"abc") as answer:
                assert await answer.read() == b"ok"
        assert [len(connection.requests) for connection in server.connections] == [1, 1]


async def test_a_request_whose_answer_has_begun_is_not_repeated() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(OK)
        await connection.request()
        await connection.send(b"HTTP/1.1 20")

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        async with session.get(server.url) as answer:
            await answer.read()
        with pytest.raises(fairlead.ServerDisconnectedError):
            await session.get(server.url)
        assert len(server.requests) == 2


async def test_a_request_is_repeated_once_and_not_for_ever() -> None:
    served = 0

    async def handler(connection: RawConnection) -> None:
        nonlocal served
        await connection.request()
        served += 1
        if served == 1:
            await connection.send(OK)
            await connection.request()
            served += 1

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        async with session.get(server.url) as answer:
            await answer.read()
        with pytest.raises(fairlead.ServerDisconnectedError):
            await session.get(server.url)
        assert served == 3


# --- an early answer to an upload ------------------------------------------------------------------------------------


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 100_000


@pytest.mark.parametrize("status", [401, 413])
@pytest.mark.parametrize("how", ["kept", "closed", "reset"])
async def test_an_early_answer_to_an_upload_is_a_response(status: int, how: str) -> None:
    """The server reads the head, answers, and either stalls or leaves with the body unread."""

    async def handler(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(response(status, b"too much", reason="No"))
        if how == "reset":
            await asyncio.sleep(0)
            connection.reset()
        elif how == "kept":
            await connection.until(b"never")

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        tracker = UploadTracker()
        async with session.post(server.url, data=endless(), upload_tracker=tracker) as answer:
            assert (answer.status, await answer.read()) == (status, b"too much")
        assert session.connector.in_use == 0
        with pytest.raises(fairlead.UploadAbortedError):
            await asyncio.wait_for(tracker.upload_complete, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a reset discards what the system had received")
async def test_an_early_answer_survives_a_failing_write() -> None:
    """The answer and the reset came while the loop was busy, so the next write fails before the answer is read."""
    listener = socket.create_server(("127.0.0.1", 0))
    answered = threading.Event()

    def serve() -> None:
        sock, _ = listener.accept()
        sock.recv(65536)
        sock.sendall(response(413, b"too much", ("Connection", "close"), reason="No"))
        sock.close()  # with the body unread: a reset follows the answer
        answered.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        answered.wait(10)  # the loop is busy, on purpose
        for _ in range(4):
            yield b"x" * 300_000

    try:
        async with fairlead.ClientSession() as session:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            async with session.post(url, data=pieces()) as answer:
                assert (answer.status, await answer.read()) == (413, b"too much")
    finally:
        listener.close()
        thread.join(10)


async def test_giving_up_an_upload_ends_the_connection_although_the_peer_does_not_read() -> None:
    """What is still buffered for a peer that stalls must not keep the socket open."""

    async def handler(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno")
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        answer = await session.post(server.url, data=endless())
        (link,) = session.connector._links
        transport = link.transport
        await until(lambda: transport.get_write_buffer_size() > 0, "the upload has stalled")
        lost = link.lost()
        answer.close()
        await until(lost.done, "the connection has ended")


# --- answers out of the ordinary -------------------------------------------------------------------------------------


async def test_early_hints_are_passed_over() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    async with raw_server(answering(hints * 3 + OK)) as server, fairlead.ClientSession() as session:
        for _ in range(2):
            async with session.get(server.url) as answer:
                assert (answer.status, await answer.read(), dict(answer.links)) == (200, b"ok", {})
        assert len(server.connections) == 1


async def test_a_flood_of_interim_responses_is_ended() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        while not connection.writer.is_closing():
            await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 50)
            await asyncio.sleep(0)

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        with pytest.raises(fairlead.ClientResponseError, match=f"More than {MAX_INTERIM} interim"):
            await session.get(server.url)
        assert session.connector.in_use == 0


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
async def test_a_connection_that_ends_between_head_and_body(framing: bytes) -> None:
    answer_bytes = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"
    async with raw_server(answering(answer_bytes, close=True)) as server, fairlead.ClientSession() as session:
        async with session.get(server.url) as answer:
            assert answer.status == 200
            for _ in range(2):  # and again
                with pytest.raises(fairlead.ClientPayloadError, match="not completed"):
                    await answer.read()
        assert session.connector.in_use == 0
        with pytest.raises(fairlead.ClientPayloadError):
            async with session.get(server.url) as answer:
                await answer.json()


@pytest.mark.parametrize("together", [True, False])
async def test_bytes_behind_a_response_answer_nothing(together: bool) -> None:
    """The answer is delivered; the next request does not take the rest for its own answer."""
    stray = response(200, b"evil")

    async def handler(connection: RawConnection) -> None:
        while await connection.request() is not None:
            if together:
                await connection.send(OK + stray)
            else:
                await connection.send(OK)
                await connection.send(stray)

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        for _ in range(2):
            async with session.get(server.url) as answer:
                assert await answer.read() == b"ok"
            await until(lambda: session.connector.in_use == 0, "the connection came back")
            for _ in range(5):
                await asyncio.sleep(0)
        assert len(server.connections) == 2


async def test_a_server_that_never_answers_expect_gets_the_body_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    assert request_module.CONTINUE_TIMEOUT == 5.0
    monkeypatch.setattr(request_module, "CONTINUE_TIMEOUT", 0.01)
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        for _ in range(2):
            async with session.put(server.url, data=b"abc", expect100=True) as answer:
                assert await answer.read() == b"ok"
        assert [request.body for request in server.requests] == [b"abc", b"abc"]
        assert len(server.connections) == 1


async def test_an_expectation_that_fails_is_a_response_and_the_body_is_never_sent() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(response(417, b"no", reason="Expectation Failed"))
        await connection.wait_closed_by_peer()

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        async with session.put(server.url, data=b"SECRET" * 10, expect100=True) as answer:
            assert (answer.status, await answer.read()) == (417, b"no")
        assert session.connector.in_use == 0
        await until(lambda: server.connections[0].eof, "the peer has seen the end")
        assert b"SECRET" not in server.connections[0].received


async def test_the_traps_of_tls_are_the_same() -> None:
    """One round over TLS: kept alive, dropped by the server, repeated, closed in order."""
    async with raw_server(closing_on_the_second(), ssl=server_context()) as server:
        connector = fairlead.TCPConnector(ssl=client_context())
        async with fairlead.ClientSession(connector=connector) as session:
            for _ in range(2):
                async with session.get(server.url) as answer:
                    assert await answer.read() == b"ok"
            assert [len(connection.requests) for connection in server.connections] == [2, 1]
