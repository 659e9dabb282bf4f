"""Connection pool: pure bookkeeping.  It opens nothing, closes nothing, waits for nothing; it says what to do.

A slot is the right to have one connection in use.  `acquire(host)` takes a slot and answers with an idle link, or DIAL
(open a connection yourself), or QUEUE (no slot: enqueue a waiter).  `release(host, link)` gives a slot back and answers
with the waiter that inherits it, if any; the waiter then calls `claim(host)`.

A `Host` holds what belongs to one key; it lives as long as somebody refers to it (a link, a request, a session's memory
of a server), so the pool does not grow with the number of hosts that were ever visited.

Limits: `limit` slots in all, `limit_per_host` for each key (0: no limit), IDLE_HOSTS hosts with idle links.
Waiters of one key are served in order; keys take turns.  The most recently used idle link is taken first: it is the
one most likely to be alive, and the rest can grow old and be closed.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Hashable, Iterator
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

IDLE_HOSTS: Final = 10_000
"""Hosts with idle links in one pool; beyond it the links of the host that became idle first are closed."""


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


class Host(Generic[K, L, W]):
    """What a pool knows of one key."""

    __slots__ = ("__weakref__", "idle", "key", "listed", "used", "waiters")

    def __init__(self, key: K) -> None:
        self.key = key
        self.idle: list[tuple[L, float]] = []  # links and since when they are idle, the youngest last
        self.used = 0  # slots in use
        self.waiters: deque[W] = deque()
        self.listed = False  # among those that the pool looks at for idle links

    def __repr__(self) -> str:
        return f"<Host {self.key!r} idle={len(self.idle)} used={self.used} waiters={len(self.waiters)}>"


class Pool(Generic[K, L, W]):
    """Slots, idle links and waiters."""

    __slots__ = (
        "_blocked",
        "_ceiling",
        "_ceiling_per_host",
        "_hosts",
        "_idle_hosts",
        "_limit",
        "_limit_per_host",
        "_ready",
        "_stale",
        "_used",
        "keepalive",
    )

    def __init__(self, limit: int, limit_per_host: int, keepalive: float) -> None:
        self._limit = limit
        self._limit_per_host = limit_per_host
        self._ceiling = limit or sys.maxsize
        self._ceiling_per_host = limit_per_host or sys.maxsize
        self.keepalive = keepalive  # seconds that a link may be idle
        self._hosts: weakref.WeakValueDictionary[K, Host[K, L, W]] | None = None  # made with the first of them
        self._idle_hosts: dict[Host[K, L, W], None] = {}  # that have had an idle link since the last `expire`
        self._used = 0
        self._ready: dict[Host[K, L, W], None] = {}  # with waiters that the next free slot can serve
        self._blocked: set[Host[K, L, W]] = set()  # with waiters, and at its own limit
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
        return sum(len(host.waiters) for host in (*self._ready, *self._blocked))

    @property
    def idle_count(self) -> int:
        """Idle links in all."""
        return sum(len(host.idle) for host in self._idle_hosts)

    def host(self, key: K) -> Host[K, L, W]:
        """Return the host of a key, the same as long as somebody holds it."""
        hosts = self._hosts
        if hosts is None:
            hosts = self._hosts = weakref.WeakValueDictionary()
        host = hosts.get(key)
        if host is None:
            host = hosts[key] = Host(key)
        return host

    def idle(self) -> Iterator[tuple[K, L]]:
        """Iterate over the idle links."""
        for host in self._idle_hosts:
            for link, _ in host.idle:
                yield host.key, link

    def available(self, host: Host[K, L, W]) -> int:
        """Slots that requests for this host could take now."""
        return max(0, min(self._ceiling - self._used, self._ceiling_per_host - host.used))

    # ---- slots

    def reuse(self, host: Host[K, L, W], now: float) -> L | None:
        """Take a slot if an idle link can be had at once; else take nothing and return None."""
        idle = host.idle
        if idle and self._used < self._ceiling and host.used < self._ceiling_per_host:
            while idle:
                link, since = idle.pop()
                if since + self.keepalive >= now and link.reusable:
                    self._used += 1
                    host.used += 1
                    return link
                self._stale.append(link)
        return None

    def acquire(self, host: Host[K, L, W], now: float) -> L | Verdict:
        """Take a slot, with an idle link where there is one."""
        if not self.available(host):
            return QUEUE
        self._used += 1
        host.used += 1
        return self.claim(host, now)

    def claim(self, host: Host[K, L, W], now: float) -> L | Verdict:
        """With a slot in hand: return an idle link, or DIAL."""
        while host.idle:
            link, since = host.idle.pop()
            if since + self.keepalive >= now and link.reusable:
                return link
            self._stale.append(link)
        return DIAL

    def release(self, host: Host[K, L, W], link: L | None, now: float) -> W | None:
        """Give a slot back, with the link if it can be used again; return the waiter that inherits the slot."""
        if link is not None:
            host.idle.append((link, now))
            if not host.listed:
                self._list(host)
        self._used -= 1
        host.used -= 1
        if self._blocked and host in self._blocked:
            self._blocked.discard(host)
            self._ready[host] = None
        return self._grant() if self._ready else None

    def _list(self, host: Host[K, L, W]) -> None:
        """Look at a host from now on; where there are too many, give up on the one that was listed first."""
        host.listed = True
        self._idle_hosts[host] = None
        if len(self._idle_hosts) > IDLE_HOSTS:
            oldest = next(iter(self._idle_hosts))
            del self._idle_hosts[oldest]
            oldest.listed = False
            self._stale.extend(link for link, _ in oldest.idle)
            oldest.idle.clear()

    def _grant(self) -> W | None:
        """Pass a free slot on to the next waiter."""
        if self._limit and self._used >= self._limit:
            return None
        host = next(iter(self._ready))
        del self._ready[host]
        waiter = host.waiters.popleft()
        self._used += 1
        host.used += 1
        if host.waiters:
            self._line_up(host)
        return waiter

    def _line_up(self, host: Host[K, L, W]) -> None:
        """Put a host with waiters at the end of the line, or aside while it is at its own limit."""
        if self._limit_per_host and host.used >= self._limit_per_host:
            self._blocked.add(host)
        else:
            self._ready[host] = None

    # ---- waiters

    def enqueue(self, host: Host[K, L, W], waiter: W) -> None:
        """Add a waiter for a slot."""
        host.waiters.append(waiter)
        if len(host.waiters) == 1:
            self._line_up(host)

    def withdraw(self, host: Host[K, L, W], waiter: W) -> bool:
        """Remove a waiter; return False when it was not queued, which means that it was granted a slot."""
        try:
            host.waiters.remove(waiter)
        except ValueError:
            return False
        if not host.waiters:
            self._ready.pop(host, None)
            self._blocked.discard(host)
        return True

    def waiters(self) -> list[W]:
        """Remove and return all waiters."""
        hosts = [*self._ready, *self._blocked]
        found = [waiter for host in hosts for waiter in host.waiters]
        for host in hosts:
            host.waiters.clear()
        self._ready.clear()
        self._blocked.clear()
        return found

    # ---- idle links

    def expire(self, now: float) -> float | None:
        """Make the links that were idle for too long stale; return when to look again, None when none is left."""
        oldest: float | None = None
        for host in list(self._idle_hosts):
            kept = [(link, since) for link, since in host.idle if since + self.keepalive > now and link.reusable]
            if len(kept) != len(host.idle):
                keeping = {id(link) for link, _ in kept}
                self._stale.extend(link for link, _ in host.idle if id(link) not in keeping)
                host.idle[:] = kept
            if not kept:
                del self._idle_hosts[host]
                host.listed = False
            elif oldest is None or kept[0][1] < oldest:
                oldest = kept[0][1]
        return None if oldest is None else oldest + self.keepalive

    def drop_idle(self) -> None:
        """Make all idle links stale."""
        for host in self._idle_hosts:
            self._stale.extend(link for link, _ in host.idle)
            host.idle.clear()
            host.listed = False
        self._idle_hosts.clear()

    def stale(self) -> list[L]:
        """Hand over the links that are to be closed."""
        if not self._stale:
            return []
        stale, self._stale = self._stale, []
        return stale
