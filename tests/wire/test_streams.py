"""wire.streams: every way to read a body, with and without a decoder, paused, cancelled and broken."""

from __future__ import annotations

import asyncio
import gzip
import warnings
import weakref
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.wire.fakes import Tap, turns

from fairlead.codec.coding import decoder_for
from fairlead.errors import ClientPayloadError, LineTooLong
from fairlead.wire.streams import (
    DECODE_PIECE,
    DEFAULT_LIMIT,
    EMPTY_PAYLOAD,
    AsyncStreamIterator,
    EmptyStreamReader,
    EofStream,
    StreamReader,
)


def stream(*pieces: bytes, eof: bool = True, limit: int = DEFAULT_LIMIT, tap: Tap | None = None) -> StreamReader:
    reader = StreamReader(tap, limit, loop=asyncio.get_running_loop())
    for piece in pieces:
        reader.feed_data(piece)
    if eof:
        reader.feed_eof()
    return reader


def chunked(*chunks: bytes, eof: bool = True) -> StreamReader:
    """A stream whose pieces are HTTP chunks."""
    reader = stream(eof=False)
    reader.begin_http_chunk_receiving()
    for chunk in chunks:
        reader.feed_data(chunk)
        reader.end_http_chunk_receiving()
    if eof:
        reader.feed_eof()
    return reader


def gzipped(tap: Tap | None = None, limit: int = DEFAULT_LIMIT, coding: str = "gzip") -> StreamReader:
    reader = stream(eof=False, limit=limit, tap=tap)
    decoder = decoder_for(coding)
    assert decoder is not None
    reader.set_decoder(decoder)
    return reader


@contextmanager
def reading(call: Awaitable[Any]) -> Iterator[asyncio.Future[Any]]:
    """A read that goes on beside the test."""
    task = asyncio.ensure_future(call)
    try:
        yield task
    finally:
        task.cancel()


# ---- one read of each kind


async def test_read_returns_what_is_there_up_to_n() -> None:
    reader = stream(b"abc", b"de", eof=False)
    assert await reader.read(2) == b"ab"
    assert await reader.read(2) == b"cd"
    assert await reader.read(0) == b""
    assert await reader.read(100) == b"e"


async def test_read_without_n_returns_the_whole_body() -> None:
    reader = stream(b"abc", b"", b"de")
    assert await reader.read(1) == b"a"
    assert await reader.read() == b"bcde"
    assert await reader.read() == b""
    assert await reader.read(5) == b""


async def test_readany_returns_everything_that_is_there() -> None:
    reader = stream(b"abc", b"de", eof=False)
    assert await reader.read(1) == b"a"
    assert await reader.readany() == b"bcde"
    reader.feed_eof()
    assert await reader.readany() == b""


async def test_readexactly_joins_pieces_and_says_what_was_missing() -> None:
    reader = stream(b"abc", b"de")
    assert await reader.readexactly(4) == b"abcd"
    assert await reader.readexactly(0) == b""
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await reader.readexactly(3)
    assert (caught.value.partial, caught.value.expected) == (b"e", 3)


async def test_readline_returns_lines_and_then_the_rest() -> None:
    reader = stream(b"one\ntw", b"o\n\nrest")
    assert [await reader.readline() for _ in range(5)] == [b"one\n", b"two\n", b"\n", b"rest", b""]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"--", b"<end>", b"aaab"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
async def test_readuntil_finds_a_separator_that_is_cut_anywhere(separator: bytes, size: int) -> None:
    whole = separator.join([b"one", b"", b"a" * 7, b"-", b"x" * 40, b"tail"])
    reader = stream(*(whole[at : at + size] for at in range(0, len(whole), size)))
    found = []
    while part := await reader.readuntil(separator):
        found.append(part)
    assert b"".join(found) == whole
    assert found == [part + separator for part in whole.split(separator)[:-1]] + [whole.split(separator)[-1]]


