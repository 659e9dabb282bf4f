"""wire.pool: limits, turns, idle links; examples first, then whatever hypothesis comes up with."""

from __future__ import annotations

import gc
import itertools
from collections import Counter
from typing import Any

import pytest

from fairlead.wire import pool as pool_module
from fairlead.wire.pool import DIAL, QUEUE, Host, Pool


class Link:
    """A link that lives until the test says otherwise."""

    def __init__(self, name: object = "") -> None:
        self.name = name
        self.reusable = True

    def __repr__(self) -> str:
        return f"<Link {self.name}>"


TestPool = Pool[str, Link, Any]


def pool(limit: int = 0, limit_per_host: int = 0, keepalive: float = 10.0) -> TestPool:
    return Pool(limit, limit_per_host, keepalive)


def filled(pool: TestPool, key: str, *links: Link, now: float = 0.0) -> Host[str, Link, Any]:
    """Put idle links into a pool."""
    host = pool.host(key)
    for link in links:
        give(pool, host, link, now)
    return host


def give(pool: TestPool, host: Host[str, Link, Any], link: Link, now: float) -> None:
    """Give a link back whose slot nobody has counted."""
    pool._used += 1
    host.used += 1
    assert pool.release(host, link, now) is None


# ---- examples


def test_a_slot_without_an_idle_link_means_to_dial() -> None:
    p = pool(limit=2)
    host = p.host("a")
    assert p.reuse(host, 0.0) is None
    assert p.acquire(host, 0.0) is DIAL
    assert (p.used, host.used, p.idle_count) == (1, 1, 0)
    assert p.release(host, None, 0.0) is None
    assert (p.used, host.used, p.idle_count) == (0, 0, 0)


def test_the_link_used_last_is_taken_first() -> None:
    p = pool()
    one, two = Link(1), Link(2)
    host = filled(p, "a", one, two)
    assert p.idle_count == 2
    assert p.reuse(host, 1.0) is two
    assert p.acquire(host, 1.0) is one
    assert p.acquire(host, 1.0) is DIAL
    assert p.idle_count == 0


def test_links_of_other_keys_are_not_taken() -> None:
    p = pool()
    filled(p, "a", Link())
    assert p.reuse(p.host("b"), 1.0) is None
    assert p.acquire(p.host("b"), 1.0) is DIAL
    assert list(p.idle()) != []


@pytest.mark.parametrize("take", ["reuse", "acquire"])
def test_dead_and_old_links_are_passed_over_and_handed_out_to_be_closed(take: str) -> None:
    p = pool(keepalive=10.0)
    old, dead, good = Link("old"), Link("dead"), Link("good")
    host = p.host("a")
    for link, now in ((old, 0.0), (good, 5.0), (dead, 6.0)):
        give(p, host, link, now)
    dead.reusable = False
    assert getattr(p, take)(host, 15.0) is good
    assert p.stale() == [dead]
    assert getattr(p, take)(host, 15.0) in (None, DIAL)
    assert p.stale() == [old]
    assert p.stale() == []


def test_thousands_of_dead_links_are_no_problem() -> None:
    p = pool()
    links = [Link(n) for n in range(5000)]
    host = filled(p, "a", *links)
    for link in links:
        link.reusable = False
    assert p.reuse(host, 1.0) is None
    assert len(p.stale()) == 5000
    assert p.idle_count == 0


def test_the_limits_count_slots() -> None:
    p = pool(limit=3, limit_per_host=2)
    a, b = p.host("a"), p.host("b")
    assert [p.available(a), p.available(b)] == [2, 2]
    assert [p.acquire(a, 0.0) for _ in range(3)] == [DIAL, DIAL, QUEUE]
    assert [p.available(a), p.available(b)] == [0, 1]
    assert [p.acquire(b, 0.0) for _ in range(2)] == [DIAL, QUEUE]
    assert (p.used, p.limit, p.limit_per_host) == (3, 3, 2)


