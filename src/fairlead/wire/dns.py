"""Host names to addresses: the resolvers, and the lookup that caches and shares their answers.

In: a host name and a port. Out: ``ResolveResult`` dictionaries in the resolver's order. Numeric hosts need no lookup.

``HostLookup`` keeps answers for ``ttl`` seconds and the ``max_size`` hosts used last. Concurrent callers of one name
share one query: a caller that is cancelled leaves it to the others, the last one to leave cancels it. The addresses of
a cached answer take turns within their family, so that the preference between families (RFC 6724) stays.

``DefaultResolver`` is AsyncResolver where aiodns is installed, else ThreadedResolver; it is looked up when first used.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Any, Protocol, TypedDict
from weakref import WeakKeyDictionary, WeakSet, ref

from ..errors import ClientConnectionError

if TYPE_CHECKING:
    DefaultResolver: type[AbstractResolver]

__all__ = (
    "AbstractResolver",
    "AsyncResolver",
    "DefaultResolver",
    "HostLookup",
    "LookupTrace",
    "ResolveResult",
    "ThreadedResolver",
    "is_numeric_host",
    "make_default_resolver",
)

# What every resolver here reports: host and port are numbers already, so connecting to them asks no resolver again.
_NUMERIC_FLAGS = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

# Only families that this machine has an address for.
_ADDRCONFIG = socket.AI_ADDRCONFIG


class ResolveResult(TypedDict):
    """One address of a host: ``hostname`` as asked, ``host`` numeric, the rest as getaddrinfo has it."""

    hostname: str
    host: str
    port: int
    family: int
    proto: int
    flags: int


class AbstractResolver(ABC):
    """What turns a host name into addresses."""

    @abstractmethod
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``; OSError when there are none."""

    @abstractmethod
    async def close(self) -> None:
        """Give up what the resolver holds."""


class LookupTrace(Protocol):
    """The four moments of a lookup that a trace hears of."""

    async def send_dns_cache_hit(self, host: str) -> None:
        """The answer was there, or another caller is asking for it."""

    async def send_dns_cache_miss(self, host: str) -> None:
        """The resolver has to be asked."""

    async def send_dns_resolvehost_start(self, host: str) -> None:
        """The resolver is asked."""

    async def send_dns_resolvehost_end(self, host: str) -> None:
        """The resolver has answered with addresses."""


def is_numeric_host(host: str) -> bool:
    """Tell whether ``host`` is an IPv6 address or a dotted-decimal IPv4 address (RFC 3986 section 3.2.2)."""
    if ":" in host:
        return True
    if not host[-1:].isdigit():
        return False
    try:
        IPv4Address(host)
    except AddressValueError:
        return False
    return True


def _result(hostname: str, address: str, port: int, family: int, proto: int) -> ResolveResult:
    return ResolveResult(
        hostname=hostname, host=address, port=port, family=family, proto=proto, flags=int(_NUMERIC_FLAGS)
    )


def _with_zone(address: str, scope_id: int) -> str:
    """Add the interface of a link-local address, without which it cannot be connected to (RFC 4007 section 11)."""
    if not scope_id or "%" in address:
        return address
    try:
        return f"{address}%{socket.if_indextoname(scope_id)}"
    except OSError:
        return f"{address}%{scope_id}"