async def test_readuntil_waits_across_pieces() -> None:
    reader = stream(b"ab\r", eof=False)
    with reading(reader.readuntil(b"\r\n")) as task:
        await turns()
        reader.feed_data(b"\r")
        await turns()
        assert not task.done()
        reader.feed_data(b"\nnext")
        assert await task == b"ab\r\r\n"
    assert reader.read_nowait() == b"next"


async def test_readuntil_refuses_an_empty_separator() -> None:
    with pytest.raises(ValueError, match="at least one-byte"):
        await stream().readuntil(b"")


@pytest.mark.parametrize("pieces", [(b"x" * 100,), (b"x" * 30, b"x" * 30), (b"x" * 30 + b"\n",)])
async def test_a_line_over_the_limit_is_refused(pieces: tuple[bytes, ...]) -> None:
    reader = stream(*pieces, limit=10)  # the high-water mark is 20
    with pytest.raises(LineTooLong, match="20"):
        await reader.readline()
    with pytest.raises(LineTooLong, match="5"):
        await stream(b"123456\n").readline(max_line_length=5)
    assert await stream(b"1234\n").readline(max_line_length=5) == b"1234\n"


async def test_many_lines_of_one_large_piece_cost_no_copies_of_it() -> None:
    line = b"x" * 60 + b"\n"
    reader = stream(line * 20_000)
    seen: list[bytes] = []
    peak = 0
    async for got in reader:
        seen.append(got)
        peak = max(peak, len(reader._chunks[0]) if reader._chunks else 0)  # the piece is never rebuilt
    assert len(seen) == 20_000
    assert set(seen) == {line}
    assert peak == len(line) * 20_000


async def test_read_nowait_takes_what_is_there() -> None:
    reader = stream(b"abc", b"de", eof=False)
    assert reader.read_nowait(1) == b"a"
    assert reader.read_nowait(3) == b"bcd"
    assert reader.read_nowait() == b"e"
    assert reader.read_nowait() == b""
    assert reader.read_nowait(7) == b""


async def test_peek_reads_nothing() -> None:
    reader = stream(b"abc", b"de")
    assert await reader.read(1) == b"a"
    assert (reader.peek(3), reader.peek(0), reader.peek(100)) == (b"bcd", b"", b"bcde")
    assert await reader.read() == b"bcde"


async def test_unread_data_is_read_again_and_deprecated() -> None:
    reader = stream(b"abcdef")
    assert await reader.read(4) == b"abcd"
    with pytest.warns(DeprecationWarning, match="unread_data"):
        reader.unread_data(b"cd")
    with pytest.warns(DeprecationWarning, match="unread_data"):
        reader.unread_data(b"")
    assert reader.total_bytes == 6
    assert await reader.read() == b"cdef"


async def test_unread_data_wakes_a_reader() -> None:
    reader = stream(eof=False)
    with reading(reader.read(5)) as task:
        await turns()
        with pytest.warns(DeprecationWarning, match="unread_data"):
            reader.unread_data(b"back")
        assert await task == b"back"


# ---- iterators


