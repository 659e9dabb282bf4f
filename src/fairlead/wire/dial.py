"""Open one connection: addresses in, a transport with its protocol out.

A dial goes through phases (``dns``, ``connect``, ``tls``; a tunnel adds ``proxy``) and says which one it is in, so that
whoever's limit runs out can name it. TCP comes first, to whichever address answers first (see ``eyeballs``); TLS runs
over the winner alone. When TLS fails at one address the remaining ones are tried.

Cancellation at any point closes the sockets that are open. Limits: ``sock_connect`` for all addresses together; the
handshake limit of asyncio (60 s) when there is none.
"""

from __future__ import annotations

import asyncio
import errno
import math
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .eyeballs import ATTEMPT_DELAY, combined_error, interleave, race
from .sockets import AddrInfoType, SocketFactoryType, bind_local, open_socket
from .tls import SSLError

if TYPE_CHECKING:
    import ssl

__all__ = (
    "PHASE_CONNECT",
    "PHASE_DNS",
    "PHASE_PROXY",
    "PHASE_TLS",
    "Dialling",
    "connect_deadline",
    "connect_socket",
    "open_connection",
    "start_tls",
)

PHASE_DNS = "dns"
PHASE_CONNECT = "connect"
PHASE_PROXY = "proxy"
PHASE_TLS = "tls"

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)


class Dialling:
    """How connections are opened: the settings of a connector.

    ``attempt_delay`` is in seconds, None tries one address after the other; ``first_family_count`` None interleaves
    families when attempts overlap; ``tls_shutdown_timeout`` in seconds, 0 or None leaves the choice to asyncio.
    """

    __slots__ = ("attempt_delay", "first_family_count", "local_addrs", "socket_factory", "tls_shutdown_timeout")

    def __init__(
        self,
        *,
        local_addrs: Sequence[AddrInfoType] | None = None,
        attempt_delay: float | None = ATTEMPT_DELAY,
        first_family_count: int | None = None,
        socket_factory: SocketFactoryType | None = None,
        tls_shutdown_timeout: float | None = None,
    ) -> None:
        self.local_addrs = local_addrs
        self.attempt_delay = attempt_delay
        self.first_family_count = first_family_count
        self.socket_factory = socket_factory
        self.tls_shutdown_timeout = tls_shutdown_timeout

    def ordered(self, addr_infos: Sequence[AddrInfoType]) -> list[AddrInfoType]:
        """Return the addresses in the order of the attempts."""
        count = self.first_family_count
        if count is None:
            count = 0 if self.attempt_delay is None else 1
        return interleave(addr_infos, count) if count else list(addr_infos)


def connect_deadline(
    loop: asyncio.AbstractEventLoop, limit: float | None, ceil_threshold: float = math.inf
) -> asyncio.Timeout:
    """Return a timeout of ``limit`` seconds; None and 0 mean no limit.

    A limit over ``ceil_threshold`` is rounded up to a whole second of the loop's clock, so that many share a wake-up.
    """
    if limit is None or limit <= 0:
        return asyncio.timeout(None)
    when = loop.time() + limit
    return asyncio.timeout_at(math.ceil(when) if limit > ceil_threshold else when)


async def connect_socket(
    loop: asyncio.AbstractEventLoop, addr_infos: Sequence[AddrInfoType], dialling: Dialling
) -> tuple[socket.socket, AddrInfoType]:
    """Return a connected, non-blocking socket to the first address that answers, and that address.

    The caller owns the socket. Raises OSError when no address answers. Cancellation closes every attempt's socket.
    """

    async def connect(info: AddrInfoType) -> socket.socket:
        sock = open_socket(info, dialling.socket_factory)
        try:
            if dialling.local_addrs:
                bind_local(sock, sock.family, dialling.local_addrs)
            await loop.sock_connect(sock, info[4])
        except BaseException:
            sock.close()
            raise
        return sock

    return await race(addr_infos, connect, socket.socket.close, dialling.attempt_delay)


