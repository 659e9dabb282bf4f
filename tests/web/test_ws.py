"""`web.WebSocketResponse`: the handshake, what handlers do with it, and how servers and clients end it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.peers.turns import turns, until

import fairlead
from fairlead import web
from fairlead.codec.ws_decoder import WebSocketDecoder
from fairlead.codec.ws_frames import close_payload, encode_frame
from fairlead.test_utils import TestClient, TestServer, make_mocked_request

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = {
    "Host": "here",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
TEXT, CLOSE = fairlead.WSMsgType.TEXT, fairlead.WSMsgType.CLOSE
CLOSED = fairlead.WSMsgType.CLOSED

Talk = Callable[[web.WebSocketResponse[bool], web.Request], Awaitable[Any]]


class Site:
    """A server whose handler prepares a WebSocket and then talks."""

    def __init__(self, runner: web.AppRunner) -> None:
        self.runner = runner
        host, port = runner.addresses[0][:2]
        self.host, self.port = host, port
        self.url = f"http://{host}:{port}/"
        self.sockets: list[web.WebSocketResponse[bool]] = []
        self.errors: list[BaseException] = []

    @property
    def server(self) -> web.Server:
        assert self.runner.server is not None
        return self.runner.server

    async def left(self) -> None:
        """Wait until no connection is open."""
        await until(lambda: not self.server.connections, "all connections are closed")


@contextlib.asynccontextmanager
async def site(talk: Talk, *, runner: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Site]:
    async def handler(request: web.Request) -> web.StreamResponse:
        ws: web.WebSocketResponse[bool] = web.WebSocketResponse(**options)
        await ws.prepare(request)
        here.sockets.append(ws)
        try:
            answer = await talk(ws, request)
        except BaseException as exc:
            here.errors.append(exc)
            raise
        return answer or ws

    app = web.Application()
    app.router.add_route("*", "/", handler)
    made = web.AppRunner(app, access_log=None, **(runner or {}))
    await made.setup()
    try:
        await web.TCPSite(made, "127.0.0.1", 0).start()
        here = Site(made)
        yield here
    finally:
        await made.cleanup()


async def echo(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
    async for message in ws:
        if message.type is TEXT:
            await ws.send_str(message.data)
        else:
            await ws.send_bytes(message.data)


async def idle(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
    await ws.receive()


class Peer:
    """A client that writes bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.decoder = WebSocketDecoder(role="client", max_msg_size=0)
        self.events: list[Any] = []

    async def shake(self, line: str = "GET / HTTP/1.1", **fields: str | None) -> str:
        wanted = FIELDS | {name.replace("_", "-"): value for name, value in fields.items()}
        lines = [line, *[f"{name}: {value}" for name, value in wanted.items() if value is not None]]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        return head.decode()

    def send(self, opcode: int, payload: bytes = b"", **options: Any) -> None:
        self.writer.write(encode_frame(opcode, payload, mask=b"abcd", **options))

    async def event(self) -> Any:
        """The next message, or None at the end of the connection."""
        while not self.events:
            data = await self.reader.read(65536)
            if not data:
                return None
            self.events += self.decoder.feed(data)
        return self.events.pop(0)


@contextlib.asynccontextmanager
async def peer(here: Site, *, shake: bool = True) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection(here.host, here.port)
    made = Peer(reader, writer)
    try:
        if shake:
            await made.shake()
        yield made
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


# ---- the handshake


async def test_the_answer() -> None:
    async with site(echo) as here, peer(here, shake=False) as client:
        head = await client.shake()
        assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
        assert "\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" in head
        assert "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        for name in ("Content-Length", "Transfer-Encoding", "Content-Type", "Sec-WebSocket-Protocol"):
            assert name not in head
        assert "\r\nServer: " in head