async def collect(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


async def test_the_iterators_cut_as_they_say() -> None:
    assert await collect(stream(b"a\nb", b"\nc").__aiter__()) == [b"a\n", b"b\n", b"c"]
    assert await collect(stream(b"abcde", b"fg").iter_chunked(3)) == [b"abc", b"def", b"g"]
    assert await collect(stream(b"abc", b"de").iter_any()) == [b"abcde"]
    assert await collect(chunked(b"abc", b"de").iter_chunks()) == [(b"abc", True), (b"de", True)]
    assert await collect(stream(b"abc", b"de").iter_chunks()) == [(b"abc", False), (b"de", False)]


async def test_iter_chunked_makes_room_for_its_size() -> None:
    reader = stream(limit=10)
    reader.iter_chunked(100)
    assert reader.get_read_buffer_limits() == (100, 200)
    reader.iter_chunked(5)
    assert reader.get_read_buffer_limits() == (100, 200)


async def test_an_iterator_ends_with_eof_stream() -> None:
    async def read() -> bytes:
        raise EofStream

    assert await collect(AsyncStreamIterator(read)) == []


# ---- chunks


async def test_readchunk_reports_chunks_in_pieces() -> None:
    reader = chunked(eof=False)
    reader.feed_data(b"ab")
    assert await reader.readchunk() == (b"ab", False)
    reader.feed_data(b"c")
    reader.end_http_chunk_receiving()
    reader.feed_data(b"d")
    assert await reader.readchunk() == (b"c", True)
    assert await reader.readchunk() == (b"d", False)
    reader.end_http_chunk_receiving()
    assert await reader.readchunk() == (b"", True)
    reader.feed_eof()
    assert await reader.readchunk() == (b"", False)


async def test_readchunk_joins_what_belongs_to_one_chunk() -> None:
    reader = chunked(eof=False)
    for piece in (b"a", b"b", b"c"):
        reader.feed_data(piece)
    reader.end_http_chunk_receiving()
    assert await reader.readchunk() == (b"abc", True)


async def test_a_chunk_of_large_pieces_may_come_in_several() -> None:
    pieces = [bytes([n]) * 50_000 for n in range(5)]
    reader = chunked(eof=False)
    for piece in pieces:
        reader.feed_data(piece)
    reader.end_http_chunk_receiving()
    reader.feed_data(b"next")
    reader.end_http_chunk_receiving()
    reader.feed_eof()
    chunks = [b""]
    async for data, end in reader.iter_chunks():
        chunks[-1] += data
        if end:
            chunks.append(b"")
    assert chunks == [b"".join(pieces), b"next", b""]


async def test_readchunk_goes_on_where_other_reads_stopped() -> None:
    reader = chunked(b"abc", b"def", b"ghi")
    assert await reader.read(4) == b"abcd"
    assert await reader.readchunk() == (b"ef", True)
    assert await reader.readchunk() == (b"ghi", True)


async def test_readchunk_still_reports_an_end_that_was_reached_by_other_reads() -> None:
    reader = chunked(b"abc", eof=False)
    assert await reader.readany() == b"abc"
    assert await reader.readchunk() == (b"", True)


async def test_the_end_of_a_chunk_wakes_readchunk() -> None:
    reader = chunked(eof=False)
    reader.feed_data(b"a")
    assert await reader.readchunk() == (b"a", False)
    with reading(reader.readchunk()) as task:
        await turns()
        reader.end_http_chunk_receiving()
        assert await task == (b"", True)


async def test_chunk_ends_must_be_announced() -> None:
    reader = stream(b"x", eof=False)
    with pytest.raises(RuntimeError, match="without calling begin"):
        reader.end_http_chunk_receiving()
    with pytest.raises(RuntimeError, match="already fed"):
        reader.begin_http_chunk_receiving()


async def test_chunk_ends_are_not_kept_for_readers_that_do_not_ask() -> None:
    reader = chunked(eof=False)
    for _ in range(1000):
        reader.feed_data(b"abcd")
        reader.end_http_chunk_receiving()
        assert await reader.read(4) == b"abcd"
    assert len(reader._splits or ()) <= 2  # the memory of a long download


async def test_a_chunk_end_behind_data_that_is_not_decoded_yet_waits_for_it() -> None:
    first, second = b"a" * 3_000_000, b"b" * 10
    data = zlib.compressobj(wbits=31)
    reader = gzipped(limit=1000)
    reader.begin_http_chunk_receiving()
    reader.feed_data(data.compress(first) + data.flush(zlib.Z_SYNC_FLUSH))
    reader.end_http_chunk_receiving()
    reader.feed_data(data.compress(second) + data.flush())
    reader.end_http_chunk_receiving()
    reader.feed_eof()
    chunks = [b""]
    async for piece, end in reader.iter_chunks():
        chunks[-1] += piece
        if end:
            chunks.append(b"")
    assert chunks == [first, second, b""]


# ---- waiting and waking


async def test_reading_a_whole_body_is_woken_once() -> None:
    reader = chunked(eof=False)
    with reading(reader.read()) as task:
        await turns()
        waiter = reader._waiter
        for _ in range(20):
            reader.feed_data(b"x" * 1000)
            reader.end_http_chunk_receiving()
            await turns(2)
        assert reader._waiter is waiter  # nothing has woken it
        reader.feed_eof()
        assert len(await task) == 20_000


@pytest.mark.parametrize("second", ["read", "readany", "readline", "readchunk", "read_all"])
async def test_a_second_reader_is_refused(second: str) -> None:
    reader = stream(eof=False)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "read": lambda: reader.read(1),
        "readany": reader.readany,
        "readline": reader.readline,
        "readchunk": reader.readchunk,
        "read_all": reader.read,
    }
    with reading(reader.read(1)) as task:
        await turns()
        with pytest.raises(RuntimeError, match="already waiting"):
            await calls[second]()
        with pytest.raises(RuntimeError, match="waiting for incoming data"):
            reader.read_nowait()
        reader.feed_data(b"x")
        assert await task == b"x"


