"""Deadlines: one sweep for each event loop, no timer for each request.

The problem: nearly every request has a deadline (300 s by default) and nearly none meets it.  A timer of the event loop
costs more than parsing a head, and even a place in a timing wheel has to be taken and given up.  So a request only
writes its deadline down; once in RESOLUTION seconds, while there are connections, one timer looks at all of them.  A
deadline is met up to RESOLUTION late, never early.

Deadlines that are meant precisely (less than `ceil_threshold` seconds ahead, five by default) get a real timer instead;
that is the business of who has them.

In: watched objects with `expire(now)`.  Out: calls to `expire(now)` on the loop, `now` being `loop.time()`; what they
raise goes to the loop's exception handler.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Final, Protocol

RESOLUTION: Final = 1.0
"""Seconds between two looks at the deadlines of a loop."""


class Expiring(Protocol):
    """Something that may have a deadline."""

    def expire(self, now: float) -> None: ...


class Deadlines:
    """The deadlines of one event loop."""

    __slots__ = ("__weakref__", "_loop", "_timer", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Weak: a connection whose opening is cancelled may be dropped without the call of `connection_lost`.
        self._watched: weakref.WeakSet[Expiring] = weakref.WeakSet()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, item: Expiring) -> None:
        """Look at an object until `discard()`, as long as somebody else holds it."""
        self._watched.add(item)
        if self._timer is None:
            self._timer = self._loop.call_later(RESOLUTION, self._sweep)

    def discard(self, item: Expiring) -> None:
        """Stop looking at an object."""
        self._watched.discard(item)

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        for item in list(self._watched):
            try:
                item.expire(now)
            except Exception as exc:
                # One item must not keep the others from their deadlines.
                self._loop.call_exception_handler({"message": "Exception in expire()", "exception": exc})
        if self._watched:
            self._timer = self._loop.call_later(RESOLUTION, self._sweep)


# By the id of the loop, which stays taken while there is a value, for that refers to the loop.  A dictionary with the
# loops as weak keys would keep each loop alive through its own value.
_sweeps: weakref.WeakValueDictionary[int, Deadlines] = weakref.WeakValueDictionary()


def deadlines_of(loop: asyncio.AbstractEventLoop) -> Deadlines:
    """Return the deadlines of a loop, the same for all who ask."""
    deadlines = _sweeps.get(id(loop))
    if deadlines is None:
        deadlines = _sweeps[id(loop)] = Deadlines(loop)
    return deadlines
