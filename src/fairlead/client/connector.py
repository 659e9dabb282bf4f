"""Connectors: aiohttp's face on the pool.  `BaseConnector` pools; its subclasses dial.

In: requests with a `connection_key`.  Out: a `Connection`, the right to use one link for one exchange.  A subclass
overrides `_create_connection` and makes its protocol with `self._factory()`.

Limits: `limit` connections in use at once, `limit_per_host` of them to one key (0: none); idle ones are closed after
`keepalive_timeout` seconds.  A caller that finds no slot waits for one, within `ClientTimeout.connect`.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
import warnings
import weakref
from collections.abc import Awaitable, Callable, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from ..errors import ClientConnectionError, ClientConnectorError, ConnectionTimeoutError
from ..keys import ConnectionKey
from ..wire.h1_link import H1ClientLink
from ..wire.pool import DIAL, QUEUE, Host, Pool
from .options import UNSET

if TYPE_CHECKING:
    from .request import ClientRequest
    from .timeouts import ClientTimeout
    from .tracing import Trace

KEEPALIVE_TIMEOUT: Final = 15.0
"""Seconds that a connection may be idle before it is closed."""

CLOSE_TIMEOUT: Final = 2.0
"""Seconds that closing a connector waits for its connections to end before it goes on without them."""

HTTP_SCHEMES: Final = frozenset({"http", "https", "ws", "wss", ""})


class Connection:
    """The use of one connection for one exchange; given back once, by `release()` or `close()`."""

    __slots__ = ("__weakref__", "_callbacks", "_connector", "_key", "_link")

    def __init__(self, connector: BaseConnector, key: ConnectionKey, link: H1ClientLink) -> None:
        self._connector = connector
        self._key = key
        self._link: H1ClientLink | None = link
        self._callbacks: list[Callable[[], None]] | None = None

    def __repr__(self) -> str:
        return f"Connection<{self._key}>"

    def __bool__(self) -> bool:
        """A connection is true, like every object; there to satisfy callers that ask."""
        return True

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connector."""
        return self._connector.loop

    @property
    def key(self) -> ConnectionKey:
        """What the connection leads to."""
        return self._key

    @property
    def protocol(self) -> H1ClientLink | None:
        """The protocol that speaks HTTP, None once the connection was given back."""
        return self._link

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport, None once the connection was given back or lost."""
        return None if self._link is None else self._link.transport

    @property
    def closed(self) -> bool:
        """Whether the connection was given back or lost."""
        return self._link is None or not self._link.connected

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Call back when the connection is given back."""
        if callback is not None:
            if self._callbacks is None:
                self._callbacks = []
            self._callbacks.append(callback)

    def notify_release(self) -> None:
        """Run the callbacks, once; an exception in one does not keep the others from running."""
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            try:
                callback()
            except Exception as exc:
                self.loop.call_exception_handler(
                    {"message": "Exception in a Connection callback", "exception": exc, "connection": self}
                )

    def finish(self, link: H1ClientLink, reusable: bool) -> None:
        """Give the connection back: for another exchange, or to be closed."""
        if self._link is not None:
            self._link = None
            if self._callbacks is not None:
                self.notify_release()
            self._connector.finish(link, reusable)

    def release(self) -> None:
        """Give the connection back so that another exchange can use it; one inside an exchange is closed."""
        if self._link is not None:
            self.finish(self._link, self._link.exchange is None)

    def close(self) -> None:
        """Give the connection back and close it."""
        if self._link is not None:
            self.finish(self._link, False)


class _Waiter:
    """One caller that waits for a slot."""

    __slots__ = ("future", "host")

    def __init__(self, host: Host[Any, Any, Any], future: asyncio.Future[None]) -> None:
        self.host = host
        self.future = future


class _Closing(Awaitable[None]):
    """What `close()` returns: the work has started; awaiting it waits for the connections to end."""

    __slots__ = ("_links",)

    def __init__(self, links: Sequence[asyncio.Future[None]]) -> None:
        self._links = links

    def __await__(self) -> Generator[Any, None, None]:
        if self._links:
            yield from asyncio.wait(self._links, timeout=CLOSE_TIMEOUT).__await__()


