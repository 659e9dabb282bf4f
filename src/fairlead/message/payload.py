"""All request and response bodies: those in memory, those in files, and those that come from asynchronous sources.

In: a value that a caller handed over as a body. Out: its `Payload`, from `get_payload`.
An asynchronous source is read once: after that the payload is `consumed`, unless `as_bytes` kept what it gave.
Limits: nothing is read ahead of the writer.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, Any

from ..wire.streams import StreamReader
from .body import (
    PAYLOAD_REGISTRY,
    TOO_LARGE_BYTES_BODY,
    BytesPayload,
    JsonBytesPayload,
    JsonPayload,
    LookupError,
    Order,
    Payload,
    PayloadRegistry,
    StringIOPayload,
    StringPayload,
    get_payload,
    payload_type,
    register_payload,
)
from .files import READ_BLOCK, BufferedReaderPayload, BytesIOPayload, IOBasePayload, TextIOPayload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..wire.writer import AbstractStreamWriter

__all__ = (
    "PAYLOAD_REGISTRY",
    "READ_BLOCK",
    "TOO_LARGE_BYTES_BODY",
    "AsyncIterablePayload",
    "BufferedReaderPayload",
    "BytesIOPayload",
    "BytesPayload",
    "IOBasePayload",
    "JsonBytesPayload",
    "JsonPayload",
    "LookupError",
    "Order",
    "Payload",
    "PayloadRegistry",
    "StreamPayload",
    "StreamReaderPayload",
    "StreamWrapperPayload",
    "StringIOPayload",
    "StringPayload",
    "TextIOPayload",
    "get_payload",
    "payload_type",
    "register_payload",
    "streamer",
)


class AsyncIterablePayload(Payload):
    """Whatever an asynchronous iterable gives: pieces of bytes, bytearray or memoryview."""

    _value: AsyncIterable[Any]
    _autoclose = True

    def __init__(self, value: AsyncIterable[Any], *args: Any, **kwargs: Any) -> None:
        """Take the iterable; raises TypeError when it is none."""
        if not isinstance(value, AsyncIterable):
            raise TypeError(f"value argument must support collections.abc.AsyncIterable interface, got {type(value)!r}")
        if "content_type" not in kwargs and len(args) < 2:
            kwargs["content_type"] = "application/octet-stream"
        super().__init__(value, *args, **kwargs)
        self._iter: AsyncIterator[Any] | None = value.__aiter__()
        self._cached_chunks: list[bytes] | None = None

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the pieces as they come; nothing is sent when the iterable is used up already."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the pieces as they come, up to ``content_length`` bytes; no piece is asked for after that.

        Raises TypeError for a piece that is not bytes, and whatever the iterable raises; it is used up then.
        """
        if self._cached_chunks is not None:
            left = content_length
            for chunk in self._cached_chunks:
                left = await _write_piece(writer, chunk, left)
            return
        iterator, self._iter = self._iter, None
        if iterator is None:
            return
        self._consumed = True
        left = content_length
        while left is None or left > 0:
            try:
                chunk = await iterator.__anext__()
            except StopAsyncIteration:
                return
            left = await _write_piece(writer, chunk, left)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return what `as_bytes` kept, as text; raises TypeError when it was not called before."""
        if self._cached_chunks is None:
            raise TypeError("Unable to decode - content not cached. Call as_bytes() first.")
        return b"".join(self._cached_chunks).decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Read everything and keep it, so that it can be sent any number of times; b"" when it was sent before."""
        if self._cached_chunks is None:
            iterator, self._iter = self._iter, None
            if iterator is None:
                return b""
            self._consumed = True
            chunks = []
            async for chunk in iterator:
                chunks.append(bytes(_checked(chunk)))
            self._cached_chunks = chunks
            self._consumed = False
        return b"".join(self._cached_chunks)


def _checked(chunk: Any) -> bytes | bytearray | memoryview:
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return chunk
    raise TypeError(f"an async iterable body must give bytes, bytearray or memoryview, not {type(chunk).__name__}")


async def _write_piece(writer: AbstractStreamWriter, chunk: Any, left: int | None) -> int | None:
    """Write what fits into ``left`` bytes and return what is left then."""
    chunk = _checked(chunk)
    if left is not None:
        chunk = chunk[:left]
        left -= len(chunk)
    if chunk:
        await writer.write(chunk)
    return left


class StreamReaderPayload(AsyncIterablePayload):
    """What comes in on a `StreamReader`, the content of a response for instance, goes out again."""

    def __init__(self, value: StreamReader, *args: Any, **kwargs: Any) -> None:
        super().__init__(value.iter_any(), *args, **kwargs)


class _StreamWrapper:
    """A coroutine function that writes a body, with its arguments."""

    def __init__(self, coro: Callable[..., Awaitable[None]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.coro = coro
        self.args = args
        self.kwargs = kwargs

    async def __call__(self, writer: AbstractStreamWriter) -> None:
        await self.coro(writer, *self.args, **self.kwargs)


class streamer:
    """Deprecated decorator for coroutine functions that write a body; an async generator does the same."""

    def __init__(self, coro: Callable[..., Awaitable[None]]) -> None:
        warnings.warn("streamer is deprecated, an async generator does the same", DeprecationWarning, stacklevel=2)
        self.coro = coro

    def __call__(self, *args: Any, **kwargs: Any) -> _StreamWrapper:
        return _StreamWrapper(self.coro, args, kwargs)


class StreamWrapperPayload(Payload):
    """What a `streamer` function writes; it is called anew each time."""

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Call the function with the writer."""
        await self._value(writer)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Raise TypeError: the function can only be called with a writer."""
        raise TypeError("Unable to decode.")


class StreamPayload(StreamWrapperPayload):
    """What a `streamer` function without arguments writes."""

    def __init__(self, value: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(value(), *args, **kwargs)


PAYLOAD_REGISTRY.register(StreamReaderPayload, StreamReader)
PAYLOAD_REGISTRY.register(IOBasePayload, io.IOBase)
PAYLOAD_REGISTRY.register(StreamWrapperPayload, _StreamWrapper)
PAYLOAD_REGISTRY.register(StreamPayload, streamer)
PAYLOAD_REGISTRY.register(AsyncIterablePayload, AsyncIterable, order=Order.try_last)
