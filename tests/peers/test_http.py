"""The test server keeps to the protocol by itself: seen through a bare socket and through h11."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json

import h11
import pytest
from tests.peers.http import PATTERN, http_server
from tests.peers.raw import chunks
from tests.peers.tls import client_context, server_context


class Peer:
    """A client made of h11, for one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h11 = h11.Connection(h11.CLIENT)

    async def ask(
        self, method: str, target: str, body: bytes = b"", fields: tuple[tuple[str, str], ...] = ()
    ) -> tuple[h11.Response, bytes]:
        if self.h11.our_state is not h11.IDLE:
            self.h11.start_next_cycle()
        framing = (("Content-Length", str(len(body))),) if body else ()
        request = h11.Request(method=method, target=target, headers=[("Host", "t"), *framing, *fields])
        out = self.h11.send(request) or b""
        out += (self.h11.send(h11.Data(body)) or b"") if body else b""
        self.writer.write(out + (self.h11.send(h11.EndOfMessage()) or b""))
        response, received = None, b""
        while True:
            event = self.h11.next_event()
            if event is h11.NEED_DATA:
                self.h11.receive_data(await self.reader.read(65536))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                received += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert response is not None
                return response, received


async def connect(port: int, tls: bool = False) -> Peer:
    return Peer(*await asyncio.open_connection("127.0.0.1", port, ssl=client_context() if tls else None))


@pytest.mark.parametrize("tls", [False, True])
async def test_echo_and_keep_alive(tls: bool) -> None:
    async with http_server(ssl=server_context() if tls else None) as server:
        peer = await connect(server.port, tls)
        for body in (b"", b"abc"):
            response, got = await peer.ask("POST", "/echo?a=1", body, (("X-A", "1"),))
            told = json.loads(got)
            assert response.status_code == 200
            assert told["target"] == "/echo?a=1"
            assert told["body"] == body.decode()
            assert told["sha256"] == hashlib.sha256(body).hexdigest()
            assert ["x-a", "1"] in [[name.lower(), value] for name, value in told["fields"]]
        peer.writer.close()
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/status/204", 204, b""),
        ("/status/418?reason=Teapot", 418, b"status 418"),
        ("/bytes/3000000", 200, (PATTERN * 3)[:3000000]),
        ("/chunked/3/5?trailer=1", 200, PATTERN[:15]),
        ("/drip/3/0", 200, PATTERN[:3]),
        ("/close", 200, b"until the end"),
        ("/nowhere", 404, b"no such route"),
        ("/headers?X-A=1&X-A=2", 200, b"headers"),
        ("/redirect/2", 302, b"moved"),
        ("/redirect-to?url=/x&status=308", 308, b"moved"),
        ("/cookies", 200, b"{}"),
        ("/basic-auth/u/p", 401, b""),
        ("/slow/1", 200, b"slow"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_routes(target: str, status: int, body: bytes, method: str) -> None:
    if (method, target) == ("HEAD", "/close"):
        pytest.skip("a body until the end has no HEAD form")
    async with http_server() as server:
        peer = await connect(server.port)
        response, got = await peer.ask(method, target)
        peer.writer.close()
        assert response.status_code == status
        assert got == (b"" if method == "HEAD" else body)


async def test_codings_decode_to_the_pattern() -> None:
    async with http_server() as server:
        peer = await connect(server.port)
        for query in ("", "?chunked=1"):
            response, got = await peer.ask("GET", f"/coded/gzip/5000{query}")
            assert (b"content-encoding", b"gzip") in list(response.headers)
            assert gzip.decompress(got) == (PATTERN * 2)[:5000]
        peer.writer.close()


async def test_expect_is_answered_before_the_body_is_read() -> None:
    async with http_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /upload HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(chunks(b"ab", b"c"))
        assert (await reader.read()).endswith(b'"%s"}' % hashlib.sha256(b"abc").hexdigest().encode())
        writer.close()


async def test_a_stalled_body_ends_when_the_client_leaves() -> None:
    async with http_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /stall/2 HTTP/1.1\r\nHost: t\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 3\r\n" in head
        assert await reader.readexactly(2) == PATTERN[:2]
        writer.close()
