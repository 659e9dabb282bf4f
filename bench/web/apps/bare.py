"""The floor: an asyncio protocol that looks for the blank line and writes a prebuilt answer."""

from __future__ import annotations

import asyncio
from typing import cast

from .. import cases

END = b"\r\n\r\n"
ANSWER = (
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    f"Content-Length: {len(cases.HELLO)}\r\n"
    "Date: Tue, 04 Mar 2025 10:20:30 GMT\r\n"
    "Server: bare\r\n"
    f"\r\n{cases.HELLO}"
).encode()


class Bare(asyncio.Protocol):
    """One connection; trusts its client."""

    __slots__ = ("rest", "transport")

    def __init__(self) -> None:
        self.rest = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        self.rest = b"" if data.endswith(END) else data[data.rfind(END) + 4 :] if END in data else data
        if count := data.count(END):
            self.transport.write(ANSWER * count)
