"""HTTP/1.1 on a link, server role: `RequestHandler`, one for each connection.

In: bytes of a client.  Out: requests for the handler of the server, one at a time, and its answers in their order.

How a request is run.  A task for each request would cost more than all the rest of a small one: its creation, a turn
of the event loop, a wake-up.  So each connection has one task, which sleeps while nothing is to do, and a handler takes
its first step right where the request was received, in the name of that task: `asyncio.current_task()` is the task, and
`asyncio.timeout()`, task groups and cancellation work on it.  Most handlers never wait, and are done with that.  One
that waits is handed over to the task, which goes on with it from there.  Each request has a context of its own
(`contextvars`).

Order.  What a client sends behind a request stays undecoded until that request is answered, so requests can not
overtake each other, and a connection holds one request and MAX_BEHIND bytes, plus what one read of the socket gives.

After an error of the client in a message the connection is told and closed, and nothing behind it is looked at.

Deadlines, all met up to two seconds late, since one timer of the loop looks after all connections:
`headers_timeout` for a whole head, `body_timeout` between two pieces of a body that the handler waits for,
`keepalive_timeout` between two requests (with a timer of its own when it is below `timeout_ceil_threshold`),
`lingering_time` for the rest of a body that no handler has read.

RFC 9112 §9 (connections), §2.2 and §3 (what a server does with what it can not parse).
"""

from __future__ import annotations

import asyncio
import logging
import sys
import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict

from .. import hdrs
from ..codec.events import CHUNK_END, END, HttpVersion11, RequestHead
from ..codec.framing import CHUNKED
from ..codec.http1 import RequestDecoder
from ..codec.ws_frames import WSCloseCode
from ..errors import ClientConnectionResetError, ProtocolError
from ..wire.clock import deadlines_of
from ..wire.link import Link
from ..wire.sockets import set_keepalive
from ..wire.streams import EMPTY_PAYLOAD, StreamReader
from .abstract import AbstractAccessLogger
from .access_log import AccessLogger, access_logger
from .errors import RequestPayloadError
from .exceptions import HTTPException, HTTPInternalServerError
from .request import BaseRequest
from .response import Response
from .stream_response import NOW, StreamResponse, date_now

if TYPE_CHECKING:
    from ..codec.events import Event
    from .server import Server

KEEPALIVE_TIMEOUT: Final = 3630.0
"""Seconds that a connection may be idle, for a server behind a proxy: a proxy should be the one to give up first."""

HEADERS_TIMEOUT: Final = 30.0
"""Seconds for a whole head, from the opening of the connection or the first byte of a later head."""

BODY_TIMEOUT: Final = 60.0
"""Seconds between two pieces of a body while the handler waits for one."""

LINGERING_TIME: Final = 10.0
"""Seconds for the rest of a body that no handler has read."""

STREAM_GRACE: Final = 0.5
"""Seconds that a stream without a known end, or a WebSocket, has to end by itself when the server stops."""

IDLE_GRACE: Final = 0.2
"""Seconds that an idle connection is kept when the server stops, for a request that is on its way already."""

CANCEL_GRACE: Final = 1.0
"""Seconds that a handler has to end after it was cancelled."""

SENDING_TIME: Final = 300.0
"""Seconds without progress that the rest of the last answer waits for a client to read it."""

CLOSING_TIME: Final = 2.0
"""Seconds that a connection is read on after its last answer, so that the client can take it before the end."""

SHUTDOWN_POLL: Final = 0.05
"""Seconds between two looks at a connection that ends."""

READ_BUFSIZE: Final = 2**18
"""Low-water mark of a body, in bytes; with twice as much waiting for the handler, the socket is not read."""

MAX_BEHIND: Final = 65536
"""Bytes behind an unanswered request from which on the socket is not read."""

CEIL_THRESHOLD: Final = 5.0
"""Seconds below which the keep-alive timeout has a timer of its own."""

ACCESS_LOG_FORMAT: Final = '%a %t "%r" %s %b "%{Referer}i" "%{User-Agent}i"'
"""The combined log format."""

_CONTENT_ENCODING = hdrs.CONTENT_ENCODING
_NOT_STARTED: Final = object()

# What asyncio offers to those who run coroutines by themselves ("Extending", task lifetime support).
_enter_task = asyncio.tasks._enter_task
_leave_task = asyncio.tasks._leave_task
_AWAITED: Final = "_asyncio_future_blocking"

server_logger = logging.getLogger("fairlead.server")

# What a connection is doing, as far as its deadlines are concerned.
_HEAD, _IDLE, _BODY, _LINGER, _SENDING = "head", "idle", "body", "linger", "sending"