def test_no_link_is_taken_beyond_the_limits() -> None:
    p = pool(limit=1)
    host = filled(p, "a", Link())
    p.acquire(p.host("b"), 0.0)
    assert p.reuse(host, 0.0) is None
    q = pool(limit_per_host=1)
    host = filled(q, "a", Link())
    host.used += 1
    assert q.reuse(host, 0.0) is None


def test_no_limit_means_no_queue() -> None:
    p = pool()
    host = p.host("a")
    assert all(p.acquire(host, 0.0) is DIAL for _ in range(1000))


def test_waiters_of_one_key_are_served_in_order() -> None:
    p = pool(limit=1)
    host = p.host("a")
    p.acquire(host, 0.0)
    for waiter in "xyz":
        p.enqueue(host, waiter)
    assert p.waiting == 3
    assert [p.release(host, None, 0.0) for _ in range(4)] == ["x", "y", "z", None]
    assert (p.used, p.waiting) == (0, 0)


def test_keys_take_turns() -> None:
    p = pool(limit=1)
    a = p.host("a")
    p.acquire(a, 0.0)
    for n in range(3):
        p.enqueue(a, f"a{n}")
    for key in "bc":
        p.enqueue(p.host(key), f"{key}0")
    order = []
    key = "a"
    while (waiter := p.release(p.host(key), None, 0.0)) is not None:
        order.append(waiter)
        key = waiter[0]
    assert order == ["a0", "b0", "c0", "a1", "a2"]


def test_a_host_at_its_own_limit_does_not_hold_up_the_others() -> None:
    p = pool(limit=2, limit_per_host=1)
    a, b, c = p.host("a"), p.host("b"), p.host("c")
    p.acquire(a, 0.0)
    p.acquire(b, 0.0)
    p.enqueue(a, "a1")
    p.enqueue(c, "c1")
    assert p.release(b, None, 0.0) == "c1"
    assert p.release(c, None, 0.0) is None
    assert p.acquire(b, 0.0) is DIAL  # a1 can not use the free slot
    assert p.release(a, None, 0.0) == "a1"


def test_a_host_that_was_served_up_to_its_limit_waits_again() -> None:
    p = pool(limit_per_host=1)
    a, b = p.host("a"), p.host("b")
    p.acquire(a, 0.0)
    p.enqueue(a, "x")
    p.enqueue(a, "y")
    assert p.release(a, None, 0.0) == "x"
    p.acquire(b, 0.0)
    assert p.release(b, None, 0.0) is None  # y can not use what b gives back
    assert p.release(a, None, 0.0) == "y"


def test_a_link_given_back_is_there_for_the_waiter() -> None:
    p = pool(limit=1)
    host, link = p.host("a"), Link()
    p.acquire(host, 0.0)
    p.enqueue(host, "w")
    assert p.release(host, link, 1.0) == "w"
    assert p.claim(host, 1.0) is link
    assert p.used == 1


def test_a_waiter_can_withdraw_until_it_is_served() -> None:
    p = pool(limit=1)
    a, b = p.host("a"), p.host("b")
    p.acquire(a, 0.0)
    for host, waiter in ((a, "x"), (a, "y"), (b, "z")):
        p.enqueue(host, waiter)
    assert p.withdraw(a, "y")
    assert not p.withdraw(a, "y")
    assert p.withdraw(b, "z")
    assert p.release(a, None, 0.0) == "x"
    assert not p.withdraw(a, "x")  # it has a slot, and must give it back
    assert p.release(a, None, 0.0) is None
    assert (p.used, p.waiting) == (0, 0)


def test_all_waiters_are_handed_over_at_once() -> None:
    p = pool(limit=1, limit_per_host=1)
    a, b = p.host("a"), p.host("b")
    p.acquire(a, 0.0)
    for host, waiter in ((a, "x"), (a, "y"), (b, "z")):
        p.enqueue(host, waiter)
    assert sorted(p.waiters()) == ["x", "y", "z"]
    assert p.waiters() == []
    assert p.release(a, None, 0.0) is None