READS: dict[str, Callable[[StreamReader], Awaitable[Any]]] = {
    "read": lambda reader: reader.read(),
    "read(n)": lambda reader: reader.read(10),
    "readany": lambda reader: reader.readany(),
    "readchunk": lambda reader: reader.readchunk(),
    "readexactly": lambda reader: reader.readexactly(10),
    "readline": lambda reader: reader.readline(),
    "readuntil": lambda reader: reader.readuntil(b"--"),
}


@pytest.mark.parametrize("name", READS)
async def test_cancellation_loses_no_byte(name: str) -> None:
    reader = stream(eof=False)
    task = asyncio.ensure_future(READS[name](reader))
    await turns()
    task.cancel()
    reader.feed_data(b"abc")  # between the cancellation and its arrival
    with pytest.raises(asyncio.CancelledError):
        await task
    if name in ("read", "readexactly", "readline", "readuntil"):
        task = asyncio.ensure_future(READS[name](reader))
        await turns()
        reader.feed_data(b"de")
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        reader.feed_data(b"f")
    else:
        reader.feed_data(b"def")
    reader.feed_eof()
    assert await reader.read() == b"abcdef"


@pytest.mark.parametrize("name", READS)
async def test_a_cancelled_read_that_was_woken_already_loses_no_byte(name: str) -> None:
    reader = stream(eof=False)
    task = asyncio.ensure_future(READS[name](reader))
    await turns()
    reader.feed_data(b"abc")
    reader.feed_eof()
    task.cancel()
    with pytest.raises((asyncio.CancelledError, asyncio.IncompleteReadError)):
        await task
    assert await reader.read() == b"abc"


async def test_a_read_timeout_is_applied_to_each_wait() -> None:
    entered = 0

    class Timer:
        def __enter__(self) -> None:
            nonlocal entered
            entered += 1

        def __exit__(self, *args: object) -> None:
            pass

    reader = StreamReader(None, 10, timer=Timer(), loop=asyncio.get_running_loop())  # type: ignore[arg-type]
    reader.feed_data(b"a")
    assert await reader.read(1) == b"a"
    assert entered == 0
    with reading(reader.read(1)) as task:
        await turns()
        reader.feed_data(b"b")
        assert await task == b"b"
    assert entered == 1


# ---- the end


async def test_the_end_is_known_before_everything_was_read() -> None:
    reader = stream(b"ab")
    assert (reader.is_eof(), reader.at_eof()) == (True, False)
    await reader.wait_eof()
    await reader.read()
    assert reader.at_eof()