# Classes of responses that can be sent in one piece: those that leave the ways of sending as they are.
_renders: dict[type, bool] = {}

_WAYS_OF_SENDING = ("prepare", "_start", "_prepare_headers", "_write_headers", "write_eof", "render", "body")


def renders(kind: type) -> bool:
    """Tell whether responses of a class are sent in one piece where they are plain."""
    found = issubclass(kind, Response) and all(
        getattr(kind, name) is getattr(Response, name) for name in _WAYS_OF_SENDING
    )
    _renders[kind] = found
    return found


@types.coroutine
def drive(coro: Coroutine[Any, Any, Any], context: Context, waits_for: Any) -> Generator[Any, Any, Any]:
    """Run a coroutine in a context of its own; one that has been started goes on with what it `waits_for`."""
    try:
        if waits_for is _NOT_STARTED:
            waits_for = context.run(coro.send, None)
        elif asyncio.isfuture(waits_for):
            setattr(waits_for, _AWAITED, True)
        while True:
            try:
                value = yield waits_for
            except GeneratorExit:
                context.run(coro.close)
                raise
            except BaseException as exc:
                waits_for = context.run(coro.throw, exc)
            else:
                waits_for = context.run(coro.send, value)
    except StopIteration as stop:
        return stop.value


class RequestHandler(Link):
    """The server's end of one connection."""

    __slots__ = (
        "_auto_decompress",
        "_behind",
        "_body",
        "_body_timeout",
        "_cancels",
        "_closing",
        "_deadlines",
        "_error_hook",
        "_half_closed",
        "_handler",
        "_headers_timeout",
        "_keepalive_handle",
        "_keepalive_timeout",
        "_lingering",
        "_lingering_time",
        "_logs",
        "_make_request",
        "_manager",
        "_next",
        "_open_ended",
        "_parked",
        "_peername",
        "_phase",
        "_precise",
        "_read_bufsize",
        "_receiver",
        "_request",
        "_shutdown_waiter",
        "_since",
        "_stream_grace",
        "_suspended",
        "_task",
        "_tcp_keepalive",
        "_wire",
        "access_log",
        "access_logger",
        "debug",
        "decoder",
        "logger",
        "max_field_size",
        "max_headers",
        "max_line_size",
        "served",
        "shutting_down",
    )

    def __init__(
        self,
        manager: Server,
        *,
        loop: asyncio.AbstractEventLoop,
        keepalive_timeout: float = KEEPALIVE_TIMEOUT,
        tcp_keepalive: bool = True,
        logger: logging.Logger = server_logger,
        access_log_class: type[AbstractAccessLogger] = AccessLogger,
        access_log: logging.Logger | None = access_logger,
        access_log_format: str = ACCESS_LOG_FORMAT,
        debug: bool = False,
        max_line_size: int = 8190,
        max_headers: int = 128,
        max_field_size: int = 8190,
        lingering_time: float = LINGERING_TIME,
        read_bufsize: int = READ_BUFSIZE,
        auto_decompress: bool = True,
        timeout_ceil_threshold: float = CEIL_THRESHOLD,
        headers_timeout: float | None = HEADERS_TIMEOUT,
        body_timeout: float | None = BODY_TIMEOUT,
        stream_grace: float = STREAM_GRACE,
        error_hook: Callable[[RequestHandler, ProtocolError], object] | None = None,
    ) -> None:
        """Take the options of the server: times in seconds, None for no limit, sizes in bytes.

        `error_hook(protocol, error)` is called for each message of a client that is refused.
        """
        super().__init__(loop)
        self._manager = manager
        self._handler = manager.request_handler
        self._make_request = manager.request_factory
        self._tcp_keepalive = tcp_keepalive
        self._keepalive_timeout = keepalive_timeout
        self._precise = keepalive_timeout < timeout_ceil_threshold
        self._headers_timeout = headers_timeout
        self._body_timeout = body_timeout
        self._lingering_time = lingering_time
        self._stream_grace = stream_grace
        self._read_bufsize = read_bufsize
        self._auto_decompress = auto_decompress
        self._error_hook = error_hook
        self.logger = logger
        self.debug = debug
        self.max_line_size = max_line_size
        self.max_headers = max_headers
        self.max_field_size = max_field_size
        self.access_log = access_log
        self.access_logger: AbstractAccessLogger | None = None
        self._logs = False
        if access_log is not None:
            self.access_logger = access_log_class(access_log, access_log_format)
            self._logs = self.access_logger.enabled
        self.decoder = RequestDecoder(
            max_line_size=max_line_size, max_field_size=max_field_size, max_headers=max_headers, one_by_one=True
        )
        self._deadlines = deadlines_of(loop)
        self._task: asyncio.Task[None] | None = None
        self._parked: asyncio.Future[None] | None = None  # what the task waits for while it has nothing to do
        self._next: BaseRequest | None = None  # a request that the task begins with
        self._suspended: tuple[Coroutine[Any, Any, None], Context, Any] | None = None  # what it goes on with
        self._request: BaseRequest | None = None  # the one that is being answered
        self._body: StreamReader | None = None  # of that request, or of the one before, while it arrives
        self._behind: bytearray | None = None  # bytes that came while a request was being answered
        self._wire: asyncio.Transport | None = None  # the transport until it is lost, closed or not
        self._receiver: Any = None  # who takes the bytes after an upgrade
        self._cancels = manager.handler_cancellation
        self._closing = False
        self._lingering = False
        self._half_closed = False
        self._open_ended = False
        self._keepalive_handle: asyncio.TimerHandle | None = None
        self._peername: Any = None
        self._phase = ""
        self._since: float | None = None
        self._shutdown_waiter: asyncio.Future[None] | None = None
        self.served = 0  # requests that were answered
        self.shutting_down = False

    def __repr__(self) -> str:
        state = "connected" if self.transport is not None else "disconnected"
        request = self._request
        return f"<{type(self).__name__} {state}{'' if request is None else f' {request.method} {request.path}'}>"

    # ---- facts

    @property
    def keepalive_timeout(self) -> float:
        """Seconds that the connection may be idle."""
        return self._keepalive_timeout

    @property
    def ssl_context(self) -> Any:
        """The TLS context of the connection, or None."""
        return self.get_extra_info("sslcontext")

    @property
    def peername(self) -> Any:
        """The client's address."""
        if self._peername is None:
            self._peername = self.get_extra_info("peername")
        return self._peername

    @property
    def sockname(self) -> Any:
        """The server's address on this connection."""
        return self.get_extra_info("sockname")

    # ---- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = self.transport
        self._peername = transport.get_extra_info("peername")
        if self._tcp_keepalive:
            set_keepalive(transport)
        self._manager.connection_made(self, transport)  # type: ignore[arg-type]
        self._deadlines.watch(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._wire = None
        self._deadlines.discard(self)
        self._closing = True
        self._behind = None
        self._stop_timer()
        body, self._body = self._body, None
        if body is not None and not self._lingering:
            error = ClientConnectionResetError("Connection lost")
            error.__cause__ = exc
            body.set_exception(error)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(exc)
        if self._request is not None:
            if self._cancels and self._task is not None and (receiver is None or not receiver.clean):
                self._task.cancel()
        else:
            self._manager.connection_lost(self, exc)
            self._wake()

    def eof_received(self) -> bool:
        """Take the end of what the client sends; it may be waiting for the answer to its last request all the same."""
        if self._receiver is not None:
            return bool(self._receiver.eof_received())
        transport = self.transport
        if self._request is None or self._body is not None or self._cancels or self._lost_waiter is not None:
            return False
        if transport is None or transport.get_extra_info("sslcontext") is not None:
            return False
        self._half_closed = True
        if self._behind is None and not self.decoder.held:
            self._closing = True  # the answer to come is the last one
        return True

    def data_received(self, data: bytes) -> None:
        if self._receiver is not None:
            self._receiver.feed_data(data)
        elif (self._request is not None and self._body is None) or self._behind is not None:
            self._keep(data)
        else:
            events = self.decoder.feed(data)
            if type(events) is not tuple:
                self._take(events)
            elif len(events) == 2:
                # The common cases: small requests that come whole, without a body
                self._begin(events[0], EMPTY_PAYLOAD)  # type: ignore[arg-type]
            elif _CONTENT_ENCODING not in events[0].headers:
                # and with one.
                self._begin(events[0], events[1])
            else:
                self._take(events)
            if self._request is None and (self._behind is not None or self.decoder.held):
                self._go_on()

    def _keep(self, data: bytes) -> None:
        """Keep what came behind the request that is being answered."""
        if self._behind is None:
            self._behind = bytearray()
        if self._closing:
            return
        self._behind += data
        if len(self._behind) + self.decoder.held_size > MAX_BEHIND:
            self.pause_reading()

    def _go_on(self) -> None:
        """Decode what waits behind the last answer, as long as the answers come at once."""
        decoder = self.decoder
        while (self._request is None or self._body is not None) and not self._closing:
            if decoder.held:
                self._take(decoder.resume())
            elif self._behind is not None:
                data, self._behind = bytes(self._behind), None
                if self._body is None or not self._body.full:
                    self.resume_reading()
                self._take(decoder.feed(data))
            else:
                if self._half_closed:
                    self._end_input()
                break

    def _end_input(self) -> None:
        """Nothing more will come: there is no next request, and an incomplete body stays so."""
        if self._request is None:
            self.close()
        elif self._body is not None:
            self._take(self.decoder.feed_eof())

    # ---- events

    def _take(self, events: Sequence[Event]) -> None:
        head: RequestHead | None = None
        payload: Any = EMPTY_PAYLOAD
        body = self._body
        if body is not None and not self._lingering:
            self._since = None
        for event in events:
            kind = type(event)
            if kind is bytes:
                if body is None:
                    payload = event  # of a small request that came whole
                else:
                    body.feed_data(event)  # type: ignore[arg-type]
            elif event is END:
                if body is not None:
                    self._end_body(body)
                    body = None
            elif kind is RequestHead:
                head = event  # type: ignore[assignment]
                if type(events) is list or _CONTENT_ENCODING in head.headers:  # type: ignore[union-attr]
                    payload = body = self._open_body(head)  # type: ignore[arg-type]
            elif event is CHUNK_END:
                body.end_http_chunk_receiving()  # type: ignore[union-attr]
            elif kind is ProtocolError:
                if body is not None:
                    self._break_body(body, event)  # type: ignore[arg-type]
                elif head is None:
                    self._refuse(event)  # type: ignore[arg-type]
        if head is not None:
            self._begin(head, EMPTY_PAYLOAD if payload is None else payload)

    def _open_body(self, head: RequestHead) -> StreamReader | None:
        if not head.length:
            return None
        body = self._body = StreamReader(self, self._read_bufsize, loop=self.loop)
        if head.length == CHUNKED:
            body.begin_http_chunk_receiving()
        if self._auto_decompress and _CONTENT_ENCODING in head.headers:
            self._decode(body, head.headers[_CONTENT_ENCODING])
        return body

    def _decode(self, body: StreamReader, coding: str) -> None:
        from ..codec.coding import decoder_for

        try:
            decoder = decoder_for(coding)
        except ProtocolError as exc:
            body.set_exception(payload_error(exc, 415))
            return
        if decoder is not None:
            body.set_decoder(decoder)

    def _end_body(self, body: StreamReader) -> None:
        self._body = None
        body.feed_eof()
        if self._lingering:
            self._lingering = False
            self._since = None
        if self._paused_reading and self._behind is None:
            self.resume_reading()

    def _break_body(self, body: StreamReader, error: ProtocolError) -> None:
        """The body can not be decoded any further; the handler hears of it, and its answer is the last one."""
        self._body = None
        self._closing = True
        if self._lingering:
            self._close_gently()
            return
        self._behind = bytearray()  # what follows is not decoded
        body.set_exception(payload_error(error))
        self._report(error)

    # ---- one request

    def _begin(self, head: RequestHead, payload: Any) -> None:
        """Answer a request: take the first step of its handler at once if the task of the connection is free."""
        loop = self.loop
        self._since = None
        if self._keepalive_handle is not None:
            self._stop_timer()
        task = self._task
        if task is None:
            task = self._task = loop.create_task(self.start())
        self._request = request = self._make_request(head, payload, self, None, task)
        if self._parked is None:
            self._next = request
            return
        try:
            _enter_task(loop, task)
        except RuntimeError:  # called by another task
            self._next = request
            self._wake()
            return
        coro = self._answer(request)
        context = copy_context()
        try:
            waits_for = context.run(coro.send, None)
        except StopIteration:
            return
        except asyncio.CancelledError:
            self.force_close()
            return
        finally:
            _leave_task(loop, task)
        if asyncio.isfuture(waits_for):
            # As a task does: the mark that `await` has made would keep others from awaiting the same future.
            setattr(waits_for, _AWAITED, False)
        self._suspended = (coro, context, waits_for)
        self._wake()

    def _wake(self) -> None:
        parked, self._parked = self._parked, None
        if parked is not None and not parked.done():
            parked.set_result(None)

    async def start(self) -> None:
        """Be the task of the connection: go on with handlers that wait, sleep while there are none."""
        loop = self.loop
        try:
            while True:
                if self._suspended is not None:
                    (coro, context, waits_for), self._suspended = self._suspended, None
                    await drive(coro, context, waits_for)
                elif self._next is not None:
                    request, self._next = self._next, None
                    await drive(self._answer(request), copy_context(), _NOT_STARTED)
                elif self.transport is None:
                    break
                else:
                    parked = self._parked = loop.create_future()
                    try:
                        await parked
                    except asyncio.CancelledError as exc:
                        self._parked = None
                        await self._cancel_suspended(exc)
                    continue
                self._forgive()
                self._go_on()
        except asyncio.CancelledError:
            self.force_close()
        except Exception as exc:
            self.log_exception("Unhandled exception", exc_info=exc)
        finally:
            self._parked = None
            if self.transport is not None:
                self.force_close()  # nobody would answer the next request
            if self._suspended is not None:
                self._suspended[0].close()
                self._suspended = None
            if self._wire is None:
                self._manager.connection_lost(self)

    async def _cancel_suspended(self, exc: asyncio.CancelledError) -> None:
        """Hand a cancellation that met the sleeping task to the handler, which the task was about to go on with."""
        if self._suspended is None:
            raise exc
        coro: Coroutine[Any, Any, None] | None
        (coro, context, waits_for), self._suspended = self._suspended, None
        if waits_for is None or not waits_for.cancel():  # nothing to wait for any more
            try:
                waits_for = context.run(coro.throw, exc)
            except StopIteration:
                coro = None
        if coro is not None:
            await drive(coro, context, waits_for)
        self._forgive()
        self._go_on()

    def _forgive(self) -> None:
        """Forget cancellations that a handler has swallowed: the next one begins without them."""
        task = self._task
        while task is not None and task.cancelling():
            task.uncancel()

    async def _answer(self, request: BaseRequest) -> None:
        """Run the handler for a request and send its answer."""
        started = self.loop.time() if self._logs else None
        response: Any = None
        try:
            try:
                response = await self._handler(request)
            except HTTPException as exc:
                response = exc
            except asyncio.CancelledError:
                self.log_debug("Ignored premature client disconnection")
                self.force_close()
                raise
            except Exception as exc:
                response = self._answer_to_failure(request, exc)
                if response is None:
                    if self._receiver is None:
                        self.force_close()
                    else:
                        self._receiver.leave(WSCloseCode.INTERNAL_ERROR)
                    return
            kind = type(response)
            if (
                (kind is Response or _renders.get(kind) or (kind not in _renders and renders(kind)))
                and request.plain
                and not self._closing
                and not self.shutting_down
                and (data := response.render()) is not None
            ):
                if (transport := self.transport) is None:
                    return
                transport.write(data)
                if self._paused_writing:
                    await self.drain()
                if started is not None:
                    self.log_access(request, response, started)
            else:
                await self.finish_response(request, response, started)
        except (ConnectionError, OSError) as exc:
            if self.transport is not None:
                self.log_debug("Connection failed while the answer was sent", exc_info=exc)
            self.force_close()
        except asyncio.CancelledError:
            self.force_close()
            raise
        except Exception as exc:
            self.log_exception("Unhandled exception", exc_info=exc)
            self.force_close()
        finally:
            self._finish(request)

    def _answer_to_failure(self, request: BaseRequest, exc: Exception) -> StreamResponse | None:
        """Return the answer to a request whose handler has failed; None when there can not be one any more."""
        try:
            if isinstance(exc, RequestPayloadError):
                return self.handle_error(request, exc.status, exc, str(exc))
            if isinstance(exc, ProtocolError) and exc.fault == "peer":
                return self.handle_error(request, exc.status or 400, exc, exc.message)
            if request.content.exception() is exc:
                return self.handle_error(request, 400, exc, str(exc))
            if isinstance(exc, TimeoutError):
                self.log_debug("Request handler timed out.", exc_info=exc)
                return self.handle_error(request, 504)
            return self.handle_error(request, 500, exc)
        except ConnectionError:
            return None

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        """Send an answer in the full way; return it, and whether the connection was lost meanwhile."""
        if not isinstance(resp, StreamResponse):
            resp = self._missing_response(resp)  # type: ignore[unreachable]
        if request.writer_used and not resp.prepared:
            # Another one was begun, and what follows it now would be taken for its rest.
            self.log_exception("%r is not sent: the handler has sent another response before", resp, exc_info=None)
            if not request.answered:
                if self._receiver is None:
                    self.force_close()
                else:
                    self._receiver.leave(WSCloseCode.INTERNAL_ERROR)
            return resp, not request.answered
        if isinstance(resp, Response):
            resp = resp.for_request(request)
        if self._closing or (self.shutting_down and not resp.prepared):
            resp.force_close()
        try:
            await resp.prepare(request)
            await resp.write_eof()
        except ConnectionError:
            self.log_access(request, resp, start_time)
            self.force_close()
            return resp, True
        if not resp.keep_alive:
            self._closing = True
        if request.unanswered:
            # The client would take what follows for the rest.
            self.log_exception("%r is %d bytes shorter than it has announced", resp, request.unanswered, exc_info=None)
            self._closing = True
        self.log_access(request, resp, start_time)
        return resp, False

    def _missing_response(self, returned: object) -> Response:
        """Answer for a handler that returned something else than a response."""
        if returned is None:
            self.log_exception("Missing return statement on request handler")
        else:
            self.log_exception(f"Web-handler should return a response instance, got {returned!r}")
        error = HTTPInternalServerError()
        return Response(status=error.status, reason=error.reason, text=error.text, headers=error.headers)

    def _finish(self, request: BaseRequest) -> None:
        """The request is answered, or will not be."""
        self._request = None
        self.served += 1
        if self._open_ended or self._cancels:
            self._open_ended = False
            self._cancels = self._manager.handler_cancellation
        if request.holds_files:
            request.close_files()
        body = self._body
        if self.transport is None:
            if self._wire is None:  # lost while the handler ran, which the server waits for when it stops
                self._manager.connection_lost(self)
            return
        if self._closing:
            if self._half_closed:
                self.close()
            elif request.keep_alive or body is not None or self._behind is not None or self.decoder.held_size:
                self._close_gently()  # the client may have sent more before it hears of this
            else:
                self.close()
        elif body is not None:
            self._linger(body)
        elif self._precise:
            self._keepalive_handle = self.loop.call_later(self._keepalive_timeout, self._expire_idle)

    # ---- errors

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Make the answer to a request that failed, after which the connection is closed; log the server's own faults.

        Raises ConnectionError when an answer was begun already: the client must not take its rest for something else.
        """
        if status >= 500 or self.debug:
            self.log_exception("Error handling request from %s", request.remote, exc_info=exc)
        else:
            self.log_debug("Refused a request from %s: %s", request.remote, message)
        if request.writer_used:
            raise ConnectionError("Response is sent already, cannot send another response with the error message")
        content_type = "text/plain"
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            content_type, message = self._describe_failure(request, exc)
        response = Response(status=status, text=message, content_type=content_type)
        response.force_close()
        return response

    def _describe_failure(self, request: BaseRequest, exc: BaseException | None) -> tuple[str, str]:
        title = f"{HTTPStatus.INTERNAL_SERVER_ERROR.value} {HTTPStatus.INTERNAL_SERVER_ERROR.phrase}"
        message: str = HTTPStatus.INTERNAL_SERVER_ERROR.description
        trace = ""
        if self.debug and exc is not None:
            import traceback

            trace = "".join(traceback.format_exception(exc))
        if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
            if trace:
                message = f"<h2>Traceback:</h2>\n<pre>{escape(trace)}</pre>"
            return "text/html", (
                f"<html><head><title>{title}</title></head><body>\n<h1>{title}</h1>\n{message}\n</body></html>\n"
            )
        return "text/plain", f"{title}\n\n{trace or message}"

    def _report(self, error: ProtocolError) -> None:
        """Call the hook for refused messages; what it raises is logged, and keeps nobody from the answer."""
        if self._error_hook is not None:
            try:
                self._error_hook(self, error)
            except Exception as exc:
                self.log_exception("Exception in the error hook", exc_info=exc)

    def _refuse(self, error: ProtocolError) -> None:
        """Answer something that is no HTTP request, and close the connection (RFC 9112 §2.2)."""
        self._report(error)
        task = self._task
        if task is None:
            task = self._task = self.loop.create_task(self.start())
        head = unknown_head()
        request = BaseRequest(head, EMPTY_PAYLOAD, self, None, task, self.loop)
        started = self.loop.time() if self._logs else None
        response = self.handle_error(request, error.status or 400, error, error.message)
        assert isinstance(response, Response)
        response.headers[hdrs.CONNECTION] = "close"
        self._send_last(response)
        self.log_access(request, response, started)
        self._close_gently()

    def _send_last(self, response: Response) -> None:
        """Send a small response that belongs to no request."""
        transport = self.transport
        if transport is None:
            return
        body = response.body or b""
        lines = [f"HTTP/1.1 {response.status} {response.reason}"]
        date_now()
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        head = "\r\n".join(lines).encode("utf-8", "replace")
        transport.write(b"%b\r\nContent-Length: %d%b%b" % (head, len(body), NOW.tail, body))

    # ---- after an answer

    def _linger(self, body: StreamReader) -> None:
        """Drop the rest of a body that nobody has read, to find the next request behind it."""
        body.discard()
        self._lingering = True
        self._since = None
        body.set_exception(ClientConnectionResetError("The request was answered; its body is dropped"))
        self.resume_reading()

    def _close_gently(self) -> None:
        """Close the connection, but read on for a while: closing with unread input would destroy what was sent last.

        RFC 9112 §9.6: a server that closes while the client still sends should close its sending side first.
        """
        self._closing = True
        transport = self.transport
        if transport is None:
            return
        if self._paused_reading:
            self.resume_reading()
        self._behind = None
        body, self._body = self._body, None
        if body is not None:
            body.set_exception(ClientConnectionResetError("The request was answered; its body is dropped"))
        if transport.can_write_eof() and not transport.is_closing():
            receiver, self._receiver = self._receiver, Drain(self)
            if receiver is not None:
                receiver.connection_lost(None)  # as far as it is concerned
            try:
                transport.write_eof()
            except OSError:  # the client was quicker
                self.abort()
                return
            self._stop_timer()
            self._keepalive_handle = self.loop.call_later(min(self._lingering_time, CLOSING_TIME), self.abort_quietly)
        else:
            self.close()

    def abort_quietly(self) -> None:
        """Close the connection now; while the client still takes what was sent last, later."""
        self._stop_timer()
        if self.transport is not None and self.transport.get_write_buffer_size():
            self._keepalive_handle = self.loop.call_later(CLOSING_TIME, self.abort_quietly)
        else:
            self.abort()

    def _stop_timer(self) -> None:
        handle, self._keepalive_handle = self._keepalive_handle, None
        if handle is not None:
            handle.cancel()

    # ---- deadlines

    def _expire_idle(self) -> None:
        self._keepalive_handle = None
        if self._request is None and not self.decoder.in_head:
            self.close()

    def expire(self, now: float) -> None:
        """Look at the deadline of what the connection is waiting for."""
        phase, limit = self._waiting_for()
        if phase != self._phase or self._since is None:
            self._phase = phase
            self._since = now
        elif limit is not None and now - self._since >= limit:
            self._expired(phase, limit)

    def _waiting_for(self) -> tuple[str, float | None]:
        receiver = self._receiver
        if receiver is not None:
            if type(receiver) is Drain and self._wire is not None:
                # Each byte that leaves begins a phase of its own.
                return f"{_SENDING} {self._wire.get_write_buffer_size()}", SENDING_TIME
            return "", None
        if self._request is not None:
            if self._body is not None and not self._paused_reading:
                return _BODY, self._body_timeout
            return "", None
        if self._lingering:
            return _LINGER, self._lingering_time
        if self.decoder.in_head or not self.served:
            return _HEAD, self._headers_timeout
        return _IDLE, self._keepalive_timeout

    def _expired(self, phase: str, limit: float) -> None:
        if phase == _BODY:
            body, self._body = self._body, None
            self._closing = True
            self._behind = bytearray()  # what may still come is not decoded
            assert body is not None
            message = f"No data for {limit:g} seconds while the body was expected (option body_timeout)"
            body.set_exception(RequestPayloadError(message, 408))
        elif phase == _HEAD and self.decoder.in_head:
            message = f"The request was not complete after {limit:g} seconds (option headers_timeout)"
            self._refuse(ProtocolError("h1.timeout.head", message, fault="peer", status=408))
        elif phase.startswith(_SENDING):
            self.abort()
        else:
            self.close()

    # ---- the end

    def keep_alive(self, val: bool) -> None:
        """Say whether the connection stays open after the current answer."""
        self._closing = not val

    def close(self) -> None:
        """Close the connection after what is buffered has been sent, and let its task end."""
        self._closing = True
        self._stop_timer()
        if self._receiver is None:
            self._receiver = Drain(self)  # TLS gives us what comes before the last byte is sent
        super().close()
        if self._request is None:
            self._wake()

    def force_close(self) -> None:
        """Close the connection as soon as possible; an answer that is being sent is not completed."""
        self.close()

    def abort(self) -> None:
        self._closing = True
        self._stop_timer()
        if self.transport is not None:
            super().abort()
        elif self._wire is not None:  # closed, and not all has been sent
            self._wire.abort()
        if self._request is None:
            self._wake()

    def begin_shutdown(self) -> None:
        """Tell the handler that the server stops: the answer whose head is sent next is the last of this connection."""
        self.shutting_down = True
        if self._shutdown_waiter is not None and not self._shutdown_waiter.done():
            self._shutdown_waiter.set_result(None)

    @property
    def idle(self) -> bool:
        """Whether no request is being received or answered."""
        return self._request is None and self._body is None and not self.decoder.in_head and self._behind is None

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """End the connection: wait up to `timeout` seconds for a request to be answered, then cancel its handler.

        Idle connections are closed soon, and those on which the client still receives when it is done; streams without
        a known end, WebSockets, and requests of clients that have closed their side after `stream_grace`.
        A cancelled shutdown closes the connection.
        """
        self.begin_shutdown()
        loop = self.loop
        until = None if timeout is None else loop.time() + timeout
        grace = loop.time() + IDLE_GRACE
        stream_until: float | None = None
        lost = self.lost()
        transport = self.transport
        if self._receiver is not None:
            self._receiver.leave(WSCloseCode.GOING_AWAY)
        try:
            while not lost.done() or self._request is not None:
                now = loop.time()
                receiver = self._receiver
                if (
                    self._request is not None
                    or (transport is not None and transport.get_write_buffer_size())
                    or (type(receiver) is Drain and receiver.take_fed())
                ):
                    # Its client has not been told, or has not heard of it yet.
                    grace = now + IDLE_GRACE
                elif now >= grace:
                    break  # idle, or no more than a part of a head has come
                if until is not None and now >= until:
                    break
                if self._open_ended or self._half_closed:
                    stream_until = now + self._stream_grace if stream_until is None else stream_until
                    if now >= stream_until:
                        break
                waits_for = self._task if lost.done() and self._task is not None else lost
                await asyncio.wait((waits_for,), timeout=SHUTDOWN_POLL)
            if self._request is not None and self._task is not None:
                self._task.cancel()
                await asyncio.wait((self._task,), timeout=CANCEL_GRACE)
        finally:
            self.close()
            if self.transport is None and not lost.done():
                await asyncio.wait((lost,), timeout=CANCEL_GRACE)
            self.abort()
        task = self._task
        if task is not None and not task.done():
            await asyncio.wait((task,), timeout=CANCEL_GRACE)

    # ---- what handlers ask for

    def stream_started(self) -> None:
        """Take note that the answer has no known end."""
        self._open_ended = True

    def cancel_on_disconnect(self, wanted: bool = True) -> None:
        """Cancel the handler of the current request when its client leaves, or do not."""
        self._cancels = wanted

    async def wait_for_disconnection(self) -> None:
        """Wait until the client has left; cancellation has no effect on the connection."""
        if self._half_closed:
            return
        await asyncio.shield(self.lost())

    async def wait_for_shutdown(self) -> None:
        """Wait until the server is told to stop."""
        if self.shutting_down:
            return
        if self._shutdown_waiter is None or self._shutdown_waiter.done():
            self._shutdown_waiter = self.loop.create_future()
        await asyncio.shield(self._shutdown_waiter)

    @property
    def can_switch(self) -> bool:
        """Whether `switch()` may be called: the current request asked for another protocol, and has been received."""
        return self.decoder.held and self._body is None and self._receiver is None

    def switch(self, receiver: Any) -> bytes:
        """Give all further input to another protocol; return what has come of it already.

        The receiver has `feed_data(data)`, `eof_received()`, `connection_lost(exc)`, and `leave(code)`, which is called
        with a WebSocket close code (RFC 6455 §7.4) when the server stops and when the handler fails; `clean` tells
        whether it has come to an orderly end, of which the handler knows.
        """
        behind = self.decoder.tunnel() + bytes(self._behind or b"")
        self._behind = None
        self._receiver = receiver
        self._closing = True  # HTTP has ended here
        self._open_ended = True
        self.resume_reading()
        return behind

    # ---- logs

    def log_access(self, request: BaseRequest, response: StreamResponse, time: float | None) -> None:
        """Write the line of the access log for an answer that was begun at `time`, in the loop's seconds."""
        if self._logs and time is not None and self.access_logger is not None:
            try:
                self.access_logger.log(request, response, self.loop.time() - time)
            except Exception as exc:
                self.log_exception("Exception in the access logger", exc_info=exc)

    def log_debug(self, *args: Any, **kw: Any) -> None:
        """Log something for those who debug the server."""
        if self.debug:
            self.logger.debug(*args, **kw)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log a failure, with its traceback if there is one."""
        kw.setdefault("exc_info", sys.exc_info()[1])
        self.logger.error(*args, **kw)


class Drain:
    """Drops the input of a connection that is being closed."""

    __slots__ = ("_fed", "_link")

    clean = False

    def __init__(self, link: RequestHandler) -> None:
        self._link = link
        self._fed = False

    def feed_data(self, data: bytes) -> None:
        """Drop it."""
        self._fed = True

    def take_fed(self) -> bool:
        """Tell whether something came since this was asked before."""
        fed, self._fed = self._fed, False
        return fed

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """There is nobody to tell."""

    def leave(self, code: int) -> None:
        """There is nobody to take leave of."""


def payload_error(error: ProtocolError, status: int = 400) -> RequestPayloadError:
    """Make the error that a handler meets when it reads a body that is malformed."""
    failure = RequestPayloadError(error.message, error.status or status)
    failure.__cause__ = error
    return failure


def unknown_head() -> RequestHead:
    """Stand for the head of something that is no request."""
    head = RequestHead()
    head.method, head.target, head.version = "UNKNOWN", "/", HttpVersion11
    head.pairs, head.headers = [], CIMultiDict()
    head.length, head.keep_alive, head.plain = 0, False, False
    return head
