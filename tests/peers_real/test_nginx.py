"""The client against nginx: plain and TLS, compressed and chunked, keep-alive closed at the worst moment."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator

import pytest
from tests.peers.http import http_server
from tests.peers.nginx import HELLO, LINES, Nginx, nginx
from tests.peers.tls import client_context

import fairlead

pytestmark = pytest.mark.slow

BIG = bytes(range(256)) * 8192


async def used(session: fairlead.ClientSession, server: Nginx, path: str, n: int) -> list[int]:
    """The statuses of n requests in a row."""
    statuses = []
    for _ in range(n):
        async with session.get(server.url / path) as r:
            assert await r.read() == HELLO
            statuses.append(r.status)
    return statuses


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_static_files(secure: bool) -> None:
    async with nginx() as server, fairlead.ClientSession() as session:
        root = server.tls_url if secure else server.url
        context = client_context() if secure else True
        async with session.get(root / "hello.txt", ssl=context) as r:
            assert (r.status, await r.text()) == (200, HELLO.decode())
            assert r.content_type == "text/plain"
            etag = r.headers["ETag"]
        async with session.get(root / "data.json", ssl=context) as r:
            assert await r.json() == {"from": "nginx"}
        async with session.get(root / "big.bin", ssl=context) as r:
            digest = hashlib.sha256()
            async for piece in r.content.iter_chunked(65536):
                digest.update(piece)
            assert digest.digest() == hashlib.sha256(BIG).digest()
        async with session.head(root / "big.bin", ssl=context) as r:
            assert (r.content_length, await r.read()) == (len(BIG), b"")
        async with session.get(root / "hello.txt", ssl=context, headers={"If-None-Match": etag}) as r:
            assert (r.status, await r.read()) == (304, b"")
        async with session.get(root / "big.bin", ssl=context, headers={"Range": "bytes=10-19"}) as r:
            assert (r.status, await r.read()) == (206, BIG[10:20])
        async with session.get(root / "nowhere", ssl=context) as r:
            assert r.status == 404
            assert "404" in await r.text()
        async with session.get(root / "empty.txt", ssl=context) as r:
            assert (r.status, await r.read()) == (200, b"")
        async with session.get(root / "empty/", ssl=context) as r:
            assert (r.status, await r.read()) == (204, b"")


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_compressed_and_chunked(secure: bool) -> None:
    async with nginx() as server, fairlead.ClientSession() as session:
        url = (server.tls_url if secure else server.url) / "gzip/lines.txt"
        context = client_context() if secure else True
        async with session.get(url, ssl=context) as r:
            assert r.headers["Content-Encoding"] == "gzip"
            assert r.headers["Transfer-Encoding"] == "chunked"
            assert await r.read() == LINES
        async with session.get(url, ssl=context) as r:
            assert [line async for line in r.content] == LINES.splitlines(keepends=True)
        async with session.get(url, ssl=context, headers={"Accept-Encoding": "identity"}) as r:
            assert "Content-Encoding" not in r.headers
            assert await r.read() == LINES


async def test_connections_that_nginx_closes_after_some_requests_or_at_once() -> None:
    async with nginx() as server, fairlead.ClientSession() as session:
        assert await used(session, server, "short/hello.txt", 7) == [200] * 7
        assert await used(session, server, "close/hello.txt", 3) == [200] * 3


async def test_connections_that_nginx_closes_while_idle_do_not_fail_requests() -> None:
    async with nginx() as server, fairlead.ClientSession() as session:
        for pause in (0, 0.001, 0.002, 0.005, 0.02):
            assert await used(session, server, "idle/hello.txt", 2) == [200, 200]
            await asyncio.sleep(pause)


async def test_many_at_a_time_share_few_connections() -> None:
    async with nginx() as server:
        connector = fairlead.TCPConnector(limit=5)
        async with fairlead.ClientSession(connector=connector) as session:

            async def get(i: int) -> bytes:
                async with session.get(server.url / "lines.txt", params={"i": i}) as r:
                    return await r.read()

            assert await asyncio.gather(*[get(i) for i in range(60)]) == [LINES] * 60


async def test_redirect_and_basic_auth() -> None:
    async with nginx() as server, fairlead.ClientSession() as session:
        async with session.get(server.url / "redirect/") as r:
            assert (r.status, await r.read(), [h.status for h in r.history]) == (200, HELLO, [302])
        async with session.get(server.url / "auth/hello.txt") as r:
            assert r.status == 401
        headers = {"Authorization": fairlead.encode_basic_auth("u", "p")}
        async with session.get(server.url / "auth/hello.txt", headers=headers) as r:
            assert (r.status, await r.read()) == (200, HELLO)


async def test_uploads_through_nginx() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 10_000

    async with http_server() as upstream, nginx(upstream.url) as server, fairlead.ClientSession() as session:
        async with session.post(server.url / "proxy/upload", data=b"y" * 300_000) as r:
            assert (await r.json())["length"] == 300_000
        async with session.put(server.url / "proxy/upload", data=pieces()) as r:
            assert (await r.json())["length"] == 640_000
        async with session.post(server.url / "proxy/upload", data=b"z" * 5000, expect100=True) as r:
            assert (await r.json())["length"] == 5000


async def test_an_answer_to_an_upload_that_is_too_large_comes_early_and_arrives() -> None:
    async with http_server() as upstream, nginx(upstream.url) as server, fairlead.ClientSession() as session:
        for body in (io.BytesIO(b"x" * 2000), io.BytesIO(b"x" * 5_000_000)):
            async with session.post(server.url / "limit/upload", data=body) as r:
                assert r.status == 413
        async with session.post(server.url / "limit/upload", data=b"x" * 100) as r:
            assert (r.status, (await r.json())["length"]) == (200, 100)
