"""`ClientSession.ws_connect`: the handshake, against servers that say exactly what a test wrote, and its errors."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import pickle
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
from tests.peers.raw import RawConnection, RawRequest, raw_server, response
from tests.peers.tls import client_context, server_context
from tests.peers.turns import turns, until

import fairlead
from fairlead.codec.ws_frames import close_payload, encode_frame

ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n"
)
HELLO = encode_frame(1, b"hello")
BYE = encode_frame(8, close_payload(1000))
CLOSED = fairlead.WSMsgType.CLOSED


def accept(request: RawRequest) -> bytes:
    key = (request.field("Sec-WebSocket-Key") or "").encode()
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    return base64.b64encode(digest)


Then = Callable[[RawConnection], Awaitable[object]]


def upgrading(fields: bytes = b"", then: bytes | Then = b"", head: bytes = ACCEPTED) -> Any:
    """A handler that accepts a WebSocket, sends or does something, and waits for the client to leave."""

    async def handler(connection: RawConnection) -> None:
        request = await connection.request()
        if request is None:
            return
        after = then if isinstance(then, bytes) else b""
        await connection.send(head.replace(b"ACCEPT", accept(request)) + fields + b"\r\n" + after)
        if not isinstance(then, bytes):
            await then(connection)
        await connection.wait_closed_by_peer()

    return handler


async def failing(handler: Any, **options: Any) -> fairlead.WSServerHandshakeError:
    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        with pytest.raises(fairlead.WSServerHandshakeError) as caught:
            await session.ws_connect(server.url / "path?x=1", **options)
        assert session.connector is not None
        assert session.connector.in_use == 0
    return caught.value


# ---- what is sent


async def test_the_request() -> None:
    async with raw_server(upgrading(then=BYE)) as server, fairlead.ClientSession() as session:
        async with session.ws_connect(server.url.with_path("/chat"), params={"a": "b"}) as ws:
            assert ws.protocol is None
        (request,) = server.requests
    assert request.line == "GET /chat?a=b HTTP/1.1"
    names = [name for name, _ in request.fields]
    assert names == [
        "Host",
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Key",
        "Accept",
        "Accept-Encoding",
        "User-Agent",
    ]
    assert len(base64.b64decode(request.field("Sec-WebSocket-Key") or "")) == 16


async def test_options_of_the_request() -> None:
    async with raw_server(upgrading(b"Sec-WebSocket-Protocol: b\r\n", BYE)) as server:
        async with fairlead.ClientSession(cookies={"c": "d"}, headers={"S": "1"}) as session:
            ws = await session.ws_connect(
                server.url,
                protocols=["a", "b"],
                origin="http://here",
                headers={"X": "1", "Sec-WebSocket-Protocol": "replaced", "User-Agent": "me"},
                compress=12,
            )
            assert (ws.protocol, ws.compress, ws.client_notakeover) == ("b", 0, False)
            await ws.close()
        (request,) = server.requests
    assert request.field("Sec-WebSocket-Protocol") == "a,b"
    assert request.field("Origin") == "http://here"
    offer = "permessage-deflate; client_max_window_bits; server_max_window_bits=12"
    assert request.field("Sec-WebSocket-Extensions") == offer
    assert [request.field(name) for name in ("X", "S", "User-Agent")] == ["1", "1", "me"]


async def test_two_handshakes_have_two_keys() -> None:
    async with raw_server(upgrading(then=BYE)) as server, fairlead.ClientSession() as session:
        for _ in range(2):
            async with session.ws_connect(server.url):
                pass
        one, other = [request.field("Sec-WebSocket-Key") for request in server.requests]
    assert one != other


@pytest.mark.parametrize("compress", [1, 8, 16, -1])
async def test_a_wrong_window_is_refused_before_anything_is_sent(compress: int) -> None:
    async with raw_server(upgrading()) as server, fairlead.ClientSession() as session:
        with pytest.raises(ValueError, match="9 to 15"):
            await session.ws_connect(server.url, compress=compress)
        assert server.requests == []


async def test_compress_true_is_the_largest_window() -> None:
    agreed = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10; client_no_context_takeover\r\n"
    async with raw_server(upgrading(agreed, BYE)) as server, fairlead.ClientSession() as session:
        async with session.ws_connect(server.url, compress=True) as ws:
            assert (ws.compress, ws.client_notakeover) == (10, True)
        offered = server.requests[0].field("Sec-WebSocket-Extensions")
    assert offered == "permessage-deflate; client_max_window_bits"


# ---- what is answered


async def test_a_refusal_shows_what_was_answered() -> None:
    body = b'{"error": "token expired"}' + b" " * 5000
    answer = response(403, body, ("Content-Type", "application/json"), reason="Forbidden")

    async def handler(connection: RawConnection) -> None:
        while await connection.request() is not None:
            await connection.send(answer)

    error = await failing(handler)
    assert (error.status, error.message, error.history) == (403, "Invalid response status", ())
    assert error.headers is not None
    assert error.headers["Content-Type"] == "application/json"
    assert error.body.startswith(b'{"error": "token expired"}')
    assert len(error.body) <= 1024
    text = str(error)
    assert text.startswith("403, message='Invalid response status', url='http://127.0.0.1:")
    assert "Content-Type: application/json" in text
    assert "token expired" in text
    assert len(text) < 2000
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(twin) == text


async def test_a_body_that_comes_after_the_head() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 503 Busy\r\n\r\n")
        await turns(5)
        await connection.send(b"try again")
        await connection.wait_closed_by_peer()

    assert (await failing(handler)).body == b"try again"


async def test_a_refusal_leaves_the_connection_to_others() -> None:
    async def handler(connection: RawConnection) -> None:
        while await connection.request() is not None:
            await connection.send(response(404, b"no"))

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        for _ in range(3):
            with pytest.raises(fairlead.WSServerHandshakeError):
                await session.ws_connect(server.url)
        assert len(server.connections) == 1


OK_101 = b"HTTP/1.1 101 Switching Protocols\r\n"
WRONG = {
    "no Upgrade": (OK_101 + b"Connection: upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n", "Invalid upgrade header"),
    "another protocol": (
        OK_101 + b"Upgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n",
        "Invalid upgrade header",
    ),
    "no Connection": (OK_101 + b"Upgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT\r\n", "Invalid connection header"),
    "no key": (OK_101 + b"Upgrade: websocket\r\nConnection: upgrade\r\n", "Invalid challenge response"),
    "another key": (ACCEPTED.replace(b"ACCEPT", b"wrong"), "Invalid challenge response"),
    "a wrong extension": (
        ACCEPTED + b"Sec-WebSocket-Extensions: permessage-deflate; x=1\r\n",
        "Invalid Sec-WebSocket-Extensions: a parameter is unknown, stands twice or has a wrong value: "
        "'permessage-deflate; x=1'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_101(name: str) -> None:
    head, message = WRONG[name]
    error = await failing(upgrading(head=head), compress=15)
    assert (error.status, error.message) == (101, message)
    assert isinstance(error.__cause__, fairlead.errors.ProtocolError)


async def test_an_extension_that_was_not_asked_for_is_ignored() -> None:
    async with raw_server(upgrading(b"Sec-WebSocket-Extensions: permessage-deflate\r\n", HELLO + BYE)) as server:
        async with fairlead.ClientSession() as session, session.ws_connect(server.url) as ws:
            assert ws.compress == 0
            assert await ws.receive_str() == "hello"


async def test_raise_for_status_comes_first() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(response(404, b"no"))

    async with raw_server(handler) as server, fairlead.ClientSession(raise_for_status=True) as session:
        with pytest.raises(fairlead.ClientResponseError) as caught:
            await session.ws_connect(server.url)
    assert type(caught.value) is fairlead.ClientResponseError


@pytest.mark.parametrize("step", [1, 7, 100_000])
async def test_messages_that_come_with_the_handshake(step: int) -> None:
    async def handler(connection: RawConnection) -> None:
        request = await connection.request()
        assert request is not None
        data = ACCEPTED.replace(b"ACCEPT", accept(request)) + b"\r\n" + HELLO * 3 + BYE
        await connection.send_each(data, step)
        await connection.wait_closed_by_peer()

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        async with session.ws_connect(server.url) as ws:
            assert [message.data async for message in ws] == ["hello"] * 3
            assert ws.close_code == 1000


async def test_a_server_that_leaves_with_the_handshake() -> None:
    async def handler(connection: RawConnection) -> None:
        request = await connection.request()
        assert request is not None
        await connection.send(ACCEPTED.replace(b"ACCEPT", accept(request)) + b"\r\n" + HELLO)

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        ws = await session.ws_connect(server.url)
        assert (await ws.receive()).data == "hello"
        assert (await ws.receive()).type is CLOSED
        assert ws.close_code == 1006
        assert session.connector is not None
        assert session.connector.in_use == 0


# ---- through the session


async def test_redirects_and_cookies() -> None:
    async def handler(connection: RawConnection) -> None:
        while (request := await connection.request()) is not None:
            if request.target == "/":
                fields = [("Location", "/next"), ("Set-Cookie", "a=b")]
                await connection.send(response(302, b"", *fields))
                continue
            await connection.send(ACCEPTED.replace(b"ACCEPT", accept(request)) + b"\r\n" + BYE)

    async with raw_server(handler) as server:
        async with fairlead.ClientSession(cookie_jar=fairlead.CookieJar(unsafe=True)) as session:
            ws = await session.ws_connect(server.url)
            assert (await ws.receive()).type is fairlead.WSMsgType.CLOSE
        first, second = server.requests
    assert (second.target, second.field("Cookie")) == ("/next", "a=b")
    assert first.field("Sec-WebSocket-Key") == second.field("Sec-WebSocket-Key")


async def test_middlewares_and_traces_see_a_call_like_any_other() -> None:
    seen: list[Any] = []

    async def middleware(request: fairlead.ClientRequest, handler: Any) -> Any:
        request.headers["Token"] = "secret"
        answer = await handler(request)
        seen.append(("middleware", answer.status))
        return answer

    trace = fairlead.TraceConfig()

    async def started(session: Any, context: Any, params: Any) -> None:
        seen.append("start")

    async def ended(session: Any, context: Any, params: Any) -> None:
        seen.append(("end", params.response.status))

    trace.on_request_start.append(started)
    trace.on_request_end.append(ended)
    async with raw_server(upgrading(then=BYE)) as server:
        async with fairlead.ClientSession(middlewares=[middleware], trace_configs=[trace]) as session:
            async with session.ws_connect(server.url):
                pass
        assert server.requests[0].field("Token") == "secret"
    assert seen == ["start", ("middleware", 101), ("end", 101)]


async def test_the_limits_of_a_call_end_with_the_handshake() -> None:
    later = asyncio.Event()

    async def then(connection: RawConnection) -> None:
        await later.wait()
        await connection.send(HELLO + BYE)

    timeout = fairlead.ClientTimeout(total=0.05, sock_read=0.05)
    async with raw_server(upgrading(then=then)) as server, fairlead.ClientSession(timeout=timeout) as session:
        async with session.ws_connect(server.url) as ws:
            await asyncio.sleep(0.12)
            later.set()
            assert await ws.receive_str() == "hello"


async def test_a_handshake_that_is_not_answered_in_time() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.wait_closed_by_peer()

    async with raw_server(handler) as server:
        async with fairlead.ClientSession(timeout=fairlead.ClientTimeout(total=0.02)) as session:
            with pytest.raises(TimeoutError):
                await session.ws_connect(server.url)
            assert session.connector is not None
            assert session.connector.in_use == 0


async def test_over_tls() -> None:
    async with raw_server(upgrading(then=HELLO + BYE), ssl=server_context()) as server:
        async with fairlead.ClientSession() as session:
            url = server.url.with_scheme("wss")
            async with session.ws_connect(url, ssl=client_context()) as ws:
                assert ws.get_extra_info("sslcontext") is not None
                assert await ws.receive_str() == "hello"


async def test_through_a_proxy() -> None:
    async with raw_server(upgrading(then=HELLO + BYE)) as proxy, fairlead.ClientSession() as session:
        url = "ws://far.example/chat"
        async with session.ws_connect(url, proxy=proxy.url.with_user("u").with_password("p")) as ws:
            assert await ws.receive_str() == "hello"
        (request,) = proxy.requests
    assert request.line == "GET ws://far.example/chat HTTP/1.1"
    assert request.field("Proxy-Authorization") is not None


async def test_a_base_url() -> None:
    async with raw_server(upgrading(then=BYE)) as server:
        async with fairlead.ClientSession(base_url=server.url) as session, session.ws_connect("chat"):
            pass
        assert server.requests[0].target == "/chat"


async def test_a_class_of_ones_own() -> None:
    class Own(fairlead.ClientWebSocketResponse[bool]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.closes: list[int] = []

        async def close(self, *, code: int = 4000, message: bytes | str = b"") -> bool:
            self.closes.append(code)
            return await super().close(code=code, message=message)

    async with raw_server(upgrading(then=BYE)) as server:
        async with fairlead.ClientSession(ws_response_class=Own) as session:
            async with session.ws_connect(server.url) as ws:
                assert type(ws) is Own
                assert (await ws.receive()).type is fairlead.WSMsgType.CLOSE
            assert ws.closes == [1000, 4000]


# ---- timeouts


def test_the_timeout_class() -> None:
    limits = fairlead.ClientWSTimeout(ws_receive=1.0)
    assert limits == fairlead.ClientWSTimeout(1.0, None)
    assert attrs.evolve(limits, ws_close=2.0).ws_close == 2.0
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        limits.ws_close = 5.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "warns", "limits"),
    [
        ({}, [], (None, 10.0)),
        ({"timeout": None}, [], (None, None)),
        ({"timeout": fairlead.ClientWSTimeout(1.0, 2.0)}, [], (1.0, 2.0)),
        ({"timeout": 5.0}, ["parameter 'timeout' of type 'float'"], (None, 5.0)),
        ({"receive_timeout": 3.0}, ["float parameter 'receive_timeout'"], (3.0, 10.0)),
        ({"timeout": 5, "receive_timeout": 3.0}, ["parameter 'timeout'", "float parameter"], (3.0, 5)),
    ],
)
async def test_timeouts(options: dict[str, Any], warns: list[str], limits: tuple[Any, Any]) -> None:
    async with raw_server(upgrading(then=BYE)) as server, fairlead.ClientSession() as session:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call = session.ws_connect(server.url, **options)
        async with call as ws:
            assert (ws._timeout.ws_receive, ws._timeout.ws_close) == limits
    assert [warning.category for warning in caught] == [DeprecationWarning] * len(warns)
    assert all(warning.filename == __file__ for warning in caught)
    assert all(str(warning.message).startswith(text) for warning, text in zip(caught, warns, strict=True))


async def test_a_limit_for_every_message() -> None:
    limits = fairlead.ClientWSTimeout(ws_receive=0.01, ws_close=0.01)
    async with raw_server(upgrading()) as server, fairlead.ClientSession() as session:
        async with session.ws_connect(server.url, timeout=limits) as ws:
            with pytest.raises(TimeoutError, match=r"0\.01 s"):
                await ws.receive()
            assert not ws.closed
        assert (ws.close_code, type(ws.exception())) == (1006, TimeoutError)


# ---- nothing is left behind


async def test_the_slot_of_the_pool_is_given_back() -> None:
    async with raw_server(upgrading(then=BYE)) as server:
        connector = fairlead.TCPConnector(limit=1)
        async with fairlead.ClientSession(connector=connector) as session:
            for _ in range(3):
                async with session.ws_connect(server.url) as ws:
                    assert connector.in_use == 1
                    assert (await ws.receive()).type is fairlead.WSMsgType.CLOSE
                assert (connector.in_use, connector.idle) == (0, 0)
        assert len(server.connections) == 3


async def test_a_broken_rule_gives_the_slot_back() -> None:
    async with raw_server(upgrading(then=b"\x83\x00")) as server, fairlead.ClientSession() as session:
        ws = await session.ws_connect(server.url)
        assert (await ws.receive()).type is fairlead.WSMsgType.ERROR
        connector = session.connector
        assert connector is not None
        await until(lambda: connector.in_use == 0, "the slot is given back")
        received = bytes(server.connections[0].received)
    assert ws.close_code == 1002
    assert received[-60:].count(b"\x88") >= 1


async def test_a_session_that_is_closed_ends_its_websockets() -> None:
    async with raw_server(upgrading()) as server, fairlead.ClientSession() as session:
        ws = await session.ws_connect(server.url)
        waiting = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        await session.close()
        assert (await waiting).type is CLOSED
        assert ws.close_code == 1006
        assert ws.close_reason
        with pytest.raises(fairlead.ClientConnectionResetError):
            await ws.send_str("a")


async def test_a_websocket_that_is_dropped_is_closed_with_a_warning() -> None:
    told: list[Any] = []
    async with raw_server(upgrading()) as server, fairlead.ClientSession() as session:
        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()
        loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
        try:
            held = [await session.ws_connect(server.url)]
            with pytest.warns(ResourceWarning, match="Unclosed WebSocket to http"):
                held.clear()
        finally:
            loop.set_exception_handler(handler)
        assert session.connector is not None
        assert session.connector.in_use == 0
        await until(lambda: server.connections[0].eof, "the connection is closed")
    assert len(told) == 1


async def test_cancellation_at_every_step_of_a_conversation() -> None:
    """Cancel after each number of turns of the loop: no connection, slot or task stays behind."""

    async def talk(session: fairlead.ClientSession, url: Any) -> str:
        async with session.ws_connect(url, compress=15, heartbeat=5.0) as ws:
            await ws.send_str("a" * 100)
            async for message in ws:
                await ws.send_bytes(message.data.encode())
            await ws.ping()
        return "done"

    async def then(connection: RawConnection) -> None:
        for _ in range(3):
            await connection.read(20)
            await connection.send(HELLO)
        await connection.send(BYE)

    finished = 0
    async with raw_server(upgrading(then=then)) as server:
        for steps in range(60):
            connector = fairlead.TCPConnector(limit=1)
            async with fairlead.ClientSession(connector=connector) as session:
                task = asyncio.ensure_future(talk(session, server.url))
                await turns(steps)
                task.cancel()
                await asyncio.wait([task])
                finished += not task.cancelled()
                await turns(3)
                assert connector.in_use == 0
    assert finished < 60


async def test_a_reset_at_every_stage() -> None:
    """The server goes away without a word: during the handshake, after it, inside a frame, inside a message."""
    stages = [b"", b"HTTP/1.1 101 Sw", None, b"", HELLO[:1], HELLO[:4], encode_frame(1, b"a", fin=False), HELLO]

    for number, stage in enumerate(stages):

        async def handler(connection: RawConnection, number: int = number, stage: bytes | None = stage) -> None:
            request = await connection.request()
            assert request is not None
            if number > 2:
                await connection.send(ACCEPTED.replace(b"ACCEPT", accept(request)) + b"\r\n")
            if stage:
                await connection.send(stage)
            await turns(10)
            connection.reset()

        async with raw_server(handler) as server, fairlead.ClientSession() as session:
            if number < 3:
                with pytest.raises(fairlead.ClientConnectionError):
                    await session.ws_connect(server.url)
            else:
                ws = await session.ws_connect(server.url)
                messages = [await ws.receive()]
                while messages[-1].type is not CLOSED:
                    messages.append(await ws.receive())
                assert len(messages) == (2 if stage == HELLO else 1)
                assert (ws.closed, ws.close_code) == (True, 1006)
                assert ws.close_reason
                assert isinstance(ws.exception(), fairlead.ClientConnectionResetError)
            assert session.connector is not None
            assert session.connector.in_use == 0


async def test_a_server_that_does_not_read_holds_the_client_back() -> None:
    """What is sent is bounded, however much the program wants to send."""

    async def then(connection: RawConnection) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        connection.reset()

    async with raw_server(upgrading(then=then)) as server, fairlead.ClientSession() as session:
        ws = await session.ws_connect(server.url)
        sent = 0
        with pytest.raises(fairlead.ClientConnectionResetError):
            while True:
                await ws.send_bytes(bytes(100_000))
                sent += 100_000
                assert sent < 50_000_000
                await asyncio.sleep(0)
        assert (await ws.receive()).type is CLOSED
