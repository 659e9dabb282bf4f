"""A WebSocket that is opened again whenever it has ended: `ClientSession.ws_connect_forever`.

In: what opens one, and a `Backoff` that says how long to wait before it is tried again.  Out: an async iterator of open
WebSockets, one after the other.

Why to wait.  A server that has been started again meets all its clients at once, and one that can not stand that must
be left alone longer each time.  So even the first attempt after a loss waits a little, the ceiling of the wait grows
by a factor with each failure, and chance takes a share of it off.  A connection that ends soon counts as a failure
too: a server that accepts everybody and dies of it is no better than one that refuses.

Limits: `Backoff.most` seconds between two attempts, `Backoff.attempts` failures in a row.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from .. import hdrs
from ..errors import ClientConnectionError, ClientPayloadError, WSServerHandshakeError

if TYPE_CHECKING:
    from typing import Self

    from ..typedefs import LooseHeaders
    from .ws import ClientWebSocketResponse

    Socket = ClientWebSocketResponse[Any]

FIRST_DELAY: Final = 0.5
"""Seconds that the wait after one failure takes at most."""

FACTOR: Final = 2.0
"""By how much the wait grows with each failure."""

MOST_DELAY: Final = 60.0
"""Seconds that no wait exceeds."""

JITTER: Final = 0.5
"""The share of a wait that chance may take off."""

STEADY: Final = 10.0
"""Seconds that a connection must have lasted for the failures before it to be forgotten."""

RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be better next time."""


@dataclass(frozen=True)
class Backoff:
    """How long to wait before the next attempt, in seconds.

    The n-th failure in a row is followed by a wait of `first * factor ** (n - 1)`, `most` at most, of which chance
    takes a share of up to `jitter` off.  A connection that lasted `steady` seconds makes the next failure the first
    one.  After `attempts` failures in a row the last of them is raised; None goes on for ever.
    """

    first: float = FIRST_DELAY
    factor: float = FACTOR
    most: float = MOST_DELAY
    jitter: float = JITTER
    steady: float = STEADY
    attempts: int | None = None

    def __post_init__(self) -> None:
        if self.first < 0 or self.most < 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError(f"a backoff has times of 0 or more, a factor of 1 or more, jitter from 0 to 1, not {self}")

    def delay(self, failures: int, chance: float) -> float:
        """Return the wait after so many failures in a row; `chance` is a random number from 0 to 1."""
        try:
            ceiling = min(self.most, self.first * self.factor ** (failures - 1))
        except OverflowError:
            ceiling = self.most
        return ceiling * (1 - self.jitter * chance)


BACKOFF: Final = Backoff()
"""What is waited unless told otherwise."""


def may_pass(error: Exception) -> bool:
    """Tell whether a failed attempt may succeed next time: lost connections, timeouts, and statuses that say so."""
    if isinstance(error, WSServerHandshakeError):
        return error.status in RETRIED
    return isinstance(error, (ClientConnectionError, ClientPayloadError, TimeoutError, OSError))


class Reconnection(AsyncIterator["Socket"]):
    """Open WebSockets, one after the other: each is closed when the next one is asked for.

    `failures`: how many attempts or connections have failed in a row.  `error`: what the last one failed with, None
    when it was closed in an orderly way.
    """

    def __init__(
        self,
        open_socket: Callable[[LooseHeaders | None], Awaitable[Socket]],
        *,
        backoff: Backoff,
        headers: Any,
        retry: Callable[[Exception], bool],
        on_failure: Callable[[Reconnection, float], object] | None,
    ) -> None:
        self._open = open_socket
        self.backoff = backoff
        self._headers = headers
        self._retry = retry
        self._on_failure = on_failure
        self._current: Socket | None = None
        self._opened_at = 0.0
        self._stop: asyncio.Future[None] | None = None
        self._stopped = False
        self.failures = 0
        self.error: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Socket:
        """Return the next open WebSocket; raises what an attempt fails with that is not worth another one."""
        loop = asyncio.get_running_loop()
        if self._stop is None:
            self._stop = loop.create_future()
            if self._stopped:
                self._stop.set_result(None)
        await self._leave(loop.time())
        while not self._stop.done():
            if self.failures and await self._wait():
                break
            try:
                socket = await self._attempt()
            except Exception as exc:
                if not self._retry(exc):
                    raise
                self._failed(exc)
            else:
                if socket is not None:
                    self._current, self._opened_at = socket, loop.time()
                    return socket
        raise StopAsyncIteration

    def _failed(self, error: Exception | None) -> None:
        self.failures += 1
        self.error = error
        attempts = self.backoff.attempts
        if attempts is not None and self.failures >= attempts:
            if error is None:
                error = ClientConnectionError(f"The WebSocket was closed {self.failures} times in a row")
            raise error

    async def _leave(self, now: float) -> None:
        """Close the last WebSocket, and judge how it did."""
        socket, self._current = self._current, None
        if socket is None:
            return
        await socket.close()
        if now - self._opened_at >= self.backoff.steady:
            self.failures = 0
        error = socket.exception()
        self._failed(error if isinstance(error, Exception) else None)

    async def _wait(self) -> bool:
        """Wait before the next attempt; return whether `close()` was called meanwhile."""
        assert self._stop is not None
        delay = self.backoff.delay(self.failures, random.random())
        if isinstance(self.error, WSServerHandshakeError) and self.error.headers is not None:
            asked = self.error.headers.get(hdrs.RETRY_AFTER, "")
            if asked.isascii() and asked.isdecimal():
                delay = max(delay, min(int(asked[:9]), self.backoff.most))
        if self._on_failure is not None:
            self._on_failure(self, delay)
        await asyncio.wait((self._stop,), timeout=delay)
        return self._stop.done()

    async def _attempt(self) -> Socket | None:
        """Open a WebSocket; None when `close()` was called meanwhile."""
        headers = self._headers
        if callable(headers):
            headers = headers()
            if inspect.isawaitable(headers):
                headers = await headers
        assert self._stop is not None
        opening = asyncio.ensure_future(self._open(headers))
        socket: Socket | None = None
        try:
            await asyncio.wait((opening, self._stop), return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.done():
                socket = opening.result()
        finally:
            if socket is None:
                opening.cancel()
                await asyncio.wait((opening,))
                if not opening.cancelled() and opening.exception() is None:
                    opening.result().abort()  # it was opened too late
        return socket

    async def close(self) -> None:
        """Stop: close the current WebSocket and open no other; a waiting loop ends."""
        self._stopped = True
        if self._stop is not None and not self._stop.done():
            self._stop.set_result(None)
        socket, self._current = self._current, None
        if socket is not None:
            await socket.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()
