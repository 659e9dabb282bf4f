"""Sixteen signals that tell a listener what happens to a request: queue, dns, connection, bytes, redirects, the end.

``TraceConfig`` is what a user fills with receivers and hands to the session; ``Trace`` is one config bound to one
session and one request, with the context object that the receivers share. Each receiver is awaited as
``receiver(session, trace_config_ctx, params)``. What nobody listens to costs one lookup: ask ``Trace.wants`` before
collecting what only a receiver would see, such as the bytes of each chunk.

The params are small immutable objects that compare by value; the headers in them are those of the request.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from multidict import CIMultiDict
from yarl import URL

from ..signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .response import ClientResponse
    from .session import ClientSession

__all__ = (
    "Trace",
    "TraceConfig",
    "TraceConnectionCreateEndParams",
    "TraceConnectionCreateStartParams",
    "TraceConnectionQueuedEndParams",
    "TraceConnectionQueuedStartParams",
    "TraceConnectionReuseconnParams",
    "TraceDnsCacheHitParams",
    "TraceDnsCacheMissParams",
    "TraceDnsResolveHostEndParams",
    "TraceDnsResolveHostStartParams",
    "TraceRequestChunkSentParams",
    "TraceRequestEndParams",
    "TraceRequestExceptionParams",
    "TraceRequestHeadersSentParams",
    "TraceRequestRedirectParams",
    "TraceRequestStartParams",
    "TraceResponseChunkReceivedParams",
)

SIGNALS = (
    "request_start",
    "request_end",
    "request_exception",
    "request_redirect",
    "request_headers_sent",
    "request_chunk_sent",
    "response_chunk_received",
    "connection_queued_start",
    "connection_queued_end",
    "connection_create_start",
    "connection_create_end",
    "connection_reuseconn",
    "dns_resolvehost_start",
    "dns_resolvehost_end",
    "dns_cache_hit",
    "dns_cache_miss",
)
"""The names of all signals; ``on_<name>`` is the attribute of ``TraceConfig``."""


class _Params:
    """An immutable record over ``__slots__``; plain code, since sixteen generated classes would slow the import."""

    __slots__ = ("__weakref__",)
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def _set(self, *values: object) -> None:
        for name, value in zip(self.__match_args__, values, strict=True):
            object.__setattr__(self, name, value)

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: the record is shared by all receivers."""
        raise AttributeError(f"{type(self).__name__} is immutable, cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse: the record is shared by all receivers."""
        raise AttributeError(f"{type(self).__name__} is immutable, cannot delete {name!r}")

    def __eq__(self, other: object) -> bool:
        """Compare class and values."""
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        """Hash the values; TypeError when one of them (headers) has no hash."""
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        """Show class and values."""
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by values."""
        return type(self), self._values()


class _HostParams(_Params):
    __slots__ = ("host",)
    __match_args__ = ("host",)

    host: str

    def __init__(self, host: str) -> None:
        """Record the host name that is looked up."""
        self._set(host)


class _HeadersParams(_Params):
    __slots__ = ("headers", "method", "url")
    __match_args__ = ("method", "url", "headers")

    method: str
    url: URL
    headers: CIMultiDict[str]

    def __init__(self, method: str, url: URL, headers: CIMultiDict[str]) -> None:
        """Record the request line and the fields of the request."""
        self._set(method, url, headers)


class _ChunkParams(_Params):
    __slots__ = ("chunk", "method", "url")
    __match_args__ = ("method", "url", "chunk")

    method: str
    url: URL
    chunk: bytes

    def __init__(self, method: str, url: URL, chunk: bytes) -> None:
        """Record the request line and the bytes."""
        self._set(method, url, chunk)


class _ResponseParams(_Params):
    __slots__ = ("headers", "method", "response", "url")
    __match_args__ = ("method", "url", "headers", "response")

    method: str
    url: URL
    headers: CIMultiDict[str]
    response: ClientResponse

    def __init__(self, method: str, url: URL, headers: CIMultiDict[str], response: ClientResponse) -> None:
        """Record the request and its response."""
        self._set(method, url, headers, response)


class TraceRequestStartParams(_HeadersParams):
    """Parameters sent by the ``on_request_start`` signal."""

    __slots__ = ()


class TraceRequestHeadersSentParams(_HeadersParams):
    """Parameters sent by the ``on_request_headers_sent`` signal."""

    __slots__ = ()


class TraceRequestChunkSentParams(_ChunkParams):
    """Parameters sent by the ``on_request_chunk_sent`` signal."""

    __slots__ = ()


class TraceResponseChunkReceivedParams(_ChunkParams):
    """Parameters sent by the ``on_response_chunk_received`` signal."""

    __slots__ = ()


class TraceRequestEndParams(_ResponseParams):
    """Parameters sent by the ``on_request_end`` signal."""

    __slots__ = ()


class TraceRequestRedirectParams(_ResponseParams):
    """Parameters sent by the ``on_request_redirect`` signal."""

    __slots__ = ()


class TraceRequestExceptionParams(_Params):
    """Parameters sent by the ``on_request_exception`` signal."""

    __slots__ = ("exception", "headers", "method", "url")
    __match_args__ = ("method", "url", "headers", "exception")

    method: str
    url: URL
    headers: CIMultiDict[str]
    exception: BaseException

    def __init__(self, method: str, url: URL, headers: CIMultiDict[str], exception: BaseException) -> None:
        """Record the request and what ended it."""
        self._set(method, url, headers, exception)


class TraceConnectionQueuedStartParams(_Params):
    """Parameters sent by the ``on_connection_queued_start`` signal."""

    __slots__ = ()


class TraceConnectionQueuedEndParams(_Params):
    """Parameters sent by the ``on_connection_queued_end`` signal."""

    __slots__ = ()


class TraceConnectionCreateStartParams(_Params):
    """Parameters sent by the ``on_connection_create_start`` signal."""

    __slots__ = ()


class TraceConnectionCreateEndParams(_Params):
    """Parameters sent by the ``on_connection_create_end`` signal."""

    __slots__ = ()


class TraceConnectionReuseconnParams(_Params):
    """Parameters sent by the ``on_connection_reuseconn`` signal."""

    __slots__ = ()


class TraceDnsResolveHostStartParams(_HostParams):
    """Parameters sent by the ``on_dns_resolvehost_start`` signal."""

    __slots__ = ()


class TraceDnsResolveHostEndParams(_HostParams):
    """Parameters sent by the ``on_dns_resolvehost_end`` signal."""

    __slots__ = ()


class TraceDnsCacheHitParams(_HostParams):
    """Parameters sent by the ``on_dns_cache_hit`` signal."""

    __slots__ = ()


class TraceDnsCacheMissParams(_HostParams):
    """Parameters sent by the ``on_dns_cache_miss`` signal."""

    __slots__ = ()


class TraceConfig:
    """The receivers that a user registers, one signal for each event.

    ``trace_config_ctx_factory`` is called for each request with the keyword ``trace_request_ctx`` and makes the object
    that all receivers of that request share. A session freezes its configs, after which a change raises RuntimeError.
    """

    def __init__(self, trace_config_ctx_factory: Callable[..., Any] = SimpleNamespace) -> None:
        """Start with sixteen empty signals."""
        self._signals = {name: Signal(self) for name in SIGNALS}
        self._trace_config_ctx_factory = trace_config_ctx_factory
        self._listened: frozenset[str] | None = None

    def trace_config_ctx(self, trace_request_ctx: Any = None) -> Any:
        """Return a new context for one request; ``trace_request_ctx`` is what the caller passed with it."""
        return self._trace_config_ctx_factory(trace_request_ctx=trace_request_ctx)

    def freeze(self) -> None:
        """Forbid further changes to all signals; freezing twice is harmless."""
        for signal in self._signals.values():
            signal.freeze()
        self._listened = frozenset(name for name, signal in self._signals.items() if len(signal))

    @property
    def listened(self) -> frozenset[str]:
        """The names of the signals (without ``on_``) that have a receiver."""
        if self._listened is None:
            return frozenset(name for name, signal in self._signals.items() if len(signal))
        return self._listened

    @property
    def on_request_start(self) -> Signal:
        """A request starts: before its connection is asked for, and once only, however many redirects follow."""
        return self._signals["request_start"]

    @property
    def on_request_chunk_sent(self) -> Signal:
        """A chunk of the request body was written."""
        return self._signals["request_chunk_sent"]

    @property
    def on_response_chunk_received(self) -> Signal:
        """A chunk of the response body was read."""
        return self._signals["response_chunk_received"]

    @property
    def on_request_end(self) -> Signal:
        """The final response has its head."""
        return self._signals["request_end"]

    @property
    def on_request_exception(self) -> Signal:
        """The request ended with an exception."""
        return self._signals["request_exception"]

    @property
    def on_request_redirect(self) -> Signal:
        """A redirect is about to be followed."""
        return self._signals["request_redirect"]

    @property
    def on_connection_queued_start(self) -> Signal:
        """The request waits for a free connection, because a limit is reached."""
        return self._signals["connection_queued_start"]

    @property
    def on_connection_queued_end(self) -> Signal:
        """The wait for a free connection is over."""
        return self._signals["connection_queued_end"]

    @property
    def on_connection_create_start(self) -> Signal:
        """A new connection is about to be made."""
        return self._signals["connection_create_start"]

    @property
    def on_connection_create_end(self) -> Signal:
        """A new connection was made."""
        return self._signals["connection_create_end"]

    @property
    def on_connection_reuseconn(self) -> Signal:
        """An idle connection is used again."""
        return self._signals["connection_reuseconn"]

    @property
    def on_dns_resolvehost_start(self) -> Signal:
        """The resolver is about to be asked."""
        return self._signals["dns_resolvehost_start"]

    @property
    def on_dns_resolvehost_end(self) -> Signal:
        """The resolver answered."""
        return self._signals["dns_resolvehost_end"]

    @property
    def on_dns_cache_hit(self) -> Signal:
        """The addresses of the host were in the cache."""
        return self._signals["dns_cache_hit"]

    @property
    def on_dns_cache_miss(self) -> Signal:
        """The addresses of the host were not in the cache."""
        return self._signals["dns_cache_miss"]

    @property
    def on_request_headers_sent(self) -> Signal:
        """The head of the request was written."""
        return self._signals["request_headers_sent"]


class Trace:
    """One config bound to a session and to the context of one request.

    Each ``send_`` coroutine awaits the receivers of its signal in order; an exception of a receiver comes out of it,
    and cancelling it cancels the receiver. Raises RuntimeError when the config is not frozen.
    """

    __slots__ = ("_session", "_signals", "_trace_config", "_trace_config_ctx", "wants")

    wants: frozenset[str]
    """The names of the signals (without ``on_``) that have a receiver: what is not in it need not be sent."""

    def __init__(self, session: ClientSession, trace_config: TraceConfig, trace_config_ctx: Any) -> None:
        """Bind; nothing is sent."""
        self._session = session
        self._trace_config = trace_config
        self._trace_config_ctx = trace_config_ctx
        self.wants = trace_config.listened

    @property
    def wants_chunks(self) -> bool:
        """Whether anyone listens to chunks of either direction, so that each one must be shown."""
        return "request_chunk_sent" in self.wants or "response_chunk_received" in self.wants

    async def _send(self, signal: Signal, params: _Params) -> None:
        await signal.send(self._session, self._trace_config_ctx, params)

    async def send_request_start(self, method: str, url: URL, headers: CIMultiDict[str]) -> None:
        """Send ``on_request_start``."""
        await self._send(self._trace_config.on_request_start, TraceRequestStartParams(method, url, headers))

    async def send_request_chunk_sent(self, method: str, url: URL, chunk: bytes) -> None:
        """Send ``on_request_chunk_sent``."""
        await self._send(self._trace_config.on_request_chunk_sent, TraceRequestChunkSentParams(method, url, chunk))

    async def send_response_chunk_received(self, method: str, url: URL, chunk: bytes) -> None:
        """Send ``on_response_chunk_received``."""
        await self._send(
            self._trace_config.on_response_chunk_received, TraceResponseChunkReceivedParams(method, url, chunk)
        )

    async def send_request_end(
        self, method: str, url: URL, headers: CIMultiDict[str], response: ClientResponse
    ) -> None:
        """Send ``on_request_end``."""
        await self._send(self._trace_config.on_request_end, TraceRequestEndParams(method, url, headers, response))

    async def send_request_exception(
        self, method: str, url: URL, headers: CIMultiDict[str], exception: BaseException
    ) -> None:
        """Send ``on_request_exception``."""
        await self._send(
            self._trace_config.on_request_exception, TraceRequestExceptionParams(method, url, headers, exception)
        )

    async def send_request_redirect(
        self, method: str, url: URL, headers: CIMultiDict[str], response: ClientResponse
    ) -> None:
        """Send ``on_request_redirect``."""
        await self._send(
            self._trace_config.on_request_redirect, TraceRequestRedirectParams(method, url, headers, response)
        )

    async def send_request_headers(self, method: str, url: URL, headers: CIMultiDict[str]) -> None:
        """Send ``on_request_headers_sent``."""
        await self._send(
            self._trace_config.on_request_headers_sent, TraceRequestHeadersSentParams(method, url, headers)
        )

    async def send_connection_queued_start(self) -> None:
        """Send ``on_connection_queued_start``."""
        await self._send(self._trace_config.on_connection_queued_start, TraceConnectionQueuedStartParams())

    async def send_connection_queued_end(self) -> None:
        """Send ``on_connection_queued_end``."""
        await self._send(self._trace_config.on_connection_queued_end, TraceConnectionQueuedEndParams())

    async def send_connection_create_start(self) -> None:
        """Send ``on_connection_create_start``."""
        await self._send(self._trace_config.on_connection_create_start, TraceConnectionCreateStartParams())

    async def send_connection_create_end(self) -> None:
        """Send ``on_connection_create_end``."""
        await self._send(self._trace_config.on_connection_create_end, TraceConnectionCreateEndParams())

    async def send_connection_reuseconn(self) -> None:
        """Send ``on_connection_reuseconn``."""
        await self._send(self._trace_config.on_connection_reuseconn, TraceConnectionReuseconnParams())

    async def send_dns_resolvehost_start(self, host: str) -> None:
        """Send ``on_dns_resolvehost_start``."""
        await self._send(self._trace_config.on_dns_resolvehost_start, TraceDnsResolveHostStartParams(host))

    async def send_dns_resolvehost_end(self, host: str) -> None:
        """Send ``on_dns_resolvehost_end``."""
        await self._send(self._trace_config.on_dns_resolvehost_end, TraceDnsResolveHostEndParams(host))

    async def send_dns_cache_hit(self, host: str) -> None:
        """Send ``on_dns_cache_hit``."""
        await self._send(self._trace_config.on_dns_cache_hit, TraceDnsCacheHitParams(host))

    async def send_dns_cache_miss(self, host: str) -> None:
        """Send ``on_dns_cache_miss``."""
        await self._send(self._trace_config.on_dns_cache_miss, TraceDnsCacheMissParams(host))