def test_idle_links_expire_and_say_when_to_look_again() -> None:
    p = pool(keepalive=10.0)
    one, two, three = Link(1), Link(2), Link(3)
    filled(p, "a", one, now=0.0)
    filled(p, "a", two, now=4.0)
    filled(p, "b", three, now=6.0)
    assert p.expire(9.0) == 10.0
    assert p.stale() == []
    assert p.expire(10.0) == 14.0
    assert p.stale() == [one]
    three.reusable = False
    assert p.expire(11.0) == 14.0
    assert p.stale() == [three]
    assert p.expire(14.0) is None
    assert p.stale() == [two]
    assert p.idle_count == 0


def test_dropping_idle_links_hands_all_of_them_over() -> None:
    p = pool()
    links = [Link(n) for n in range(4)]
    filled(p, "a", *links[:2])
    filled(p, "b", *links[2:])
    p.drop_idle()
    assert (p.idle_count, list(p.idle())) == (0, [])
    assert p.stale() == links
    again = filled(p, "a", links[0])
    assert p.reuse(again, 0.0) is links[0]


def test_the_number_of_hosts_with_idle_links_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "IDLE_HOSTS", 3)
    p = pool()
    links = [Link(n) for n in range(5)]
    for n, link in enumerate(links):
        filled(p, f"host {n}", link)
    assert [link for _, link in p.idle()] == links[2:]
    assert p.stale() == links[:2]
    filled(p, "host 0", links[0])
    assert [link for _, link in p.idle()] == [*links[3:], links[0]]


def test_hosts_that_nobody_holds_are_forgotten() -> None:
    p = pool(keepalive=1.0)
    for n in range(100):
        filled(p, f"host {n}", Link(n))
    assert p.host("host 0") is p.host("host 0")
    p.expire(5.0)
    p.stale()
    gc.collect()
    assert len(p._hosts) == 0


# ---- whatever comes

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule  # noqa: E402

KEYS = st.sampled_from("abc")


