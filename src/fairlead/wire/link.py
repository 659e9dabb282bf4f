"""The asyncio protocol that owns one transport: bytes in, bytes out, pause, close.

`Link` knows nothing of HTTP.  It keeps the two directions of flow control and tells the rest of the library, once, that
the connection is gone.  After `connection_lost` every wait has ended and `transport` is None.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from ..errors import ClientConnectionResetError
from .pieces import hand_over, read_freely, read_pieces


class Link(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "__weakref__",
        "_drain_waiters",
        "_lost",
        "_lost_waiter",
        "_paused_reading",
        "_paused_writing",
        "_pieces",
        "loop",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self._paused_reading = False
        self._pieces = 0  # bytes that are read at once, 0 for as many as the transport likes
        self._paused_writing = False
        self._drain_waiters: list[asyncio.Future[None]] | None = None
        self._lost = False
        self._lost_waiter: asyncio.Future[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a transport that is not closing."""
        transport = self.transport
        return transport is not None and not transport.is_closing()

    @property
    def writing_paused(self) -> bool:
        """Whether the transport's buffer is full."""
        return self._paused_writing

    @property
    def reading_paused(self) -> bool:
        """Whether reading was paused because the reader of a body is slow."""
        return self._paused_reading

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.transport = None
        self._lost = True
        waiters, self._drain_waiters = self._drain_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                error = ClientConnectionResetError("Connection lost")
                error.__cause__ = exc
                waiter.set_exception(error)
        if self._lost_waiter is not None and not self._lost_waiter.done():
            self._lost_waiter.set_result(None)

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        waiters, self._drain_waiters = self._drain_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def drain(self) -> None:
        """Wait until the transport's buffer has room; raises ClientConnectionResetError when the connection is lost.

        Cancellation leaves the buffer as it is.
        """
        if self.transport is None:
            raise ClientConnectionResetError("Connection lost")
        if not self._paused_writing:
            return
        waiter = self.loop.create_future()
        if self._drain_waiters is None:
            self._drain_waiters = []
        self._drain_waiters.append(waiter)
        await waiter

    def pause_reading(self) -> None:
        """Stop reading from the socket until `resume_reading()`."""
        if not self._paused_reading and self.transport is not None:
            self._paused_reading = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading from the socket."""
        if self._paused_reading:
            self._paused_reading = False
            if self.transport is not None:
                self.transport.resume_reading()

    def limit_pieces(self, size: int) -> None:
        """Read at most `size` bytes at once until the end of the body, where the transport can be told so."""
        transport = self.transport
        if transport is not None and self._pieces != size and read_pieces(self, transport, size):
            self._pieces = size

    def unlimit_pieces(self) -> None:
        """Read as much at once as the transport likes."""
        if self._pieces:
            self._pieces = 0
            if self.transport is not None:
                read_freely(self, self.transport)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Ask the transport; `default` when it is gone or does not know."""
        return default if self.transport is None else self.transport.get_extra_info(name, default)

    def hand_over(self, front: asyncio.Protocol) -> None:
        """Let the transport talk to another protocol, which passes on what it does not want."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            hand_over(self, transport, front)

    def close(self) -> None:
        """Close the connection."""
        self.end()

    def end(self) -> None:
        """Close the connection after what is buffered has been sent."""
        transport = self.transport
        if transport is not None:
            self.transport = None
            if self._paused_reading:
                # A paused transport would not notice that the peer has gone.
                self._paused_reading = False
                transport.resume_reading()
            transport.close()

    def abort(self) -> None:
        """Close the connection now; buffered output is lost."""
        transport = self.transport
        if transport is not None:
            self.transport = None
            self._paused_reading = False
            transport.abort()

    def lost(self) -> asyncio.Future[None]:
        """Return a future that is done when the transport has called `connection_lost`."""
        if self._lost_waiter is None:
            self._lost_waiter = self.loop.create_future()
            if self._lost:
                self._lost_waiter.set_result(None)
        return self._lost_waiter
