"""HTTP/1.1 on a link, client role: one exchange at a time.

In: bytes from the transport.  Out: calls on the current `Exchange`.  A link is idle between exchanges; bytes that come
then answer nothing, and the link is closed.

What ends an exchange early is turned into the client's exceptions here: a protocol error of the peer in the head into
`HttpProcessingError` (the client knows the request and says which), in the body into `ClientPayloadError`; a lost
connection into `ServerDisconnectedError` before the head, `ClientOSError` when the system gave a reason, and
`ClientPayloadError` inside the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from .. import hdrs
from ..codec.events import CHUNK_END, END, ResponseHead
from ..codec.framing import TUNNEL, UNTIL_CLOSE
from ..codec.http1 import ResponseDecoder
from ..errors import (
    BadHttpMessage,
    BadStatusLine,
    ClientOSError,
    ClientPayloadError,
    ContentLengthError,
    ProtocolError,
    ServerDisconnectedError,
    TransferEncodingError,
)
from .clock import deadlines_of
from .link import Link
from .streams import StreamReader

if TYPE_CHECKING:
    from ..codec.events import Event
    from .exchange import Exchange


EARLY_SIZE: Final = 65536
"""Bytes behind a response that switches protocols for which nobody has asked yet; with twice as many the socket is not
read."""

LAST_READ_SIZE: Final = 65536
"""Bytes that are read at once from a connection after a write to it has failed."""

LAST_READS: Final = 64
"""How often: receive buffers of systems hold less than 4 MiB."""

_CONTENT_ENCODING = hdrs.CONTENT_ENCODING


class H1ClientLink(Link):
    """A client's HTTP/1.1 connection."""

    __slots__ = ("_deadlines", "_early", "_receiver", "decoder", "exchange", "host", "limits", "received", "used")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.decoder = ResponseDecoder(lenient=True)
        self.limits: tuple[int, int, int] | None = None  # of the decoder
        self.exchange: Exchange | None = None
        self.host: Any = None  # what the pool that owns the link knows of its peer
        self.received = False  # a byte came since the last request was sent
        self.used = False  # an exchange was completed
        self._deadlines = deadlines_of(loop)
        self._early: StreamReader | None = None  # what came behind a response that switches protocols
        self._receiver: Any = None  # who takes what comes then

    @property
    def reusable(self) -> bool:
        """Whether the link is idle and connected, so that it can take a request."""
        transport = self.transport
        return transport is not None and self.exchange is None and not transport.is_closing()

    def begin(self, exchange: Exchange, limits: tuple[int, int, int]) -> None:
        """Start an exchange; its request is written next.  `limits` are those of the decoder, in its order."""
        self.exchange = exchange
        self.received = False
        if limits is not self.limits:
            self.limits = limits
            self.decoder.set_limits(*limits)
        self.decoder.expect(exchange.method)

    def detach(self, exchange: Exchange) -> None:
        """Forget an exchange that gave up."""
        if self.exchange is exchange:
            self.exchange = None

    def expire(self, now: float) -> None:
        """Look at the deadlines of the current exchange."""
        if self.exchange is not None:
            self.exchange.expire(now)

    # ---- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._deadlines.watch(self)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            # Nothing was asked: an error message of the server, or a desynchronised connection.
            self.close()
            return
        self.received = True
        if exchange.read_limit is not None:
            exchange.read_at = self.loop.time()
        events = self.decoder.feed(data)
        if type(events) is tuple and exchange.head is None:
            head, body, _ = events
            if not exchange.auto_decompress or _CONTENT_ENCODING not in head.headers:
                # The common case of a small response: one piece, one wake-up, no stream.
                self.exchange = None
                self.used = True
                exchange.complete(head, body, head.keep_alive)
                return
        self._apply(exchange, events)

    def switch(self, receiver: Any) -> bytes:
        """Give all further input to another protocol; return what has come of it already.

        The receiver has `feed_data(data)`, `eof_received()` and `connection_lost(exc)`.  The exchange goes on, without
        its deadlines, until somebody aborts it; the connection is never used for another one.  Raises RuntimeError when
        the last response did not switch protocols.
        """
        early, self._early = self._early, None
        if early is None:
            raise RuntimeError("the last response did not switch protocols")
        if self.exchange is not None:
            self.exchange.without_deadlines()
        if self.transport is not None:
            self._receiver = receiver
            self.resume_reading()
        return early.read_nowait()

    def eof_received(self) -> bool:
        if self._receiver is not None:
            return bool(self._receiver.eof_received())
        return False  # closes the transport; connection_lost says what it meant

    def close(self) -> None:
        """Close the connection; what is still buffered is dropped, since its peer may never read it."""
        transport = self.transport
        if transport is not None and transport.get_write_buffer_size():
            self.abort()
        else:
            super().close()

    def connection_lost(self, exc: BaseException | None) -> None:
        transport = self.transport
        super().connection_lost(exc)
        self._deadlines.discard(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(exc)
        if self.exchange is not None and self.exchange.uploading and isinstance(exc, OSError):
            self._take_what_came(transport)
        exchange = self.exchange
        if exchange is None:
            return
        events = self.decoder.feed_eof() if exc is None or exchange.head is not None else []
        if exchange.head is None:
            error: Exception
            if isinstance(exc, OSError):
                error = ClientOSError(*exc.args)
            elif events and isinstance(events[-1], ProtocolError):
                error = ServerDisconnectedError(f"Server disconnected: {events[-1].message}")
            else:
                error = ServerDisconnectedError()
            error.__cause__ = exc
            self.exchange = None
            exchange.fail(error)
            return
        self._apply(exchange, events, exc)

    def resume_reading(self) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.read_limit is not None:
            exchange.read_at = self.loop.time()  # the time of a slow reader is not the peer's
        super().resume_reading()

    def _take_what_came(self, transport: asyncio.Transport | None) -> None:
        """Receive what the system still holds after a write failed: an early answer to the upload may be there.

        A server that answers 413 and leaves sends a reset after its answer.  Where the reset is seen first, by a write,
        asyncio closes the socket unread.
        """
        sock = None if transport is None else transport.get_extra_info("socket")
        if transport is None or sock is None or transport.get_extra_info("sslcontext") is not None:
            return
        try:
            with sock.dup() as copy:
                copy.setblocking(False)
                for _ in range(LAST_READS):
                    data = copy.recv(LAST_READ_SIZE)
                    if not data or self.exchange is None:
                        return
                    self.data_received(data)
        except OSError:
            pass

    # ---- events

    def _apply(self, exchange: Exchange, events: Sequence[Event], lost: BaseException | None = None) -> None:
        body: StreamReader | None = exchange.body
        if self._early is not None or self._receiver is not None:
            body = self._receiver or self._early
        for event in events:
            if type(event) is bytes:
                body.feed_data(event)  # type: ignore[union-attr]
            elif event is END:
                self._end(exchange)
            elif type(event) is ResponseHead:
                if 99 < event.status < 200 and event.length != TUNNEL:
                    exchange.take_interim(event)
                else:
                    body = exchange.take_head(event)
                    if event.status == 101:
                        body = self._early = StreamReader(self, EARLY_SIZE, loop=self.loop)
                    if event.length == UNTIL_CLOSE and not exchange.read_until_eof:
                        self._end(exchange)
            elif event is CHUNK_END:
                body.end_http_chunk_receiving()  # type: ignore[union-attr]
            elif type(event) is ProtocolError:
                self._fail(exchange, event, lost)

    def _end(self, exchange: Exchange) -> None:
        """The response is complete."""
        self.exchange = None
        self.used = True
        head = exchange.head
        body = exchange.body
        if body is not None:
            body.feed_eof()
        if self._pieces:
            self.unlimit_pieces()
        if self._paused_reading:
            self.resume_reading()
        exchange.finish(head is not None and head.keep_alive and self.transport is not None)

    def _fail(self, exchange: Exchange, error: ProtocolError, lost: BaseException | None) -> None:
        """The response can not be decoded any further."""
        if exchange.ended:
            # The response was complete: what came behind it spoils the connection, not the answer.
            self.close()
            return
        self.exchange = None
        if exchange.head is None:
            exchange.fail(head_error(error))
        else:
            exchange.fail(body_error(error, lost, exchange))
        self.close()


def head_error(error: ProtocolError) -> BadHttpMessage:
    """Translate a protocol error in a head."""
    bad: BadHttpMessage
    if error.slug.startswith("h1.line."):
        bad = BadStatusLine(error.message, error.message)
    else:
        bad = BadHttpMessage(error.message)
    bad.__cause__ = error
    return bad


def body_error(error: ProtocolError, lost: BaseException | None, exchange: Exchange) -> ClientPayloadError:
    """Translate a protocol error in a body."""
    reason: ContentLengthError | TransferEncodingError
    if error.slug == "h1.eof.length":
        head, body = exchange.head, exchange.body
        received = 0 if body is None else body.total_raw_bytes
        expected = 0 if head is None else head.length
        reason = ContentLengthError(
            f"Not enough data to satisfy content length header (received {received} of {expected} bytes)."
        )
    else:
        reason = TransferEncodingError(error.message)
    reason.__cause__ = error
    text = f"Response payload is not completed: {reason!r}"
    payload_error = ClientPayloadError(text if lost is None else f"{text}. {lost!r}")
    payload_error.__cause__ = reason
    return payload_error
