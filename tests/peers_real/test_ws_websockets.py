"""WebSockets against the library `websockets`: its client with our server, its server with our client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.peers.tls import client_context, server_context
from tests.peers.ws_echo import MESSAGES, echo_server
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

import fairlead

compression = pytest.mark.parametrize("compress", [False, True])


def deflate(compress: bool) -> str | None:
    return "deflate" if compress else None


# ---- its client


@compression
async def test_its_client(compress: bool) -> None:
    async with echo_server() as server:
        async with connect(f"{server.url}/echo", compression=deflate(compress), max_size=None, proxy=None) as ws:
            for message in MESSAGES:
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["in ", "three ", "pieces"])
            assert await ws.recv() == "in three pieces"
            assert await (await ws.ping()) >= 0
            await ws.close(4001, "that is all")
        assert await server.ends.get() == (4001, compress)


async def test_its_client_with_a_subprotocol_over_tls() -> None:
    protocols = [Subprotocol("other"), Subprotocol("chat.v1")]
    async with echo_server(ssl_context=server_context()) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        async with connect(f"{url}/echo", subprotocols=protocols, ssl=client_context(), proxy=None) as ws:
            assert ws.subprotocol == "chat.v1"
            await ws.send("hello")
            assert await ws.recv() == "hello"


@compression
async def test_what_its_client_sees_of_our_close(compress: bool) -> None:
    async with echo_server() as server, connect(f"{server.url}/echo", compression=deflate(compress), proxy=None) as ws:
        await ws.send("close 4002 go away")
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert (ws.close_code, ws.close_reason) == (4002, "go away")
        assert await server.ends.get() == (4002, compress)


async def test_its_client_says_too_much() -> None:
    async with echo_server(max_msg_size=1000) as server, connect(f"{server.url}/echo", proxy=None) as ws:
        await ws.send("a" * 2000)
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert ws.close_code == 1009
        assert (await server.ends.get())[0] == 1009


async def test_many_of_its_clients_at_once() -> None:
    async def one(number: int) -> None:
        async with connect(f"{server.url}/echo", proxy=None) as ws:
            for turn in range(10):
                await ws.send(f"{number} {turn} " * number)
                assert await ws.recv() == f"{number} {turn} " * number

    async with echo_server() as server:
        await asyncio.gather(*(one(number) for number in range(30)))
        assert [(await server.ends.get())[0] for _ in range(30)] == [1000] * 30


# ---- its server


async def answer(ws: ServerConnection) -> None:
    async for message in ws:
        if isinstance(message, str) and message.startswith("close "):
            _, code, reason = message.split(" ", 2)
            await ws.close(int(code), reason)
        elif message == "pieces":
            await ws.send(["in ", "three ", "pieces"])
        elif message == "ping":
            latency = await (await ws.ping())
            await ws.send(f"answered: {latency >= 0}")
        else:
            await ws.send(message)


@contextlib.asynccontextmanager
async def their_server(**options: Any) -> AsyncIterator[tuple[Server, str]]:
    async with serve(answer, "127.0.0.1", 0, **({"max_size": None} | options)) as server:
        yield server, f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


@compression
@pytest.mark.parametrize("offered", [0, 15, 9])
async def test_its_server(compress: bool, offered: int) -> None:
    async with their_server(compression=deflate(compress)) as (_, url), fairlead.ClientSession() as session:
        async with session.ws_connect(url, compress=offered) as ws:
            assert bool(ws.compress) == (compress and offered > 0)
            for message in MESSAGES:
                if isinstance(message, str):
                    await ws.send_str(message)
                    assert await ws.receive_str() == message
                else:
                    await ws.send_bytes(message)
                    assert await ws.receive_bytes() == message
            for asked, expected in (("pieces", "in three pieces"), ("ping", None)):
                await ws.send_str(asked)
                if expected:
                    assert await ws.receive_str() == expected
                else:
                    assert await ws.receive_str() == "answered: True"
            await ws.ping(b"are you there")
            await ws.send_str("yes")
            assert await ws.receive_str() == "yes"
            assert await ws.close(code=4003, message=b"enough")
            assert ws.close_code == 4003


async def test_what_we_see_of_its_close() -> None:
    async with their_server() as (_, url), fairlead.ClientSession() as session, session.ws_connect(url) as ws:
        await ws.send_str("close 4004 bye")
        message = await ws.receive()
        assert (message.type, message.data, message.extra) == (fairlead.WSMsgType.CLOSE, 4004, "bye")
        assert ws.close_code == 4004


async def test_we_say_too_much() -> None:
    async with their_server(max_size=1000) as (_, url), fairlead.ClientSession() as session:
        async with session.ws_connect(url) as ws:
            await ws.send_str("a" * 2000)
            assert (await ws.receive()).type is fairlead.WSMsgType.CLOSE
            assert ws.close_code == 1009


async def test_its_server_goes_away() -> None:
    async with fairlead.ClientSession() as session:
        async with their_server() as (server, url):
            ws = await session.ws_connect(url)
            server.close()
            assert (await ws.receive()).type is fairlead.WSMsgType.CLOSE
            assert ws.close_code == 1001
        await ws.close()


async def test_its_server_agrees_on_a_subprotocol() -> None:
    protocols = [Subprotocol("chat.v1")]
    async with their_server(subprotocols=protocols) as (_, url), fairlead.ClientSession() as session:
        async with session.ws_connect(url, protocols=("chat.v2", "chat.v1")) as ws:
            assert ws.protocol == "chat.v1"