async def test_wait_eof_waits_for_the_end() -> None:
    reader = stream(b"ab", eof=False)
    with reading(reader.wait_eof()) as task:
        await turns()
        with pytest.raises(RuntimeError, match="already waiting for the end"):
            await reader.wait_eof()
        assert not task.done()
        reader.feed_eof()
        await task


async def test_wait_eof_raises_what_ended_the_stream() -> None:
    reader = stream(eof=False)
    with reading(reader.wait_eof()) as task:
        await turns()
        reader.set_exception(OSError("gone"))
        with pytest.raises(OSError, match="gone"):
            await task
    with pytest.raises(OSError, match="gone"):
        await reader.wait_eof()


async def test_callbacks_run_at_the_end_once() -> None:
    calls: list[str] = []
    reader = stream(eof=False)
    reader.on_eof(lambda: calls.append("one"))
    reader.on_eof(lambda: calls.append("two"))
    reader.feed_eof()
    reader.feed_eof()
    reader.on_eof(lambda: calls.append("late"))
    assert calls == ["one", "two", "late"]


async def test_a_callback_that_raises_keeps_nothing_from_happening() -> None:
    loop = asyncio.get_running_loop()
    reported: list[str] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reported.append(repr(context["exception"])))
    try:
        reader = stream(eof=False)
        calls: list[int] = []
        reader.on_eof(lambda: [][0])
        reader.on_eof(lambda: calls.append(1))
        with reading(reader.read()) as task:
            await turns()
            reader.feed_eof()
            assert await task == b""
        reader.on_eof(lambda: {}[0])
    finally:
        loop.set_exception_handler(before)
    assert calls == [1]
    assert reported == ["IndexError('list index out of range')", "KeyError(0)"]


async def test_no_callback_runs_after_an_error() -> None:
    reader = stream(eof=False)
    reader.on_eof(lambda: pytest.fail("called"))
    reader.set_exception(OSError())
    reader.feed_eof()


# ---- errors


@pytest.mark.parametrize("name", READS)
async def test_an_error_wakes_the_reader_and_stays(name: str) -> None:
    reader = stream(eof=False)
    error = OSError("lost")
    with reading(READS[name](reader)) as task:
        await turns()
        reader.set_exception(error)
        with pytest.raises(OSError, match="lost"):
            await task
    with pytest.raises(OSError, match="lost"):
        await READS[name](reader)
    with pytest.raises(OSError, match="lost"):
        reader.read_nowait()
    assert reader.exception() is error


async def test_an_error_comes_after_the_data() -> None:
    for name, expected in {"read(n)": b"abc", "readany": b"abc", "readchunk": (b"abc", False)}.items():
        reader = stream(b"abc", eof=False)
        reader.set_exception(OSError("lost"))
        assert await READS[name](reader) == expected
        with pytest.raises(OSError, match="lost"):
            await READS[name](reader)


@pytest.mark.parametrize("name", ["read", "readexactly", "readline", "readuntil"])
async def test_a_read_that_can_not_be_completed_leaves_the_data(name: str) -> None:
    reader = stream(b"abc", eof=False)
    reader.set_exception(OSError("lost"))
    with pytest.raises(OSError, match="lost"):
        await READS[name](reader)
    assert reader.read_nowait() == b"abc"


async def test_the_cause_of_an_error_is_kept() -> None:
    reader, error, cause = stream(eof=False), OSError("lost"), ValueError("why")
    reader.set_exception(error, cause)
    assert error.__cause__ is cause


async def test_nothing_is_taken_after_an_error() -> None:
    reader = stream(eof=False)
    reader.set_exception(OSError("lost"))
    reader.feed_data(b"late")
    reader.feed_eof()
    assert not reader.is_eof()
    with pytest.raises(OSError, match="lost"):
        await reader.read()