class BaseConnector:
    """Pool connections; the base of connectors that open them.

    Raises RuntimeError without a running loop, ValueError when `keepalive_timeout` is given together with
    `force_close` or a limit is negative.
    """

    _closed = True  # until __init__ has run
    _source_traceback: traceback.StackSummary | None = None

    allowed_protocol_schema_set: frozenset[str] = HTTP_SCHEMES

    def __init__(
        self,
        *,
        keepalive_timeout: float | None = UNSET,
        force_close: bool = False,
        limit: int | None = 100,
        limit_per_host: int = 0,
        enable_cleanup_closed: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        timeout_ceil_threshold: float = 5,
    ) -> None:
        if force_close:
            if keepalive_timeout is not None and keepalive_timeout is not UNSET:
                raise ValueError("keepalive_timeout cannot be set if force_close is True")
        elif keepalive_timeout is UNSET:
            keepalive_timeout = KEEPALIVE_TIMEOUT
        limit = _checked_limit("limit", limit) if limit else 0
        limit_per_host = _checked_limit("limit_per_host", limit_per_host) if limit_per_host else 0
        self._loop = loop or asyncio.get_running_loop()
        self._closed = False
        self._force_close = force_close
        self._timeout_ceil_threshold = timeout_ceil_threshold
        keepalive = KEEPALIVE_TIMEOUT if keepalive_timeout is None or force_close else keepalive_timeout
        self._pool: Pool[ConnectionKey, H1ClientLink, _Waiter] = Pool(limit, limit_per_host, keepalive)
        self.take = self._pool.reuse
        self._links: weakref.WeakSet[H1ClientLink] | None = None  # made with the first of them
        self._sweep_timer: asyncio.TimerHandle | None = None
        if self._loop.get_debug():
            self._source_traceback = traceback.extract_stack(sys._getframe(1))

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._connect_overridden = cls.connect is not BaseConnector.connect
        cls.takes_plain = not cls._connect_overridden

    _connect_overridden = False

    takes_plain = True
    """Whether `take()` may stand in for `connect()`."""

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self._closed:
            return
        links = [link for _, link in self._pool.idle()]
        if not links and not self._pool.used:
            return
        self.shut_down()  # first: warnings may be errors
        _warn(f"Unclosed connector {self!r}", ResourceWarning, source=self)
        if self._loop.is_closed():
            return
        context: dict[str, Any] = {
            "connector": self,
            "connections": [repr(link) for link in links],
            "message": "Unclosed connector",
        }
        if self._source_traceback is not None:
            context["source_traceback"] = self._source_traceback
        self._loop.call_exception_handler(context)

    async def __aenter__(self) -> BaseConnector:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        exc_traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    # ---- facts

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the connections live on."""
        return self._loop

    @property
    def closed(self) -> bool:
        """Whether the connector was closed."""
        return self._closed

    @property
    def force_close(self) -> bool:
        """Whether connections are closed after each exchange."""
        return self._force_close

    @property
    def limit(self) -> int:
        """Connections in use at once; 0 means no limit."""
        return self._pool.limit

    @property
    def limit_per_host(self) -> int:
        """Connections in use at once to one host, port and kind of TLS; 0 means no limit."""
        return self._pool.limit_per_host

    @property
    def in_use(self) -> int:
        """Connections that are in use or being opened."""
        return self._pool.used

    @property
    def idle(self) -> int:
        """Connections that wait for their next use."""
        return self._pool.idle_count

    # ---- use

    def reuse(self, req: ClientRequest) -> Connection | None:
        """Return an idle connection for the request at once, or None when `connect()` has to wait or open one.

        Always None for a connector that has a `connect()` of its own.
        """
        if self._connect_overridden:
            return None
        key = req.connection_key
        link = self._pool.reuse(self._pool.host(key), self._loop.time())
        return None if link is None else Connection(self, key, link)

    def host(self, key: ConnectionKey) -> Host[ConnectionKey, H1ClientLink, Any]:
        """Return what the pool knows of a peer; holding it makes `take()` cheap."""
        return self._pool.host(key)

    take: Callable[[Host[ConnectionKey, H1ClientLink, Any], float], H1ClientLink | None]
    """`take(host, now)` returns an idle link to a peer at once, None when there is none; `finish()` takes it back."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        """Return a connection for the request: an idle one, or a new one within the limits.

        Raises ConnectionTimeoutError after `timeout.connect` seconds, ClientConnectorError when no connection can be
        opened, ClientConnectionError when the connector is closed.  Cancellation gives the slot back.
        """
        if self._closed:
            raise ClientConnectionError("Connector is closed")
        limit = timeout.connect
        if not limit or limit <= 0:
            return await self._connect(req, traces, timeout)
        started = self._loop.time()
        try:
            async with asyncio.timeout(limit) as scope:
                return await self._connect(req, traces, timeout)
        except TimeoutError as exc:
            if not scope.expired():
                raise
            phase = req.phase or "pool"
            crowd = f": {self._pool.used} connections in use, {self._pool.waiting} other callers waiting"
            raise ConnectionTimeoutError(
                f"Connection timeout to host {req.url}: no connection within {limit:g} s "
                f"(option ClientTimeout.connect; after {self._loop.time() - started:.3f} s "
                f"still in phase {phase!r}{crowd if phase == 'pool' else ''})"
            ) from exc

    async def _connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        key = req.connection_key
        req.phase = None
        host = self._pool.host(key)
        found = self._pool.acquire(host, self._loop.time())
        if found is QUEUE:
            await self._wait_for_slot(host, traces)
            found = self._pool.claim(host, self._loop.time())
        try:
            if req.fresh and isinstance(found, H1ClientLink):
                self._shut(found)
                found = DIAL
            if isinstance(found, H1ClientLink):
                for trace in traces:
                    await trace.send_connection_reuseconn()
                link = found
            else:
                link = await self._open(req, traces, timeout)
                link.host = host
        except BaseException:
            if isinstance(found, H1ClientLink):
                self.finish(found, True)
            else:
                self._pass_on(self._pool.release(host, None, self._loop.time()))
            raise
        self._close_stale()
        return Connection(self, key, link)

    async def _open(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> H1ClientLink:
        for trace in traces:
            await trace.send_connection_create_start()
        link = await self._create_connection(req, traces, timeout)
        if self._closed:
            link.close()
            raise ClientConnectionError("Connector is closed")
        if self._links is None:
            self._links = weakref.WeakSet()
        self._links.add(link)
        try:
            for trace in traces:
                await trace.send_connection_create_end()
        except BaseException:
            link.close()
            raise
        return link

    async def _wait_for_slot(self, host: Host[ConnectionKey, H1ClientLink, Any], traces: list[Trace]) -> None:
        waiter = _Waiter(host, self._loop.create_future())
        # At once: a slot that became free while a listener takes its time would have nobody to go to.
        self._pool.enqueue(host, waiter)
        try:
            for trace in traces:
                await trace.send_connection_queued_start()
            await waiter.future
            for trace in traces:
                await trace.send_connection_queued_end()
        except BaseException:
            future = waiter.future
            if not self._pool.withdraw(host, waiter) and not future.cancelled() and future.exception() is None:
                self._pass_on(self._pool.release(host, None, self._loop.time()))
            raise

    def finish(self, link: H1ClientLink, reusable: bool) -> None:
        """Take a link back: it becomes idle, or is closed if it can not serve another exchange."""
        if not reusable or link.transport is None or self._force_close or self._closed:
            self._shut(link)
            waiter = self._pool.release(link.host, None, 0.0)
        else:
            waiter = self._pool.release(link.host, link, self._loop.time())
            if self._sweep_timer is None:
                self._watch_idle()
        if waiter is not None:
            self._pass_on(waiter)

    def _pass_on(self, waiter: _Waiter | None) -> None:
        """Wake the waiter that inherits a slot; one that gave up passes it on."""
        while waiter is not None:
            if not waiter.future.done():
                waiter.future.set_result(None)
                return
            waiter = self._pool.release(waiter.host, None, self._loop.time())

    def _factory(self) -> H1ClientLink:
        """Make the protocol for a new connection."""
        return H1ClientLink(self._loop)

    async def _create_connection(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> H1ClientLink:
        """Open a connection; a subclass knows how."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to open a connection")

    # ---- idle connections

    def _watch_idle(self) -> None:
        self._sweep_timer = self._loop.call_later(self._pool.keepalive + 0.01, _sweep, weakref.ref(self))

    def _sweep_idle(self) -> None:
        self._sweep_timer = None
        again = self._pool.expire(self._loop.time())
        self._close_stale()
        if again is not None:
            self._sweep_timer = self._loop.call_at(again + 0.01, _sweep, weakref.ref(self))

    def _close_stale(self) -> None:
        for link in self._pool.stale():
            self._shut(link)

    def _shut(self, link: H1ClientLink) -> None:
        """Close one connection the way that this connector closes them."""
        link.close()

    # ---- close

    def close(self, *, abort_ssl: bool = False) -> Awaitable[None]:
        """Close all connections, in use or idle, at once; await the result to know that they have ended.

        Callers that wait for a connection get ClientConnectionError.  `abort_ssl` skips the TLS closing handshake.
        """
        return _Closing(self.shut_down(abort_ssl=abort_ssl))

    def shut_down(self, *, abort_ssl: bool = False) -> list[asyncio.Future[None]]:
        """Close everything without waiting; return futures that are done when the transports have ended."""
        if self._closed:
            return []
        self._closed = True
        if self._loop.is_closed() or (self._links is None and not self._pool.used):
            return []
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        for waiter in self._pool.waiters():
            if not waiter.future.done():
                waiter.future.set_exception(ClientConnectionError("Connector is closed"))
        self._pool.drop_idle()
        self._pool.stale()
        ending: list[asyncio.Future[None]] = []
        for link in list(self._links or ()):
            transport = link.transport
            if transport is None:
                continue
            ending.append(link.lost())
            exchange = link.exchange
            if abort_ssl and transport.get_extra_info("sslcontext") is not None:
                link.abort()
            else:
                link.close()
            if exchange is not None:
                exchange.fail(ClientConnectionError("Connector is closed"))
        return ending


def _checked_limit(name: str, value: int) -> int:
    if value < 0:
        raise ValueError(f"{name} must be 0 (no limit) or a positive number of connections, got {value}")
    return value


def _sweep(ref: weakref.ref[BaseConnector]) -> None:
    """Let the timer hold no connector alive."""
    connector = ref()
    if connector is not None:
        connector._sweep_idle()


__all__ = ("BaseConnector", "ClientConnectorError", "Connection")
