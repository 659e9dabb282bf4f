"""wire.dns: resolvers, the cache, and the query that concurrent callers share."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fairlead.errors import ClientConnectionError
from fairlead.wire import dns
from fairlead.wire.dns import (
    AbstractResolver,
    AsyncResolver,
    HostLookup,
    ResolveResult,
    ThreadedResolver,
    is_numeric_host,
    make_default_resolver,
    rotated,
)


def result(host: str, port: int = 80, hostname: str = "h") -> ResolveResult:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return ResolveResult(hostname=hostname, host=host, port=port, family=family, proto=0, flags=0)


class FakeResolver(AbstractResolver):
    """Answers when ``gate`` is open; counts what was asked and cancelled."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers) or ["10.0.0.1"]
        self.asked: list[tuple[str, int, int]] = []
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        self.asked.append((host, port, family))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(answer, Exception):
            raise answer
        return [result(address, port, host) for address in answer.split()]

    async def close(self) -> None:
        pass


class Notes:
    """A trace that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def send_dns_cache_hit(self, host: str) -> None:
        self.heard.append(f"hit {host}")

    async def send_dns_cache_miss(self, host: str) -> None:
        self.heard.append(f"miss {host}")

    async def send_dns_resolvehost_start(self, host: str) -> None:
        self.heard.append(f"start {host}")

    async def send_dns_resolvehost_end(self, host: str) -> None:
        self.heard.append(f"end {host}")


class Clock:
    """The loop of a test with hands that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self.now

    def create_task(self, coro: Any) -> Any:
        return self.loop.create_task(coro)


def lookup_with(resolver: FakeResolver, clock: Any = None, **options: Any) -> HostLookup:
    return HostLookup(resolver, clock or asyncio.get_running_loop(), **options)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# --- Numeric hosts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "255.255.255.255", "::1", "fe80::1%eth0", "::ffff:1.2.3.4"])
def test_addresses_are_numeric(host: str) -> None:
    assert is_numeric_host(host)


@pytest.mark.parametrize("host", ["localhost", "1.2.3", "127.1", "256.1.1.1", "01.2.3.4", "1.2.3.4.example", "", "a1"])
def test_names_are_not_numeric(host: str) -> None:
    assert not is_numeric_host(host)


async def test_a_numeric_host_is_its_own_answer_and_no_trace_hears_of_it() -> None:
    resolver, notes = FakeResolver(), Notes()
    answer = await lookup_with(resolver).resolve("127.0.0.1", 80, [notes])
    assert answer == [
        ResolveResult(hostname="127.0.0.1", host="127.0.0.1", port=80, family=socket.AF_UNSPEC, proto=0, flags=0)
    ]
    assert resolver.asked == []
    assert notes.heard == []


# --- The cache --------------------------------------------------------------------------------------------------------


async def test_an_answer_is_cached_for_its_time_and_traces_hear_of_it() -> None:
    resolver, notes, clock = FakeResolver(), Notes(), Clock()
    lookup = lookup_with(resolver, clock, ttl=10)
    first = await lookup.resolve("h", 80, [notes])
    assert notes.heard == ["miss h", "start h", "end h"]
    notes.heard.clear()
    clock.now = 9.9
    assert lookup.holds("h", 80)
    assert await lookup.resolve("h", 80, [notes]) == first
    assert notes.heard == ["hit h"]
    clock.now = 10.0
    assert not lookup.holds("h", 80)
    await lookup.resolve("h", 80)
    assert len(resolver.asked) == 2


async def test_without_a_time_to_live_an_answer_stays_until_it_is_dropped() -> None:
    resolver, clock = FakeResolver(), Clock()
    lookup = lookup_with(resolver, clock, ttl=None)
    await lookup.resolve("h", 80)
    clock.now = 1e9
    await lookup.resolve("h", 80)
    assert len(resolver.asked) == 1
    lookup.forget("h", 80)
    await lookup.resolve("h", 80)
    assert len(resolver.asked) == 2
    lookup.clear()
    await lookup.resolve("h", 80)
    assert len(resolver.asked) == 3