class ThreadedResolver(AbstractResolver):
    """Asks the system's getaddrinfo, in a thread of the loop's executor."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Take the running loop unless one is given; RuntimeError when there is none."""
        self._loop = loop or asyncio.get_running_loop()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``; OSError (gaierror) when there are none.

        Cancellation returns at once; the thread ends when the system has answered.
        """
        infos = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family, flags=_ADDRCONFIG)
        results: list[ResolveResult] = []
        for found, _, proto, _, address in infos:
            numeric = str(address[0])
            if found == socket.AF_INET6:
                if len(address) < 4:
                    # A Python built without IPv6 gives (number, bytes) here.
                    continue
                numeric = _with_zone(numeric, address[3])
            results.append(_result(host, numeric, int(address[1]), found, proto))
        return results

    async def close(self) -> None:
        """Do nothing: the threads belong to the loop."""


class _SharedQueries:
    """One aiodns resolver for each loop: it has sockets and timers of its own, and a cache worth sharing.

    Its users hold it; here it is only known. One that was held here would live until the interpreter exits, and its
    loop with it, when a single connector was not closed.
    """

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[ref[Any], WeakSet[Any]]] = WeakKeyDictionary()

    def acquire(self, loop: asyncio.AbstractEventLoop, user: AsyncResolver, make: Callable[[], Any]) -> Any:
        known, users = self._by_loop.get(loop, (None, WeakSet[Any]()))
        queries = None if known is None else known()
        if queries is None:
            queries = make()
            self._by_loop[loop] = (ref(queries), users)
        users.add(user)
        return queries

    def release(self, loop: asyncio.AbstractEventLoop, user: AsyncResolver) -> bool:
        """Tell whether ``user`` was the last one, who has to close the resolver."""
        _, users = self._by_loop.get(loop, (None, WeakSet[Any]()))
        users.discard(user)
        if users:
            return False
        self._by_loop.pop(loop, None)
        return True


_shared_queries = _SharedQueries()


class AsyncResolver(AbstractResolver):
    """Asks the name servers itself, by way of aiodns; the loop's resolver is shared unless arguments are given."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, *args: Any, **kwargs: Any) -> None:
        """Pass the arguments on to ``aiodns.DNSResolver``; RuntimeError when aiodns is not installed."""
        try:
            import aiodns
        except ImportError:
            raise RuntimeError("Resolver requires aiodns library: install aiodns, or use ThreadedResolver") from None
        self._loop = loop or asyncio.get_running_loop()
        self._lookup_error: type[Exception] = aiodns.error.DNSError
        self._shared = not args and not kwargs
        if self._shared:
            self._resolver: Any = _shared_queries.acquire(self._loop, self, lambda: aiodns.DNSResolver(loop=self._loop))
        else:
            self._resolver = aiodns.DNSResolver(*args, **{"loop": self._loop, **kwargs})

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``; OSError with the resolver's words when there are none."""
        if sys.platform == "win32" and (host == "localhost" or host.endswith(".localhost")):
            # Windows answers this name itself; it is in no file that c-ares reads.
            return await ThreadedResolver(self._loop).resolve(host, port, family)
        try:
            answer = await self._resolver.getaddrinfo(
                host, port=port, type=socket.SOCK_STREAM, family=family, flags=_ADDRCONFIG
            )
        except self._lookup_error as exc:
            reason = exc.args[1] if len(exc.args) > 1 else "DNS lookup failed"
            raise OSError(None, reason) from exc
        results: list[ResolveResult] = []
        for node in answer.nodes:
            raw, found_port, *rest = node.addr
            numeric = raw.decode("ascii") if isinstance(raw, bytes) else str(raw)
            if node.family == socket.AF_INET6:
                numeric = _with_zone(numeric, rest[1] if len(rest) > 1 else 0)
            results.append(_result(host, numeric, found_port, node.family, 0))
        if not results:
            raise OSError(None, "DNS lookup failed")
        return results

    async def close(self) -> None:
        """Close the aiodns resolver if nobody else of this loop uses it; queries under way fail."""
        queries, self._resolver = self._resolver, None
        if queries is None:
            return
        if self._shared and not _shared_queries.release(self._loop, self):
            return
        await queries.close()


def _default_resolver() -> type[AbstractResolver]:
    return AsyncResolver if find_spec("aiodns") is not None else ThreadedResolver


def __getattr__(name: str) -> Any:
    if name == "DefaultResolver":
        # Looking for an optional package touches the disk; `import fairlead` should not.
        globals()[name] = resolver = _default_resolver()
        return resolver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def make_default_resolver(loop: asyncio.AbstractEventLoop) -> AbstractResolver:
    """Return a DefaultResolver, or a ThreadedResolver on a loop that aiodns cannot work with."""
    resolver_class: type[AbstractResolver] = globals().get("DefaultResolver") or __getattr__("DefaultResolver")
    if resolver_class is AsyncResolver:
        try:
            return AsyncResolver(loop)
        except (RuntimeError, NotImplementedError):
            # The proactor loop of Windows cannot watch the sockets of c-ares.
            return ThreadedResolver(loop)
    if resolver_class is ThreadedResolver:
        return ThreadedResolver(loop)
    return resolver_class()


# --- Cached and shared lookups ----------------------------------------------------------------------------------------

_Key = tuple[str, int]


class _Answer:
    __slots__ = ("expires", "results", "turn")

    def __init__(self, results: list[ResolveResult], expires: float) -> None:
        self.results = results
        self.expires = expires
        self.turn = 0


class _Query:
    __slots__ = ("callers", "task")

    def __init__(self, task: asyncio.Task[list[ResolveResult]]) -> None:
        self.task = task
        self.callers = 0


def rotated(results: Sequence[ResolveResult], turn: int) -> list[ResolveResult]:
    """Return the results with those of each family moved up by ``turn`` places, the pattern of families unchanged."""
    by_family: dict[bool, list[ResolveResult]] = {}
    for result in results:
        by_family.setdefault(":" in result["host"], []).append(result)
    turned = {}
    for is_v6, group in by_family.items():
        start = turn % len(group)
        turned[is_v6] = iter(group[start:] + group[:start])
    return [next(turned[":" in result["host"]]) for result in results]


