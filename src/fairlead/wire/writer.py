"""Writing one message body: length accounting, chunked framing, compression, backpressure.

In: pieces of a body, in order.  Out: bytes on a protocol's transport, the head first.
A `StreamWriter` serves exactly one message.  The head waits for the first piece of body (or for the end), so that a
small message leaves in one segment.

Limits: after `DRAIN_THRESHOLD` bytes of output `write()` waits until the transport has room again, so a producer never
runs further ahead of a slow peer than that plus the transport's own buffer.

RFC 9112 §6 (message body), §7.1 (chunked transfer coding).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..codec import fields
from ..codec.chunked import LAST_CHUNK, encode_chunk
from ..errors import ClientConnectionResetError

if TYPE_CHECKING:
    import asyncio

    from multidict import CIMultiDict

    from ..codec.coding import Encoder

DRAIN_THRESHOLD = 65536
"""Bytes written between two waits for the transport (64 KiB: one socket buffer's worth)."""

Bytes = bytes | bytearray | memoryview


class OutgoingProtocol(Protocol):
    """What a writer needs of the protocol that owns the transport."""

    @property
    def transport(self) -> asyncio.WriteTransport | None: ...

    async def drain(self) -> None: ...


class AbstractStreamWriter(ABC):
    """The interface of a body writer, as payloads see it."""

    buffer_size: int = 0
    output_size: int = 0
    length: int | None = 0

    @abstractmethod
    async def write(self, chunk: Bytes) -> None:
        """Write one piece of the body."""

    @abstractmethod
    async def write_eof(self, chunk: bytes = b"") -> None:
        """Write the last piece of the body and end the message."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until the transport has room again."""

    @abstractmethod
    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """Compress the body with the given content coding."""

    @abstractmethod
    def enable_chunking(self) -> None:
        """Frame the body with the chunked transfer coding."""

    @abstractmethod
    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """Queue the start line and header section."""

    def send_headers(self) -> None:
        """Send a queued header section now, without waiting for body bytes.

        Writers that do not hold the head back have nothing to do here.
        """
        return None


class StreamWriter(AbstractStreamWriter):
    """Write the body of one message to a protocol's transport."""

    length: int | None = None
    chunked: bool = False

    def __init__(
        self,
        protocol: OutgoingProtocol,
        loop: asyncio.AbstractEventLoop | None = None,
        on_chunk_sent: Callable[[bytes], Awaitable[None]] | None = None,
        on_headers_sent: Callable[[CIMultiDict[str]], Awaitable[None]] | None = None,
    ) -> None:
        self._protocol = protocol
        self.loop = loop
        self.buffer_size = 0
        self.output_size = 0
        self.body_size = 0  # of the body, without its framing
        self._head: bytes | None = None
        self._encoder: Encoder | None = None
        self._eof = False
        self._on_chunk_sent = on_chunk_sent
        self._on_headers_sent = on_headers_sent
        self.head_written = False
        self._direct = on_chunk_sent is None  # pieces leave as they are: nobody is told, nothing is compressed

    @property
    def transport(self) -> Any:
        """The transport that is written to, or None once the connection is lost."""
        return self._protocol.transport

    @property
    def protocol(self) -> OutgoingProtocol:
        """The protocol that owns the transport."""
        return self._protocol

    @property
    def ended(self) -> bool:
        """Whether the message is complete."""
        return self._eof

    def enable_chunking(self) -> None:
        self.chunked = True

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        from ..codec.coding import encoder_for

        self._encoder = encoder_for(encoding, strategy=strategy)  # type: ignore[arg-type]
        self._direct = False

    def set_head(self, head: bytes) -> None:
        """Queue a head that is already serialised; it leaves with the first body bytes."""
        self._head = head
        self.head_written = True

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """Serialise and queue the start line and header section.

        Raises ValueError when a name or value holds CR, LF or NUL.
        """
        if self._on_headers_sent is not None:
            await self._on_headers_sent(headers)
        self._head = fields.serialise_head(status_line, headers.items())
        self.head_written = True

    def send_headers(self) -> None:
        if self._head is not None:
            self._emit(b"")

    async def write(self, chunk: Bytes, *, drain: bool = True, LIMIT: int = DRAIN_THRESHOLD) -> None:
        """Write one piece of the body.

        Bytes beyond an announced length are dropped, never sent.  Raises ClientConnectionResetError when the
        connection is gone.  Cancellation while waiting for the transport leaves the piece queued.
        """
        if self.chunked and self._direct and self._head is None and chunk and chunk.__class__ is bytes:
            # The common case of a stream: a chunk that leaves as it is.
            transport = self._protocol.transport
            if transport is not None and not transport.is_closing():
                size = len(chunk)
                data = b"%x\r\n%b\r\n" % (size, chunk)
                transport.write(data)
                self.body_size += size
                size = len(data)
                self.output_size += size
                self.buffer_size = size = self.buffer_size + size
                if size > LIMIT and drain:
                    self.buffer_size = 0
                    await self.drain()
                return
        if self._on_chunk_sent is not None:
            await self._on_chunk_sent(bytes(chunk))
        if isinstance(chunk, memoryview) and chunk.nbytes != len(chunk):
            chunk = chunk.cast("B")
        if self._encoder is not None:
            chunk = self._encoder.encode(chunk)
            if not chunk:
                return
        chunk = self._within_length(chunk)
        if not chunk:
            return
        self.body_size += len(chunk)
        self._emit(encode_chunk(chunk) if self.chunked else chunk)
        if drain and self.buffer_size > LIMIT:
            self.buffer_size = 0
            await self.drain()

    async def write_eof(self, chunk: bytes = b"") -> None:
        """Write the last piece and end the message; calling it again does nothing."""
        if self._eof:
            return
        if chunk and self._on_chunk_sent is not None:
            await self._on_chunk_sent(bytes(chunk))
        if self._encoder is not None:
            chunk = (self._encoder.encode(chunk) if chunk else b"") + self._encoder.flush()
        tail = bytes(self._within_length(chunk))
        self.body_size += len(tail)
        if self.chunked:
            tail = encode_chunk(tail) + LAST_CHUNK if tail else LAST_CHUNK
        if tail or self._head is not None:
            self._emit(tail)
        self._eof = True
        await self.drain()

    def set_eof(self) -> None:
        """Declare the message complete: a queued head is sent, nothing else will be."""
        if self._eof:
            return
        if self._head is not None:
            self._emit(LAST_CHUNK if self.chunked else b"")
        self._eof = True

    async def drain(self) -> None:
        """Wait until the transport's buffer is below its high-water mark."""
        await self._protocol.drain()

    def _within_length(self, chunk: Bytes) -> Bytes:
        """Cut a piece at the announced length and count it."""
        if self.length is None or self.chunked:
            return chunk
        chunk = chunk[: self.length]
        self.length -= len(chunk)
        return chunk

    def _emit(self, data: Bytes) -> None:
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("Cannot write to closing transport: the connection was lost")
        head = self._head
        if head is not None:
            self._head = None
            if len(data) > DRAIN_THRESHOLD:
                transport.write(head)
                self.buffer_size += len(head)
                self.output_size += len(head)
            else:
                data = head + bytes(data)
        self.buffer_size += len(data)
        self.output_size += len(data)
        transport.write(data)
