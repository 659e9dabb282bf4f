"""What the signals say during real requests, word for word as in the original where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest
from tests.peers.raw import RawConnection, RawServer, chunks, raw_server, response

from fairlead.client.session import ClientSession
from fairlead.client.tcp import TCPConnector
from fairlead.client.tracing import SIGNALS, TraceConfig
from fairlead.wire import dns

needs_oracle = pytest.mark.skipif(importlib.util.find_spec("aiohttp") is None, reason="aiohttp is not installed")
OURS = SimpleNamespace(
    ClientSession=ClientSession,
    TCPConnector=TCPConnector,
    TraceConfig=TraceConfig,
    AbstractResolver=dns.AbstractResolver,
)


def originals() -> Any:
    import aiohttp
    import aiohttp.abc

    return SimpleNamespace(
        ClientSession=aiohttp.ClientSession,
        TCPConnector=aiohttp.TCPConnector,
        TraceConfig=aiohttp.TraceConfig,
        AbstractResolver=aiohttp.abc.AbstractResolver,
    )


async def serve(connection: RawConnection) -> None:
    while (request := await connection.request()) is not None:
        path = request.target.partition("?")[0]
        if path == "/redirect":
            await connection.send(response(302, b"", ("Location", "/final")))
        elif path == "/chunked":
            await connection.send(
                response(200, b"", ("Transfer-Encoding", "chunked"), length=False) + chunks(b"ab", b"c")
            )
        elif request.method == "HEAD":
            await connection.send(response(200, b"", ("Content-Length", "5"), length=False))
        elif path == "/error":
            await connection.send(response(404, b"no"))
        elif path == "/cut":
            return
        else:
            await connection.send(response(200, b"hello"))


def recording(client: Any, port: int) -> tuple[Any, list[str]]:
    """A config that writes down every signal, the port taken out."""
    lines: list[str] = []
    config = client.TraceConfig()

    def listener(name: str) -> Any:
        async def receive(session: Any, context: Any, params: Any) -> None:
            assert context.trace_request_ctx == "ctx"
            fields = []
            for field in ("method", "url", "host", "chunk", "response", "exception", "headers"):
                if not hasattr(params, field):
                    continue
                value = getattr(params, field)
                if field == "response":
                    value = value.status
                elif field == "exception":
                    value = type(value).__name__
                elif field == "headers":
                    value = "Host" in value or sorted(value)
                fields.append(f"{field}={value}")
            lines.append(f"{name} {' '.join(fields)}".replace(f":{port}", ""))

        return receive

    for name in SIGNALS:
        getattr(config, f"on_{name}").append(listener(name))
    return config, lines


async def story(client: Any, server: RawServer, *steps: tuple[str, str, dict[str, Any]], **options: Any) -> list[str]:
    """Run the steps one after the other through one session; what it signals, with a line between the steps."""

    class Resolver(client.AbstractResolver):  # type: ignore[misc]
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
            return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 4}]

        async def close(self) -> None: ...

    config, lines = recording(client, server.port)
    connector = client.TCPConnector(resolver=Resolver(), **options)
    async with client.ClientSession(connector=connector, trace_configs=[config]) as http:
        for method, path, arguments in steps:
            lines.append(f"--- {method} {path}")
            url = f"http://name.example:{server.port}{path}"
            try:
                async with http.request(method, url, trace_request_ctx="ctx", **arguments) as answered:
                    await answered.read()
            except Exception as exc:
                lines.append(f"raised {type(exc).__name__}")
    return lines


STORIES: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "plain, then reused": [("GET", "/?a=1#frag", {}), ("GET", "/", {})],
    "redirect": [("GET", "/redirect", {})],
    "redirect not followed": [("GET", "/redirect", {"allow_redirects": False})],
    "body": [("POST", "/", {"data": b"abc"}), ("PUT", "/", {"json": {}})],
    "post and redirect": [("POST", "/redirect", {"data": b"abc"})],
    "error status": [("GET", "/error", {}), ("GET", "/error", {"raise_for_status": True})],
    "head": [("HEAD", "/", {})],
}


@needs_oracle
@pytest.mark.parametrize("name", STORIES)
async def test_as_in_the_original(name: str) -> None:
    async with raw_server(serve) as server:
        expected = await story(originals(), server, *STORIES[name])
        assert await story(OURS, server, *STORIES[name]) == expected


async def test_a_whole_story() -> None:
    async with raw_server(serve) as server:
        lines = await story(OURS, server, ("POST", "/redirect", {"data": b"abc"}))
    assert lines == [
        "--- POST /redirect",
        "request_start method=POST url=http://name.example/redirect headers=[]",
        "connection_create_start ",
        "dns_cache_miss host=name.example",
        "dns_resolvehost_start host=name.example",
        "dns_resolvehost_end host=name.example",
        "connection_create_end ",
        "request_headers_sent method=POST url=http://name.example/redirect headers=True",
        "request_chunk_sent method=POST url=http://name.example/redirect chunk=b'abc'",
        "request_redirect method=POST url=http://name.example/redirect response=302 headers=[]",
        "connection_reuseconn ",
        "request_headers_sent method=GET url=http://name.example/final headers=True",
        "request_end method=GET url=http://name.example/final response=200 headers=[]",
        "response_chunk_received method=GET url=http://name.example/final chunk=b'hello'",
    ]


@needs_oracle
async def test_waiting_for_a_connection() -> None:
    """With one connection allowed, the second request is queued; only its own signals are looked at."""

    held: list[asyncio.Event] = []

    async def hold(connection: RawConnection) -> None:
        while await connection.request() is not None:
            await connection.send(response(200, b"", ("Content-Length", "5"), length=False) + b"he")
            await held[-1].wait()
            await connection.send(b"llo")

    async def queued(client: Any, server: RawServer) -> list[str]:
        held.append(asyncio.Event())
        config, lines = recording(client, server.port)

        async def let_go(*_: Any) -> None:
            held[-1].set()

        config.on_connection_queued_start.append(let_go)
        connector = client.TCPConnector(limit=1)
        async with client.ClientSession(connector=connector, trace_configs=[config]) as http:
            async with http.get(server.url, trace_request_ctx="ctx") as first:
                other = asyncio.create_task(http.get(server.url, trace_request_ctx="ctx").__aenter__())
                assert await first.read() == b"hello"
            assert await (await other).read() == b"hello"
        return [line.split()[0] for line in lines if "chunk" not in line]

    async with raw_server(hold) as server:
        ours = await queued(OURS, server)
        assert ours == await queued(originals(), server)
        assert ours[5:] == [
            "request_start",
            "connection_queued_start",
            "connection_queued_end",
            "connection_reuseconn",
            "request_headers_sent",
            "request_end",
        ]


async def test_an_exception_is_signalled() -> None:
    async with raw_server(serve) as server:
        lines = await story(OURS, server, ("POST", "/cut", {"data": b"x"}))
    assert lines[-2].startswith("request_exception method=POST url=http://name.example/cut exception=")
    assert lines[-1] == "raised ServerDisconnectedError"


async def test_chunks_add_up() -> None:
    async with raw_server(serve) as server:
        lines = await story(OURS, server, ("GET", "/chunked", {}))
    chunk = [line.rpartition("chunk=")[2] for line in lines if line.startswith("response_chunk_received")]
    assert "".join(eval(text).decode() for text in chunk) == "abc"
