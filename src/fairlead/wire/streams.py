"""The reading end of a message body: `StreamReader`.

In: decoded-from-the-wire pieces of one body, in order, then one end or one error.  Out: the same bytes, in whatever
units the reader asks for.  Pieces are handed on as they came; a copy is made only where the units differ.

Backpressure: with more than `high` (twice the limit) buffered bytes the connection stops reading from its socket, and
goes on when `low` (the limit) or less is left.  `read()` of a whole body asks for everything, so it lifts the mark and
is woken once.

A content decoder (gzip and friends) sits between input and buffer.  It produces at most `DECODE_PIECE` bytes a step and
rests while the buffer is full, so that a small compressed body can not fill the memory.

Errors come after the data that preceded them: buffered bytes are still readable, the next read raises.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from ..codec.coding import Decoder
    from ..errors import ClientPayloadError

DEFAULT_LIMIT = 65536
"""Low-water mark in bytes where none is given; the high-water mark is twice as much."""

DECODE_PIECE = 262144
"""The most bytes that one step of a content decoder may produce."""

END_MARK: Final = b""
"""Stands in the decoder's input where the body ended."""

CHUNK_MARK: Final = None
"""Stands in the decoder's input where an HTTP chunk ended."""

LINE_LIMIT_FACTOR = 1
"""`readline`/`readuntil` refuse a line longer than this times the high-water mark."""

BIG_PIECE = 65536
"""Bytes of a piece that `readany()` hands on alone."""

T = TypeVar("T")


class EofStream(Exception):
    """The stream has ended and holds no more items."""


