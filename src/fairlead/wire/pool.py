"""Connection pool: pure bookkeeping.  It opens nothing, closes nothing, waits for nothing; it says what to do.

A slot is the right to have one connection in use.  `acquire(key)` takes a slot and answers with an idle link, or DIAL
(open a connection yourself), or QUEUE (no slot: enqueue a waiter).  `release(key, link)` gives a slot back and answers
with the waiter that inherits it, if any; the waiter then calls `claim(key)`.

Limits: `limit` slots in all, `limit_per_host` for each key (0: no limit), IDLE_LIMIT idle links.
Waiters of one key are served in order; keys take turns.  The most recently used idle link is taken first: it is the
one most likely to be alive, and the rest can grow old and be closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

IDLE_LIMIT: Final = 10_000
"""Idle links kept in one pool; the longest idle is closed beyond it."""


class Verdict(Enum):
    """What the caller of `acquire` has to do."""

    DIAL = "open a connection"
    QUEUE = "wait for a slot"


DIAL: Final = Verdict.DIAL
QUEUE: Final = Verdict.QUEUE


class Reusable(Protocol):
    """What the pool asks of a link."""

    @property
    def reusable(self) -> bool: ...


K = TypeVar("K", bound=Hashable)
L = TypeVar("L", bound=Reusable)
W = TypeVar("W", bound=Hashable)


class Pool(Generic[K, L, W]):
    """Slots, idle links and waiters."""

    __slots__ = (
        "_blocked",
        "_idle",
        "_idle_count",
        "_limit",
        "_limit_per_host",
        "_ready",
        "_stale",
        "_used",
        "_used_by",
        "keepalive",
    )

    def __init__(self, limit: int, limit_per_host: int, keepalive: float) -> None:
        self._limit = limit
        self._limit_per_host = limit_per_host
        self.keepalive = keepalive  # seconds that a link may be idle
        # Links and since when they are idle, the youngest last.  A list may be empty: `expire` removes it.
        self._idle: dict[K, list[tuple[L, float]]] = {}
        self._idle_count = 0
        self._used = 0
        self._used_by: dict[K, int] = {}
        self._ready: dict[K, deque[W]] = {}  # waiters that the next free slot can serve
        self._blocked: dict[K, deque[W]] = {}  # waiters whose host is at its own limit
        self._stale: list[L] = []  # links that the caller should close

    # ---- facts

    @property
    def limit(self) -> int:
        """Slots in all; 0 means no limit."""
        return self._limit

    @property
    def limit_per_host(self) -> int:
        """Slots for each key; 0 means no limit."""
        return self._limit_per_host

    @property
    def used(self) -> int:
        """Slots taken."""
        return self._used

    @property
    def waiting(self) -> int:
        """Waiters in all."""
        return sum(map(len, self._ready.values())) + sum(map(len, self._blocked.values()))

    @property
    def idle_count(self) -> int:
        """Idle links in all."""
        return self._idle_count

    def idle(self) -> Iterator[tuple[K, L]]:
        """Iterate over the idle links."""
        for key, links in self._idle.items():
            for link, _ in links:
                yield key, link

    def available(self, key: K) -> int:
        """Slots that a request for this key could take now; a negative limit never occurs, 1 stands for no limit."""
        free = self._limit - self._used if self._limit else 1
        if self._limit_per_host:
            free = min(free, self._limit_per_host - self._used_by.get(key, 0))
        return max(0, free)

    # ---- slots

    def acquire(self, key: K, now: float) -> L | Verdict:
        """Take a slot, with an idle link where there is one."""
        used = self._used
        if used >= self._limit and self._limit:
            return QUEUE
        if self._limit_per_host:
            used_by = self._used_by.get(key, 0)
            if used_by >= self._limit_per_host:
                return QUEUE
            self._used_by[key] = used_by + 1
        self._used = used + 1
        return self.claim(key, now)

    def reuse(self, key: K, now: float) -> L | None:
        """Take a slot if an idle link can be had at once; else take nothing and return None."""
        links = self._idle.get(key)
        if not links or (self._limit and self._used >= self._limit):
            return None
        if self._limit_per_host:
            used_by = self._used_by.get(key, 0)
            if used_by >= self._limit_per_host:
                return None
            link = self._take_idle(links, now)
            if link is not None:
                self._used_by[key] = used_by + 1
        else:
            link = self._take_idle(links, now)
        if link is not None:
            self._used += 1
        return link

    def claim(self, key: K, now: float) -> L | Verdict:
        """With a slot in hand: return an idle link, or DIAL."""
        links = self._idle.get(key)
        link = self._take_idle(links, now) if links else None
        return DIAL if link is None else link

    def _take_idle(self, links: list[tuple[L, float]], now: float) -> L | None:
        oldest = now - self.keepalive
        while links:
            link, since = links.pop()
            self._idle_count -= 1
            if since >= oldest and link.reusable:
                return link
            self._stale.append(link)
        return None

    def release(self, key: K, link: L | None, now: float) -> W | None:
        """Give a slot back, with the link if it can be used again; return the waiter that inherits the slot."""
        if link is not None:
            links = self._idle.get(key)
            if links is None:
                self._idle[key] = [(link, now)]
            else:
                links.append((link, now))
            self._idle_count += 1
            if self._idle_count > IDLE_LIMIT:
                self._evict()
        self._used -= 1
        if self._limit_per_host:
            self._free_host(key)
        return self._grant() if self._ready else None

    def _free_host(self, key: K) -> None:
        left = self._used_by[key] - 1
        if left:
            self._used_by[key] = left
        else:
            del self._used_by[key]
        queue = self._blocked.pop(key, None)
        if queue is not None:
            self._ready[key] = queue

    def _grant(self) -> W | None:
        """Pass a free slot on to the next waiter."""
        if self._limit and self._used >= self._limit:
            return None
        key, queue = next(iter(self._ready.items()))
        waiter = queue.popleft()
        del self._ready[key]
        self._used += 1
        full = False
        if self._limit_per_host:
            used_by = self._used_by[key] = self._used_by.get(key, 0) + 1
            full = used_by >= self._limit_per_host
        if queue:
            # The key goes to the end of the line, or aside while its host is full.
            (self._blocked if full else self._ready)[key] = queue
        return waiter

    # ---- waiters

    def enqueue(self, key: K, waiter: W) -> None:
        """Add a waiter for a slot."""
        queue = self._ready.get(key) or self._blocked.get(key)
        if queue is not None:
            queue.append(waiter)
            return
        full = self._limit_per_host and self._used_by.get(key, 0) >= self._limit_per_host
        (self._blocked if full else self._ready)[key] = deque((waiter,))

    def withdraw(self, key: K, waiter: W) -> bool:
        """Remove a waiter; return False when it was not queued, which means that it was granted a slot."""
        for queues in (self._ready, self._blocked):
            queue = queues.get(key)
            if queue is not None and waiter in queue:
                queue.remove(waiter)
                if not queue:
                    del queues[key]
                return True
        return False

    def waiters(self) -> list[W]:
        """Remove and return all waiters."""
        found = [waiter for queues in (self._ready, self._blocked) for queue in queues.values() for waiter in queue]
        self._ready.clear()
        self._blocked.clear()
        return found

    # ---- idle links

    def expire(self, now: float) -> float | None:
        """Make the links that were idle for too long stale; return when to look again, None when none is left."""
        deadline = now - self.keepalive
        oldest: float | None = None
        for key in list(self._idle):
            links = self._idle[key]
            kept = [(link, since) for link, since in links if since > deadline and link.reusable]
            if len(kept) != len(links):
                self._stale.extend(link for link, since in links if not (since > deadline and link.reusable))
                self._idle_count -= len(links) - len(kept)
            if kept:
                self._idle[key] = kept
                if oldest is None or kept[0][1] < oldest:
                    oldest = kept[0][1]
            else:
                del self._idle[key]
        return None if oldest is None else oldest + self.keepalive

    def drop_idle(self) -> None:
        """Make all idle links stale."""
        self._stale.extend(link for _, link in self.idle())
        self._idle.clear()
        self._idle_count = 0

    def _evict(self) -> None:
        # Keys stand in the order in which they were first used, which is close enough to the order of age.
        links = next(links for links in self._idle.values() if links)
        self._stale.append(links.pop(0)[0])
        self._idle_count -= 1

    def stale(self) -> list[L]:
        """Hand over the links that are to be closed."""
        if not self._stale:
            return []
        stale, self._stale = self._stale, []
        return stale