async def test_an_error_that_nobody_waits_for_makes_no_noise() -> None:
    reader = stream(eof=False)
    task = asyncio.ensure_future(reader.read())
    await turns()
    task.cancel()
    reader.set_exception(OSError("lost"))  # the waiter is cancelled already; the test runner reports any leftover
    await asyncio.wait([task])


# ---- backpressure


async def test_reading_pauses_above_the_high_mark_and_goes_on_at_the_low_one() -> None:
    tap = Tap()
    reader = stream(b"x" * 20, eof=False, limit=10, tap=tap)
    assert not tap.paused
    reader.feed_data(b"x")
    assert tap.paused
    reader.feed_data(b"x")  # was under way
    assert await reader.read(11) == b"x" * 11
    assert tap.paused
    assert await reader.read(1) == b"x"
    assert tap.calls == ["pause", "resume"]


@pytest.mark.parametrize("limit", [0, 1, 2])
async def test_the_smallest_limits_do_not_stop_the_flow(limit: int) -> None:
    tap = Tap()
    reader = stream(eof=False, limit=limit, tap=tap)
    for _ in range(5):
        reader.feed_data(b"abcdef")
        assert tap.paused
        assert await reader.readany() == b"abcdef"
        assert not tap.paused


async def test_reading_the_whole_body_lifts_the_mark_until_it_ends() -> None:
    tap = Tap()
    reader = stream(b"x" * 50, eof=False, limit=10, tap=tap)
    assert tap.paused
    with reading(reader.read()) as task:
        await turns()
        assert not tap.paused
        reader.feed_data(b"x" * 50)
        assert not tap.paused
        task.cancel()
        await turns()
    reader.feed_data(b"x")
    assert tap.paused
    reader.feed_eof()
    assert len(await reader.read()) == 101


async def test_a_body_that_ended_leaves_the_tap_alone() -> None:
    tap = Tap()
    reader = stream(b"x" * 50, eof=False, limit=10, tap=tap)
    reader.feed_eof()
    assert tap.calls == ["pause", "resume"]
    tap.pause_reading()  # for the next message on the connection
    assert await reader.read(45) == b"x" * 45
    assert await reader.read() == b"x" * 5
    assert tap.paused


async def test_a_compressed_body_that_ended_leaves_the_tap_alone() -> None:
    """Its rest is decoded while the connection serves somebody else already."""
    tap = Tap()
    reader = gzipped(tap, limit=1000)
    body = bytes(range(256)) * 8192
    reader.feed_data(gzip.compress(body))
    assert tap.paused
    reader.feed_eof()
    assert not tap.paused
    assert not reader.is_eof()
    got = b""
    while piece := await reader.read(5000):
        assert not tap.paused
        got += piece
    assert got == body
    assert tap.calls == ["pause", "resume"]


async def test_the_stream_lets_go_of_its_connection_at_the_end() -> None:
    tap = Tap()
    gone = weakref.ref(tap)
    reader = stream(b"x" * 50, limit=10, tap=tap)
    del tap
    assert gone() is None
    assert await reader.read() == b"x" * 50


# ---- the decoder


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_compressed_body_is_decoded(size: int) -> None:
    body = b"some text, some text\n" * 3000
    data = gzip.compress(body)
    reader = gzipped()
    for at in range(0, len(data), size):
        reader.feed_data(data[at : at + size])
    reader.feed_eof()
    assert await reader.read() == body
    assert reader.total_bytes == len(body)
    assert reader.total_compressed_bytes == reader.total_raw_bytes == len(data)


async def test_a_plain_body_has_no_compressed_size() -> None:
    reader = stream(b"abc")
    assert (reader.total_compressed_bytes, reader.total_raw_bytes) == (None, 3)


async def test_a_bomb_is_decoded_piece_by_piece() -> None:
    tap = Tap()
    reader = gzipped(tap, limit=10_000)
    size = 50_000_000
    reader.feed_data(gzip.compress(bytes(size)))  # about 50 KB
    reader.feed_eof()
    bound = 2 * 10_000 + DECODE_PIECE
    total = 0
    while piece := await reader.read(8192):
        total += len(piece)
        assert reader._size <= bound
    assert total == size