class ReadFlow(Protocol):
    """What a stream needs of its connection: a tap that can be closed and opened."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def coding_error(exc: Exception) -> ClientPayloadError:
    """Make the error of a body whose content coding can not be undone."""
    from ..errors import ClientPayloadError, ContentEncodingError

    reason = ContentEncodingError(f"Can not decode content-encoding: {exc}")
    reason.__cause__ = exc
    error = ClientPayloadError(f"{reason.code}, message:\n  {reason.message}")
    error.__cause__ = reason
    return error


class AsyncStreamIterator(Generic[T]):
    """Iterate over what a read function returns, until it returns something empty or raises EofStream."""

    __slots__ = ("_read",)

    def __init__(self, read_func: Callable[[], Awaitable[T]]) -> None:
        self._read = read_func

    def __aiter__(self) -> AsyncStreamIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            item = await self._read()
        except EofStream:
            raise StopAsyncIteration from None
        if item == b"":
            raise StopAsyncIteration
        return item


class ChunkTupleAsyncStreamIterator:
    """Iterate over `(data, end_of_http_chunk)` pairs."""

    __slots__ = ("_stream",)

    def __init__(self, stream: StreamReader) -> None:
        self._stream = stream

    def __aiter__(self) -> ChunkTupleAsyncStreamIterator:
        return self

    async def __anext__(self) -> tuple[bytes, bool]:
        pair = await self._stream.readchunk()
        if pair == (b"", False):
            raise StopAsyncIteration
        return pair


class StreamReader:
    """A message body that arrives over time.

    All coroutines here may be cancelled while they wait: no byte is lost, the next read goes on where it stopped.
    One reader at a time: a second concurrent read raises RuntimeError.
    """

    __slots__ = (
        "__weakref__",
        "_chunk_start",
        "_chunks",
        "_decoder",
        "_encoded",
        "_eof",
        "_eof_callbacks",
        "_eof_waiter",
        "_exception",
        "_high",
        "_loop",
        "_low",
        "_more",
        "_offset",
        "_paused",
        "_protocol",
        "_size",
        "_splits",
        "_timer",
        "_unbounded",
        "_waiter",
        "total_bytes",
        "total_compressed_bytes",
    )

    def __init__(
        self,
        protocol: ReadFlow | None,
        limit: int = DEFAULT_LIMIT,
        *,
        timer: AbstractContextManager[Any] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._protocol = protocol
        self._low = limit
        self._high = limit * 2
        self._loop = loop
        self._timer = timer
        self._chunks: deque[bytes] = deque()
        self._offset = 0  # bytes of chunks[0] that have been read
        self._size = 0  # unread bytes
        self._eof = False
        self._exception: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._eof_waiter: asyncio.Future[None] | None = None
        self._eof_callbacks: list[Callable[[], None]] | None = None
        self._splits: deque[int] | None = None  # positions (in total_bytes) where HTTP chunks end
        self._chunk_start: int | None = None
        self._paused = False
        self._unbounded = False
        self._decoder: Decoder | None = None
        self._encoded: deque[bytes | None] | None = None  # input that waits for the decoder, with END_MARK, CHUNK_MARK
        self._more = False  # the decoder can go on without new input
        self.total_bytes = 0
        self.total_compressed_bytes: int | None = None

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._size:
            info.append(f"{self._size} bytes")
        if self._eof:
            info.append("eof")
        if self._low != DEFAULT_LIMIT:
            info.append(f"low={self._low} high={self._high}")
        if self._waiter is not None:
            info.append(f"w={self._waiter!r}")
        if self._exception is not None:
            info.append(f"e={self._exception!r}")
        return f"<{' '.join(info)}>"

    # ---- facts

    @property
    def total_raw_bytes(self) -> int:
        """Bytes of the body as they crossed the wire, before content decoding."""
        return self.total_bytes if self.total_compressed_bytes is None else self.total_compressed_bytes

    def get_read_buffer_limits(self) -> tuple[int, int]:
        """Return the low- and high-water marks in bytes."""
        return self._low, self._high

    def set_read_chunk_size(self, n: int) -> None:
        """Raise the low-water mark to `n` bytes where it is lower, so that reads of that size can be served."""
        if n > self._low:
            self._low = n
            self._high = n * 2
        if not self._eof and self._decoder is None:
            limit_pieces = getattr(self._protocol, "limit_pieces", None)
            if limit_pieces is not None:
                limit_pieces(n)

    @property
    def full(self) -> bool:
        """Whether the connection was told to stop reading until some of the buffer has been read."""
        return self._paused

    def exception(self) -> BaseException | None:
        """Return the error that ended the stream, if one did."""
        return self._exception

    def is_eof(self) -> bool:
        """Tell whether the end was received, whatever is still unread."""
        return self._eof

    def at_eof(self) -> bool:
        """Tell whether the end was received and everything has been read."""
        return self._eof and not self._size

    def on_eof(self, callback: Callable[[], None]) -> None:
        """Call back when the end is received; at once if it was.

        What a callback raises goes to the loop's exception handler.
        """
        if self._eof:
            self._run_callbacks([callback])
        elif self._eof_callbacks is None:
            self._eof_callbacks = [callback]
        else:
            self._eof_callbacks.append(callback)

    async def wait_eof(self) -> None:
        """Wait until the end is received; raises what ended the stream before it."""
        if self._eof:
            return
        self._raise_if_failed()
        if self._eof_waiter is not None:
            raise RuntimeError("wait_eof() called while another coroutine is already waiting for the end")
        self._eof_waiter = self._get_loop().create_future()
        try:
            await self._eof_waiter
        finally:
            self._eof_waiter = None

    # ---- input

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        """Append bytes of the body.  Returns False: the caller need not stop on its own."""
        if not data or self._exception is not None:
            return False
        if self._decoder is not None:
            self.total_compressed_bytes = (self.total_compressed_bytes or 0) + len(data)
            if self._encoded is None:
                self._encoded = deque()
            self._encoded.append(data)
            self._decode()
            return False
        self._append(data)
        if self._size > self._high and not self._paused and not self._unbounded:
            self._pause()
        return False

    def feed_eof(self) -> None:
        """Declare the body complete."""
        if self._exception is not None:
            return
        # The connection goes on to another message: this stream must not touch its tap any more.
        if self._paused:
            self._resume()
        self._protocol = None
        if self._decoder is None:
            self._set_eof()
            return
        if self._encoded is None:
            self._encoded = deque()
        self._encoded.append(END_MARK)
        self._decode()

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """End the stream with an error, which readers meet after the buffered data."""
        if exc_cause is not None and exc.__cause__ is None and exc_cause.args:
            exc.__cause__ = exc_cause
        self._exception = exc
        self._eof_callbacks = None
        self._encoded = None
        self._decoder = None
        self._more = False
        for waiter in (self._waiter, self._eof_waiter):
            if waiter is not None and not waiter.done():
                waiter.set_exception(exc)
        self._waiter = None

    def discard(self) -> None:
        """Forget what is buffered: nobody will read it."""
        self._chunks.clear()
        self._encoded = None
        self._decoder = None
        self._more = False
        self._size = self._offset = 0

    def set_decoder(self, decoder: Decoder) -> None:
        """Pass all further input through a content decoder."""
        self._decoder = decoder
        self.total_compressed_bytes = 0

    def unread_data(self, data: bytes) -> None:
        """Put bytes back at the front of the stream.  Deprecated."""
        import warnings

        warnings.warn(
            "unread_data() is deprecated and will be removed in future releases (#3260)",
            DeprecationWarning,
            stacklevel=2,
        )
        self._put_back(data)
        self._wake()

    def begin_http_chunk_receiving(self) -> None:
        """Mark the start of an HTTP chunk (RFC 9112 §7.1)."""
        if self._splits is None:
            if self.total_bytes:
                raise RuntimeError("Called begin_http_chunk_receiving when some data was already fed")
            self._splits = deque()

    def end_http_chunk_receiving(self) -> None:
        """Mark the end of an HTTP chunk, which `iter_chunks()` and `readchunk()` report."""
        if self._splits is None:
            raise RuntimeError("Called end_chunk_receiving without calling begin_chunk_receiving first")
        if self._more and self._encoded is not None:
            self._encoded.append(CHUNK_MARK)  # what the chunk holds has not been decoded yet
        else:
            self._split(self._splits)

    def _split(self, splits: deque[int]) -> None:
        """Note that an HTTP chunk ends here."""
        start = self.total_bytes - self._size
        while splits and splits[0] < start:
            self._chunk_start = splits.popleft()  # passed by a read that does not look at chunks
        # Several empty chunks, or chunks whose decoded form is empty, end at one place: report one end.
        position = self.total_bytes
        if position == (splits[-1] if splits else self._chunk_start or 0):
            return
        splits.append(position)
        if not self._unbounded:
            self._wake()

    def _append(self, data: bytes) -> None:
        self._chunks.append(data)
        size = len(data)
        self._size += size
        self.total_bytes += size
        waiter = self._waiter
        if waiter is not None and not self._unbounded:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _set_eof(self) -> None:
        self._eof = True
        self._unbounded = False
        self._wake()
        waiter = self._eof_waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        callbacks = self._eof_callbacks
        if callbacks is not None:
            self._eof_callbacks = None
            self._run_callbacks(callbacks)

    def _run_callbacks(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception as exc:
                # The link that feeds the stream has an exchange to end; a callback must not keep it from that.
                loop = self._loop or asyncio.get_running_loop()
                loop.call_exception_handler({"message": "Exception in eof callback", "exception": exc, "stream": self})

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _decode(self) -> None:
        """Run the decoder over waiting input until the buffer is full or the input is used up."""
        decoder, encoded = self._decoder, self._encoded
        try:
            while decoder is not None and encoded is not None and (self._unbounded or self._size <= self._high):
                if decoder.pending:
                    data = decoder.decode(b"", DECODE_PIECE)
                elif encoded:
                    piece = encoded.popleft()
                    if piece is None:
                        if self._splits is not None:
                            self._split(self._splits)
                        continue
                    if not piece:
                        data = decoder.finish()
                        self._decoder = None
                        self._more = False
                        if data:
                            self._append(data)
                        self._set_eof()
                        return
                    data = decoder.decode(piece, DECODE_PIECE)
                else:
                    break
                if data:
                    self._append(data)
        except Exception as exc:
            self.set_exception(coding_error(exc))
            return
        self._more = decoder is not None and (bool(encoded) or decoder.pending)
        if self._size > self._high and not self._paused and not self._unbounded:
            self._pause()

    def _pause(self) -> None:
        if self._protocol is not None:
            self._paused = True
            self._protocol.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        if self._protocol is not None:
            self._protocol.resume_reading()

    # ---- output

    async def read(self, n: int = -1) -> bytes:
        """Read up to `n` bytes as soon as any are there; with `n` negative, read to the end.

        Returns b"" at the end of the stream.
        """
        if n < 0:
            return await self._read_all()
        if n == 0:
            return b""
        while not self._size and not self._eof:
            await self._wait("read")
        if not self._size:
            self._raise_if_failed()
            return b""
        return self._take(n)

    async def readany(self) -> bytes:
        """Read everything that is there, waiting for the first byte; b"" at the end.

        A piece of BIG_PIECE bytes or more is handed on alone, as it came: joining it with others would copy it.
        """
        while not self._size and not self._eof:
            await self._wait("readany")
        if not self._size:
            self._raise_if_failed()
            return b""
        first = len(self._chunks[0]) - self._offset
        return self._take(first) if first >= BIG_PIECE else self._take_everything()

    async def readchunk(self) -> tuple[bytes, bool]:
        """Read data and tell whether it ends an HTTP chunk; `(b"", False)` at the end."""
        while True:
            splits = self._splits
            if splits:
                position = splits.popleft()
                start = self.total_bytes - self._size
                self._chunk_start = position
                if position > start:
                    data = self._take(position - start)
                    if len(data) < position - start:
                        splits.appendleft(position)
                        return data, False
                    return data, True
                if position == start:
                    return b"", True
                continue  # the end was passed by another kind of read
            if self._size:
                return self._take(len(self._chunks[0]) - self._offset), False
            self._raise_if_failed()
            if self._eof:
                return b"", False
            await self._wait("readchunk")

    async def readexactly(self, n: int) -> bytes:
        """Read exactly `n` bytes; raises asyncio.IncompleteReadError when the stream ends before."""
        if n <= 0:
            self._raise_if_failed()
            return b""
        parts: list[bytes] = []
        missing = n
        while missing:
            try:
                piece = await self.read(missing)
            except BaseException:
                self._put_back(b"".join(parts))
                raise
            if not piece:
                partial = b"".join(parts)
                raise asyncio.IncompleteReadError(partial, len(partial) + missing)
            parts.append(piece)
            missing -= len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        """Read up to and with the next LF, or to the end; raises LineTooLong for a line over the limit."""
        return await self.readuntil(max_size=max_line_length)

    async def readuntil(self, separator: bytes = b"\n", *, max_size: int | None = None) -> bytes:
        """Read up to and with `separator`, or to the end.

        Raises ValueError for an empty separator, LineTooLong when `max_size` bytes (by default the high-water mark)
        hold no separator.
        """
        width = len(separator)
        if not width:
            raise ValueError("Separator should be at least one-byte string")
        limit = self._high * LINE_LIMIT_FACTOR if max_size is None else max_size
        line = bytearray()
        while True:
            while self._size:
                missing = self._until(separator, line)
                piece = self._take(missing or len(self._chunks[0]) - self._offset)
                if len(line) + len(piece) > limit:
                    from ..errors import LineTooLong

                    raise LineTooLong(bytes(line + piece)[:100] + b"...", limit)
                if missing:
                    return bytes(line + piece) if line else piece
                line += piece
            if self._eof:
                return bytes(line)
            try:
                await self._wait("readuntil")
            except BaseException:
                self._put_back(line)
                raise

    def _until(self, separator: bytes, line: bytearray) -> int:
        """Return how many buffered bytes complete a line that has begun; 0 when the first chunk does not."""
        first, offset = self._chunks[0], self._offset
        before = len(separator) - 1  # bytes of a separator that may stand at the end of what came before
        if before and line:
            straddling = line[-before:]
            found = (straddling + first[offset : offset + before]).find(separator)
            if found >= 0:
                return found + before + 1 - len(straddling)
        found = first.find(separator, offset)
        return 0 if found < 0 else found + before + 1 - offset

    def read_nowait(self, n: int = -1) -> bytes:
        """Read up to `n` bytes (all with -1) of what is there, without waiting.

        Raises RuntimeError while another coroutine waits for data.
        """
        if not self._size:
            self._raise_if_failed()
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError("Called while some coroutine is waiting for incoming data.")
        if not self._size:
            return b""
        return self._take_everything() if n < 0 else self._take(n)

    def peek(self, n: int) -> bytes:
        """Return up to `n` buffered bytes without reading them."""
        parts: list[bytes] = []
        offset, missing = self._offset, n
        for chunk in self._chunks:
            if missing <= 0:
                break
            parts.append(chunk[offset : offset + missing])
            missing -= len(parts[-1])
            offset = 0
        return b"".join(parts)

    def iter_chunked(self, n: int) -> AsyncStreamIterator[bytes]:
        """Iterate over pieces of at most `n` bytes."""
        self.set_read_chunk_size(n)
        return AsyncStreamIterator(lambda: self.read(n))

    def iter_any(self) -> AsyncStreamIterator[bytes]:
        """Iterate over the data as it comes."""
        return AsyncStreamIterator(self.readany)

    def iter_chunks(self) -> ChunkTupleAsyncStreamIterator:
        """Iterate over `(data, end_of_http_chunk)` pairs, as the server framed them."""
        return ChunkTupleAsyncStreamIterator(self)

    def __aiter__(self) -> AsyncStreamIterator[bytes]:
        return AsyncStreamIterator(self.readline)

    async def _read_all(self) -> bytes:
        parts: list[bytes] = []
        try:
            while not self._eof:
                if self._exception is not None:
                    raise self._exception
                self._unbounded = True
                if self._more:
                    self._decode()
                    continue
                if self._paused:
                    self._resume()
                await self._wait("read")
        finally:
            self._unbounded = False
        parts = [self._take_everything()] if self._size else []
        self._raise_if_failed()
        return parts[0] if parts else b""

    async def _wait(self, caller: str) -> None:
        if self._exception is not None:
            raise self._exception
        if self._waiter is not None:
            raise RuntimeError(f"{caller}() called while another coroutine is already waiting for incoming data")
        waiter = self._waiter = self._get_loop().create_future()
        try:
            if self._timer is None:
                await waiter
            else:
                with self._timer:
                    await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _raise_if_failed(self) -> None:
        if self._exception is not None:
            raise self._exception

    def _take(self, n: int) -> bytes:
        """Remove up to `n` buffered bytes; the caller knows that there are some."""
        chunks = self._chunks
        first = chunks[0]
        offset = self._offset
        available = len(first) - offset
        # A big piece is handed on alone, as it came: joining it with the next would copy both.
        if available == n or (available < n and (len(chunks) == 1 or available * 2 >= BIG_PIECE)):
            chunks.popleft()
            data = first[offset:] if offset else first
            self._offset = 0
            self._size -= available
        elif available > n:
            data = first[offset : offset + n]
            self._offset = offset + n
            self._size -= n
        else:
            data = self._gather(n)
        if self._paused or self._more:
            self._refill()
        return data

    def _gather(self, n: int) -> bytes:
        """Join several chunks into one piece of at most `n` bytes."""
        chunks = self._chunks
        parts: list[bytes] = []
        missing = n
        while chunks and missing:
            first = chunks.popleft()
            if self._offset:
                first = first[self._offset :]
                self._offset = 0
            if len(first) > missing:
                parts.append(first[:missing])
                chunks.appendleft(first)
                self._offset = missing
                missing = 0
            else:
                parts.append(first)
                missing -= len(first)
        data = b"".join(parts)
        self._size -= len(data)
        return data

    def _take_everything(self) -> bytes:
        chunks = self._chunks
        if self._offset:
            chunks[0] = chunks[0][self._offset :]
            self._offset = 0
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._size = 0
        if self._paused or self._more:
            self._refill()
        return data

    def _put_back(self, data: bytes | bytearray) -> None:
        if data:
            if self._offset:
                self._chunks[0] = self._chunks[0][self._offset :]
                self._offset = 0
            self._chunks.appendleft(bytes(data))
            self._size += len(data)

    def _refill(self) -> None:
        if self._more and self._size <= self._low:
            self._decode()
        if self._paused and self._size <= self._low:
            self._resume()


class EmptyStreamReader(StreamReader):
    """The body of a message that has none: always at its end."""

    __slots__ = ("_read_eof_chunk",)

    def __init__(self) -> None:
        super().__init__(None)
        self._eof = True
        self._read_eof_chunk = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Ignore it: there was nothing to receive."""

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        """Ignore it: a message without a body takes none."""
        return False

    def feed_eof(self) -> None:
        """Ignore it: the end is already known."""

    def unread_data(self, data: bytes) -> None:
        """Refuse it: nothing can have been read, and the object may be shared.  Deprecated."""
        raise RuntimeError("unread_data() was called on the body of a message that has none")

    def set_decoder(self, decoder: Decoder) -> None:
        """Ignore it: there is nothing to decode."""

    def set_read_chunk_size(self, n: int) -> None:
        """Ignore it: the object may be shared."""


EMPTY_PAYLOAD = EmptyStreamReader()
"""Shared by all messages without a body."""
