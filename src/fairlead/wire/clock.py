"""Deadlines: one coarse wheel for each event loop, no timer for each request.

The problem: nearly every request has a deadline (300 s by default) and nearly none meets it.  A timer of the event loop
costs more than parsing a head.  So deadlines go into buckets of one second (a dict entry in, a dict entry out), and one
timer of the loop looks at the earliest bucket.  A coarse deadline is met up to a second late, never early.

Deadlines that are meant precisely (less than `ceil_threshold` seconds ahead, five by default) get a real timer.

In: objects with `expire(now)`.  Out: calls to `expire(now)` on the loop, `now` being `loop.time()`.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Protocol

RESOLUTION = 1.0
"""Width of a bucket, in seconds."""


class Expiring(Protocol):
    """Something that has a deadline."""

    def expire(self, now: float) -> None: ...


class Deadlines:
    """The deadlines of one event loop."""

    __slots__ = ("__weakref__", "_armed", "_buckets", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, dict[Expiring, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0  # the bucket that the timer waits for

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def add(self, item: Expiring, when: float) -> int:
        """Watch a deadline; return the number of its bucket, which `discard()` asks for."""
        number = int(when / RESOLUTION) + 1
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = {item: None}
            if self._timer is None or number < self._armed:
                self._arm(number)
        else:
            bucket[item] = None
        return number

    def discard(self, item: Expiring, number: int) -> None:
        """Stop watching a deadline; it may have passed already."""
        bucket = self._buckets.get(number)
        if bucket is not None:
            bucket.pop(item, None)

    def _arm(self, number: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = number
        self._timer = self._loop.call_at(number * RESOLUTION, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        due = [number for number in self._buckets if number * RESOLUTION <= now]
        for number in sorted(due):
            for item in self._buckets.pop(number):
                item.expire(now)
        # Buckets that have emptied need no visit.
        for number in [number for number, bucket in self._buckets.items() if not bucket]:
            del self._buckets[number]
        if self._buckets:
            self._arm(min(self._buckets))


_wheels: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Deadlines] = weakref.WeakKeyDictionary()


def deadlines_of(loop: asyncio.AbstractEventLoop) -> Deadlines:
    """Return the wheel of a loop, the same for all who ask."""
    wheel = _wheels.get(loop)
    if wheel is None:
        wheel = _wheels[loop] = Deadlines(loop)
    return wheel
