"""How long a call may take: `ClientTimeout` and its defaults.

In: seconds from the caller.  Out: an immutable record; None (and 0) mean no limit.  It is an attrs class, because
programs derive new ones with `attrs.evolve`.
"""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(slots=True)
class ClientTimeout:
    """Limits of one call, in seconds; None and 0 mean no limit.

    `total`: from the call to the last byte of the body, redirects included.
    `connect`: waiting for a slot of the pool and opening a connection.
    `sock_connect`: opening one connection to a peer, TLS included.
    `sock_read`: between two bytes from the peer, and from the end of the request to the first byte of the response.
    `ceil_threshold`: limits longer than this are rounded up to whole seconds, so that many share one timer.
    """

    total: float | None = None
    connect: float | None = None
    sock_read: float | None = None
    sock_connect: float | None = None
    ceil_threshold: float = 5


@attrs.frozen(slots=True)
class ClientWSTimeout:
    """Limits of a WebSocket, in seconds; None and 0 mean no limit.

    `ws_receive`: waiting for one message.
    `ws_close`: waiting for the peer's answer to a close frame.
    """

    ws_receive: float | None = None
    ws_close: float | None = None


DEFAULT_WS_TIMEOUT = ClientWSTimeout(ws_receive=None, ws_close=10.0)
"""What a WebSocket uses unless it is told otherwise."""

DEFAULT_TIMEOUT = ClientTimeout(total=5 * 60, sock_connect=30)
"""What a session uses unless it is told otherwise: five minutes in all, 30 seconds to connect."""


def limit_of(seconds: float | None) -> float | None:
    """Return a limit in seconds, None where there is none (None, 0 and negative numbers)."""
    return seconds if seconds is not None and seconds > 0 else None


def check_request_timeout(timeout: Any) -> ClientTimeout:
    """Take the `timeout` argument of a call: a ClientTimeout, a number of seconds in all, None for no limit."""
    if isinstance(timeout, ClientTimeout):
        return timeout
    if timeout is None:
        return ClientTimeout()
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a ClientTimeout, a number of seconds or None, got {timeout!r}")
    return ClientTimeout(total=timeout)


def check_session_timeout(timeout: Any) -> ClientTimeout:
    """Take the `timeout` argument of a session: a ClientTimeout or None for no limit."""
    if isinstance(timeout, ClientTimeout):
        return timeout
    if timeout is None:
        return ClientTimeout()
    raise ValueError(f"timeout parameter cannot be of {type(timeout)} type, please use 'timeout=ClientTimeout(...)'")
