"""The server behind nginx: kept connections, large bodies both ways with and without buffering, clients that leave."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

import pytest
from tests.peers.nginx import nginx
from tests.peers.programs import curl
from tests.peers.told import BIG, LINE, PAGE, Told, digest, parsed

buffering = pytest.mark.parametrize("way", ["on", "off"])


@buffering
async def test_what_the_proxy_says_of_the_client(tmp_path: Path, way: str) -> None:
    async with Told(tmp_path) as server, nginx(server.url) as front:
        told = parsed((await curl(f"{front.url}{way}/told?a=1")).out)
        fields = told["headers"]
        assert (told["path"], told["query"], told["host"]) == ("/told", [["a", "1"]], f"127.0.0.1:{front.port}")
        assert (fields["x-real-ip"], fields["x-forwarded-for"]) == ("127.0.0.1", "127.0.0.1")
        assert fields["x-forwarded-proto"] == "http"
        assert told["forwarded"] == [{"for": "127.0.0.1", "proto": "http", "host": f"127.0.0.1:{front.port}"}]
        told = parsed((await curl("-k", f"{front.tls_url}{way}/told")).out)
        assert told["headers"]["x-forwarded-proto"] == "https"


@buffering
async def test_connections_to_the_server_are_kept(tmp_path: Path, way: str) -> None:
    async with Told(tmp_path) as server, nginx(server.url) as front:
        for path in ("told", "stream?n=100", "compressed", "files/small.txt", "nowhere", "told"):
            await curl("-o", str(tmp_path / "out"), f"{front.url}{way}/{path}")
        await curl("-o", str(tmp_path / "out"), "-T", "-", f"{front.url}{way}/told", given=BIG)
        await curl("-I", f"{front.url}{way}/files/big.bin")
        assert (await curl("-z", "1 Jun 2024", f"{front.url}{way}/files/small.txt")).out == b""
        assert (await curl(f"{front.url}{way}/files/small.txt")).out == b"0123456789abcdefghij"
        assert len(server.peers) == 1


@buffering
async def test_large_bodies(tmp_path: Path, way: str) -> None:
    (tmp_path / "large").write_bytes(BIG)
    async with Told(tmp_path) as server, nginx(server.url) as front:
        root = f"{front.url}{way}/"
        assert (await curl(f"{root}files/big.bin")).out == BIG
        assert (await curl("--limit-rate", "8M", f"{root}files/big.bin")).out == BIG
        assert (await curl("-r", "1000-1999", f"{root}files/big.bin")).out == BIG[1000:2000]
        assert (await curl(f"{root}stream?n=20000")).out == b"".join(LINE % i for i in range(20_000))
        assert (await curl("--compressed", f"{root}compressed")).text == PAGE
        for sent in (("-T", str(tmp_path / "large")), ("--data-binary", f"@{tmp_path / 'large'}")):
            told = parsed((await curl(*sent, f"{root}told")).out)
            assert (told["length"], told["digest"]) == (len(BIG), digest(BIG))
        told = parsed((await curl("-T", "-", f"{root}told", given=BIG)).out)  # chunked as far as nginx
        assert (told["length"], told["digest"]) == (len(BIG), digest(BIG))
        told = parsed((await curl("-F", "a=1", "-F", f"f=@{tmp_path / 'large'}", f"{root}form")).out)
        assert told["f"][2:] == [len(BIG), digest(BIG)]


async def test_a_refusal_of_a_large_body_gets_through(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(BIG * 4)
    async with Told(tmp_path) as server, nginx(server.url) as front:
        for way in ("on", "off"):
            for _ in range(5):
                ended = await curl("-w", "%{http_code}", "-T", str(tmp_path / "large"), f"{front.url}{way}/refuse")
                assert ended.text == "too much\n413"


async def test_a_client_that_leaves_a_download(tmp_path: Path) -> None:
    async with Told(tmp_path) as server, nginx(server.url) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"GET /off/endless HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"first\n")
        writer.close()
        await writer.wait_closed()
        assert await server.ends.get() == "left"
        assert (await curl(f"{front.url}off/files/small.txt")).out == b"0123456789abcdefghij"


async def test_a_client_that_leaves_an_upload(tmp_path: Path) -> None:
    async with Told(tmp_path) as server, nginx(server.url) as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"PUT /off/swallow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(100_000))
        await writer.drain()
        await server.arrived.wait()
        writer.close()
        await writer.wait_closed()
        assert await server.ends.get() == "ClientConnectionResetError"
        assert (await curl(f"{front.url}off/files/small.txt")).out == b"0123456789abcdefghij"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
async def test_over_a_unix_socket(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="fl-") as short:
        path = str(Path(short) / "s")
        async with Told(tmp_path, path=path), nginx(path=path) as front:
            Path(short).chmod(0o755)
            Path(path).chmod(0o666)  # nginx's workers may run as another user
            assert (await curl(f"{front.url}off/files/big.bin")).out == BIG
            told = parsed((await curl("-T", "-", f"{front.url}on/told", given=BIG)).out)
            assert (told["digest"], told["host"]) == (digest(BIG), f"127.0.0.1:{front.port}")


@pytest.mark.slow
async def test_many_at_once(tmp_path: Path) -> None:
    async with Told(tmp_path) as server, nginx(server.url) as front:
        names = [str(tmp_path / f"out{i}") for i in range(40)]
        urls = [f"{front.url}{way}/files/big.bin" for way in ("on", "off")]
        pairs = [argument for i, name in enumerate(names) for argument in ("-o", name, urls[i % 2])]
        await curl("-Z", "--parallel-immediate", *pairs)
        assert all(Path(name).read_bytes() == BIG for name in names)