async def test_hosts_are_cached_by_name_and_port() -> None:
    resolver = FakeResolver()
    lookup = lookup_with(resolver, family=socket.AF_INET6)
    await lookup.resolve("h", 80)
    await lookup.resolve("h", 81)
    await lookup.resolve("g", 80)
    assert resolver.asked == [("h", 80, socket.AF_INET6), ("h", 81, socket.AF_INET6), ("g", 80, socket.AF_INET6)]


async def test_of_too_many_answers_the_one_unused_for_longest_goes() -> None:
    resolver = FakeResolver()
    lookup = lookup_with(resolver, max_size=2)
    for host in ("a", "b", "a", "c"):
        await lookup.resolve(host, 80)
    assert [host for host in "abc" if lookup.holds(host, 80)] == ["a", "c"]


@pytest.mark.parametrize("options", [{"use_cache": False}, {"max_size": 0}, {"ttl": 0}])
async def test_a_cache_that_is_off_asks_each_time(options: dict[str, Any]) -> None:
    resolver = FakeResolver()
    lookup = lookup_with(resolver, **options)
    await lookup.resolve("h", 80)
    await lookup.resolve("h", 80)
    assert len(resolver.asked) == 2


async def test_a_failure_is_not_cached() -> None:
    resolver = FakeResolver(OSError(None, "no such name"), "10.0.0.1")
    lookup, notes = lookup_with(resolver), Notes()
    with pytest.raises(OSError, match="no such name"):
        await lookup.resolve("h", 80, [notes])
    assert notes.heard == ["miss h", "start h"]
    assert [entry["host"] for entry in await lookup.resolve("h", 80)] == ["10.0.0.1"]


async def test_cached_addresses_take_turns() -> None:
    lookup = lookup_with(FakeResolver("10.0.0.1 10.0.0.2 10.0.0.3"))
    seen = [(await lookup.resolve("h", 80))[0]["host"] for _ in range(5)]
    assert seen == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.2"]


def test_addresses_take_turns_within_their_family_only() -> None:
    given = [result(host) for host in ("::1", "10.0.0.1", "::2", "10.0.0.2", "10.0.0.3")]
    assert [entry["host"] for entry in rotated(given, 1)] == ["::2", "10.0.0.2", "::1", "10.0.0.3", "10.0.0.1"]


async def test_a_caller_may_change_its_answer_without_harm_to_the_cache() -> None:
    lookup = lookup_with(FakeResolver("10.0.0.1 10.0.0.2"))
    (await lookup.resolve("h", 80)).clear()
    assert len(await lookup.resolve("h", 80)) == 2


# --- The shared query -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def waiting_callers(lookup: HostLookup, resolver: FakeResolver, count: int, notes: list[Notes]) -> Any:
    resolver.gate.clear()
    tasks = [asyncio.create_task(lookup.resolve("h", 80, [trace])) for trace in notes[:count]]
    await turns()
    yield tasks
    await turns()


async def test_concurrent_callers_share_one_query() -> None:
    resolver, notes = FakeResolver(), [Notes() for _ in range(3)]
    async with waiting_callers(lookup_with(resolver), resolver, 3, notes) as tasks:
        resolver.gate.set()
        answers = await asyncio.gather(*tasks)
    assert len(resolver.asked) == 1
    assert answers[0] == answers[1] == answers[2]
    assert [trace.heard for trace in notes] == [["miss h", "start h", "end h"], ["hit h"], ["hit h"]]


async def test_a_failure_reaches_all_callers() -> None:
    resolver, notes = FakeResolver(OSError(None, "no such name")), [Notes(), Notes()]
    async with waiting_callers(lookup_with(resolver), resolver, 2, notes) as tasks:
        resolver.gate.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["[Errno None] no such name"] * 2


