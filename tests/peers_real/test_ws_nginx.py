"""WebSockets through nginx: in the clear and over TLS, silence that it ends, and a heartbeat that prevents that."""

from __future__ import annotations

import asyncio

import pytest
from tests.peers.nginx import nginx
from tests.peers.tls import client_context
from tests.peers.ws_echo import MESSAGES, echo_server
from yarl import URL

import fairlead


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("compress", [0, 15])
async def test_messages(tls: bool, compress: int) -> None:
    async with echo_server() as server, nginx(URL(server.url).with_scheme("http")) as front:
        url = front.tls_url.with_host("localhost") if tls else front.url
        async with fairlead.ClientSession() as session:
            async with session.ws_connect(
                url / "ws/echo", compress=compress, ssl=client_context() if tls else True, protocols=("chat.v1",)
            ) as ws:
                assert ws.protocol == "chat.v1"
                for message in MESSAGES:
                    if isinstance(message, str):
                        await ws.send_str(message)
                        assert await ws.receive_str() == message
                    else:
                        await ws.send_bytes(message)
                        assert await ws.receive_bytes() == message
                await ws.close(code=4001)
            assert await server.ends.get() == (4001, compress > 0)


async def test_the_server_closes() -> None:
    async with echo_server() as server, nginx(URL(server.url).with_scheme("http")) as front:
        async with fairlead.ClientSession() as session, session.ws_connect(front.url / "ws/leave") as ws:
            message = await ws.receive()
            assert (message.type, message.data, message.extra) == (fairlead.WSMsgType.CLOSE, 4000, "not today")


async def test_a_location_that_does_not_upgrade() -> None:
    async with echo_server() as server, nginx(URL(server.url).with_scheme("http")) as front:
        async with fairlead.ClientSession() as session:
            with pytest.raises(fairlead.WSServerHandshakeError) as caught:
                await session.ws_connect(front.url / "on/echo")
            assert caught.value.status in (400, 426)


@pytest.mark.slow
async def test_silence_ends_it_and_a_heartbeat_keeps_it() -> None:
    async with echo_server() as server, nginx(URL(server.url).with_scheme("http")) as front:
        async with fairlead.ClientSession() as session:
            async with session.ws_connect(front.url / "ws/echo") as ws:
                message = await ws.receive()  # nginx ends a silent connection after a second, without a close frame
                assert message.type is fairlead.WSMsgType.CLOSED
                assert ws.close_code == 1006
            assert (await server.ends.get())[0] == 1006
            async with session.ws_connect(front.url / "ws/echo", heartbeat=0.3) as ws:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(ws.receive(), 2.0)
                await ws.send_str("still here")
                assert await ws.receive_str() == "still here"