@pytest.mark.parametrize(
    ("line", "fields", "status", "says"),
    [
        ("GET / HTTP/1.1", {"Upgrade": None}, 400, "Upgrade must be websocket, and there is none"),
        ("GET / HTTP/1.1", {"Upgrade": "h2c"}, 400, "Upgrade must be websocket, and it is 'h2c'"),
        ("GET / HTTP/1.1", {"Connection": "close"}, 400, "Connection must be upgrade"),
        ("GET / HTTP/1.1", {"Sec_WebSocket_Version": "12"}, 426, "Unsupported WebSocket version: '12'"),
        ("GET / HTTP/1.1", {"Sec_WebSocket_Version": None}, 426, "Unsupported WebSocket version: none"),
        ("GET / HTTP/1.1", {"Sec_WebSocket_Key": None}, 400, "Sec-WebSocket-Key must be 16 bytes in base64"),
        ("GET / HTTP/1.1", {"Sec_WebSocket_Key": "short"}, 400, "Sec-WebSocket-Key must be 16 bytes in base64"),
        ("POST / HTTP/1.1", {}, 405, "is a GET request, not 'POST'"),
        ("GET / HTTP/1.0", {}, 400, "needs HTTP/1.1"),
    ],
)
async def test_what_is_no_handshake_is_told_why(
    line: str, fields: dict[str, str | None], status: int, says: str
) -> None:
    async with site(echo) as here, peer(here, shake=False) as client:
        head = await client.shake(line, **fields)
        assert head.split(" ", 2)[1] == str(status)
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        assert says in (await client.reader.readexactly(length)).decode()
        if status == 426:
            assert "Sec-WebSocket-Version: 13, 8, 7" in head
        if status == 405:
            assert "Allow: GET" in head
        assert here.sockets == []


async def test_a_handshake_with_a_body_is_refused() -> None:
    async with site(echo) as here, peer(here, shake=False) as client:
        head = await client.shake(Content_Length="5")
        assert head.startswith("HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [(None, None), ("x", None), ("b, a", "b"), ("x,a", "a")],
)
async def test_subprotocols(offered: str | None, agreed: str | None) -> None:
    async with site(idle, protocols=("a", "b")) as here, peer(here, shake=False) as client:
        head = await client.shake(Sec_WebSocket_Protocol=offered)
        assert (f"Sec-WebSocket-Protocol: {agreed}\r\n" in head) is (agreed is not None)
        await until(lambda: here.sockets, "the handler runs")
        assert here.sockets[0].ws_protocol == agreed


@pytest.mark.parametrize(
    ("offer", "compress", "answer", "window"),
    [
        ("permessage-deflate", True, "permessage-deflate", 15),
        ("permessage-deflate; server_max_window_bits=10", True, "permessage-deflate; server_max_window_bits=10", 10),
        ("permessage-deflate", False, None, 0),
        ("x-other", True, None, 0),
        (None, True, None, 0),
    ],
)
async def test_compression(offer: str | None, compress: bool, answer: str | None, window: int) -> None:
    async with site(idle, compress=compress) as here, peer(here, shake=False) as client:
        head = await client.shake(Sec_WebSocket_Extensions=offer)
        assert (f"Sec-WebSocket-Extensions: {answer}\r\n" in head) is (answer is not None)
        await until(lambda: here.sockets, "the handler runs")
        assert here.sockets[0].compress == window


async def test_frames_that_come_with_the_handshake() -> None:
    async with site(echo) as here, peer(here, shake=False) as client:
        lines = ["GET / HTTP/1.1", *[f"{name}: {value}" for name, value in FIELDS.items()]]
        frame = encode_frame(1, b"early", mask=b"abcd")
        client.writer.write("\r\n".join([*lines, "", ""]).encode() + frame * 3)
        await client.reader.readuntil(b"\r\n\r\n")
        assert [(await client.event()).data for _ in range(3)] == ["early"] * 3


async def test_fields_and_signals_of_the_answer() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        ws: web.WebSocketResponse[bool] = web.WebSocketResponse()
        ws.headers["X"] = "1"
        ws.set_cookie("a", "b")
        await ws.prepare(request)
        return ws

    async def on_prepare(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Signal"] = str(response.status)

    app = web.Application()
    app.router.add_get("/", handler)
    app.on_response_prepare.append(on_prepare)
    async with TestClient(TestServer(app)) as client, client.ws_connect("/") as ws:
        fields = ws._response.headers
        assert (fields["X"], fields["Signal"], fields["Set-Cookie"]) == ("1", "101", "a=b; Path=/")


async def test_can_prepare() -> None:
    ws: web.WebSocketResponse[bool] = web.WebSocketResponse(protocols=("a",))
    plain = make_mocked_request("GET", "/")
    assert ws.can_prepare(plain) == web.WebSocketReady(False, None)
    assert not ws.can_prepare(plain)
    fields = FIELDS | {"Sec-WebSocket-Protocol": "b, a"}
    ready = ws.can_prepare(make_mocked_request("GET", "/", fields))
    assert ready == web.WebSocketReady(True, "a")
    assert ready
    assert (ready.ok, ready.protocol) == (True, "a")


async def test_in_a_unit_test_without_a_server() -> None:
    request = make_mocked_request("GET", "/", FIELDS)
    ws: web.WebSocketResponse[bool] = web.WebSocketResponse(heartbeat=10.0)
    writer = await ws.prepare(request)
    assert await ws.prepare(request) is writer
    await ws.send_str("a")
    request.transport.write.assert_called_once_with(b"\x81\x01a")  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="Already started"):
        ws.can_prepare(request)
    assert ws._channel is not None
    ws._channel.connection_lost(None)
    assert (await ws.receive()).type is CLOSED