async def test_a_cancelled_caller_leaves_the_query_to_the_others() -> None:
    resolver, notes = FakeResolver(), [Notes(), Notes()]
    async with waiting_callers(lookup_with(resolver), resolver, 2, notes) as tasks:
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        resolver.gate.set()
        assert [entry["host"] for entry in await tasks[1]] == ["10.0.0.1"]
    assert resolver.cancelled == 0


async def test_the_last_caller_to_leave_cancels_the_query_and_the_next_one_starts_anew() -> None:
    resolver, notes = FakeResolver(), [Notes(), Notes()]
    lookup = lookup_with(resolver)
    async with waiting_callers(lookup, resolver, 2, notes) as tasks:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        # No turn of the loop between: the cancelled query has not ended yet, and is not joined.
        late = asyncio.create_task(lookup.resolve("h", 80))
        resolver.gate.set()
        assert [entry["host"] for entry in await late] == ["10.0.0.1"]
    assert resolver.cancelled == 1
    assert len(resolver.asked) == 2


async def test_closing_ends_queries_with_an_error_that_is_no_cancellation() -> None:
    resolver, notes = FakeResolver(), [Notes(), Notes()]
    lookup = lookup_with(resolver)
    async with waiting_callers(lookup, resolver, 2, notes) as tasks:
        lookup.close()
        for task in tasks:
            with pytest.raises(ClientConnectionError, match="Connector is closed: the lookup of 'h' was abandoned"):
                await task


@pytest.mark.parametrize("tick", range(8))
async def test_cancellation_at_any_turn_leaves_nothing_behind(tick: int) -> None:
    resolver = FakeResolver()
    lookup = lookup_with(resolver)
    task = asyncio.create_task(lookup.resolve("h", 80, [Notes()]))
    await turns(tick)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    await turns()
    assert [entry["host"] for entry in await lookup.resolve("h", 80)] == ["10.0.0.1"]


# --- The resolvers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def without_aiodns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiodns", None)


async def test_the_threaded_resolver_reports_numeric_addresses() -> None:
    resolver = ThreadedResolver()
    answer = await resolver.resolve("localhost", 80, socket.AF_INET)
    assert {entry["host"] for entry in answer} == {"127.0.0.1"}
    assert {(entry["hostname"], entry["port"], entry["family"]) for entry in answer} == {
        ("localhost", 80, socket.AF_INET)
    }
    await resolver.close()


class InfoLoop:
    """A loop whose getaddrinfo is scripted."""

    def __init__(self, *addresses: tuple[int, Any]) -> None:
        self.addresses = addresses

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        assert options["type"] == socket.SOCK_STREAM
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in self.addresses]


async def test_a_link_local_address_keeps_its_interface() -> None:
    name = socket.if_nameindex()[0][1]
    index = socket.if_nametoindex(name)
    loop: Any = InfoLoop(
        (socket.AF_INET6, ("fe80::1", 80, 0, index)),
        (socket.AF_INET6, ("fe80::2%7", 80, 0, 7)),
        (socket.AF_INET6, ("fe80::3", 80, 0, 2**31 - 1)),
        (socket.AF_INET6, ("2001:db8::1", 80, 0, 0)),
        (socket.AF_INET6, (1, b"no IPv6 here")),
        (socket.AF_INET, ("10.0.0.1", 80)),
    )
    answer = await ThreadedResolver(loop).resolve("h", 80, socket.AF_UNSPEC)  # type: ignore[arg-type]
    assert [entry["host"] for entry in answer] == [
        f"fe80::1%{name}",
        "fe80::2%7",
        "fe80::3%2147483647",
        "2001:db8::1",
        "10.0.0.1",
    ]


async def test_the_threaded_resolver_raises_what_the_system_says() -> None:
    with pytest.raises(socket.gaierror):
        await ThreadedResolver().resolve("", 80)


async def test_without_aiodns_the_error_says_what_to_do(without_aiodns: None) -> None:
    with pytest.raises(RuntimeError, match="Resolver requires aiodns library"):
        AsyncResolver()


