"""Fakes for the wire: a clock that the test moves, a transport that only remembers, a lease that counts.

In: a test that plays the event loop and the peer.  Out: what the code under test did to them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any, cast


class FakeTimer:
    """What `call_at` returns: a timer that the test fires by moving the clock."""

    def __init__(self, when: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._when = when
        self.callback = callback
        self.args = args
        self.cancelled_by: bool = False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled_by = True

    def cancelled(self) -> bool:
        return self.cancelled_by


class FakeClock:
    """An event loop whose time stands still until `advance()`; what is not about time goes to the running loop."""

    def __init__(self, start: float = 1000.0) -> None:
        self.now = start
        self.early = 0.0  # how much before their time timers are called, as coarse clocks do
        self.heap: list[tuple[float, int, FakeTimer]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> FakeTimer:
        timer = FakeTimer(when, callback, args)
        heapq.heappush(self.heap, (when, next(self._order), timer))
        return timer

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> FakeTimer:
        return self.call_at(self.now + delay, callback, *args)

    @property
    def timers(self) -> list[FakeTimer]:
        """Timers that are still to fire, the earliest first."""
        return [timer for _, _, timer in sorted(self.heap, key=lambda entry: entry[:2]) if not timer.cancelled()]

    def advance(self, seconds: float) -> None:
        """Let time pass; timers fire in order, each at its own time."""
        end = self.now + seconds
        while self.heap and self.heap[0][0] - self.early <= end:
            when, _, timer = heapq.heappop(self.heap)
            if not timer.cancelled():
                self.now = max(self.now, when - self.early)
                timer.callback(*timer.args)
        self.now = end

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The clock, as what it stands for."""
        return cast("asyncio.AbstractEventLoop", self)


class FakeTransport(asyncio.Transport):
    """A transport without a peer: it remembers what was written and in which state it is."""

    def __init__(self, protocol: asyncio.BaseProtocol | None = None) -> None:
        super().__init__()
        self.protocol = protocol
        self.pieces: list[bytes] = []
        self.paused = False
        self.closing = False
        self.aborted = False
        self.unsent = 0  # bytes that the peer does not take
        self.calls: list[str] = []
        if protocol is not None:
            protocol.connection_made(self)

    @property
    def written(self) -> bytes:
        return b"".join(self.pieces)

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.calls.append("close")
        self.closing = True

    def abort(self) -> None:
        self.calls.append("abort")
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        self.calls.append("pause")
        self.paused = True

    def resume_reading(self) -> None:
        self.calls.append("resume")
        self.paused = False

    def lose(self, exc: Exception | None = None) -> None:
        """End the connection, as the loop does after `close()`, `abort()` or an error."""
        self.closing = True
        assert self.protocol is not None
        self.protocol.connection_lost(exc)


class Tap:
    """What a stream pauses and resumes; it complains about what makes no sense."""

    _reading_paused = False  # where aiohttp looks

    def __init__(self) -> None:
        self.calls: list[str] = []

    @property
    def paused(self) -> bool:
        return self._reading_paused

    def pause_reading(self) -> None:
        assert not self._reading_paused, "paused twice"
        self._reading_paused = True
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self._reading_paused = False
        self.calls.append("resume")


async def turns(count: int = 3) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)
