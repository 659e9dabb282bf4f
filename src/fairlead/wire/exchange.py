"""The seam: one request and its response, whatever carries them.

The link reports what arrives; the caller waits for the head with `response_head()` and reads the body.  A small
response arrives whole: then `whole` has its body, and no stream is made unless somebody asks for one (`stream()`).

The exchange keeps its deadlines, ends the upload when the response is complete, and gives the connection back exactly
once, through its lease.

States: open → (head) → ended.  `complete`, `finish`, `fail` and `abort` end it; the first one counts.

Cancellation of `response_head()` leaves the exchange open; the caller aborts it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from .. import hdrs
from ..codec.framing import CHUNKED, UNTIL_CLOSE
from ..errors import ClientConnectionError, ProtocolError, SocketTimeoutError, TotalTimeoutError
from .streams import EMPTY_PAYLOAD, StreamReader, coding_error

if TYPE_CHECKING:
    from ..codec.events import ResponseHead
    from .h1_link import H1ClientLink

TIMER_SLACK: Final = 0.001
"""Seconds that a timer may fire early: the resolution of clocks."""

_CONTENT_ENCODING = hdrs.CONTENT_ENCODING
_CONTENT_LENGTH = hdrs.CONTENT_LENGTH


class Lease(Protocol):
    """The right to use a connection, until it is given back."""

    def finish(self, link: H1ClientLink, reusable: bool) -> None:
        """Give the connection back: it can serve another exchange, or it must be closed."""


class Exchange:
    """One request and its response on a link."""

    # What is not set on an instance has its default here.
    auto_decompress = True
    read_until_eof = True
    head: ResponseHead | None = None
    whole: bytes | None = None
    """The body, when it came in one piece with the end of the response."""
    error: BaseException | None = None
    ended = False
    uploading = False
    """Whether the request has not been sent whole."""
    upload: asyncio.Task[None] | None = None
    continued: asyncio.Future[bool] | None = None
    """Waits for 100 (Continue)."""
    deadline: float | None = None
    """When `total` runs out, on the clock of the loop."""
    total: float | None = None
    read_limit: float | None = None
    read_at = 0.0
    """When the last byte came; kept only with a `read_limit`."""
    what: object = ""
    """The target of the request, for messages."""
    added: object = None
    """What the client remembers of the request that it sent."""
    _body: StreamReader | None = None
    _timer: asyncio.TimerHandle | None = None
    _waiter: asyncio.Future[None] | None = None

    def __init__(self, link: H1ClientLink, lease: Lease, method: str, limit: int) -> None:
        self.link = link
        self.lease = lease
        self.method = method
        self.limit = limit  # of the body stream, in bytes

    # ---- deadlines

    def started(self, now: float) -> float:
        """Return when the call began that the exchange belongs to, as far as its limits remember."""
        return now if self.deadline is None or self.total is None else self.deadline - self.total

    def watch(self, *, started: float, total: float | None, read_limit: float | None, ceil_threshold: float) -> None:
        """Fail the exchange `total` seconds after `started`, or after `read_limit` seconds without a byte.

        Limits up to `ceil_threshold` seconds are kept precisely, longer ones to the second.
        """
        if self.ended:
            return
        when: float | None = None
        if total is not None:
            self.total = total
            self.deadline = started + total
            if total <= ceil_threshold:
                when = self.deadline
        if read_limit is not None:
            self.read_limit = read_limit
            self.read_at = now = self.link.loop.time()
            if read_limit <= ceil_threshold and (when is None or now + read_limit < when):
                when = now + read_limit
        if when is not None:
            self._timer = self.link.loop.call_at(when, self._on_timer)

    def without_deadlines(self) -> None:
        """Go on for as long as it takes: another protocol has begun, with limits of its own."""
        self.deadline = self.read_limit = None
        self._stop_timer()

    def _on_timer(self) -> None:
        self._timer = None
        now = self.link.loop.time()
        self.expire(now + TIMER_SLACK)
        if not self.ended:
            times = [self.deadline] if self.deadline is not None else []
            if self.read_limit is not None:
                times.append(max(self.read_at, now if self._is_not_reading() else 0) + self.read_limit)
            self._timer = self.link.loop.call_at(min(times), self._on_timer)

    def _is_not_reading(self) -> bool:
        """Whether nobody expects bytes now: a slow reader has paused the link, or the request is still being sent."""
        return self.link.reading_paused or self.uploading

    def expire(self, now: float) -> None:
        """Look at the clock: fail if a limit has been reached."""
        if self.ended:
            return
        deadline, read_limit = self.deadline, self.read_limit
        if deadline is not None and now >= deadline:
            total = self.total or 0.0
            elapsed = now - deadline + total
            self.fail(TotalTimeoutError(total, self._phase(), elapsed, f"{self.method} {self.what}, {self._pending()}"))
        elif read_limit is not None:
            if self._is_not_reading():
                self.read_at = now
            elif now >= self.read_at + read_limit:
                self.fail(
                    SocketTimeoutError(
                        f"Timeout on reading data from socket: no byte for {read_limit:g} s in the {self._phase()} "
                        f"phase of {self.method} {self.what}, {self._pending()} (option ClientTimeout.sock_read)"
                    )
                )

    def _phase(self) -> str:
        return "headers" if self.head is None else "body"

    def _pending(self) -> str:
        if self.head is not None:
            received = 0 if self._body is None else self._body.total_raw_bytes
            return f"after {received} bytes of the body"
        if self.uploading:
            return "while the request body was being sent"
        return "while the response was awaited"

    # ---- what the link reports

    def complete(self, head: ResponseHead, body: bytes, reusable: bool) -> None:
        """Take a response that came whole, in one piece and without content coding."""
        if self.ended:
            return
        self.head = head
        self.whole = body
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self.uploading or self._timer is not None:
            if self.continued is not None and not self.continued.done():
                self.continued.set_result(False)
            self.finish(reusable)
        else:
            self.ended = True
            self.lease.finish(self.link, reusable)

    def take_head(self, head: ResponseHead) -> StreamReader:
        """Take the head of the final response, wake the caller, return the stream for the body."""
        self.head = head
        length = head.length
        link = self.link
        if length == 0 and (self.method == "HEAD" or _CONTENT_LENGTH not in head.headers):
            body: StreamReader = EMPTY_PAYLOAD
        elif (length == UNTIL_CLOSE and not self.read_until_eof) or head.status == 101:
            body = EMPTY_PAYLOAD  # what follows 101 is not HTTP
        else:
            body = StreamReader(link, self.limit, loop=link.loop)
            if length == CHUNKED:
                body.begin_http_chunk_receiving()
            if self.auto_decompress and length:
                coding = head.headers.get(_CONTENT_ENCODING)
                if coding is not None:
                    self._decode(body, coding)
        self._body = body
        if self.continued is not None and not self.continued.done():
            self.continued.set_result(False)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return body

    def take_interim(self, head: ResponseHead) -> None:
        """Take an interim response; 100 lets a waiting body go (RFC 9110 §10.1.1)."""
        if head.status == 100 and self.continued is not None and not self.continued.done():
            self.continued.set_result(True)

    def _decode(self, body: StreamReader, coding: str) -> None:
        from ..codec.coding import decoder_for

        try:
            decoder = decoder_for(coding)
        except ProtocolError as exc:  # too many codings, or one whose library is missing
            body.set_exception(coding_error(exc))
            return
        if decoder is not None:
            body.set_decoder(decoder)

    def stream(self, *, read: bool = False) -> StreamReader:
        """Return the body as a stream, at its end if it was `read`; the head has been received."""
        body = self._body
        if body is None:
            whole = self.whole
            if whole is None:
                return EMPTY_PAYLOAD
            # Without the link, which may serve another exchange by now.
            body = self._body = StreamReader(None, self.limit, loop=self.link.loop)
            body.feed_data(whole)
            body.feed_eof()
            if read:
                body.read_nowait()
            self.whole = None  # whoever reads, reads the stream
        return body

    @property
    def body(self) -> StreamReader | None:
        """The stream of the body, if one was made."""
        return self._body

    # ---- ends

    def finish(self, reusable: bool) -> None:
        """The response is complete; give the connection back."""
        if self.ended:
            return
        self.ended = True
        if self._timer is not None:
            self._stop_timer()
        if self.uploading:
            # An early answer: the peer does not want the rest (RFC 9112 §9.3), and what it would read next is not
            # a request.
            reusable = False
            if self.upload is not None:
                self.upload.cancel()
        self.lease.finish(self.link, reusable)

    def fail(self, error: BaseException) -> None:
        """End with an error: whoever waits for the head or for the body gets it, and the connection is closed."""
        if self.ended:
            return
        self.ended = True
        self.error = error
        if self.head is None:
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
        elif self._body is not None:
            self._body.set_exception(error)
        self._give_up()

    def abort(self, error: BaseException | None = None) -> None:
        """Give up: nobody is interested any more.  `error` is what a late reader of the head or the body gets."""
        if self.ended:
            return
        self.ended = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(error or given_up())
        if self._body is not None:
            self._body.discard()
            self._body.set_exception(error or given_up())
        self._give_up()

    def _give_up(self) -> None:
        if self._timer is not None:
            self._stop_timer()
        if self.continued is not None and not self.continued.done():
            self.continued.set_result(False)
        if self.upload is not None and not self.upload.done():
            self.upload.cancel()
        self.link.detach(self)
        self.lease.finish(self.link, False)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # ---- what the caller waits for

    def head_waiter(self) -> asyncio.Future[None]:
        """Return a future that is done when the head is there, or raises what ended the exchange before it."""
        waiter = self._waiter = self.link.loop.create_future()
        if self.head is not None:
            waiter.set_result(None)
        elif self.ended:
            waiter.set_exception(self.error or given_up())
        return waiter

    async def response_head(self) -> ResponseHead:
        """Wait for the head of the final response; raises what ended the exchange before it."""
        if self.head is None:
            await self.head_waiter()
        assert self.head is not None
        return self.head


def given_up() -> ClientConnectionError:
    """Make the error for those who wait for something that nobody wanted any more."""
    return ClientConnectionError("Connection closed: the response was given up before it was complete")
