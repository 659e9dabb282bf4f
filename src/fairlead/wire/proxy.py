"""The CONNECT exchange: turn a connection to a proxy into a tunnel to the origin (RFC 9110 section 9.3.6).

In: an open connection to the proxy with a ``TunnelProtocol``, the authority of the origin, the fields for the proxy.
Out: the proxy's answer. With status 200 the connection is the origin's from then on, and reading is paused so that no
byte is taken from it before the next protocol has it.

Limits: those of ``codec.http1`` for a response head; interim responses are skipped, a body is not read. There is no
limit in time: that is the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ..codec.events import HttpVersion11, ResponseHead
from ..codec.http1 import ResponseDecoder, encode_request
from ..errors import ProtocolError, ServerDisconnectedError, quoted

__all__ = ("PROXY_SCHEMES", "TUNNEL_STATUS", "TunnelProtocol", "tunnel_authority")

PROXY_SCHEMES = ("http", "https")

# The one status that opens a tunnel here, as in aiohttp; the RFC would let any 2xx do so.
TUNNEL_STATUS = 200


def tunnel_authority(host: str, port: int) -> str:
    """Return the target of CONNECT: host and port, the port always there, IPv6 in brackets (RFC 9112 section 3.2.3)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class TunnelProtocol(asyncio.Protocol):
    """The protocol of a connection to a proxy until the tunnel is open."""

    def __init__(self) -> None:
        """Start unconnected."""
        self._transport: asyncio.Transport | None = None
        self._decoder = ResponseDecoder()
        self._answer: asyncio.Future[ResponseHead] | None = None
        self._error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail an exchange that is under way."""
        error = ServerDisconnectedError("The proxy closed the connection before it answered CONNECT")
        error.__cause__ = exc
        self._fail(error)

    def data_received(self, data: bytes) -> None:
        """Look for the final head; in a tunnel that nobody uses yet, anything after it is an error."""
        head: ResponseHead | None = None
        early = b""
        for event in self._decoder.feed(data):
            if isinstance(event, ProtocolError):
                self._fail(event)
                return
            if isinstance(event, ResponseHead):
                if event.status >= 200 or event.status == 101:
                    head = event
            elif isinstance(event, bytes):
                early += event
        if head is None or self._transport is None:
            return
        # What follows belongs to whoever takes the connection over.
        self._transport.pause_reading()
        if early and head.status == TUNNEL_STATUS:
            # TLS servers wait for the client, so this is no part of the tunnel that was asked for.
            text = f"The proxy sent {len(early)} bytes before the tunnel was used: {quoted(early, 60)}"
            self._fail(ProtocolError("proxy.tunnel.early", text))
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(head)

    async def connect(self, authority: str, fields: Iterable[tuple[str, str]]) -> ResponseHead:
        """Ask for a tunnel to ``authority`` and return the head of the final answer; to be called once.

        Raises ProtocolError when the answer is not HTTP or is followed by bytes before the tunnel is in use,
        ServerDisconnectedError when there is none, ValueError for fields that must not be sent. The caller closes the
        transport after errors and cancellation.
        """
        head = encode_request("CONNECT", authority, HttpVersion11, fields)
        if self._error is not None:
            raise self._error
        if self._transport is None:
            raise RuntimeError("connect() needs an open connection to the proxy")
        self._answer = asyncio.get_running_loop().create_future()
        self._decoder.expect("CONNECT")
        self._transport.write(head)
        try:
            return await self._answer
        finally:
            self._answer = None

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
