"""The client against aiohttp's server: bodies of every kind, forms, streams, redirects, cookies, and early ends."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import pytest
from tests.peers.aiohttp_server import aiohttp_server
from tests.peers.tls import client_context, server_context

import fairlead


async def pieces() -> AsyncIterator[bytes]:
    for i in range(100):
        yield b"%04d" % i


async def test_bodies() -> None:
    async with aiohttp_server() as server, fairlead.ClientSession() as session:
        for data, length, chunked in (
            (b"abc", 3, False),
            ("é", 2, False),
            (io.BytesIO(b"x" * 100_000), 100_000, False),
            (pieces(), 400, True),
            (io.BytesIO(b"x" * 3_000_000), 3_000_000, False),
        ):
            async with session.post(server.url / "echo", data=data) as r:
                told = await r.json()
                assert (told["length"], told["chunked"]) == (length, chunked)
        async with session.post(server.url / "echo", json={"a": "é"}) as r:
            assert (await r.json())["body"] == '{"a": "\\u00e9"}'
        async with session.post(server.url / "echo", data=b"ab" * 1000, compress="gzip") as r:
            assert (await r.json())["body"] == "ab" * 1000
        async with session.post(server.url / "echo", data=b"abc", expect100=True) as r:
            assert (await r.json())["body"] == "abc"


async def test_forms() -> None:
    async with aiohttp_server() as server, fairlead.ClientSession() as session:
        async with session.post(server.url / "form", data={"a": "1 & 2", "é": "ü"}) as r:
            assert await r.json() == [["a", "1 & 2"], ["é", "ü"]]
        form = fairlead.FormData()
        form.add_field("text", "grüße")
        form.add_field("file", b"content", filename="name.bin", content_type="application/x-test")
        form.add_field("stream", io.BytesIO(b"y" * 50_000), filename="s.bin")
        async with session.post(server.url / "form", data=form) as r:
            text, file, stream = await r.json()
            assert text == ["text", "grüße"]
            assert file == ["file", ["name.bin", "application/x-test", "content"]]
            assert stream[1][2] == "y" * 50_000


@pytest.mark.parametrize("query", ["n=3", "n=5000", "n=5000&gzip=1"])
async def test_streams(query: str) -> None:
    async with aiohttp_server() as server, fairlead.ClientSession() as session:
        async with session.get(f"{server.url}stream?{query}") as r:
            lines = [line async for line in r.content]
        assert lines == [b"%06d\n" % i for i in range(len(lines))]
        assert f"n={len(lines)}" in query


async def test_compressed_answers() -> None:
    async with aiohttp_server() as server, fairlead.ClientSession() as session:
        for accept in ("gzip", "deflate", "gzip, deflate"):
            async with session.get(server.url / "compressed", headers={"Accept-Encoding": accept}) as r:
                assert r.headers["Content-Encoding"] in accept
                assert await r.text() == "compress me " * 1000


async def test_redirects_and_cookies() -> None:
    async with aiohttp_server() as server:
        jar = fairlead.CookieJar(unsafe=True)
        async with fairlead.ClientSession(cookie_jar=jar, cookies={"own": "x y"}) as session:
            async with session.post(server.url / "redirect", data=b"gone") as r:
                told = await r.json()
                assert (told["method"], told["length"], r.url.path) == ("GET", 0, "/echo")
            async with session.get(server.url / "cookies") as r:
                assert await r.json() == {"own": "x y"}
            async with session.get(server.url / "cookies") as r:
                assert await r.json() == {"own": "x y", "seen": "yes it was"}


async def test_tls() -> None:
    async with aiohttp_server(server_context()) as server, fairlead.ClientSession() as session:
        for _ in range(2):
            async with session.post(server.url / "echo", data=b"abc", ssl=client_context()) as r:
                assert (await r.json())["body"] == "abc"


async def test_early_answers_and_ends() -> None:
    async with aiohttp_server() as server, fairlead.ClientSession() as session:
        async with session.post(server.url / "early", data=pieces()) as r:
            assert (r.status, await r.text()) == (413, "too much")
        async with session.post(server.url / "early", data=io.BytesIO(b"x" * 5_000_000)) as r:
            assert (r.status, await r.text()) == (413, "too much")
        for _ in range(3):
            async with session.get(server.url / "close") as r:
                assert await r.text() == "bye"
        with pytest.raises(TimeoutError):
            await session.get(server.url / "hold", timeout=fairlead.ClientTimeout(total=0.03))


async def test_many_at_a_time() -> None:
    async with aiohttp_server() as server, fairlead.ClientSession() as session:

        async def post(i: int) -> str:
            async with session.post(server.url / "echo", data=str(i).encode()) as r:
                return str((await r.json())["body"])

        assert await asyncio.gather(*[post(i) for i in range(80)]) == [str(i) for i in range(80)]
