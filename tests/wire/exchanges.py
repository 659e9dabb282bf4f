"""An exchange on a link without a peer: the test plays the server, byte by byte."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.wire.fakes import FakeTransport

from fairlead.wire.exchange import Exchange
from fairlead.wire.h1_link import H1ClientLink

LIMITS = (8190, 8190, 128)


class CountingLease:
    """A lease that insists on being given back once."""

    def __init__(self) -> None:
        self.returned: list[bool] = []

    def finish(self, link: H1ClientLink, reusable: bool) -> None:
        assert not self.returned, "given back twice"
        assert link.exchange is None, "given back with the exchange on it"
        self.returned.append(reusable)
        if not reusable:
            link.close()


class Scene:
    """A link, its transport, and one exchange after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.link = H1ClientLink(loop or asyncio.get_running_loop())
        self.transport = FakeTransport(self.link)

    def begin(self, method: str = "GET", limit: int = 65536, **options: Any) -> Exchange:
        self.lease = CountingLease()
        exchange = self.exchange = Exchange(self.link, self.lease, method, limit)
        for name, value in options.items():
            setattr(exchange, name, value)
        self.link.begin(exchange, LIMITS)
        return exchange

    def receive(self, *pieces: bytes) -> None:
        """Let the peer send; a transport that is closed or paused delivers nothing."""
        for piece in pieces:
            if piece and not self.transport.closing:
                self.link.data_received(piece)

    def end(self, exc: Exception | None = None) -> None:
        """Let the peer end the connection."""
        if exc is None and not self.transport.closing:
            assert self.link.eof_received() is False
        self.transport.lose(exc)

    async def outcome(self) -> tuple[Any, Any]:
        """What the caller sees: status and body, each an error's type where there was one."""
        try:
            head = await asyncio.wait_for(self.exchange.response_head(), 5)
        except Exception as exc:
            return type(exc), None
        try:
            body: Any = await asyncio.wait_for(self.exchange.stream().read(), 5)
        except Exception as exc:
            body = type(exc)
        return head.status, body

    @property
    def returned(self) -> list[bool]:
        """How the lease was given back."""
        return self.lease.returned
