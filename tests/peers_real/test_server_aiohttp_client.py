"""The server against aiohttp's client: requests of every kind, streams both ways, and kept connections."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.peers.tls import client_context, server_context
from tests.peers.told import BIG, LINE, PAGE, Told, digest

aiohttp = pytest.importorskip("aiohttp")


async def pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(BIG), 50_000):
        yield BIG[start : start + 50_000]
        await asyncio.sleep(0)


async def asked(session: Any, method: str, url: Any, **options: Any) -> Any:
    async with session.request(method, url, **options) as r:
        assert r.status == 200
        return await r.json()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_methods_and_bodies(tmp_path: Path, secure: bool) -> None:
    own, theirs = (server_context(), client_context()) if secure else (None, None)
    async with Told(tmp_path, ssl_context=own) as server:
        connector = aiohttp.TCPConnector(ssl=theirs) if theirs else aiohttp.TCPConnector()
        async with aiohttp.ClientSession(connector=connector) as session:
            url = server.url / "told"
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                told = await asked(session, method, url, params={"ü": "1 2"})
                assert (told["method"], told["query"], told["length"]) == (method, [["ü", "1 2"]], 0)
            async with session.head(server.url / "files/big.bin") as r:
                assert (r.status, r.content_length, await r.read()) == (200, len(BIG), b"")
            for data, chunked in ((b"x" * 10, False), (b"", False), (pieces(), True), (io.BytesIO(BIG), False)):
                told = await asked(session, "POST", url, data=data)
                assert told["digest"] in (digest(BIG), digest(b"x" * 10), digest(b""))
                assert ("transfer-encoding" in told["headers"]) == chunked
            told = await asked(session, "POST", url, data=io.BytesIO(BIG), compress="gzip")
            assert (told["digest"], told["headers"]["content-encoding"]) == (digest(BIG), "gzip")
            told = await asked(session, "POST", url, data=io.BytesIO(BIG), expect100=True)
            assert told["digest"] == digest(BIG)
            assert len(server.peers) == 1


async def test_forms(tmp_path: Path) -> None:
    async with Told(tmp_path) as server, aiohttp.ClientSession() as session:
        assert await asked(session, "POST", server.url / "form", data={"a": "1 & 2", "é": "ü"}) == {
            "a": "1 & 2",
            "é": "ü",
        }
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("text", "grüße")
        form.add_field("file", io.BytesIO(BIG), filename="näme.bin", content_type="application/x-test")
        form.add_field("small", b"abc", filename="s.bin")
        told = await asked(session, "POST", server.url / "form", data=form)
        assert told["text"] == "grüße"
        assert told["file"] == ["näme.bin", "application/x-test", len(BIG), digest(BIG)]
        assert told["small"][2:] == [3, digest(b"abc")]


async def test_answers(tmp_path: Path) -> None:
    async with Told(tmp_path) as server, aiohttp.ClientSession() as session:
        for query in ("n=3", "n=5000", "n=5000&gzip=1"):
            async with session.get(f"{server.url}stream?{query}") as r:
                lines = [line async for line in r.content]
            assert lines == [LINE % i for i in range(3 if query == "n=3" else 5000)]
        for coding in ("gzip", "deflate"):
            async with session.get(server.url / "compressed", headers={"Accept-Encoding": coding}) as r:
                assert (r.headers["Content-Encoding"], await r.text()) == (coding, PAGE)
        async with session.get(server.url / "files/big.bin", headers={"Range": "bytes=5-"}) as r:
            assert (r.status, await r.read()) == (206, BIG[5:])
        async with session.post(server.url / "refuse", data=io.BytesIO(BIG)) as r:
            assert (r.status, await r.text()) == (413, "too much\n")
        async with session.put(server.url / "picky", data=io.BytesIO(BIG), expect100=True) as r:
            assert r.status == 413
        async with session.get(server.url / "nowhere") as r:
            assert (r.status, await r.text()) == (404, "404: Not Found")


async def test_cookies(tmp_path: Path) -> None:
    async with Told(tmp_path) as server:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            assert await asked(session, "GET", server.url / "cookies") == {}
            assert await asked(session, "GET", server.url / "cookies") == {"first": "one two", "second": "2"}


async def test_many_at_once_and_early_ends(tmp_path: Path) -> None:
    async with Told(tmp_path) as server:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:
            told = await asyncio.gather(
                *(asked(session, "POST", server.url / "told", data=b"%d" % i * 1000) for i in range(200))
            )
            assert [t["digest"] for t in told] == [digest(b"%d" % i * 1000) for i in range(200)]
            assert len(server.peers) <= 20
            async with session.get(server.url / "endless") as r:
                assert await r.content.readline() == b"first\n"
            assert await server.ends.get() == "left"
            assert (await asked(session, "GET", server.url / "told"))["length"] == 0