class PoolMachine(RuleBasedStateMachine):
    """A pool beside a plain account of who has what."""

    @initialize(limit=st.integers(0, 4), per_host=st.integers(0, 3), keepalive=st.sampled_from([0.0, 3.0, 100.0]))
    def start(self, limit: int, per_host: int, keepalive: float) -> None:
        self.pool: TestPool = Pool(limit, per_host, keepalive)
        self.now = 0.0
        self.names = itertools.count()
        self.held: list[tuple[Host[str, Link, Any], Link]] = []  # slots in use; who has one holds on to its host
        self.queued: list[tuple[Host[str, Link, Any], int]] = []  # waiters, in order of arrival
        self.idle: dict[Link, tuple[str, float]] = {}
        self.closed: set[Link] = set()

    # what the owner of the pool does

    def take(self, host: Host[str, Link, Any], found: Any) -> None:
        """Use a slot, with the link that the pool gave or a new one."""
        key = host.key
        if found is DIAL:
            assert not self.usable(key), "an idle link was overlooked"
            found = Link(next(self.names))
        else:
            assert self.idle.pop(found)[0] == key
            assert found.reusable
        self.held.append((host, found))
        self.collect()

    def collect(self) -> None:
        for link in self.pool.stale():
            assert link not in self.closed
            _, since = self.idle.pop(link)
            assert not link.reusable or since + self.pool.keepalive <= self.now, "a good link was closed"
            self.closed.add(link)

    def usable(self, key: str) -> list[Link]:
        return [
            link
            for link, (owner, since) in self.idle.items()
            if owner == key and link.reusable and since + self.pool.keepalive >= self.now
        ]

    def free(self, key: str) -> bool:
        mine = sum(host.key == key for host, _ in self.held)
        return (not self.pool.limit or len(self.held) < self.pool.limit) and (
            not self.pool.limit_per_host or mine < self.pool.limit_per_host
        )

    @rule(key=KEYS)
    def acquire(self, key: str) -> None:
        host = self.pool.host(key)
        found = self.pool.acquire(host, self.now)
        if found is QUEUE:
            assert not self.free(key)
            waiter = next(self.names)
            self.pool.enqueue(host, waiter)
            self.queued.append((host, waiter))
        else:
            assert self.free(key)
            self.take(host, found)

    @rule(key=KEYS)
    def reuse(self, key: str) -> None:
        expected = bool(self.usable(key)) and self.free(key)
        host = self.pool.host(key)
        found = self.pool.reuse(host, self.now)
        assert (found is not None) == expected
        if found is not None:
            self.take(host, found)
        self.collect()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), keep=st.booleans())
    def release(self, data: st.DataObject, keep: bool) -> None:
        host, link = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        keep = keep and link.reusable
        if keep:
            self.idle[link] = (host.key, self.now)
        else:
            self.closed.add(link)
        waiter = self.pool.release(host, link if keep else None, self.now)
        ready = [entry for entry in self.queued if self.free(entry[0].key)]
        if waiter is None:
            assert not ready, "a waiter was left behind"
            return
        entry = next(entry for entry in self.queued if entry[1] == waiter)
        assert entry in ready
        assert entry == next(other for other in self.queued if other[0] == entry[0]), "not in order"
        self.queued.remove(entry)
        self.take(entry[0], self.pool.claim(entry[0], self.now))

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        host, waiter = self.queued.pop(data.draw(st.integers(0, len(self.queued) - 1)))
        assert self.pool.withdraw(host, waiter)
        assert not self.pool.withdraw(host, waiter)

    @precondition(lambda self: self.idle)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(list(self.idle))).reusable = False

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        again = self.pool.expire(self.now)
        self.collect()
        assert all(link.reusable and since + self.pool.keepalive > self.now for link, (_, since) in self.idle.items())
        oldest = min((since for _, since in self.idle.values()), default=None)
        assert again == (None if oldest is None else oldest + self.pool.keepalive)

    @rule()
    def close(self) -> None:
        waiters = self.pool.waiters()
        assert Counter(waiters) == Counter(waiter for _, waiter in self.queued)
        self.queued.clear()
        self.pool.drop_idle()
        assert Counter(self.pool.stale()) == Counter(list(self.idle))
        self.closed.update(self.idle)
        self.idle.clear()

    @invariant()
    def the_accounts_agree(self) -> None:
        if not hasattr(self, "pool"):
            return
        assert self.pool.used == len(self.held)
        assert self.pool.waiting == len(self.queued)
        assert self.pool.idle_count == len(self.idle)
        assert {link for _, link in self.pool.idle()} == set(self.idle)
        assert not self.pool.limit or self.pool.used <= self.pool.limit
        for key in "abc":
            host = self.pool.host(key)
            assert host.used == sum(holder.key == key for holder, _ in self.held)
            assert not self.pool.limit_per_host or host.used <= self.pool.limit_per_host
            assert bool(self.pool.available(host)) == self.free(key)
        for host, _ in self.queued:
            assert not self.free(host.key), "somebody waits for what is free"

    def teardown(self) -> None:
        """Everybody is served in the end."""
        while getattr(self, "held", None):
            host, link = self.held.pop()
            self.closed.add(link)
            waiter = self.pool.release(host, None, self.now)
            if waiter is not None:
                entry = next(entry for entry in self.queued if entry[1] == waiter)
                self.queued.remove(entry)
                self.take(entry[0], self.pool.claim(entry[0], self.now))
        if hasattr(self, "pool"):
            assert not self.queued
            assert self.pool.used == 0


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = hypothesis.settings(stateful_step_count=30)