class HostLookup:
    """The resolver of one connector, with its cache and the queries under way."""

    def __init__(
        self,
        resolver: AbstractResolver | None,
        loop: asyncio.AbstractEventLoop,
        *,
        family: int = socket.AF_UNSPEC,
        use_cache: bool = True,
        ttl: float | None = 10,
        max_size: int = 1000,
    ) -> None:
        """Cache answers for ``ttl`` seconds (None: until they are dropped), at most ``max_size`` of them.

        Without a ``resolver`` the default one is made for the first name; many connectors never ask for one.
        """
        self._resolver = resolver
        self._owns_resolver = resolver is None
        self._closed = False
        self._loop = loop
        self._family = family
        self._use_cache = use_cache
        self._ttl = ttl
        self._max_size = max_size
        self._answers: dict[_Key, _Answer] = {}
        self._queries: dict[_Key, _Query] = {}

    def holds(self, host: str, port: int) -> bool:
        """Tell whether ``resolve`` would answer from the cache."""
        answer = self._answers.get((host, port))
        return answer is not None and answer.expires > self._loop.time()

    def forget(self, host: str, port: int) -> None:
        """Drop the cached answer; the next caller asks the resolver."""
        self._answers.pop((host, port), None)

    def clear(self) -> None:
        """Drop all cached answers."""
        self._answers.clear()

    def close(self) -> None:
        """Drop all answers and cancel all queries; their callers get ClientConnectionError, as do later ones."""
        self._closed = True
        self._answers.clear()
        for query in self._queries.values():
            query.task.cancel()

    async def close_resolver(self) -> None:
        """Close the resolver if it was made here."""
        if self._owns_resolver and self._resolver is not None:
            resolver, self._resolver = self._resolver, None
            await resolver.close()

    async def resolve(self, host: str, port: int, traces: Sequence[LookupTrace] = ()) -> list[ResolveResult]:
        """Return the addresses of ``host``, cached or fresh.

        Raises what the resolver raises (OSError), and ClientConnectionError when ``close`` comes first. Cancellation
        cancels the query only if no other caller waits for it.
        """
        if is_numeric_host(host):
            return [ResolveResult(hostname=host, host=host, port=port, family=self._family, proto=0, flags=0)]
        if not self._use_cache:
            return await self._ask(host, port, traces)
        key = (host, port)
        answer = self._cached(key)
        if answer is not None:
            for trace in traces:
                await trace.send_dns_cache_hit(host)
            return answer
        query = self._queries.get(key)
        if query is None:
            query = _Query(self._loop.create_task(self._ask_and_keep(key, traces)))
            self._queries[key] = query
            query.task.add_done_callback(lambda _: self._end(key, query))
            return await self._wait_for(key, query)
        return await self._wait_for(key, query, traces)

    async def _wait_for(self, key: _Key, query: _Query, traces: Sequence[LookupTrace] = ()) -> list[ResolveResult]:
        query.callers += 1
        try:
            for trace in traces:
                await trace.send_dns_cache_hit(key[0])
            # wait() and not the task itself: this caller's cancellation is its own.
            await asyncio.wait((query.task,))
        finally:
            query.callers -= 1
            if query.callers == 0 and not query.task.done():
                query.task.cancel()
                # At once: a caller that comes now needs a query that lives.
                self._end(key, query)
        if query.task.cancelled():
            raise ClientConnectionError(f"Connector is closed: the lookup of {key[0]!r} was abandoned")
        return list(query.task.result())

    def _end(self, key: _Key, query: _Query) -> None:
        if self._queries.get(key) is query:
            del self._queries[key]
        if query.task.done() and not query.task.cancelled():
            # Seen here, because the last caller may have left in the same turn of the loop.
            query.task.exception()

    async def _ask_and_keep(self, key: _Key, traces: Sequence[LookupTrace]) -> list[ResolveResult]:
        host, port = key
        for trace in traces:
            await trace.send_dns_cache_miss(host)
        results = await self._ask(host, port, traces)
        self._keep(key, results)
        return results

    async def _ask(self, host: str, port: int, traces: Sequence[LookupTrace]) -> list[ResolveResult]:
        for trace in traces:
            await trace.send_dns_resolvehost_start(host)
        if self._closed:
            raise ClientConnectionError(f"Connector is closed: {host!r} was not looked up")
        if self._resolver is None:
            self._resolver = make_default_resolver(self._loop)
        results = await self._resolver.resolve(host, port, family=self._family)  # type: ignore[arg-type]
        for trace in traces:
            await trace.send_dns_resolvehost_end(host)
        return results

    def _cached(self, key: _Key) -> list[ResolveResult] | None:
        answer = self._answers.pop(key, None)
        if answer is None or answer.expires <= self._loop.time():
            return None
        self._answers[key] = answer  # to the end: the youngest use
        answer.turn += 1
        return rotated(answer.results, answer.turn)

    def _keep(self, key: _Key, results: list[ResolveResult]) -> None:
        if not results or self._max_size < 1:
            return
        expires = float("inf") if self._ttl is None else self._loop.time() + self._ttl
        self._answers.pop(key, None)
        self._answers[key] = _Answer(list(results), expires)
        while len(self._answers) > self._max_size:
            del self._answers[next(iter(self._answers))]