async def test_output_that_is_ready_is_read_without_new_input() -> None:
    """The server has sent a large piece and now waits: all of it must come out."""
    tap = Tap()
    reader = gzipped(tap, limit=1000)
    data = zlib.compressobj(wbits=31)
    reader.feed_data(data.compress(bytes(2_000_000)) + data.flush(zlib.Z_SYNC_FLUSH))
    total = 0
    while total < 2_000_000:
        total += len(await asyncio.wait_for(reader.readany(), 5))
    assert not tap.paused
    reader.feed_data(data.flush())
    reader.feed_eof()
    assert await reader.read() == b""


async def test_several_large_pieces_are_decoded_in_order() -> None:
    tap = Tap()
    reader = gzipped(tap, limit=1000)
    data = zlib.compressobj(wbits=31)
    parts = [bytes([n]) * 700_000 for n in range(4)]
    for part in parts:
        reader.feed_data(data.compress(part) + data.flush(zlib.Z_SYNC_FLUSH))
    assert tap.paused
    reader.feed_data(data.flush())
    reader.feed_eof()
    assert await reader.readexactly(1_400_000) == parts[0] + parts[1]
    assert await reader.read() == parts[2] + parts[3]


async def test_corrupt_data_is_an_error_after_what_was_good() -> None:
    reader = gzipped()
    good = zlib.compressobj(wbits=31)
    reader.feed_data(good.compress(b"good") + good.flush(zlib.Z_SYNC_FLUSH))
    reader.feed_data(b"\xff" * 50)
    reader.feed_data(b"more of the same")
    reader.feed_eof()
    assert await reader.read(100) == b"good"
    with pytest.raises(ClientPayloadError, match="Can not decode content-encoding"):
        await reader.read(100)
    with pytest.raises(ClientPayloadError):
        await reader.read()


async def test_a_truncated_compressed_body_is_an_error() -> None:
    reader = gzipped()
    reader.feed_data(gzip.compress(b"x" * 1000)[:-4])
    with reading(reader.read()) as task:
        await turns()
        reader.feed_eof()
        with pytest.raises(ClientPayloadError, match="Can not decode"):
            await task
    assert not reader.is_eof()


async def test_an_empty_compressed_body_is_empty() -> None:
    reader = gzipped()
    reader.feed_eof()
    assert await reader.read() == b""


async def test_a_failed_stream_forgets_what_it_would_have_decoded() -> None:
    reader = gzipped(limit=1000)
    reader.feed_data(gzip.compress(bytes(5_000_000)))
    reader.set_exception(OSError("lost"))
    assert (reader._decoder, reader._encoded) == (None, None)
    first = await reader.readany()
    assert 0 < len(first) < 5_000_000
    with pytest.raises(OSError, match="lost"):
        await reader.readany()


async def test_discard_forgets_the_body() -> None:
    for reader in (stream(b"abc", eof=False), gzipped(limit=1000)):
        reader.feed_data(gzip.compress(bytes(5_000_000)))
        reader.discard()
        reader.set_exception(OSError("released"))
        with pytest.raises(OSError, match="released"):
            await reader.read(10)


# ---- the body of a message that has none


async def test_an_empty_body_is_at_its_end() -> None:
    reader = EmptyStreamReader()
    reader.feed_data(b"x")
    reader.set_exception(OSError())
    reader.feed_eof()
    assert (reader.is_eof(), reader.at_eof(), reader.exception(), reader.total_bytes) == (True, True, None, 0)
    assert [await READS[name](reader) for name in ("read", "read(n)", "readany", "readline", "readuntil")] == [b""] * 5
    assert await reader.readchunk() == (b"", False)
    with pytest.raises(asyncio.IncompleteReadError):
        await reader.readexactly(1)
    assert reader.read_nowait() == b""
    assert await collect(reader.iter_chunks()) == []
    await reader.wait_eof()
    calls: list[int] = []
    reader.on_eof(lambda: calls.append(1))
    assert calls == [1]


