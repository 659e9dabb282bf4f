"""The seam: one request and its response, whatever carries them.

The link reports what arrives (`take_head`, the body stream, `finish`, `fail`); the caller waits for the head with
`response_head()` and reads the body from `body`.  The exchange watches its deadlines, ends the upload when the
response is complete, and gives the connection back exactly once, through its lease.

States: open → (head) → finished | failed.  `fail`, `abort` and `finish` are idempotent: the first one counts.

Cancellation of `response_head()` leaves the exchange open; the caller aborts it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from .. import hdrs
from ..codec.framing import CHUNKED, UNTIL_CLOSE
from ..errors import SocketTimeoutError, TotalTimeoutError
from .clock import Deadlines
from .streams import EMPTY_PAYLOAD, StreamReader

if TYPE_CHECKING:
    from ..codec.events import ResponseHead
    from .h1_link import H1ClientLink

NO_BUCKET: Final = -1

_CONTENT_ENCODING = hdrs.CONTENT_ENCODING


class Lease(Protocol):
    """The right to use a connection, until it is given back one way or the other."""

    def release(self) -> None:
        """Give the connection back: it can serve another request."""

    def close(self) -> None:
        """Give the connection back: it must be closed."""


class Exchange:
    """One request and its response on a link."""

    __slots__ = (
        "__weakref__",
        "_bucket",
        "_deadlines",
        "_timer",
        "_waiter",
        "auto_decompress",
        "body",
        "continued",
        "ended",
        "error",
        "head",
        "lease",
        "limit",
        "link",
        "method",
        "read_at",
        "read_limit",
        "read_until_eof",
        "started",
        "total",
        "total_at",
        "upload",
        "uploading",
        "what",
    )

    def __init__(self, link: H1ClientLink, lease: Lease, method: str, limit: int) -> None:
        self.link = link
        self.lease = lease
        self.method = method
        self.limit = limit  # of the body stream, in bytes
        self.auto_decompress = True
        self.read_until_eof = True
        self.head: ResponseHead | None = None
        self.body: StreamReader | None = None
        self.error: BaseException | None = None
        self.ended = False
        self.uploading = False  # the request has not been sent whole
        self.upload: asyncio.Task[None] | None = None
        self.continued: asyncio.Future[bool] | None = None  # waits for 100 (Continue)
        self._waiter: asyncio.Future[None] | None = None
        self._deadlines: Deadlines | None = None
        self.read_limit: float | None = None

    # ---- deadlines

    def watch(
        self,
        deadlines: Deadlines,
        *,
        started: float,
        total: float | None,
        read_limit: float | None,
        ceil_threshold: float,
        what: object,
    ) -> None:
        """Fail the exchange `total` seconds after `started`, or after `read_limit` seconds without a byte.

        Limits up to `ceil_threshold` seconds are kept precisely, longer ones to the second.
        """
        self._deadlines = deadlines
        self._bucket = NO_BUCKET
        self._timer: asyncio.TimerHandle | None = None
        self.started = started
        self.total = total
        self.total_at = None if total is None else started + total
        self.read_limit = read_limit
        self.what = what
        when = self.total_at
        precise = total is not None and total <= ceil_threshold
        if read_limit is not None:
            self.read_at = now = self.link.loop.time()
            if when is None or now + read_limit < when:
                when = now + read_limit
                precise = read_limit <= ceil_threshold
        if when is None:
            self._deadlines = None
        elif precise:
            self._timer = self.link.loop.call_at(when, self._on_timer)
        else:
            self._bucket = deadlines.add(self, when)

    def _on_timer(self) -> None:
        self._timer = None
        self.expire(self.link.loop.time())

    def expire(self, now: float) -> None:
        """Look at the clock: fail if a limit was reached, else wait for the next one."""
        if self.ended:
            return
        self._bucket = NO_BUCKET
        total_at, read_limit = self.total_at, self.read_limit
        # A timer may fire up to its clock's resolution early.
        slack = 0.001
        if total_at is not None and now + slack >= total_at:
            assert self.total is not None
            self.fail(
                TotalTimeoutError(self.total, self._phase(), now - self.started, f"{self.what}, {self._pending()}")
            )
            return
        when = total_at
        if read_limit is not None:
            if self.link.reading_paused or self.uploading:
                self.read_at = now  # nobody expects bytes now
            due = self.read_at + read_limit
            if now + slack >= due:
                self.fail(
                    SocketTimeoutError(
                        f"Timeout on reading data from socket: no byte for {read_limit:g} s in the {self._phase()} "
                        f"phase of {self.what}, {self._pending()} (option ClientTimeout.sock_read)"
                    )
                )
                return
            when = due if when is None else min(when, due)
        assert when is not None
        self._timer = self.link.loop.call_at(when, self._on_timer)

    def _phase(self) -> str:
        return "headers" if self.head is None else "body"

    def _pending(self) -> str:
        if self.head is not None:
            received = 0 if self.body is None else self.body.total_raw_bytes
            return f"after {received} bytes of the body"
        if self.uploading:
            return "while the request body was being sent"
        return "while the response was awaited"

    # ---- what the link reports

    def take_head(self, head: ResponseHead) -> StreamReader:
        """Take the head of the final response, wake the caller, return the stream for the body."""
        self.head = head
        length = head.length
        link = self.link
        if length == 0 and (self.method == "HEAD" or "Content-Length" not in head.headers):
            body: StreamReader = EMPTY_PAYLOAD
        elif length == UNTIL_CLOSE and not self.read_until_eof:
            body = EMPTY_PAYLOAD
        else:
            body = StreamReader(link, self.limit, loop=link.loop)
            if length == CHUNKED:
                body.begin_http_chunk_receiving()
            if self.auto_decompress and length:
                coding = head.headers.get(_CONTENT_ENCODING)
                if coding is not None:
                    self._decode(body, coding)
        self.body = body
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

        decoder = decoder_for(coding)
        if decoder is not None:
            body.set_decoder(decoder)

    # ---- ends

    def finish(self, reusable: bool) -> None:
        """The response is complete; give the connection back."""
        if self.ended:
            return
        self.ended = True
        if self._deadlines is not None:
            self._unwatch()
        lease = self.lease
        if self.uploading:
            # An early answer: the peer does not want the rest (RFC 9112 §9.3), and what it would read next is not
            # a request.
            if self.upload is not None:
                self.upload.cancel()
            lease.close()
        elif reusable:
            lease.release()
        else:
            lease.close()

    def fail(self, error: BaseException) -> None:
        """End with an error: whoever waits for the head or for the body gets it, and the connection is closed."""
        if self.ended:
            return
        self.ended = True
        self.error = error
        if self._deadlines is not None:
            self._unwatch()
        if self.head is None:
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
        elif self.body is not None:
            self.body.set_exception(error)
        self._close()

    def abort(self, error: BaseException | None = None) -> None:
        """Give up: nobody is interested any more.  `error` is what a late reader of the body gets."""
        if self.ended:
            return
        self.ended = True
        if self._deadlines is not None:
            self._unwatch()
        if error is not None and self.body is not None:
            self.body.discard()
            self.body.set_exception(error)
        self._close()

    def _close(self) -> None:
        if self.continued is not None and not self.continued.done():
            self.continued.set_result(False)
        if self.upload is not None and not self.upload.done():
            self.upload.cancel()
        self.link.detach(self)
        self.lease.close()

    def _unwatch(self) -> None:
        deadlines = self._deadlines
        if deadlines is not None:
            self._deadlines = None
            if self._bucket != NO_BUCKET:
                deadlines.discard(self, self._bucket)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    # ---- what the caller waits for

    async def response_head(self) -> ResponseHead:
        """Wait for the head of the final response; raises what ended the exchange before it."""
        if self.head is None:
            if self.error is not None:
                raise self.error
            self._waiter = self.link.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        assert self.head is not None
        return self.head