@pytest.mark.parametrize(
    "action",
    [
        lambda ws: ws.receive(),
        lambda ws: ws.receive_str(),
        lambda ws: ws.receive_json(),
        lambda ws: anext(ws),
        lambda ws: ws.send_str("a"),
        lambda ws: ws.send_bytes(b"a"),
        lambda ws: ws.send_json(1),
        lambda ws: ws.send_json_bytes(1, dumps=lambda value: b""),
        lambda ws: ws.send_frame(b"", TEXT),
        lambda ws: ws.send_stream(["a"]),
        lambda ws: ws.ping(),
        lambda ws: ws.pong(),
        lambda ws: ws.close(),
    ],
)
async def test_before_prepare(action: Callable[[Any], Awaitable[Any]]) -> None:
    ws: web.WebSocketResponse[bool] = web.WebSocketResponse()
    with pytest.raises(RuntimeError, match=r"Call \.prepare\(\) first"):
        await action(ws)


async def test_facts_before_and_after() -> None:
    ws: web.WebSocketResponse[bool] = web.WebSocketResponse()
    facts = (ws.prepared, ws.closed, ws.close_code, ws.exception(), ws.ws_protocol, ws.compress, ws.status)
    assert facts == (False, False, None, None, None, True, 101)
    assert ws.get_extra_info("peername", 5) == 5
    assert ws._writer is None
    with pytest.raises(RuntimeError, match="Cannot call"):
        await ws.write(b"x")
    with pytest.raises(RuntimeError, match="Response has not been started"):
        await ws.write_eof()

    seen: list[Any] = []

    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        seen.extend([ws.prepared, ws.get_extra_info("peername"), ws.keep_alive, repr(ws)])
        assert ws._writer is not None
        ws._writer._limit = 2**20  # as Home Assistant does
        await echo(ws, request)

    async with site(talk) as here, fairlead.ClientSession() as session, session.ws_connect(here.url) as client:
        await client.send_str("a")
        await client.receive()
        name = here.server.connections[0].peername
    assert seen == [True, name, False, "<WebSocketResponse Switching Protocols GET / >"]


# ---- what handlers do


async def test_a_handler_that_returns_closes() -> None:
    async with site(idle) as here, peer(here) as client:
        client.send(1, b"a")
        assert await client.event() == (CLOSE, 1000, "")
        client.send(8, close_payload(1000))
        assert await client.event() is None
        await here.left()
        assert here.sockets[0].close_code == 1000