async def test_the_shared_empty_body_stays_empty() -> None:
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="has none"):
        warnings.simplefilter("ignore")
        EMPTY_PAYLOAD.unread_data(b"x")
    EMPTY_PAYLOAD.discard()
    EMPTY_PAYLOAD.iter_chunked(10**6)
    assert await EMPTY_PAYLOAD.read() == b""
    assert EMPTY_PAYLOAD.get_read_buffer_limits() == (DEFAULT_LIMIT, 2 * DEFAULT_LIMIT)


async def test_a_stream_shows_its_state() -> None:
    assert repr(stream(b"ab")) == "<StreamReader 2 bytes eof>"
    reader = stream(eof=False, limit=10)
    reader.set_exception(OSError("x"))
    assert repr(reader) == "<StreamReader low=10 high=20 e=OSError('x')>"
    assert repr(EMPTY_PAYLOAD) == "<EmptyStreamReader>"
    with reading(stream(eof=False).read()) as task:
        await turns()
        assert not task.done()


# ---- the same as the original

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

# Small alphabets, so that separators and line ends are met, and met across pieces.
FEEDS = st.tuples(st.sampled_from(["feed_data", "feed_chunk"]), st.text("ab\n", min_size=1, max_size=9).map(str.encode))
TAKES = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 12)),
    st.tuples(st.sampled_from(["readany", "readline", "readchunk"]), st.none()),
    st.tuples(st.just("readexactly"), st.integers(0, 12)),
    st.tuples(st.just("readuntil"), st.sampled_from([b"ab", b"a\na", b"bb"])),
    st.tuples(st.just("read_nowait"), st.integers(-1, 8).filter(bool)),
)


class OracleTap(Tap):
    """The original pauses what is paused, and asks its protocol for more."""

    connected = True

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self, resume_parser: bool = True) -> None:
        self._reading_paused = False


async def played(reader: Any, steps: list[tuple[str, Any]]) -> list[Any]:
    """What a reader shows when it is fed and read in this order."""
    seen: list[Any] = []
    task: asyncio.Future[Any] | None = None

    async def take(name: str, argument: Any) -> Any:
        try:
            if name == "read_nowait":
                return reader.read_nowait(argument)
            return await getattr(reader, name)(*([] if argument is None else [argument]))
        except asyncio.IncompleteReadError as exc:
            return exc.partial, exc.expected
        except Exception as exc:
            return type(exc).__name__

    reader.begin_http_chunk_receiving()
    for name, argument in [*steps, ("eof", None), ("read", -1)]:
        if name.startswith("feed_"):
            reader.feed_data(argument)
            if name == "feed_chunk":
                reader.end_http_chunk_receiving()
        elif name == "eof":
            reader.feed_eof()
        elif task is None:
            task = asyncio.ensure_future(take(name, argument))
        await turns(4)
        if task is not None and task.done():
            seen.append(task.result())
            task = None
        seen.append((name, reader.total_bytes, reader.is_eof(), reader.at_eof()))
    if task is not None:
        seen.append(await task)
    return seen


@given(steps=st.lists(st.one_of(FEEDS, TAKES), max_size=30))
def test_everything_reads_as_in_the_original(steps: list[tuple[str, Any]]) -> None:
    oracle = pytest.importorskip("aiohttp")

    async def compare() -> None:
        loop = asyncio.get_running_loop()
        expected = await played(oracle.StreamReader(OracleTap(), DEFAULT_LIMIT, loop=loop), steps)
        assert await played(StreamReader(Tap(), DEFAULT_LIMIT, loop=loop), steps) == expected

    asyncio.run(compare())