async def open_connection(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], _Protocol],
    addr_infos: Sequence[AddrInfoType],
    dialling: Dialling,
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    on_phase: Callable[[str], object] = lambda phase: None,
) -> tuple[asyncio.Transport, _Protocol]:
    """Return the transport to one of the addresses, over TLS if a context is given, and its protocol.

    Raises OSError (``ssl.SSLError`` among them) when every address failed. Cancellation closes what is open.
    """
    remaining = dialling.ordered(addr_infos)
    errors: list[OSError] = []
    try:
        while remaining:
            on_phase(PHASE_CONNECT)
            try:
                sock, info = await connect_socket(loop, remaining, dialling)
            except OSError as exc:
                errors.append(exc)
                break
            if tls is not None:
                on_phase(PHASE_TLS)
            try:
                return await _over_socket(loop, factory, sock, tls, server_hostname, dialling.tls_shutdown_timeout)
            except OSError as exc:
                errors.append(_with_reason(exc))
                remaining.remove(info)
        raise _most_telling(errors)
    finally:
        # A frame that keeps the errors which keep the frame would be a reference cycle.
        errors = []


def _most_telling(errors: Sequence[OSError]) -> OSError:
    if not errors:
        return OSError(None, "no address to connect to")
    for exc in errors:
        if isinstance(exc, SSLError):
            return exc
    return combined_error(errors)


def _with_reason(exc: OSError) -> OSError:
    """Say what asyncio leaves unsaid: an end of the connection in the handshake is a bare ConnectionResetError."""
    if exc.args or not isinstance(exc, ConnectionResetError):
        return exc
    told = ConnectionResetError(errno.ECONNRESET, "the peer closed the connection during the TLS handshake")
    told.__cause__ = exc
    return told


def _shutdown_option(tls: ssl.SSLContext | None, timeout: float | None) -> dict[str, Any]:
    # asyncio takes a positive number only, and only with TLS.
    return {"ssl_shutdown_timeout": timeout} if tls is not None and timeout else {}


async def _over_socket(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], _Protocol],
    sock: socket.socket,
    tls: ssl.SSLContext | None,
    server_hostname: str | None,
    shutdown_timeout: float | None,
) -> tuple[asyncio.Transport, _Protocol]:
    owned = True

    def make_protocol() -> _Protocol:
        nonlocal owned
        protocol = factory()
        # The loop makes the transport right after the protocol, and from then on the socket is the transport's.
        owned = False
        return protocol

    try:
        return await loop.create_connection(  # type: ignore[no-any-return, unused-ignore]
            make_protocol,
            sock=sock,
            ssl=tls,
            server_hostname=server_hostname if tls is not None else None,
            **_shutdown_option(tls, shutdown_timeout),
        )
    except BaseException:
        if owned:
            sock.close()
        raise


async def start_tls(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    tls: ssl.SSLContext,
    *,
    server_hostname: str | None,
    shutdown_timeout: float | None = None,
) -> asyncio.Transport:
    """Return a transport that speaks TLS inside ``transport``; ``protocol`` becomes its protocol and is told so.

    Raises OSError when the handshake fails, TypeError when the loop cannot nest TLS in this transport. Failure and
    cancellation abort ``transport``.
    """
    try:
        secured = await loop.start_tls(
            transport, protocol, tls, server_hostname=server_hostname, **_shutdown_option(tls, shutdown_timeout)
        )
        if secured is None:
            # The loop gives None when the transport was closed during the handshake.
            raise ConnectionResetError
    except OSError as exc:
        transport.abort()
        raise _with_reason(exc)  # noqa: B904 - it is this error or already has it as its cause
    except BaseException:
        transport.abort()
        raise
    # start_tls does not tell the protocol of its new transport.
    protocol.connection_made(secured)
    return secured