@pytest.mark.parametrize(
    "failure", [KeyError("fault"), web.HTTPForbidden(), "another response", "nothing prepared"], ids=str
)
async def test_a_handler_that_fails_closes_with_1011(failure: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> Any:
        await ws.receive()
        if isinstance(failure, BaseException):
            raise failure
        return web.Response(text="other") if failure == "another response" else web.WebSocketResponse()

    with caplog.at_level(logging.CRITICAL, "fairlead.server"):
        async with site(talk) as here, peer(here) as client:
            for _ in range(20):
                client.send(1, b"a" * 1000)
            assert await client.event() == (CLOSE, 1011, "")
            assert await client.event() is None
            client.writer.close()
            await here.left()


async def test_a_task_that_talks_on_after_its_handler_hears_of_the_end() -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> Any:
        tasks.append(asyncio.ensure_future(ws.receive()))
        await asyncio.sleep(0)
        return web.Response(text="other")

    logging.getLogger("fairlead.server").setLevel(logging.CRITICAL)
    try:
        async with site(talk) as here, peer(here) as client:
            assert await client.event() == (CLOSE, 1011, "")
            assert (await tasks[0]).type is CLOSED
            with pytest.raises(fairlead.ClientConnectionResetError):
                await here.sockets[0].send_str("a")
    finally:
        logging.getLogger("fairlead.server").setLevel(logging.NOTSET)


async def test_a_handler_that_receives_for_ever_is_stopped() -> None:
    kinds: list[Any] = []

    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        with pytest.raises(RuntimeError, match="WebSocket connection is closed"):
            while True:
                kinds.append((await ws.receive()).type)

    async with site(talk) as here, fairlead.ClientSession() as session:
        async with session.ws_connect(here.url):
            pass
        await here.left()
    assert kinds == [CLOSE, *[CLOSED] * 4]


async def test_the_server_leaves_a_client_that_does_not_close() -> None:
    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        assert await ws.close(drain=False)
        assert (ws.close_code, type(ws.exception())) == (1006, TimeoutError)

    async with site(talk, timeout=0.01) as here, peer(here) as client:
        assert await client.event() == (CLOSE, 1000, "")
        await here.left()
        assert here.errors == []


async def test_a_message_that_is_too_big() -> None:
    """The client reads the close frame though it was still sending when the server stopped to listen."""
    seen: list[Any] = []

    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        seen.append(await ws.receive())
        seen.append(ws.close_code)

    async with site(talk, max_msg_size=1000) as here, peer(here) as client:
        for _ in range(5):
            client.send(2, b"x" * 200_000)
            await asyncio.sleep(0)
        assert await client.event() == (CLOSE, 1009, "Message size 200000 exceeds limit 1000 (option max_msg_size)")
        assert await client.event() is None
        client.writer.close()
        await here.left()
    assert seen[0].type is fairlead.WSMsgType.ERROR
    assert seen[1] == 1009


async def test_frames_must_be_masked() -> None:
    async with site(echo) as here, peer(here) as client:
        client.writer.write(encode_frame(1, b"a"))
        kind, code, reason = await client.event()
        assert (kind, code) == (CLOSE, 1002)
        assert "not masked" in reason


async def test_streams_both_ways() -> None:
    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        async def doubled() -> AsyncIterator[bytes]:
            async for part in ws.receive_stream():
                yield part.data * 2

        await ws.send_stream(doubled())

    async with site(talk, max_msg_size=1000) as here, fairlead.ClientSession() as session:
        async with session.ws_connect(here.url, max_msg_size=0) as ws:
            await ws.send_stream([b"x" * 100_000] * 20)
            assert await ws.receive_bytes() == b"x" * 4_000_000
            assert (await ws.receive()).type is CLOSE


async def test_slow_clients_hold_the_handler_back() -> None:
    sent = 0

    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        nonlocal sent
        while True:
            await ws.send_bytes(bytes(100_000))
            sent += 100_000
            await asyncio.sleep(0)

    async with site(talk, writer_limit=100_000) as here:
        async with peer(here) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            before = -1
            while before != sent:
                before = sent
                await turns(200)
            assert sent < 30_000_000
        await here.left()
        assert isinstance(here.errors[0], fairlead.ClientConnectionResetError)


async def test_two_tasks_send_and_one_receives() -> None:
    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        async def count(name: str) -> None:
            for number in range(50):
                await ws.send_str(f"{name}{number}")
                await asyncio.sleep(0)

        await asyncio.gather(count("a"), count("b"), echo(ws, request))

    async with site(talk) as here, fairlead.ClientSession() as session, session.ws_connect(here.url) as ws:
        got = [await ws.receive_str() for _ in range(100)]
        assert [text for text in got if text[0] == "a"] == [f"a{number}" for number in range(50)]
        await ws.send_str("c")
        assert await ws.receive_str() == "c"


# ---- clients that leave


@pytest.mark.parametrize("how", ["in order", "with a reset", "inside a frame"])
@pytest.mark.parametrize("doing", ["receive", "send", "sleep", "close"])
async def test_a_client_that_leaves(how: str, doing: str) -> None:
    entered = asyncio.Event()

    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        entered.set()
        if doing == "receive":
            assert (await ws.receive()).type is CLOSED
        elif doing == "send":
            with pytest.raises(fairlead.ClientConnectionResetError):
                while True:
                    await ws.send_bytes(bytes(10_000))
                    await asyncio.sleep(0)
        elif doing == "sleep":
            await request.wait_for_disconnection()
        else:
            await ws.close()

    async with site(talk) as here, peer(here) as client:
        await entered.wait()
        if how == "inside a frame":
            client.writer.write(b"\x81\xff\x00\x00")
        if how == "with a reset":
            client.writer.transport.abort()
        client.writer.close()
        await here.left()
        ws = here.sockets[0]
        await turns(5)
        assert ws.close_code == 1006
        assert ws.close_reason
        assert isinstance(ws.exception(), fairlead.ClientConnectionResetError)
        assert here.errors == []


@pytest.mark.parametrize("clean", [True, False])
async def test_handler_cancellation_is_for_those_who_leave_without_a_word(clean: bool) -> None:
    ended: list[str] = []

    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        try:
            await ws.receive()
            await request.wait_for_disconnection()
            await turns(5)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("finished")

    async with site(talk, runner={"handler_cancellation": True}) as here:
        async with peer(here) as client:
            if clean:
                client.send(8, close_payload(1000))
                await client.event()
            else:
                await turns(5)
                client.writer.transport.abort()
        await here.left()
        await until(lambda: ended, "the handler has ended")
    assert ended == (["finished"] if clean else ["cancelled"])


async def test_a_vanished_client_is_noticed() -> None:
    noticed = asyncio.Event()

    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        message = await ws.receive()
        assert message.type is fairlead.WSMsgType.ERROR
        assert isinstance(message.data, TimeoutError)
        assert ws.close_code == 1006
        noticed.set()

    async with site(talk, heartbeat=0.02) as here, peer(here):
        async with asyncio.timeout(5):
            await noticed.wait()
        await here.left()
        assert here.errors == []


# ---- a server that stops


async def test_a_server_that_stops_says_so() -> None:
    finished = asyncio.Event()

    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        async for _ in ws:
            pass
        finished.set()

    async with site(talk) as here, fairlead.ClientSession() as session:
        ws = await session.ws_connect(here.url)
        stopping = asyncio.ensure_future(here.runner.cleanup())
        assert await ws.receive() == (CLOSE, 1001, "")
        async with asyncio.timeout(5):
            await stopping
        assert finished.is_set()
        assert ws.close_code == 1001
        assert here.sockets[0].close_code == 1001


async def test_a_handler_that_does_not_end_is_cancelled_after_its_grace() -> None:
    ended: list[str] = []

    async def talk(ws: web.WebSocketResponse[bool], request: web.Request) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with site(talk, runner={"stream_grace": 0.01}) as here, peer(here) as client:
        await turns(5)
        started = asyncio.get_running_loop().time()
        await here.runner.cleanup()
        assert asyncio.get_running_loop().time() - started < 3.0
        assert await client.event() == (CLOSE, 1001, "")
        assert await client.event() is None
    assert ended == ["cancelled"]


async def test_on_shutdown_comes_before_the_goodbye_of_the_server() -> None:
    sockets: list[web.WebSocketResponse[bool]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        ws: web.WebSocketResponse[bool] = web.WebSocketResponse()
        await ws.prepare(request)
        sockets.append(ws)
        await echo(ws, request)
        return ws

    async def say_goodbye(app: web.Application) -> None:
        for ws in sockets:
            await ws.send_str("last words")
            await ws.close(code=4001, message=b"mine")

    app = web.Application()
    app.router.add_get("/", handler)
    app.on_shutdown.append(say_goodbye)
    client = TestClient(TestServer(app))
    async with client:
        ws = await client.ws_connect("/")
        stopping = asyncio.ensure_future(client.server.close())
        assert (await ws.receive()).data == "last words"
        assert await ws.receive() == (CLOSE, 4001, "mine")
        await stopping


async def test_many_conversations_at_once_leave_nothing() -> None:
    async def one(session: fairlead.ClientSession, url: str, number: int) -> None:
        async with session.ws_connect(url, compress=15 if number % 2 else 0) as ws:
            for size in (1, 200, 70_000):
                text = str(number) * size
                await ws.send_str(text)
                assert await ws.receive_str() == text

    async with site(echo) as here, fairlead.ClientSession() as session:
        await asyncio.gather(*[one(session, here.url, number) for number in range(30)])
        assert session.connector is not None
        assert session.connector.in_use == 0
        await here.left()
        assert here.errors == []
        assert {ws.close_code for ws in here.sockets} == {1000}


async def test_cancellation_of_clients_at_every_step_leaves_nothing_on_the_server() -> None:
    async def talk(session: fairlead.ClientSession, url: str) -> None:
        async with session.ws_connect(url) as ws:
            await ws.send_str("a")
            await ws.receive()

    async with site(echo) as here:
        for steps in range(25):
            async with fairlead.ClientSession() as session:
                task = asyncio.ensure_future(talk(session, here.url))
                await turns(steps)
                task.cancel()
                await asyncio.wait([task])
        await here.left()
        assert here.errors == []
        assert all(ws.close_code in (1000, 1006) for ws in here.sockets)
