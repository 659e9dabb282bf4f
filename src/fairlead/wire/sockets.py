"""Sockets before they become transports: create, bind, tune.

In: an address as ``getaddrinfo`` gives it (``AddrInfoType``). Out: a non-blocking socket that the caller owns and must
close. Nothing here waits, so nothing here needs the event loop. Every option is set only where the platform has it.

RFC 9293 section 3.7.4 (Nagle), RFC 9293 section 3.8.4 (keep-alives).
"""

from __future__ import annotations

import socket
from asyncio import BaseTransport
from collections.abc import Callable, Sequence
from typing import Any

__all__ = (
    "AddrInfoType",
    "SocketFactoryType",
    "bind_local",
    "local_addr_infos",
    "numeric_addr_info",
    "open_socket",
    "set_keepalive",
    "set_nodelay",
)

AddrInfoType = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple]  # type: ignore[type-arg]
SocketFactoryType = Callable[[AddrInfoType], socket.socket]


def numeric_addr_info(host: str, port: int) -> AddrInfoType:
    """Return the TCP address of a numeric ``host``; a colon makes it IPv6, a ``%zone`` is kept."""
    if ":" in host:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))


def local_addr_infos(local_addr: Any) -> list[AddrInfoType] | None:
    """Return the addresses to bind to for a ``local_addr`` argument, None for None.

    Raises TypeError when it is not a pair of host and port.
    """
    if local_addr is None:
        return None
    if isinstance(local_addr, (str, bytes)) or not isinstance(local_addr, Sequence) or len(local_addr) < 2:
        raise TypeError(f"local_addr should be a (host, port) tuple, got {local_addr!r} instead.")
    return [numeric_addr_info(local_addr[0], local_addr[1])]


def open_socket(addr_info: AddrInfoType, factory: SocketFactoryType | None = None) -> socket.socket:
    """Return a new non-blocking socket for ``addr_info``, made by ``factory`` when there is one.

    Raises OSError when the system refuses, and whatever the factory raises.
    """
    if factory is None:
        family, kind, proto, _, _ = addr_info
        sock = socket.socket(family, kind, proto)
    else:
        sock = factory(addr_info)
    sock.setblocking(False)
    return sock


def bind_local(sock: socket.socket, family: int, candidates: Sequence[AddrInfoType]) -> None:
    """Bind ``sock`` to the first of the local addresses that has its family and is free.

    Raises OSError, with the errno of the last attempt, when none can be bound.
    """
    failure: OSError | None = None
    for local_family, _, _, _, address in candidates:
        if local_family != family:
            continue
        try:
            sock.bind(address)
        except OSError as exc:
            reason = (exc.strerror or str(exc)).lower()
            failure = OSError(exc.errno, f"error while attempting to bind on address {address!r}: {reason}")
        else:
            return
    if failure is None:
        shown = ", ".join(repr(info[4][0]) for info in candidates)
        wanted = "IPv6" if family == socket.AF_INET6 else "IPv4"
        failure = OSError(None, f"no local address for an {wanted} peer: local_addr is {shown}")
    raise failure


def set_nodelay(transport: BaseTransport, enabled: bool) -> None:
    """Turn Nagle's algorithm off (``enabled``) or on; other sockets than TCP are left alone."""
    _set_option(transport, socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled, tcp_only=True)


def set_keepalive(transport: BaseTransport, enabled: bool = True) -> None:
    """Turn the keep-alive probes of the system on or off; their interval is the system's."""
    _set_option(transport, socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled, tcp_only=False)


def _set_option(transport: BaseTransport, level: int, option: int, enabled: bool, *, tcp_only: bool) -> None:
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return
    if tcp_only and sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    try:
        sock.setsockopt(level, option, int(enabled))
    except OSError:
        # The peer may have reset the connection in this moment; the next read or write reports that.
        return
