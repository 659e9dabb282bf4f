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
from typing import TYPE_CHECKING

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
from .link import Link

if TYPE_CHECKING:
    from ..codec.events import Event
    from .exchange import Exchange
    from .streams import StreamReader


class H1ClientLink(Link):
    """A client's HTTP/1.1 connection."""

    __slots__ = ("decoder", "exchange", "received", "served")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.decoder = ResponseDecoder(lenient=True)
        self.exchange: Exchange | None = None
        self.received = False  # a byte came since the last request was sent
        self.served = 0  # exchanges completed

    @property
    def reusable(self) -> bool:
        """Whether the link is idle and connected, so that it can take a request."""
        transport = self.transport
        return transport is not None and self.exchange is None and not transport.is_closing()

    def begin(self, exchange: Exchange) -> None:
        """Start an exchange; its request is written next."""
        self.exchange = exchange
        self.received = False
        self.decoder.expect(exchange.method)

    def detach(self, exchange: Exchange) -> None:
        """Forget an exchange that gave up."""
        if self.exchange is exchange:
            self.exchange = None

    # ---- asyncio

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            # Nothing was asked: an error message of the server, or a desynchronised connection.
            self.close()
            return
        self.received = True
        if exchange.read_limit is not None:
            exchange.read_at = self.loop.time()
        self._apply(exchange, self.decoder.feed(data))

    def eof_received(self) -> bool:
        return False  # closes the transport; connection_lost says what it meant

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
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

    # ---- events

    def _apply(self, exchange: Exchange, events: list[Event], lost: BaseException | None = None) -> None:
        body: StreamReader | None = exchange.body
        for event in events:
            if type(event) is bytes:
                body.feed_data(event)  # type: ignore[union-attr]
            elif event is END:
                self._end(exchange)
            elif type(event) is ResponseHead:
                if event.status < 200 and event.length != TUNNEL:
                    exchange.take_interim(event)
                else:
                    body = exchange.take_head(event)
                    if event.length == UNTIL_CLOSE and not exchange.read_until_eof:
                        self._end(exchange)
            elif event is CHUNK_END:
                body.end_http_chunk_receiving()  # type: ignore[union-attr]
            elif type(event) is ProtocolError:
                self._fail(exchange, event, lost)

    def _end(self, exchange: Exchange) -> None:
        """The response is complete."""
        self.exchange = None
        self.served += 1
        head = exchange.head
        body = exchange.body
        if body is not None:
            body.feed_eof()
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
