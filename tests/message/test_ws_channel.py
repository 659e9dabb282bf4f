"""The channel of a WebSocket and its verbs, on a transport that only remembers."""

from __future__ import annotations

import asyncio
import json
import random
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fairlead.codec.ws_decoder import WebSocketDecoder
from fairlead.codec.ws_deflate import DeflateParameters, Deflater
from fairlead.codec.ws_frames import (
    Part,
    WSCloseCode,
    WSMessage,
    WSMessageTextBytes,
    WSMsgType,
    close_payload,
    encode_frame,
)
from fairlead.errors import ClientConnectionResetError, WebSocketError, WSMessageTypeError
from fairlead.message import ws_channel
from fairlead.message.ws_channel import QUEUE_LIMIT, WebSocketChannel, draw_key, encode_as_client
from fairlead.message.ws_verbs import WebSocketVerbs
from fairlead.wire.link import Link

TEXT, BINARY = WSMsgType.TEXT, WSMsgType.BINARY
PING, PONG, CLOSE = WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE


class Transport(asyncio.Transport):
    """Remembers what is written; the peer takes nothing until `taken` says so."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.buffered = 0
        self.keeps = False  # what is written stays in the buffer
        self.reading = True
        self.closed = self.aborted = self.half_closed = False
        self.half_closes = True
        self.limit: int | None = None
        self.protocol: Any = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.half_closed
        self.written += data
        if self.keeps:
            self.buffered += len(data)

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limit = high

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def can_write_eof(self) -> bool:
        return self.half_closes

    def write_eof(self) -> None:
        self.half_closed = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return "there" if name == "peername" else default


class SwitchedLink(Link):
    """A link that tells its receiver what it is told."""

    __slots__ = ("receiver",)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.receiver.connection_lost(exc)

    def eof_received(self) -> bool:
        return bool(self.receiver.eof_received())


class End(WebSocketVerbs):
    """One end on a transport that remembers."""

    def __init__(
        self,
        role: str = "client",
        *,
        early: bytes = b"",
        receive_timeout: float | None = None,
        close_timeout: float | None = 1.0,
        autoclose: bool = True,
        lost: bool = False,
        **options: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.role = role
        self.released = 0
        self.transport = Transport()
        self.link = SwitchedLink(loop)
        if not lost:
            self.link.connection_made(self.transport)
        options.setdefault("max_msg_size", 4 * 1024 * 1024)
        self.channel = self.link.receiver = WebSocketChannel(role, loop, **options)  # type: ignore[arg-type]
        self._channel = self.channel
        self._receive_timeout = receive_timeout
        self._close_timeout = close_timeout
        self._autoclose = autoclose
        self.channel.be_patient(not receive_timeout)
        self.channel.attach(self.link, early, self.release)

    def release(self) -> None:
        self.released += 1

    # ---- what the peer does

    def frame(self, opcode: int, payload: bytes = b"", **options: Any) -> bytes:
        return encode_frame(opcode, payload, mask=b"mask" if self.role == "server" else None, **options)

    def feed(self, *frames: bytes) -> None:
        self.transport.protocol.data_received(b"".join(frames))

    def text(self, *texts: str) -> None:
        self.feed(*[self.frame(TEXT, text.encode()) for text in texts])

    def close_frame(self, code: int | None = 1000, reason: str = "") -> None:
        self.feed(self.frame(CLOSE, close_payload(code, reason)))

    def lose(self, exc: Exception | None = None) -> None:
        self.transport.protocol.connection_lost(exc)

    def sent(self) -> list[Any]:
        """What was sent since this was asked before."""
        data, self.transport.written = bytes(self.transport.written), bytearray()
        params = DeflateParameters()
        other = "server" if self.role == "client" else "client"
        inflater = None if self.channel.deflater is None else params.codecs(other)[1]
        decoder = WebSocketDecoder(role=other, deflate=inflater, max_msg_size=0)
        return [tuple(event) if isinstance(event, tuple) else event for event in decoder.feed(data)]


async def turn() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


BOTH = pytest.mark.parametrize("role", ["client", "server"])


# ---- receiving


@BOTH
async def test_a_message_wakes_the_receiver_without_the_queue(role: str) -> None:
    end = End(role)
    task = asyncio.ensure_future(end.receive())
    await asyncio.sleep(0)
    end.text("hello")
    assert not end.channel.queue
    await asyncio.sleep(0)
    assert task.done()
    assert await task == WSMessage(TEXT, "hello", "")


@BOTH
async def test_messages_wait_in_order(role: str) -> None:
    end = End(role)
    end.text("1", "2")
    end.feed(end.frame(BINARY, b"3"))
    assert [(await end.receive()).data for _ in range(3)] == ["1", "2", b"3"]
    task = asyncio.ensure_future(end.receive())
    await asyncio.sleep(0)
    end.text("4", "5")
    assert (await task).data == "4"
    assert (await end.receive()).data == "5"


async def test_what_came_with_the_handshake_is_received() -> None:
    early = encode_frame(TEXT, b"early") + encode_frame(CLOSE, close_payload(1001, "going"))
    end = End(early=early)
    assert (await end.receive()).data == "early"
    assert await end.receive() == WSMessage(CLOSE, 1001, "going")


async def test_a_link_that_was_lost_before_the_switch() -> None:
    end = End(early=encode_frame(TEXT, b"early"), lost=True)
    assert (await end.receive()).data == "early"
    assert (await end.receive()).type is WSMsgType.CLOSED
    assert (end.close_code, end.closed, end.released) == (1006, True, 1)
    with pytest.raises(ClientConnectionResetError):
        await end.send_str("a")


async def test_bytes_of_text() -> None:
    end = End(decode_text=False)
    end.text("é")
    message = await end.receive()
    assert message == WSMessageTextBytes(TEXT, "é".encode(), "")
    assert type(message) is WSMessageTextBytes


async def test_iteration_ends_with_the_close_frame() -> None:
    end = End()
    end.text("1", "2")
    end.close_frame(1001)
    assert [message.data async for message in end] == ["1", "2"]
    assert (end.closed, end.close_code) == (True, 1001)


async def test_kinds_that_are_asked_for() -> None:
    end = End()
    end.text("1", '{"a": 2}')
    end.feed(end.frame(BINARY, b"3"), end.frame(BINARY, b"4"))
    assert await end.receive_str() == "1"
    assert await end.receive_json(loads=json.loads) == {"a": 2}
    assert await end.receive_bytes() == b"3"
    with pytest.raises(WSMessageTypeError, match=r"Received message 2:b'4' is not WSMsgType\.TEXT"):
        await end.receive_str()
    end.text("5")
    with pytest.raises(WSMessageTypeError, match=r"Received message 1:'5' is not WSMsgType\.BINARY"):
        await end.receive_bytes()


async def test_only_one_task_receives() -> None:
    end = End()
    task = asyncio.ensure_future(end.receive())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="Concurrent call to receive"):
        await end.receive()
    with pytest.raises(RuntimeError, match="Concurrent call to receive"):
        async for _ in end.receive_stream():
            pass
    end.text("a")
    assert (await task).data == "a"


@pytest.mark.parametrize("wait", [{}, {"timeout": 5.0}])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_cancelled_receive_loses_nothing(when: str, wait: dict[str, float]) -> None:
    """Also not the message that it had been given when it was cancelled."""
    end = End()
    task = asyncio.ensure_future(end.receive(**wait))
    await asyncio.sleep(0)
    if when == "before":
        task.cancel()
        end.text("1", "2")
    else:
        end.text("1", "2")
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert [(await end.receive()).data for _ in range(2)] == ["1", "2"]


async def test_a_timeout_loses_nothing_and_says_what_ran_out() -> None:
    end = End()
    with pytest.raises(TimeoutError, match=r"No message within 0\.001 s"):
        await end.receive(timeout=0.001)
    end.text("1")
    assert (await end.receive(timeout=0.001)).data == "1"
    assert (end.closed, end.close_code, end.exception()) == (False, None, None)
    end = End(receive_timeout=0.001)
    with pytest.raises(TimeoutError):
        await end.receive()


async def test_random_cancellations_keep_every_message_in_order() -> None:
    chance = random.Random(7)
    end = End()
    got: list[Any] = []
    sent = 0
    while len(got) < 200:
        task = asyncio.ensure_future(end.receive(timeout=chance.choice([None, 5.0])))
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        if sent < 200 and chance.random() < 0.7:
            count = min(chance.randrange(1, 4), 200 - sent)
            end.text(*[str(sent + i) for i in range(count)])
            sent += count
        for _ in range(chance.randrange(2)):
            await asyncio.sleep(0)
        if chance.random() < 0.5 or sent == 200:
            await turn()
        if not task.done():
            task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            got.append((await task).data)
    assert got == [str(i) for i in range(200)]


# ---- backpressure


async def test_a_slow_consumer_stops_the_socket_until_it_has_caught_up() -> None:
    end = End()
    size = 1000
    frame = end.frame(BINARY, b"x" * size)
    count = 0
    while end.transport.reading:
        end.feed(frame)
        count += 1
        assert count < 1000
    assert QUEUE_LIMIT <= count * (size + 4) <= QUEUE_LIMIT + 2 * size
    for left in range(count - 1, -1, -1):
        assert not end.transport.reading
        assert (await end.receive()).data == b"x" * size
        assert len(end.channel.queue) == left
    assert end.transport.reading


async def test_empty_messages_are_bounded_as_well() -> None:
    end = End()
    end.feed(end.frame(TEXT) * 10_000)
    assert not end.transport.reading


async def test_memory_of_a_peer_that_is_not_read() -> None:
    """The peer would send for ever; a transport that is told to stop does."""
    end = End()
    frame = end.frame(BINARY, b"x" * 10_000)
    tracemalloc.start()
    try:
        for _ in range(10_000):
            if end.transport.reading:
                end.feed(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * QUEUE_LIMIT


async def test_compressed_messages_count_by_their_real_size() -> None:
    end = End(deflate=DeflateParameters())
    deflater = Deflater()
    bomb = deflater.deflate(bytes(1_000_000))
    assert len(bomb) < 10_000
    end.feed(end.frame(BINARY, bomb, rsv1=True))
    assert not end.transport.reading
    assert len((await end.receive()).data) == 1_000_000
    assert end.transport.reading


async def test_input_that_inflates_to_too_much_is_taken_by_and_by() -> None:
    end = End(deflate=DeflateParameters())
    deflater = Deflater()
    frames = [end.frame(BINARY, deflater.deflate(bytes(3_000_000)), rsv1=True) for _ in range(8)]
    end.feed(*frames, end.frame(TEXT, b"last"))
    assert len(end.channel.queue) < 8
    for _ in range(8):
        assert not end.transport.reading
        assert len((await end.receive()).data) == 3_000_000
    assert (await end.receive()).data == "last"
    assert end.transport.reading


async def test_input_that_inflates_to_too_much_does_not_keep_a_close_from_its_answer() -> None:
    end = End(deflate=DeflateParameters())
    deflater = Deflater()
    frames = [end.frame(BINARY, deflater.deflate(bytes(3_000_000)), rsv1=True) for _ in range(8)]
    end.feed(*frames, end.frame(CLOSE, close_payload(1001)))
    assert await end.close()
    assert end.close_code == 1001


# ---- sending


@BOTH
@pytest.mark.parametrize("size", [0, 1, 125, 126, 600, 65535, 65536, 100_000])
async def test_sending(role: str, size: int) -> None:
    end = End(role)
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    await end.send_bytes(data)
    await end.send_bytes(bytearray(data))
    await end.send_bytes(memoryview(data))
    await end.send_str("ü" * size)
    await end.send_frame(data, BINARY)
    assert end.sent() == [(BINARY, data, "")] * 3 + [(TEXT, "ü" * size, ""), (BINARY, data, "")]


async def test_views_of_other_shapes_are_sent_as_their_bytes() -> None:
    end = End()
    await end.send_bytes(memoryview(b"abcdefgh").cast("I"))
    await end.send_bytes(memoryview(b"abcdefgh")[::2])
    assert end.sent() == [(BINARY, b"abcdefgh", ""), (BINARY, b"aceg", "")]


async def test_json() -> None:
    end = End()
    await end.send_json({"a": "é"})
    await end.send_json([1], dumps=lambda value: "text")
    await end.send_json_bytes([1], dumps=lambda value: b"bytes")
    assert end.sent() == [(TEXT, '{"a": "\\u00e9"}', ""), (TEXT, "text", ""), (BINARY, b"bytes", "")]


async def test_wrong_types_are_refused_before_anything_is_sent() -> None:
    end = End()
    with pytest.raises(TypeError, match=r"data argument must be str \(<class 'bytes'>\)"):
        await end.send_str(b"a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"data argument must be byte-ish \(<class 'str'>\)"):
        await end.send_bytes("a")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await end.send_json(object())
    with pytest.raises(ValueError, match="at most 125 bytes, not 126"):
        await end.ping(b"x" * 126)
    with pytest.raises(ValueError, match="at most 125 bytes, not 126"):
        await end.pong("x" * 126)
    assert end.sent() == []


async def test_compression_for_each_message() -> None:
    end = End(deflate=DeflateParameters())
    await end.send_str("a" * 1000)
    assert len(end.transport.written) < 50
    await end.send_str("a" * 1000, compress=0)
    assert len(end.transport.written) > 1000
    await end.send_bytes(b"a" * 1000, compress=9)
    await end.send_str("b" * 1000)
    await end.ping(b"p")
    assert end.sent() == [
        (TEXT, "a" * 1000, ""),
        (TEXT, "a" * 1000, ""),
        (BINARY, b"a" * 1000, ""),
        (TEXT, "b" * 1000, ""),
        (PING, b"p", ""),
    ]


async def test_compression_that_was_not_agreed_is_not_used() -> None:
    end = End()
    await end.send_str("a" * 1000, compress=15)
    assert end.transport.written[0] == 0x81


async def test_a_full_transport_is_waited_for_after_the_message_was_sent() -> None:
    end = End()
    end.transport.protocol.pause_writing()
    task = asyncio.ensure_future(end.send_str("a"))
    other = asyncio.ensure_future(end.send_bytes(b"b"))
    await turn()
    assert end.sent() == [(TEXT, "a", ""), (BINARY, b"b", "")]
    assert not task.done()
    end.transport.protocol.resume_writing()
    await task
    await other
    await end.send_str("c")


async def test_a_cancelled_send_has_sent_its_message() -> None:
    end = End()
    end.transport.protocol.pause_writing()
    task = asyncio.ensure_future(end.send_str("a"))
    await turn()
    task.cancel()
    await asyncio.wait([task])
    end.transport.protocol.resume_writing()
    await end.send_str("b")
    assert end.sent() == [(TEXT, "a", ""), (TEXT, "b", "")]


async def test_whoever_waits_for_a_full_transport_hears_of_its_end() -> None:
    end = End()
    end.transport.protocol.pause_writing()
    task = asyncio.ensure_future(end.send_str("a"))
    await turn()
    end.lose(ConnectionResetError("reset"))
    with pytest.raises(ClientConnectionResetError):
        await task


@pytest.mark.parametrize(
    "send",
    [
        lambda end: end.send_str("a"),
        lambda end: end.send_bytes(b"a"),
        lambda end: end.send_json(1),
        lambda end: end.send_frame(b"a", TEXT),
        lambda end: end.ping(),
        lambda end: end.pong(),
        lambda end: end.send_stream(["a"]),
    ],
)
@pytest.mark.parametrize("how", ["closed", "lost"])
async def test_nothing_is_sent_after_the_end(how: str, send: Callable[[End], Any]) -> None:
    end = End()
    if how == "closed":
        end.close_frame()
        await end.receive()
        end.sent()
    else:
        end.lose()
    with pytest.raises(ClientConnectionResetError, match="Cannot write to closing transport"):
        await send(end)
    assert end.sent() == []


async def test_the_limit_of_the_transport_can_be_set() -> None:
    end = End()
    end.channel.limit_writing(12345)
    assert (end.transport.limit, end.channel._limit) == (12345, 12345)
    end.channel._limit = 5  # as Home Assistant does
    assert end.transport.limit == 5


def test_keys_are_drawn_in_batches_and_differ() -> None:
    keys = {draw_key() for _ in range(1000)}
    assert len(keys) > 990
    assert all(0 <= key < 2**32 for key in keys)
    frames = {encode_as_client(0x81, b"abc") for _ in range(100)}
    assert len(frames) == 100


# ---- parts


async def test_a_message_in_parts() -> None:
    end = End()

    async def pieces() -> AsyncIterator[str]:
        for piece in ("a", "é", "c"):
            await asyncio.sleep(0)
            yield piece

    await end.send_stream(pieces())
    data = bytes(end.transport.written)
    assert [data[0] & 0x8F, len(data)] == [0x01, 6 + 1 + 6 + 2 + 6 + 1]
    assert end.sent() == [(TEXT, "aéc", "")]
    await end.send_stream([b"x", b"y"])
    await end.send_stream([])
    await end.send_stream(["one"])
    assert end.sent() == [(BINARY, b"xy", ""), (BINARY, b"", ""), (TEXT, "one", "")]


async def test_a_compressed_message_in_parts() -> None:
    end = End(deflate=DeflateParameters())
    await end.send_stream(["a" * 1000, "b" * 1000, ""])
    await end.send_str("a" * 1000)
    assert end.sent() == [(TEXT, "a" * 1000 + "b" * 1000, ""), (TEXT, "a" * 1000, "")]
    await end.send_stream([b"a", b"b"], compress=0)
    assert end.transport.written[0] == 0x02


async def test_other_messages_wait_for_one_in_parts_and_pings_do_not() -> None:
    end = End()
    more = asyncio.Event()

    async def pieces() -> AsyncIterator[str]:
        yield "a"
        yield "b"
        await more.wait()
        yield "c"

    first = asyncio.ensure_future(end.send_stream(pieces()))
    await turn()
    others = [
        asyncio.ensure_future(end.send_str("other")),
        asyncio.ensure_future(end.send_stream(["x", "y"])),
        asyncio.ensure_future(end.send_bytes(b"last")),
    ]
    await turn()
    await end.ping(b"!")
    end.feed(end.frame(PING, b"?"))
    assert not any(task.done() for task in others)
    more.set()
    await asyncio.gather(first, *others)
    sent = end.sent()
    assert sent[:3] == [(PING, b"!", ""), (PONG, b"?", ""), (TEXT, "abc", "")]
    assert sorted(sent[3:], key=repr) == sorted(
        [(TEXT, "other", ""), (TEXT, "xy", ""), (BINARY, b"last", "")], key=repr
    )
    await end.send_str("again")
    assert end.sent() == [(TEXT, "again", "")]


async def test_a_message_in_parts_that_fails_closes_the_connection() -> None:
    end = End()

    async def pieces() -> AsyncIterator[str]:
        yield "a"
        yield "b"
        raise KeyError("source")

    with pytest.raises(KeyError):
        await end.send_stream(pieces())
    assert end.transport.aborted
    assert (end.close_code, end.close_reason) == (1006, "A message was not sent to its end")
    with pytest.raises(ClientConnectionResetError):
        await end.send_str("a")
    end.lose()
    assert (await end.receive()).type is WSMsgType.CLOSED


async def test_a_message_in_parts_that_fails_at_once_does_not() -> None:
    end = End()
    with pytest.raises(RuntimeError, match="either text or bytes"):
        await end.send_stream(["a", b"b"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="iterable of pieces"):
        await end.send_stream("text")
    await end.send_str("fine")
    assert end.sent() == [(TEXT, "fine", "")]


async def test_a_message_is_received_in_parts() -> None:
    end = End(max_msg_size=10)
    stream = end.receive_stream()
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    frames = [
        end.frame(TEXT, b"a" * 20, fin=False),
        end.frame(PING, b"in between"),
        end.frame(0, b"b" * 20, fin=False),
        end.frame(0, b"c"),
    ]
    end.feed(frames[0])
    assert await task == Part(TEXT, "a" * 20, False)
    end.feed(*frames[1:], end.frame(TEXT, b"next"))
    assert [part async for part in stream] == [Part(TEXT, "b" * 20, False), Part(TEXT, "c", True)]
    assert [part async for part in stream] == []
    assert end.sent() == [(PONG, b"in between", "")]
    assert (await end.receive()).data == "next"
    end.text("after")
    assert (await end.receive()).data == "after"


async def test_a_message_that_was_received_whole_is_one_part() -> None:
    end = End()
    end.text("whole", "other")
    assert [part async for part in end.receive_stream()] == [Part(TEXT, "whole", True)]
    assert (await end.receive()).data == "other"


async def test_a_message_under_way_can_still_be_received_in_parts() -> None:
    end = End()
    end.feed(end.frame(BINARY, b"begun", fin=False))
    stream = end.receive_stream()
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    end.feed(end.frame(0, b" and ended"))
    data = (await task).data + b"".join([part.data async for part in stream])
    assert data == b"begun and ended"


async def test_the_rest_of_a_message_in_parts_can_be_left() -> None:
    end = End()
    task = asyncio.ensure_future(anext(end.receive_stream()))
    await asyncio.sleep(0)
    end.feed(end.frame(TEXT, b"1", fin=False))
    assert (await task).data == "1"
    end.feed(end.frame(0, b"2", fin=False))
    waiting = asyncio.ensure_future(end.receive())
    await asyncio.sleep(0)
    end.feed(end.frame(0, b"3", fin=False), end.frame(0, b"4"), end.frame(TEXT, b"whole"))
    assert (await waiting).data == "whole"
    # and also when all of it had come
    task = asyncio.ensure_future(anext(end.receive_stream()))
    await asyncio.sleep(0)
    end.feed(end.frame(TEXT, b"1", fin=False), end.frame(0, b"2"), end.frame(TEXT, b"x"), end.frame(TEXT, b"y"))
    assert (await task).data == "1"
    assert [(await end.receive()).data for _ in range(2)] == ["x", "y"]
    task = asyncio.ensure_future(anext(end.receive_stream()))
    await asyncio.sleep(0)
    end.feed(end.frame(TEXT, b"3"))
    assert await task == Part(TEXT, "3", True)


async def test_a_cancelled_stream_loses_nothing() -> None:
    end = End(max_msg_size=20)
    for begun in (False, True):
        task = asyncio.ensure_future(anext(end.receive_stream()))
        await asyncio.sleep(0)
        if begun:
            end.feed(end.frame(TEXT, b"be", fin=False))
        task.cancel()
        await asyncio.wait([task])
        end.feed(end.frame(0, b"gun") if begun else end.frame(TEXT, b"begun"))
        assert (await end.receive()).data == "begun"
    # A message that is whole again is limited again.
    task = asyncio.ensure_future(anext(end.receive_stream()))
    await asyncio.sleep(0)
    end.feed(end.frame(TEXT, b"x" * 15, fin=False))
    task.cancel()
    await asyncio.wait([task])
    end.feed(end.frame(0, b"x" * 15))
    message = await end.receive()
    assert message.type is WSMsgType.ERROR
    assert end.close_code == 1009


async def test_a_stream_of_a_slow_consumer_stops_the_socket() -> None:
    end = End()
    stream = end.receive_stream()
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    end.feed(end.frame(BINARY, b"", fin=False))
    head = end.frame(0, b"x" * 1_000_000)[:10]
    end.feed(head)
    fed = 0
    while end.transport.reading:
        end.feed(b"x" * 10_000)
        fed += 10_000
        assert fed < 2 * QUEUE_LIMIT
    got = len((await task).data)
    while not end.transport.reading:
        got += len((await anext(stream)).data)
    assert got == fed


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_stream_breaks_off_with_the_reason(compressed: bool) -> None:
    end = End(deflate=DeflateParameters() if compressed else None)
    stream = end.receive_stream()
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    end.feed(end.frame(TEXT, b"1", fin=False))
    assert (await task).data == "1"
    end.lose(ConnectionResetError("gone"))
    with pytest.raises(ClientConnectionResetError, match="gone"):
        await anext(stream)


async def test_a_stream_at_the_end_is_empty() -> None:
    for end in (End(), End(), End()):
        task = asyncio.ensure_future(anext(end.receive_stream(), None))
        await asyncio.sleep(0)
        end.close_frame(1001)
        assert await task is None
        assert end.closed
        assert [part async for part in end.receive_stream()] == []


async def test_a_stream_of_a_broken_message() -> None:
    end = End()
    stream = end.receive_stream()
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    end.feed(end.frame(TEXT, b"1", fin=False), end.frame(TEXT, b"2"))
    assert (await task).data == "1"
    with pytest.raises(WebSocketError, match="non-fin frame"):
        await anext(stream)
    assert (end.closed, end.close_code) == (True, 1002)


# ---- control frames


@BOTH
async def test_pings_are_answered_when_they_come(role: str) -> None:
    end = End(role)
    end.text("1")
    end.feed(end.frame(PING, b"p"), end.frame(PONG, b"q"))
    assert end.sent() == [(PONG, b"p", "")]
    assert (await end.receive()).data == "1"
    assert not end.channel.queue


async def test_pings_and_pongs_by_hand() -> None:
    end = End(autoping=False)
    task = asyncio.ensure_future(end.receive())
    await asyncio.sleep(0)
    end.feed(end.frame(PING, b"p"), end.frame(PONG, b"q"), end.frame(TEXT, b"t"))
    assert await task == WSMessage(PING, b"p", "")
    assert await end.receive() == WSMessage(PONG, b"q", "")
    assert (await end.receive()).data == "t"
    assert end.sent() == []
    await end.ping("text")
    await end.pong(b"x")
    assert end.sent() == [(PING, b"text", ""), (PONG, b"x", "")]


async def test_a_flood_of_pings_does_not_fill_the_memory() -> None:
    end = End()
    end.transport.protocol.pause_writing()
    for i in range(1000):
        end.feed(end.frame(PING, b"%d" % i))
    assert end.sent() == []
    end.transport.protocol.resume_writing()
    assert end.sent() == [(PONG, b"999", "")]


# ---- the end


@BOTH
async def test_the_peer_closes(role: str) -> None:
    end = End(role)
    end.text("1")
    end.close_frame(4000, "bye")
    assert (end.closed, end.close_code, end.close_reason) == (False, 4000, "bye")
    assert (await end.receive()).data == "1"
    await end.send_str("still open")
    assert await end.receive() == WSMessage(CLOSE, 4000, "bye")
    assert end.sent() == [(TEXT, "still open", ""), (CLOSE, 4000, "")]
    assert (end.closed, end.close_code, end.exception()) == (True, 4000, None)
    assert end.transport.closed
    assert end.released == 1
    assert (await end.receive()).type is WSMsgType.CLOSED
    assert await end.close() is False
    end.lose()
    assert (end.close_code, end.exception(), end.released) == (4000, None, 1)


async def test_a_close_frame_without_a_code() -> None:
    end = End()
    end.close_frame(None)
    assert await end.receive() == WSMessage(CLOSE, 0, "")
    assert end.sent() == [(CLOSE, 0, "")]
    assert end.close_code == 1005


async def test_the_answer_can_be_left_to_the_user() -> None:
    end = End(autoclose=False)
    end.close_frame(4000)
    assert (await end.receive()).type is CLOSE
    assert not end.closed
    await end.send_str("more")
    assert await end.close(code=4001, message=b"mine")
    assert end.sent() == [(TEXT, "more", ""), (CLOSE, 4001, "mine")]
    assert (end.closed, end.close_code) == (True, 4000)


@BOTH
async def test_closing_waits_for_the_peer(role: str) -> None:
    end = End(role)
    end.text("unread")
    task = asyncio.ensure_future(end.close(code=4001, message="grüße"))
    await turn()
    assert end.sent() == [(CLOSE, 4001, "grüße")]
    assert end.closed
    assert not task.done()
    assert await end.close() is False
    end.text("dropped")
    end.feed(end.frame(PING, b"not answered"))
    await turn()
    assert not task.done()
    end.close_frame(4002, "yours")
    assert await task is True
    assert (end.close_code, end.close_reason) == (4002, "yours")
    assert end.transport.closed
    assert (await end.receive()).type is WSMsgType.CLOSED
    assert end.sent() == []


async def test_closing_reads_on_when_the_queue_is_full() -> None:
    end = End()
    end.feed(end.frame(BINARY, b"x" * (QUEUE_LIMIT + 1)))
    assert not end.transport.reading
    task = asyncio.ensure_future(end.close())
    await turn()
    assert end.transport.reading
    end.close_frame()
    assert await task


async def test_a_receiver_hears_of_the_close() -> None:
    for timeout in (None, 5.0):
        end = End()
        task = asyncio.ensure_future(end.receive(timeout))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(end.close())
        assert (await task).type is WSMsgType.CLOSING
        end.close_frame()
        assert await closing


async def test_the_close_timeout() -> None:
    end = End(close_timeout=0.001)
    assert await end.close()
    assert (end.close_code, type(end.exception())) == (1006, TimeoutError)
    assert "0.001 s" in end.close_reason
    assert end.transport.aborted
    assert end.released == 1


async def test_a_cancelled_close() -> None:
    end = End()
    task = asyncio.ensure_future(end.close())
    await turn()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (end.closed, end.close_code, end.close_reason) == (True, 1006, "Closing was cancelled")
    assert end.transport.aborted
    assert end.released == 1


async def test_closing_a_lost_connection() -> None:
    end = End()
    end.lose(ConnectionResetError("reset by the peer"))
    assert await end.close()
    assert (end.close_code, end.close_reason) == (1006, "The connection was lost: reset by the peer")
    assert isinstance(end.exception(), ClientConnectionResetError)


@pytest.mark.parametrize("code", [0, 1004, 1005, 1006, 1015])
async def test_codes_that_are_never_sent_close_without_one(code: int) -> None:
    end = End()
    task = asyncio.ensure_future(end.close(code=code, message=b"left out"))
    await turn()
    assert end.sent() == [(CLOSE, 0, "")]
    end.close_frame(None)
    await task


@pytest.mark.parametrize("code", [-1, 1, 999, 1016, 2999, 70000])
async def test_numbers_that_are_no_codes_are_refused(code: int) -> None:
    end = End()
    with pytest.raises(ValueError, match=f"close code {code} may not be sent"):
        await end.close(code=code)
    assert not end.closed
    await end.send_str("still open")


async def test_a_long_reason_is_cut() -> None:
    end = End()
    task = asyncio.ensure_future(end.close(message="é" * 100))
    await turn()
    assert end.sent() == [(CLOSE, 1000, "é" * 61)]
    end.close_frame()
    await task


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (None, "The connection ended without a close frame"),
        (ConnectionResetError(104, "reset"), "The connection was lost: [Errno 104] reset"),
    ],
)
@pytest.mark.parametrize("waiting", [False, True])
async def test_a_lost_connection(exc: Exception | None, reason: str, waiting: bool) -> None:
    end = End()
    if waiting:
        task = asyncio.ensure_future(end.receive())
        await asyncio.sleep(0)
    else:
        end.text("1")
    end.lose(exc)
    assert (end.close_code, end.close_reason, end.released) == (1006, reason, 1)
    error = end.exception()
    assert isinstance(error, ClientConnectionResetError)
    assert error.__cause__ is exc
    if waiting:
        assert (await task).type is WSMsgType.CLOSED
    else:
        assert not end.closed
        assert (await end.receive()).data == "1"
        assert (await end.receive()).type is WSMsgType.CLOSED
    assert end.closed
    assert await end.close() is False
    assert (await end.receive()).type is WSMsgType.CLOSED


async def test_where_the_connection_ended_is_told() -> None:
    end = End()
    end.feed(b"\x81\x05ab")
    end.lose()
    assert end.close_reason == "The connection ended inside a frame, 3 bytes before its end"


BROKEN = {
    "reserved bits": (b"\xf1\x00", 1002),
    "an opcode that is not there": (b"\x83\x00", 1002),
    "text that is not UTF-8": (encode_frame(TEXT, b"\xff"), 1007),
    "a message that is too big": (encode_frame(TEXT, b"x" * 101), 1009),
    "a close frame with a wrong code": (encode_frame(CLOSE, b"\x03\xed"), 1002),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_rule(name: str) -> None:
    data, code = BROKEN[name]
    end = End(max_msg_size=100)
    end.text("1")
    end.feed(data)
    assert end.close_code == code
    assert (await end.receive()).data == "1"
    assert end.sent() == []  # what came before it may still be answered
    message = await end.receive()
    ((kind, sent_code, reason),) = end.sent()
    assert (kind, sent_code) == (CLOSE, code)
    with pytest.raises(ClientConnectionResetError):
        await end.send_str("a")
    assert message.type is WSMsgType.ERROR
    assert isinstance(message.data, WebSocketError)
    assert (message.data.code, str(message.data)) == (code, end.close_reason)
    assert reason
    assert end.close_reason.startswith(reason)
    assert (end.closed, end.close_code, end.exception()) == (True, code, message.data)
    # It leaves the peer time to take the frame.
    assert end.transport.half_closed
    assert not end.transport.closed
    end.feed(b"whatever it still sends")
    end.lose()
    assert end.released == 1
    assert (await end.receive()).type is WSMsgType.CLOSED
    assert end.close_code == code


@BOTH
@pytest.mark.parametrize("then", ["receive", "close", "wait", "lose"])
async def test_what_came_before_a_broken_rule_can_be_answered(
    role: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if then == "wait":
        monkeypatch.setattr(ws_channel, "LINGER", 0.01)
    end = End(role)
    task = asyncio.ensure_future(end.receive())
    await asyncio.sleep(0)
    end.feed(*[end.frame(TEXT, text) for text in (b"1", b"2")], end.frame(PING | 0x30))
    assert end.close_code == 1002
    await end.send_str(f"{(await task).data} is answered")
    await end.send_str(f"{(await end.receive()).data} too")
    assert end.sent() == [(TEXT, "1 is answered", ""), (TEXT, "2 too", "")]
    if then == "receive":
        assert (await end.receive()).type is WSMsgType.ERROR
    elif then == "close":
        await end.close()
    elif then == "wait":
        await asyncio.sleep(0.05)
    else:
        end.lose()
    with pytest.raises(ClientConnectionResetError):
        await end.send_str("no more")
    assert [(kind, code) for kind, code, _ in end.sent()] == ([] if then == "lose" else [(CLOSE, 1002)])
    assert isinstance(end.exception(), WebSocketError)
    end.lose()


async def test_an_error_names_size_limit_and_option() -> None:
    end = End(max_msg_size=100)
    end.feed(end.frame(BINARY, b"x" * 101))
    message = await end.receive()
    assert str(message.data) == "Message size 101 exceeds limit 100 (option max_msg_size)"
    assert message.data.code is WSCloseCode.MESSAGE_TOO_BIG


async def test_a_bomb_is_cut_at_the_limit() -> None:
    end = End(max_msg_size=100_000, deflate=DeflateParameters())
    bomb = end.frame(BINARY, Deflater().deflate(bytes(50_000_000)), rsv1=True)
    tracemalloc.start()
    try:
        end.feed(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    message = await end.receive()
    assert "exceeds size limit 100000 (option max_msg_size)" in str(message.data)
    end.lose()


async def test_a_peer_that_breaks_a_rule_and_stays_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws_channel, "LINGER", 0.001)
    end = End()
    end.feed(b"\x83\x00")
    await end.channel.gone()
    await asyncio.sleep(0.002)
    assert end.transport.closed
    assert end.released == 1


async def test_a_transport_that_can_not_close_one_side_is_closed() -> None:
    end = End()
    end.transport.half_closes = False
    end.feed(b"\x83\x00")
    assert end.transport.closed
    assert end.released == 1
    end.lose()


async def test_a_last_frame_that_nobody_takes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws_channel, "LINGER", 0.001)
    end = End()
    end.transport.keeps = True
    end.close_frame()
    await end.receive()
    assert end.transport.closed
    assert not end.transport.aborted
    await asyncio.sleep(0.002)
    assert end.transport.aborted


async def test_a_goodbye_of_somebody_else() -> None:
    end = End("server")
    task = asyncio.ensure_future(end.receive())
    await asyncio.sleep(0)
    end.channel.leave(1001)
    end.channel.leave(1011)
    assert end.sent() == [(CLOSE, 1001, "")]
    with pytest.raises(ClientConnectionResetError):
        await end.send_str("a")
    end.text("what was on its way")
    assert (await task).data == "what was on its way"
    end.close_frame(1001)
    assert (await end.receive()).type is CLOSE
    assert end.closed
    assert end.transport.closed
    assert end.channel.clean
    end.channel.leave(1001)
    assert end.sent() == []


async def test_closing_after_a_goodbye_of_somebody_else() -> None:
    end = End("server")
    end.channel.leave(1001)
    task = asyncio.ensure_future(end.close())
    await turn()
    end.close_frame(1001)
    assert await task
    assert end.sent() == [(CLOSE, 1001, "")]


async def test_abort() -> None:
    end = End()
    task = asyncio.ensure_future(end.receive())
    await asyncio.sleep(0)
    end.abort()
    assert (await task).type is WSMsgType.CLOSING
    assert (end.closed, end.close_code, end.close_reason) == (True, 1006, "The connection was aborted here")
    assert end.transport.aborted
    assert end.released == 1
    assert end.sent() == []


async def test_facts() -> None:
    end = End()
    assert end.get_extra_info("peername") == "there"
    assert end.get_extra_info("nothing", 5) == 5
    assert (end.closed, end.close_code, end.close_reason, end.exception()) == (False, None, "", None)
    end.lose()
    assert end.get_extra_info("peername", 6) == 6


async def test_before_it_is_opened() -> None:
    end = WebSocketVerbs()
    assert (end.closed, end.close_code, end.close_reason, end.exception()) == (False, None, "", None)
    assert end.get_extra_info("peername", 6) == 6
    for action in (end.receive(), end.send_str("a"), end.send_bytes(b"a"), end.ping(), end.close(), anext(end)):
        with pytest.raises(RuntimeError, match=r"Call \.prepare\(\) first"):
            await action


# ---- life


class Beats:
    """Runs the timer of a heartbeat by hand."""

    def __init__(self, end: End) -> None:
        self.end = end

    def __call__(self) -> list[Any]:
        timer = self.end.channel._timer
        assert timer is not None
        timer.cancel()
        self.end.channel._beat()
        return self.end.sent()


async def test_a_silent_peer_is_pinged_and_given_up() -> None:
    end = End(heartbeat=100.0, timed_out=OSError)
    beat = Beats(end)
    task = asyncio.ensure_future(end.receive())
    await asyncio.sleep(0)
    end.text("alive")
    await task
    assert beat() == []
    assert beat() == [(PING, b"", "")]
    end.feed(end.frame(PONG))
    assert beat() == []
    assert beat() == [(PING, b"", "")]
    waiting = asyncio.ensure_future(end.receive())
    await asyncio.sleep(0)
    assert beat() == []
    message = await waiting
    assert message.type is WSMsgType.ERROR
    assert (type(message.data), str(message.data)) == (OSError, "No PONG received after 50 seconds")
    assert (end.closed, end.close_code, end.exception()) == (True, 1006, message.data)
    assert end.transport.aborted
    assert end.released == 1
    assert end.channel._timer is None


@pytest.mark.parametrize("sign", [b"\x81", b"\x81\x01", b"\x89\x00"])
async def test_any_byte_proves_life(sign: bytes) -> None:
    end = End(heartbeat=100.0)
    beat = Beats(end)
    for _ in range(3):
        assert beat() == [(PING, b"", "")]
        end.feed(sign[:1])
        sign = sign[1:] or b"\x00"
        assert [kind for kind, *_ in beat()] in ([], [PONG])
    end.lose()


async def test_a_peer_that_is_not_read_is_not_blamed() -> None:
    end = End(heartbeat=100.0)
    beat = Beats(end)
    end.feed(end.frame(BINARY, b"x" * (QUEUE_LIMIT + 1)))
    for _ in range(5):
        assert beat() == []
    await end.receive()
    assert beat() == [(PING, b"", "")]
    end.lose()


async def test_a_peer_that_takes_what_is_sent_is_alive() -> None:
    end = End(heartbeat=100.0)
    beat = Beats(end)
    end.transport.buffered = 1000
    assert beat() == [(PING, b"", "")]
    end.transport.buffered = 500
    assert beat() == []
    assert beat() == [(PING, b"", "")]
    assert beat() == []
    assert end.transport.aborted


async def test_the_heart_stops_with_the_conversation() -> None:
    for finish in (lambda end: end.lose(), lambda end: end.close_frame(), lambda end: end.feed(b"\x83\x00")):
        end = End(heartbeat=100.0)
        assert end.channel._timer is not None
        finish(end)
        assert end.channel._timer is None
        end.channel.shut(now=True)


async def test_real_time() -> None:
    """A vanished peer ends receive() within one and a half heartbeats."""
    loop = asyncio.get_running_loop()
    end = End(heartbeat=0.04)
    started = loop.time()
    assert (await end.receive()).type is WSMsgType.ERROR
    assert 0.03 < loop.time() - started < 2.0
