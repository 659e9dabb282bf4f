"""wire.writer: what reaches the transport, in which pieces, and when a writer has to wait."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from array import array
from typing import Any

import pytest
from multidict import CIMultiDict
from tests.wire.fakes import FakeTransport, turns

from fairlead.errors import ClientConnectionResetError
from fairlead.wire.link import Link
from fairlead.wire.writer import DRAIN_THRESHOLD, AbstractStreamWriter, StreamWriter

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n\r\n"


def writing(**options: Any) -> tuple[StreamWriter, FakeTransport]:
    link = Link(asyncio.get_running_loop())
    transport = FakeTransport(link)
    writer = StreamWriter(link, link.loop, **options)
    assert writer.transport is transport
    assert writer.protocol is link
    return writer, transport


def dechunked(data: bytes) -> bytes:
    """The content of a chunked body without extensions and trailers."""
    found = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        if not size:
            assert data == b"\r\n"
            return found
        found += data[:size]
        assert data[size : size + 2] == b"\r\n"
        data = data[size + 2 :]


# ---- the head


async def test_a_small_message_leaves_in_one_piece() -> None:
    writer, transport = writing()
    writer.set_head(HEAD)
    assert transport.pieces == []
    await writer.write_eof(b"body")
    assert transport.pieces == [HEAD + b"body"]
    assert writer.output_size == len(HEAD) + 4


async def test_the_head_leaves_with_the_first_piece() -> None:
    writer, transport = writing()
    writer.set_head(HEAD)
    await writer.write(b"")
    assert transport.pieces == []
    await writer.write(b"one")
    await writer.write(b"two")
    await writer.write_eof()
    assert transport.pieces == [HEAD + b"one", b"two"]


async def test_a_large_first_piece_is_not_copied_for_the_head() -> None:
    writer, transport = writing()
    writer.set_head(HEAD)
    await writer.write(bytes(DRAIN_THRESHOLD + 1))
    assert [len(piece) for piece in transport.pieces] == [len(HEAD), DRAIN_THRESHOLD + 1]
    assert writer.output_size == len(HEAD) + DRAIN_THRESHOLD + 1


async def test_a_message_without_a_body_is_its_head() -> None:
    for end in ("write_eof", "set_eof"):
        writer, transport = writing()
        writer.set_head(HEAD)
        result = getattr(writer, end)()
        if result is not None:
            await result
        assert transport.pieces == [HEAD]


async def test_send_headers_does_not_wait_for_the_body() -> None:
    writer, transport = writing()
    writer.send_headers()
    assert transport.pieces == []
    writer.set_head(HEAD)
    writer.send_headers()
    writer.send_headers()
    assert transport.pieces == [HEAD]


async def test_headers_are_serialised_and_shown() -> None:
    shown: list[CIMultiDict[str]] = []

    async def on_headers(headers: CIMultiDict[str]) -> None:
        shown.append(headers)

    writer, transport = writing(on_headers_sent=on_headers)
    headers = CIMultiDict({"Host": "h"})
    await writer.write_headers("POST / HTTP/1.1", headers)
    await writer.write_eof()
    assert transport.pieces == [HEAD]
    assert shown == [headers]


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\0b"])
async def test_headers_that_would_inject_fields_are_refused(value: str) -> None:
    writer, transport = writing()
    with pytest.raises(ValueError):
        await writer.write_headers("GET / HTTP/1.1", CIMultiDict({"X": value}))
    await writer.write_eof()
    assert transport.written == b""


# ---- the body


async def test_bytes_beyond_the_length_are_never_sent() -> None:
    writer, transport = writing()
    writer.length = 5
    for piece in (b"abc", b"def", b"ghi"):
        await writer.write(piece)
    await writer.write_eof(b"jkl")
    assert transport.written == b"abcde"
    assert writer.length == 0


async def test_the_last_piece_is_cut_too() -> None:
    writer, transport = writing()
    writer.length = 2
    await writer.write_eof(b"abc")
    assert transport.written == b"ab"


async def test_chunks_are_framed_and_ended() -> None:
    writer, transport = writing()
    writer.enable_chunking()
    writer.length = 1  # of no account in this framing
    writer.set_head(HEAD)
    await writer.write(b"hello")
    await writer.write(b"")
    await writer.write_eof(b"!" * 16)
    assert transport.pieces == [HEAD + b"5\r\nhello\r\n", b"10\r\n" + b"!" * 16 + b"\r\n0\r\n\r\n"]


async def test_a_chunked_body_may_be_empty() -> None:
    for end in ("write_eof", "set_eof"):
        writer, transport = writing()
        writer.enable_chunking()
        writer.set_head(HEAD)
        result = getattr(writer, end)()
        if result is not None:
            await result
        assert transport.written == HEAD + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "piece",
    [
        b"\x01\x00\x02\x00",
        bytearray(b"\x01\x00\x02\x00"),
        memoryview(b"\x01\x00\x02\x00"),
        memoryview(array("H", [1, 2])),
        memoryview(b"-\x01\x00\x02\x00-")[1:5],
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_every_kind_of_bytes_is_counted_in_bytes(piece: Any, chunked: bool) -> None:
    writer, transport = writing()
    if chunked:
        writer.enable_chunking()
    else:
        writer.length = 4
    await writer.write(piece)
    await writer.write_eof()
    assert writer.output_size == len(transport.written)
    assert writer.length == (None if chunked else 0)
    assert transport.written == (b"4\r\n\x01\x00\x02\x00\r\n0\r\n\r\n" if chunked else b"\x01\x00\x02\x00")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [0, 10, 500_000])
async def test_a_compressed_body_unpacks_to_what_was_written(coding: str, size: int) -> None:
    body = bytes(n % 251 for n in range(size))
    writer, transport = writing()
    writer.enable_chunking()
    writer.enable_compression(coding)
    for at in range(0, size, 60_000):
        await writer.write(body[at : at + 60_000])
    await writer.write_eof(b"the end")
    unpack = gzip.decompress if coding == "gzip" else zlib.decompress
    assert unpack(dechunked(transport.written)) == body + b"the end"


async def test_a_compressed_body_with_a_length_is_cut_after_compression() -> None:
    writer, transport = writing()
    writer.enable_compression("gzip")
    writer.length = 10
    await writer.write_eof(b"x" * 1000)
    assert len(transport.written) == 10
    assert transport.written.startswith(b"\x1f\x8b\x08")


async def test_each_piece_is_shown_as_it_was_written() -> None:
    shown: list[bytes] = []

    async def on_chunk(chunk: bytes) -> None:
        shown.append(chunk)

    writer, _ = writing(on_chunk_sent=on_chunk)
    writer.enable_chunking()
    writer.enable_compression("gzip")
    await writer.write(b"one")
    await writer.write(memoryview(array("B", b"two")))
    await writer.write_eof(b"three")
    assert shown == [b"one", b"two", b"three"]


async def test_the_end_comes_once() -> None:
    writer, transport = writing()
    writer.enable_chunking()
    await writer.write_eof(b"a")
    await writer.write_eof(b"b")
    writer.set_eof()
    assert transport.written == b"1\r\na\r\n0\r\n\r\n"


# ---- the transport


async def test_a_writer_waits_when_it_has_run_ahead_of_the_transport() -> None:
    writer, transport = writing()
    link = writer.protocol
    assert isinstance(link, Link)
    link.pause_writing()
    await writer.write(bytes(DRAIN_THRESHOLD))  # up to here nobody waits
    task = asyncio.ensure_future(writer.write(b"more"))
    await turns()
    assert not task.done()
    assert transport.written == bytes(DRAIN_THRESHOLD) + b"more"
    link.resume_writing()
    await task
    link.pause_writing()
    await writer.write(b"the count starts again")
    end = asyncio.ensure_future(writer.write_eof())
    await turns()
    assert not end.done()
    link.resume_writing()
    await end


async def test_drain_false_never_waits() -> None:
    writer, transport = writing()
    link = writer.protocol
    assert isinstance(link, Link)
    link.pause_writing()
    await writer.write(bytes(10 * DRAIN_THRESHOLD), drain=False)
    assert len(transport.written) == 10 * DRAIN_THRESHOLD


async def test_a_writer_that_waits_is_told_that_the_connection_is_lost() -> None:
    writer, transport = writing()
    link = writer.protocol
    assert isinstance(link, Link)
    link.pause_writing()
    task = asyncio.ensure_future(writer.write(bytes(DRAIN_THRESHOLD + 1)))
    await turns()
    transport.lose(ConnectionResetError(104, "reset"))
    with pytest.raises(ClientConnectionResetError):
        await task


@pytest.mark.parametrize("lost", [False, True])
async def test_nothing_is_written_to_a_connection_that_ends(lost: bool) -> None:
    writer, transport = writing()
    writer.set_head(HEAD)
    transport.close()
    if lost:
        transport.lose()
    for call in (writer.write(b"x"), writer.write_eof(b"x")):
        with pytest.raises(ClientConnectionResetError, match="closing transport"):
            await call
    with pytest.raises(ClientConnectionResetError, match="closing transport"):
        writer.send_headers()
    assert transport.pieces == []


async def test_cancellation_leaves_the_piece_queued() -> None:
    writer, transport = writing()
    link = writer.protocol
    assert isinstance(link, Link)
    link.pause_writing()
    task = asyncio.ensure_future(writer.write(bytes(DRAIN_THRESHOLD + 1)))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(transport.written) == DRAIN_THRESHOLD + 1


async def test_a_writer_of_ones_own_need_not_send_headers() -> None:
    class Own(AbstractStreamWriter):
        async def write(self, chunk: Any) -> None: ...

        async def write_eof(self, chunk: bytes = b"") -> None: ...

        async def drain(self) -> None: ...

        def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None: ...

        def enable_chunking(self) -> None: ...

        async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None: ...

    own = Own()
    own.send_headers()
    assert (own.buffer_size, own.output_size, own.length) == (0, 0, 0)
