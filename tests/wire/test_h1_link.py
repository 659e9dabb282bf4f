"""wire.h1_link: golden transcripts, whole, byte by byte and cut at every place, and the connection's end at each."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any, NamedTuple

import pytest
from tests.wire.exchanges import Scene
from tests.wire.fakes import FakeClock, turns

from fairlead.errors import (
    BadHttpMessage,
    BadStatusLine,
    ClientOSError,
    ClientPayloadError,
    ServerDisconnectedError,
)
from fairlead.wire.clock import deadlines_of


class Transcript(NamedTuple):
    """What the server sends in answer to a request, and what comes of it."""

    sent: bytes
    status: Any  # or the type of the error
    body: Any = None
    method: str = "GET"
    reusable: bool = False  # whether the lease was given back for another exchange
    open: bool = False  # whether the connection is open afterwards
    eof: bool = False  # whether the server then closes
    options: dict[str, Any] = {}


OK = b"HTTP/1.1 200 OK\r\n"
GZIPPED = gzip.compress(b"hello, hello, hello")

TRANSCRIPTS = {
    "a length": Transcript(OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", reusable=True, open=True),
    "no bytes": Transcript(OK + b"Content-Length: 0\r\n\r\n", 200, b"", reusable=True, open=True),
    "chunks": Transcript(
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
        200,
        b"hello",
        reusable=True,
        open=True,
    ),
    "chunks and trailers": Transcript(
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        200,
        b"hello",
        reusable=True,
        open=True,
    ),
    "no chunks": Transcript(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, b"", reusable=True, open=True),
    "until the end": Transcript(OK + b"\r\nhello", 200, b"hello", eof=True),
    "nothing until the end": Transcript(OK + b"\r\n", 200, b"", eof=True),
    "until the end, not waited for": Transcript(OK + b"\r\nhello", 200, b"", options={"read_until_eof": False}),
    "the server closes": Transcript(OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "HTTP/1.0": Transcript(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "HTTP/1.0 that stays": Transcript(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        200,
        b"ok",
        reusable=True,
        open=True,
    ),
    "HEAD": Transcript(OK + b"Content-Length: 5\r\n\r\n", 200, b"", method="HEAD", reusable=True, open=True),
    "HEAD, chunked and coded": Transcript(
        OK + b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n",
        200,
        b"",
        method="HEAD",
        reusable=True,
        open=True,
    ),
    "204": Transcript(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", reusable=True, open=True),
    "304": Transcript(
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\n",
        304,
        b"",
        reusable=True,
        open=True,
    ),
    "interim responses": Transcript(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nok",
        200,
        b"ok",
        reusable=True,
        open=True,
    ),
    "a status that is none": Transcript(
        b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok", 99, b"ok", reusable=True, open=True
    ),
    "an error status": Transcript(
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", 500, b"no", reusable=True, open=True
    ),
    "an upgrade": Transcript(
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nother bytes", 101, b"", eof=True
    ),
    "a tunnel": Transcript(
        b"HTTP/1.1 200 Established\r\n\r\nother bytes", 200, b"other bytes", method="CONNECT", eof=True
    ),
    "a tunnel refused": Transcript(
        b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", 403, b"no", method="CONNECT", reusable=True, open=True
    ),
    "a coding": Transcript(
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIPPED) + GZIPPED,
        200,
        b"hello, hello, hello",
        reusable=True,
        open=True,
    ),
    "a coding left alone": Transcript(
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIPPED) + GZIPPED,
        200,
        GZIPPED,
        reusable=True,
        open=True,
        options={"auto_decompress": False},
    ),
    "a coding that is unknown": Transcript(
        OK + b"Content-Encoding: rot13\r\nContent-Length: 2\r\n\r\nbx", 200, b"bx", reusable=True, open=True
    ),
    "a coding that is broken": Transcript(
        OK + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",
        200,
        ClientPayloadError,
        reusable=True,
        open=True,
    ),
    "a coding cut short": Transcript(
        OK + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + GZIPPED[:20],
        200,
        ClientPayloadError,
        reusable=True,
        open=True,
    ),
    "more codings than are undone": Transcript(
        OK + b"Content-Encoding: gzip, gzip, gzip, gzip, gzip, gzip\r\nContent-Length: 2\r\n\r\nok",
        200,
        ClientPayloadError,
        reusable=True,
        open=True,
    ),
    "more than was announced": Transcript(
        OK + b"Content-Length: 2\r\n\r\nok and more", 200, b"ok", reusable=True, open=False
    ),
    "a second response": Transcript(
        OK + b"Content-Length: 2\r\n\r\nok" + OK + b"Content-Length: 2\r\n\r\nno", 200, b"ok", reusable=True, open=False
    ),
    "more than nothing": Transcript(OK + b"Content-Length: 0\r\n\r\nmore", 200, b"", reusable=True, open=False),
    "more after the last chunk": Transcript(
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore", 200, b"ok", reusable=True, open=False
    ),
    "no HTTP": Transcript(b"SSH-2.0-OpenSSH\r\n", BadStatusLine),
    "a field without a name": Transcript(OK + b": nothing\r\nContent-Length: 0\r\n\r\n", BadHttpMessage),
    "two framings": Transcript(OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", BadHttpMessage),
    "a chunk of no size": Transcript(
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", 200, ClientPayloadError
    ),
}


def cuts(data: bytes) -> list[list[bytes]]:
    """The data whole, byte by byte, and in two at every place."""
    return [
        [data],
        [data[at : at + 1] for at in range(len(data))],
        *([data[:at], data[at:]] for at in range(1, len(data))),
    ]


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_transcript(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    for pieces in cuts(transcript.sent):
        scene = Scene()
        scene.begin(transcript.method, **transcript.options)
        scene.receive(*pieces)
        if transcript.eof:
            assert scene.returned == []
            scene.end()
        assert await scene.outcome() == (transcript.status, transcript.body)
        assert scene.returned == [transcript.reusable]
        assert scene.link.connected == transcript.open
        assert scene.exchange.ended
        if not transcript.eof:
            scene.end()
        assert len(deadlines_of(asyncio.get_running_loop())) == 0


@pytest.mark.parametrize("name", [name for name, transcript in TRANSCRIPTS.items() if transcript.open])
async def test_the_next_exchange_on_the_connection(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    scene = Scene()
    for _ in range(3):
        assert scene.link.reusable
        scene.begin(transcript.method, **transcript.options)
        assert not scene.link.reusable
        scene.receive(transcript.sent)
        assert scene.link.used
        assert await scene.outcome() == (transcript.status, transcript.body)


# ---- the end of the connection, at every place


def status_and_body(head: bytes, sent: bytes, whole: Any, lost: Exception | None) -> tuple[Any, Any]:
    """What is to be expected when the connection ends after these bytes of a message."""
    if len(sent) < len(head):
        return (ServerDisconnectedError if lost is None else ClientOSError), None
    return 200, whole


HEADS = {
    "a length": (OK + b"Content-Length: 5\r\n\r\n", b"hello"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    "a coding": (OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIPPED), GZIPPED),
    "chunks of a coding": (
        OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(GZIPPED), GZIPPED),
    ),
}


@pytest.mark.parametrize("lost", [None, ConnectionResetError(104, "reset by peer")])
@pytest.mark.parametrize("name", HEADS)
async def test_the_connection_ends_at_every_place(name: str, lost: Exception | None) -> None:
    head, body = HEADS[name]
    message = head + body
    for length in range(len(message)):
        scene = Scene()
        scene.begin()
        scene.receive(message[:length])
        scene.end(lost)
        expected = status_and_body(head, message[:length], ClientPayloadError, lost)
        assert await scene.outcome() == expected, message[:length]
        assert scene.returned == [False]
        assert scene.exchange.error is not None


async def test_what_was_received_before_the_end_is_readable() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.receive(OK + b"Content-Length: 10\r\n\r\nhello")
    scene.end()
    assert await exchange.stream().read(100) == b"hello"
    with pytest.raises(ClientPayloadError, match=r"received 5 of 10 bytes") as caught:
        await exchange.stream().read(100)
    assert caught.value.__cause__ is not None


async def test_a_reset_says_why() -> None:
    scene = Scene()
    scene.begin()
    scene.end(ConnectionResetError(104, "reset by peer"))
    with pytest.raises(ClientOSError) as caught:
        await scene.exchange.response_head()
    assert (caught.value.errno, caught.value.strerror) == (104, "reset by peer")


async def test_an_error_of_the_loop_is_the_cause_of_the_disconnection() -> None:
    scene = Scene()
    scene.begin()
    cause = RuntimeError("no more file descriptors")
    scene.end(cause)
    with pytest.raises(ServerDisconnectedError) as caught:
        await scene.exchange.response_head()
    assert caught.value.__cause__ is cause


async def test_a_partial_head_is_shown() -> None:
    scene = Scene()
    scene.begin()
    scene.receive(OK + b"Conte")
    scene.end()
    with pytest.raises(ServerDisconnectedError, match="Conte"):
        await scene.exchange.response_head()


async def test_a_body_until_the_end_is_complete_at_a_reset_too() -> None:
    """Servers that leave without a goodbye are too many to be refused; nothing tells a short body from a whole one."""
    scene = Scene()
    scene.begin()
    scene.receive(OK + b"\r\nhello")
    scene.end(ConnectionResetError(104, "reset by peer"))
    assert await scene.outcome() == (200, b"hello")
    assert scene.returned == [False]


# ---- an idle connection


@pytest.mark.parametrize("first", [b"", OK + b"Content-Length: 2\r\n\r\nok"])
async def test_bytes_that_answer_nothing_end_an_idle_connection(first: bytes) -> None:
    scene = Scene()
    if first:
        scene.begin()
        scene.receive(first)
    scene.receive(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert not scene.link.reusable
    assert scene.transport.closing
    scene.end()


async def test_an_idle_connection_that_ends_is_not_reusable() -> None:
    scene = Scene()
    scene.end()
    assert not scene.link.reusable


async def test_a_link_knows_whether_an_answer_has_begun() -> None:
    scene = Scene()
    scene.begin()
    assert not scene.link.received
    scene.receive(b"H")
    assert scene.link.received
    scene.receive((OK + b"Content-Length: 0\r\n\r\n")[1:])
    scene.begin()
    assert not scene.link.received
    scene.receive(OK + b"Content-Length: 0\r\n\r\n")


async def test_bytes_after_an_exchange_was_given_up_are_dropped() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.receive(OK + b"Content-Length: 10\r\n\r\nhello")
    exchange.abort()
    scene.link.data_received(b"again")
    scene.end()
    assert scene.returned == [False]


# ---- backpressure


async def test_a_slow_reader_pauses_the_connection_and_a_fast_one_lets_it_go_on() -> None:
    scene = Scene()
    exchange = scene.begin(limit=10)
    scene.receive(OK + b"Content-Length: 100\r\n\r\n" + b"x" * 50)
    assert scene.transport.paused
    assert await exchange.stream().read(45) == b"x" * 45
    assert not scene.transport.paused
    scene.receive(b"x" * 49)
    assert scene.transport.paused
    scene.receive(b"x")  # was under way
    assert not scene.transport.paused
    assert scene.returned == [True]
    assert scene.link.reusable


async def test_an_abandoned_body_does_not_hold_the_connection() -> None:
    scene = Scene()
    exchange = scene.begin(limit=10)
    scene.receive(OK + b"Content-Length: 100\r\n\r\n" + b"x" * 50)
    assert scene.transport.paused
    exchange.abort()
    assert not scene.transport.paused
    assert scene.transport.closing


async def test_a_body_that_was_received_whole_never_pauses_the_next_exchange() -> None:
    """Whether it came in one piece, in several, or has still to be decoded."""
    packed = gzip.compress(bytes(3_000_000))
    for message, size in (
        (OK + b"Content-Length: 1000\r\n\r\n" + bytes(1000), 1000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n", 1000),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed, 3_000_000),
    ):
        scene = Scene()
        old = scene.begin(limit=10)
        scene.receive(message)
        assert not scene.transport.paused
        new = scene.begin(limit=10)
        first = await old.stream().read(5)
        assert not scene.transport.paused
        scene.receive(OK + b"Content-Length: 100\r\n\r\n" + b"x" * 50)
        assert scene.transport.paused
        assert len(first + await old.stream().read()) == size
        assert scene.transport.paused  # for the new one, which nobody has read
        assert await new.stream().read(50) == b"x" * 50
        assert not scene.transport.paused


# ---- uploads


async def uploading(scene: Scene, **options: Any) -> asyncio.Task[None]:
    """An exchange whose request is still being sent."""
    task = asyncio.get_running_loop().create_task(asyncio.Event().wait())  # type: ignore[arg-type]
    scene.begin("POST", uploading=True, upload=task, **options)
    await turns()
    return task  # type: ignore[return-value]


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_early_answer_ends_the_upload_and_the_connection(chunked: bool) -> None:
    scene = Scene()
    task = await uploading(scene)
    scene.receive(
        b"HTTP/1.1 413 Too Large\r\n"
        + (b"Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n" if chunked else b"Content-Length: 2\r\n\r\nno")
    )
    assert await scene.outcome() == (413, b"no")
    assert scene.returned == [False]
    await turns()
    assert task.cancelled()


async def test_an_early_answer_in_parts_lets_the_upload_go_on() -> None:
    scene = Scene()
    task = await uploading(scene)
    scene.receive(OK + b"Content-Length: 10\r\n\r\nhello")
    await turns()
    assert not task.done()
    scene.exchange.uploading = False  # sent whole before the rest of the answer
    task.cancel()
    scene.receive(b"hello")
    assert scene.returned == [True]


async def test_a_lost_connection_ends_the_upload() -> None:
    scene = Scene()
    task = await uploading(scene)
    scene.end(ConnectionResetError(104, "reset by peer"))
    assert await scene.outcome() == (ClientOSError, None)
    await turns()
    assert task.cancelled()
    assert scene.returned == [False]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n", True),
        (b"HTTP/1.1 102 Processing\r\n\r\n", None),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", True),
        (b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno", False),
        (b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", True),
    ],
)
async def test_100_continue_lets_the_body_go(sent: bytes, answer: bool | None) -> None:
    scene = Scene()
    continued: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    task = await uploading(scene, continued=continued)
    scene.receive(sent)
    assert (continued.result() if continued.done() else None) is answer
    scene.exchange.abort()
    assert continued.done()
    task.cancel()


# ---- deadlines


def test_a_link_is_looked_at_while_it_is_connected() -> None:
    clock = FakeClock()
    deadlines = deadlines_of(clock.loop)
    scenes = [Scene(clock.loop) for _ in range(100)]
    assert len(deadlines) == 100
    for scene in scenes:
        scene.begin()
        scene.receive(OK + b"Content-Length: 0\r\n\r\n")
    clock.advance(1000)
    assert len(clock.timers) == 1
    for scene in scenes:
        scene.link.close()
        scene.end()
    assert len(deadlines) == 0
    clock.advance(2)
    assert clock.timers == []


# ---- switching protocols

SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


class Receiver:
    """Takes what comes after a switch."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: list[BaseException | None] = []

    def feed_data(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.append(exc)


async def test_what_comes_after_a_switch_goes_to_the_receiver() -> None:
    for pieces in cuts(SWITCH + b"early"):
        scene = Scene()
        exchange = scene.begin(deadline=0.0, total=1.0, read_limit=0.0)
        scene.receive(*pieces)
        receiver = Receiver()
        assert scene.link.switch(receiver) == b"early"
        scene.receive(b"la", b"ter")
        assert receiver.data == b"later"
        assert not scene.link.reusable
        scene.link.expire(1e9)  # the limits of the call were those of the handshake
        assert not exchange.ended
        assert scene.returned == []
        scene.end(ConnectionResetError("gone"))
        assert [str(exc) for exc in receiver.lost] == ["gone"]
        assert scene.returned == [False]


async def test_a_switch_on_a_connection_that_is_lost() -> None:
    scene = Scene()
    scene.begin()
    scene.receive(SWITCH + b"early")
    scene.end()
    receiver = Receiver()
    assert scene.link.switch(receiver) == b"early"
    assert scene.link.transport is None
    assert receiver.lost == []
    with pytest.raises(RuntimeError, match="did not switch protocols"):
        scene.link.switch(receiver)


async def test_no_switch_without_a_101() -> None:
    scene = Scene()
    scene.begin()
    scene.receive(OK + b"Content-Length: 5\r\n\r\n")
    with pytest.raises(RuntimeError, match="did not switch protocols"):
        scene.link.switch(Receiver())


async def test_what_comes_before_a_switch_is_bounded() -> None:
    scene = Scene()
    scene.begin()
    scene.receive(SWITCH)
    sent = 0
    while not scene.transport.paused:
        scene.receive(b"x" * 10_000)
        sent += 10_000
        assert sent < 1_000_000
    assert len(scene.link.switch(Receiver())) == sent
    assert not scene.transport.paused


async def test_an_exchange_that_has_switched_can_be_given_up() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.receive(SWITCH)
    scene.link.switch(Receiver())
    exchange.abort()
    assert scene.returned == [False]
    assert not scene.link.connected
