"""wire.proxy: the CONNECT exchange, byte by byte, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fairlead.errors import ProtocolError, ServerDisconnectedError
from fairlead.wire.proxy import TunnelProtocol, tunnel_authority


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.paused = False

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.paused = True


def connected() -> tuple[TunnelProtocol, FakeTransport]:
    protocol, transport = TunnelProtocol(), FakeTransport()
    protocol.connection_made(transport)
    return protocol, transport


async def asking(protocol: TunnelProtocol) -> asyncio.Task[Any]:
    task = asyncio.create_task(protocol.connect("origin.example:443", [("Host", "origin.example"), ("X", "y")]))
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize(
    ("host", "expected"), [("h.example", "h.example:443"), ("10.0.0.1", "10.0.0.1:443"), ("::1", "[::1]:443")]
)
def test_the_target_names_host_and_port(host: str, expected: str) -> None:
    assert tunnel_authority(host, 443) == expected


async def test_the_request_is_what_the_rfc_shows() -> None:
    protocol, transport = connected()
    task = await asking(protocol)
    assert transport.written == b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example\r\nX: y\r\n\r\n"
    protocol.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    assert (await task).status == 200


ANSWERS = {
    "200": (b"HTTP/1.1 200 Connection established\r\nVia: p\r\n\r\n", 200, "Connection established"),
    "a length with 200 counts for nothing": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, "OK"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n", 200, "OK"),
    "interim answers": (b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200, "OK"),
    "a refusal": (b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", 407, "Auth"),
    "an upgrade": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101, "Switching"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_the_answer_is_read_at_every_split(name: str) -> None:
    data, status, reason = ANSWERS[name]
    for split in range(len(data)):
        protocol, transport = connected()
        task = await asking(protocol)
        for piece in (data[:split], data[split:]):
            if piece:
                protocol.data_received(piece)
        head = await task
        assert (head.status, head.reason) == (status, reason)
        assert transport.paused


async def test_the_body_of_a_refusal_is_not_waited_for() -> None:
    protocol, _ = connected()
    task = await asking(protocol)
    protocol.data_received(b"HTTP/1.1 403 No\r\nContent-Length: 1000\r\n\r\npart of it")
    assert (await task).status == 403


async def test_bytes_that_come_with_the_200_are_refused() -> None:
    protocol, _ = connected()
    task = await asking(protocol)
    protocol.data_received(b"HTTP/1.1 200 OK\r\n\r\ninjected")
    with pytest.raises(ProtocolError, match="sent 8 bytes before the tunnel was used: b'injected'") as caught:
        await task
    assert caught.value.slug == "proxy.tunnel.early"


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000, b"HTTP/1.1 200 OK\r\nbad line\r\n\r\n"]
)
async def test_an_answer_that_is_not_http_is_an_error(data: bytes) -> None:
    protocol, _ = connected()
    task = await asking(protocol)
    protocol.data_received(data)
    with pytest.raises(ProtocolError):
        await task


async def test_a_closed_connection_is_an_error() -> None:
    protocol, _ = connected()
    task = await asking(protocol)
    protocol.data_received(b"HTTP/1.1 20")
    cause = ConnectionResetError("gone")
    protocol.connection_lost(cause)
    with pytest.raises(ServerDisconnectedError, match="closed the connection before it answered CONNECT") as caught:
        await task
    assert caught.value.__cause__ is cause


async def test_a_connection_that_was_lost_before_is_not_asked() -> None:
    protocol, transport = connected()
    protocol.connection_lost(None)
    with pytest.raises(ServerDisconnectedError):
        await protocol.connect("h:443", [])
    assert transport.written == b""


async def test_a_proxy_that_speaks_first_is_not_asked() -> None:
    protocol, transport = connected()
    protocol.data_received(b"220 hello\r\n")
    with pytest.raises(ProtocolError):
        await protocol.connect("h:443", [])
    assert transport.written == b""


async def test_without_a_connection_there_is_nobody_to_ask() -> None:
    with pytest.raises(RuntimeError, match="needs an open connection"):
        await TunnelProtocol().connect("h:443", [])


@pytest.mark.parametrize("field", [("X\r\nY", "z"), ("X", "a\r\nY: z"), ("X", "a\0")])
async def test_fields_that_would_inject_others_are_not_sent(field: tuple[str, str]) -> None:
    protocol, transport = connected()
    with pytest.raises(ValueError, match=r"."):
        await protocol.connect("h:443", [field])
    assert transport.written == b""


async def test_a_cancelled_question_ignores_a_late_answer() -> None:
    protocol, _ = connected()
    task = await asking(protocol)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    protocol.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    protocol.connection_lost(None)