def test_the_default_is_asynchronous_where_aiodns_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(dns), "DefaultResolver", raising=False)
    monkeypatch.setattr(dns, "find_spec", lambda name: object())
    assert dns.DefaultResolver is AsyncResolver
    monkeypatch.delitem(vars(dns), "DefaultResolver")
    monkeypatch.setattr(dns, "find_spec", lambda name: None)
    assert dns.DefaultResolver is ThreadedResolver
    monkeypatch.delitem(vars(dns), "DefaultResolver")


async def test_a_loop_that_aiodns_cannot_use_gets_the_threaded_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, loop: Any) -> None:
        raise RuntimeError("aiodns needs a SelectorEventLoop on Windows")

    monkeypatch.setitem(vars(dns), "DefaultResolver", AsyncResolver)
    monkeypatch.setattr(AsyncResolver, "__init__", refuse)
    resolver = make_default_resolver(asyncio.get_running_loop())
    assert type(resolver) is ThreadedResolver


def test_an_unknown_name_of_the_module_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Resolver'"):
        dns.Resolver


class FakeNode:
    def __init__(self, family: int, addr: Any) -> None:
        self.family = family
        self.addr = addr


class FakeQueries:
    """Stands for aiodns.DNSResolver: a scripted answer or error."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.closed = False

    async def getaddrinfo(self, host: str, **options: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self

    @property
    def nodes(self) -> list[FakeNode]:
        return [FakeNode(*entry) for entry in self.answer]

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def async_resolver(monkeypatch: pytest.MonkeyPatch, answer: Any) -> Any:
    aiodns = pytest.importorskip("aiodns")
    monkeypatch.setattr(aiodns, "DNSResolver", lambda *args, **kwargs: FakeQueries(answer))
    resolver = AsyncResolver()
    try:
        yield resolver
    finally:
        await resolver.close()


async def test_the_async_resolver_reports_what_aiodns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(socket.AF_INET6, (b"2001:db8::1", 80, 0, 0)), (socket.AF_INET, (b"10.0.0.1", 80))]
    async with async_resolver(monkeypatch, answer) as resolver:
        found = await resolver.resolve("h", 80, socket.AF_UNSPEC)
    assert [(entry["host"], entry["port"], entry["family"]) for entry in found] == [
        ("2001:db8::1", 80, socket.AF_INET6),
        ("10.0.0.1", 80, socket.AF_INET),
    ]


async def test_the_async_resolver_turns_its_errors_into_oserror(monkeypatch: pytest.MonkeyPatch) -> None:
    aiodns = pytest.importorskip("aiodns")
    async with async_resolver(monkeypatch, aiodns.error.DNSError(4, "Domain name not found")) as resolver:
        with pytest.raises(OSError, match="Domain name not found") as caught:
            await resolver.resolve("h")
    assert caught.value.errno is None


async def test_the_async_resolver_refuses_an_empty_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with async_resolver(monkeypatch, []) as resolver:
        with pytest.raises(OSError, match="DNS lookup failed"):
            await resolver.resolve("h")


async def test_async_resolvers_of_a_loop_share_their_queries_until_the_last_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aiodns = pytest.importorskip("aiodns")
    made: list[FakeQueries] = []

    def make(*args: Any, **kwargs: Any) -> FakeQueries:
        made.append(FakeQueries([]))
        return made[-1]

    monkeypatch.setattr(aiodns, "DNSResolver", make)
    one, other, own = AsyncResolver(), AsyncResolver(), AsyncResolver(nameservers=["127.0.0.1"])
    assert len(made) == 2
    await one.close()
    await one.close()
    await own.close()
    assert [queries.closed for queries in made] == [False, True]
    await other.close()
    assert [queries.closed for queries in made] == [True, True]
    third = AsyncResolver()
    assert len(made) == 3
    await third.close()


async def test_the_real_async_resolver_knows_localhost() -> None:
    pytest.importorskip("aiodns")
    resolver = AsyncResolver()
    try:
        answer = await resolver.resolve("localhost", 80, socket.AF_INET)
    finally:
        await resolver.close()
    assert {entry["host"] for entry in answer} == {"127.0.0.1"}
