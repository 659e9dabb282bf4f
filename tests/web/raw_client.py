"""A raw client for tests of the server: bytes out as they are, responses in with their framing looked at.

In: a host and port. Out: `RawClient`, a `RawConnection` from the client's side that can also read whole responses.
Limits: a response that breaks its framing raises AssertionError; nothing is waited for longer than `STEP_TIMEOUT`.
RFC: 9112 sections 4, 6 and 7, in the strict reading.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType

from tests.peers.raw import MAX_REQUEST, STEP_TIMEOUT, RawConnection

Fields = list[tuple[str, str]]


def fields_of(head: bytes) -> tuple[str, Fields]:
    """The start line and the field lines of a head that ends in its empty line."""
    assert head.endswith(b"\r\n\r\n"), head
    line, *rest = head[:-4].decode("utf-8", "surrogateescape").split("\r\n")
    pairs = []
    for text in rest:
        name, colon, value = text.partition(":")
        assert colon, text
        assert not name.endswith(" "), text
        pairs.append((name, value.strip(" \t")))
    return line, pairs


@dataclass
class RawResponse:
    """One response as it came over the wire, with the interim responses in front of it."""

    line: str
    fields: Fields
    body: bytes = b""
    framing: str = "none"
    """How the body ended: none, length, chunked, or close."""
    chunks: list[bytes] = field(default_factory=list)
    trailers: Fields = field(default_factory=list)
    interim: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    @property
    def names(self) -> list[str]:
        """The field names in order, as they are spelled."""
        return [name for name, _ in self.fields]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The value of a field that is there at most once."""
        values = self.all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None


class RawClient(RawConnection):
    """One connection to the server under test; use with `async with connect(...)`."""

    async def raw_head(self) -> bytes:
        async with asyncio.timeout(STEP_TIMEOUT):
            return await self.until(b"\r\n\r\n")

    async def response(self, method: str = "GET") -> RawResponse:
        """The next response to a request with that method; raises asyncio.IncompleteReadError when there is none."""
        interim = []
        while True:
            line, pairs = fields_of(await self.raw_head())
            answer = RawResponse(line, pairs, interim=interim)
            if not 100 <= answer.status < 200 or answer.status == 101:
                break
            interim.append(line)
        async with asyncio.timeout(STEP_TIMEOUT):
            await self._body(answer, method)
        return answer

    async def _body(self, answer: RawResponse, method: str) -> None:
        coding, length = answer.get("Transfer-Encoding"), answer.get("Content-Length")
        assert coding is None or length is None, answer.fields
        if method == "HEAD" or answer.status in (101, 204, 304) or (method == "CONNECT" and 199 < answer.status < 300):
            return
        if coding is not None:
            assert coding == "chunked", coding
            answer.framing = "chunked"
            while size := int((await self.until(b"\r\n")).split(b";")[0], 16):
                piece = await self.exactly(size + 2)
                assert piece.endswith(b"\r\n"), piece[-20:]
                answer.chunks.append(piece[:-2])
            while (line := await self.until(b"\r\n")) != b"\r\n":
                name, _, value = line[:-2].decode("latin-1").partition(":")
                answer.trailers.append((name, value.strip()))
            answer.body = b"".join(answer.chunks)
        elif length is not None:
            assert length.isdecimal(), length
            answer.framing = "length"
            answer.body = await self.exactly(int(length))
        else:
            answer.framing = "close"
            answer.body = await self.rest()

    async def rest(self) -> bytes:
        """Everything up to the end of the connection; a reset counts as an end."""
        got = bytearray()
        async with asyncio.timeout(STEP_TIMEOUT):
            while data := await self.read():
                got += data
        return bytes(got)

    def end(self) -> None:
        """Say that no more bytes come, and go on reading."""
        if self.writer.can_write_eof() and not self.writer.is_closing():
            self.writer.write_eof()


class Connecting:
    """An `async with` block around one `RawClient`."""

    def __init__(self, host: str, port: int) -> None:
        self.address = host, port
        self.client: RawClient | None = None

    async def __aenter__(self) -> RawClient:
        reader, writer = await asyncio.open_connection(*self.address, limit=MAX_REQUEST)
        self.client = RawClient(reader, writer, 0)
        return self.client

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self.client is not None
        self.client.writer.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)


def connect(port: int, host: str = "127.0.0.1") -> Connecting:
    """A raw connection to a server of this machine."""
    return Connecting(host, port)
