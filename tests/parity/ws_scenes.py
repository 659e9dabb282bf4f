"""Conversations over a WebSocket, told the same way whichever library has either end.

A scene is two coroutines, one for each end, and the options of both. Each writes down what it sees; the two logs are
what is compared.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

TICK = 0.05
"""Seconds for both ends to notice what was done; all limits in the scenes are multiples."""

HANG = 5.0


def told(value: Any) -> Any:
    """What a user sees of a value: names instead of classes, which differ."""
    if isinstance(value, BaseException):
        code = getattr(value, "code", None)
        return [type(value).__name__] if not isinstance(code, int) else [type(value).__name__, int(code)]
    if hasattr(value, "extra") and hasattr(value, "type"):
        return [value.type.name, told(value.data), value.extra]
    if isinstance(value, bytes | bytearray):
        return value.decode("latin-1") + " (bytes)"
    return value


class Log(list[Any]):
    """What one end has seen."""

    async def step(self, label: str, action: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(HANG) as scope:
                result = await action
        except Exception as exc:
            text = str(exc) if isinstance(exc, RuntimeError | TypeError | ValueError) else ""
            kinds = [c.__name__ for c in type(exc).__mro__[:-2] if c.__name__ != "BaseException"]
            self.append([label, "HANGS"] if scope.expired() else [label, "raises", kinds, text])
            return None
        self.append([label, told(result)])
        return result

    def state(self, ws: Any) -> None:
        code = ws.close_code
        self.append(["closed" if ws.closed else "open", None if code is None else int(code), told(ws.exception())])


@dataclass
class Conversation:
    """What the coroutine of an end is given."""

    lib: ModuleType
    ws: Any
    log: Log
    request: Any = None
    session: Any = None
    other: asyncio.Event = field(default_factory=asyncio.Event)


End = Callable[[Conversation], Awaitable[Any]]


@dataclass
class Scene:
    """Both ends of a conversation; without a server end it echoes."""

    client: End
    server: End | None = None
    connect: Mapping[str, Any] = field(default_factory=dict)
    accept: Mapping[str, Any] = field(default_factory=dict)


SCENES: dict[str, Scene] = {}


def scene(**options: Any) -> Callable[[Callable[[], tuple[End, End]]], None]:
    def add(function: Callable[[], tuple[End, End]]) -> None:
        client, server = function()
        SCENES[function.__name__.replace("_", " ")] = Scene(client, server, **options)

    return add


async def echo(it: Conversation) -> None:
    async for message in it.ws:
        if message.type is it.lib.WSMsgType.TEXT:
            await it.ws.send_str(message.data)
        elif message.type is it.lib.WSMsgType.BINARY:
            await it.ws.send_bytes(message.data)
        else:
            it.log.append(told(message))
    it.log.state(it.ws)


async def listen(it: Conversation) -> None:
    """Receive until the end, and twice more."""
    while True:
        message = await it.log.step("receive", it.ws.receive())
        if message is None or message.type > 2:
            break
    it.log.state(it.ws)
    await it.log.step("receive", it.ws.receive())
    await it.log.step("receive", it.ws.receive())
    it.log.state(it.ws)


async def wait(it: Conversation) -> None:
    await asyncio.sleep(6 * TICK)


# ---- plain talk


@scene()
def an_echo() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        ws, log = it.ws, it.log
        for size in (0, 1, 125, 126, 500, 65535, 65536, 300_000):
            await ws.send_str("é" * size)
            assert (await ws.receive_str()) == "é" * size
            await ws.send_bytes(b"\xff" * size)
            assert (await ws.receive_bytes()) == b"\xff" * size
        await ws.send_bytes(bytearray(b"a"))
        await log.step("receive", ws.receive())
        await ws.send_bytes(memoryview(b"abc")[1:])
        await log.step("receive", ws.receive())
        await ws.send_json({"a": [1, "é"]})
        await log.step("receive", ws.receive())
        await ws.send_json([1], dumps=lambda value: "[2]")
        await log.step("receive_json", ws.receive_json())
        await ws.send_json_bytes([1], dumps=lambda value: b"[3]")
        await log.step("receive", ws.receive_bytes())
        await ws.send_frame(b"text", it.lib.WSMsgType.TEXT)
        await log.step("receive", ws.receive())
        await ws.send_str("3")
        await log.step("receive_json", ws.receive_json(loads=lambda text: [json.loads(text)]))
        log.state(ws)
        await log.step("close", ws.close())
        await log.step("close", ws.close())
        log.state(ws)
        await log.step("receive", ws.receive())
        await log.step("send", ws.send_str("a"))
        await log.step("ping", ws.ping())
        log.append([ws.protocol, ws.compress, ws.client_notakeover, ws.get_extra_info("nothing", 5)])

    return client, echo


@scene(connect={"compress": 15})
def an_echo_with_compression() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        it.log.append([it.ws.compress, it.ws.client_notakeover])
        for size in (0, 1, 125, 500, 65535, 300_000):
            await it.ws.send_str("é" * size)
            assert (await it.ws.receive_str()) == "é" * size
            await it.ws.send_bytes(b"\xff" * size)
            assert (await it.ws.receive_bytes()) == b"\xff" * size
        await it.log.step("close", it.ws.close())

    async def server(it: Conversation) -> None:
        it.log.append(it.ws.compress)
        await echo(it)

    return client, server


@scene(connect={"compress": 15}, accept={"compress": False})
def compression_that_is_declined() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        it.log.append([it.ws.compress, it.ws.client_notakeover])
        await it.ws.send_str("a")
        await it.log.step("receive", it.ws.receive())

    async def server(it: Conversation) -> None:
        it.log.append(it.ws.compress)
        await echo(it)

    return client, server


@scene(connect={"protocols": ("x", "b", "a")}, accept={"protocols": ("a", "b")})
def subprotocols() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        it.log.append(it.ws.protocol)

    async def server(it: Conversation) -> None:
        it.log.append(it.ws.ws_protocol)

    return client, server


@scene(connect={"decode_text": False}, accept={"decode_text": False})
def text_that_is_not_decoded() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.ws.send_str("é")
        message = await it.log.step("receive", it.ws.receive())
        it.log.append(type(message).__name__)
        await it.log.step("receive_str", it.ws.receive_str())
        await it.log.step("receive_json", it.ws.receive_json())

    async def server(it: Conversation) -> None:
        await it.log.step("receive", it.ws.receive())
        for _ in range(3):
            await it.ws.send_str("1")

    return client, server


# ---- mistakes of the program


@scene()
def wrong_arguments() -> tuple[End, End]:
    async def both(it: Conversation) -> None:
        ws, log = it.ws, it.log
        await log.step("send_str", ws.send_str(b"a"))
        await log.step("send_bytes", ws.send_bytes("a"))
        await log.step("send_json", ws.send_json(object()))
        await ws.send_bytes(b"a")
        await ws.send_str("a")
        await ws.send_bytes(b"1")
        await ws.send_str("[1")
        await log.step("receive_str", ws.receive_str())
        await log.step("receive_bytes", ws.receive_bytes())
        await log.step("receive_json", ws.receive_json())
        await log.step("receive_json", ws.receive_json())
        log.state(ws)

    return both, both


@scene()
def two_receivers() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        first = asyncio.ensure_future(it.ws.receive())
        await asyncio.sleep(0)
        await it.log.step("second", it.ws.receive())
        await it.log.step("close", it.ws.close())
        await it.log.step("first", first)

    async def server(it: Conversation) -> None:
        first = asyncio.ensure_future(it.ws.receive())
        await asyncio.sleep(0)
        await it.log.step("second", it.ws.receive())
        await it.log.step("first", first)

    return client, server


@scene()
def a_handler_that_receives_for_ever() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.ws.close()

    async def server(it: Conversation) -> None:
        for _ in range(7):
            await it.log.step("receive", it.ws.receive())

    return client, server


# ---- closing


@scene()
def the_client_closes() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.log.step("close", it.ws.close(code=4001, message=b"because"))
        it.log.state(it.ws)
        await it.log.step("receive", it.ws.receive())

    return client, listen


@scene()
def the_server_closes() -> tuple[End, End]:
    async def server(it: Conversation) -> None:
        await it.log.step("close", it.ws.close(code=4001, message=b"because"))
        it.log.state(it.ws)
        await it.log.step("send", it.ws.send_str("a"))
        await it.log.step("close", it.ws.close())

    return listen, server


@scene()
def close_with_text() -> tuple[End, End]:
    async def server(it: Conversation) -> None:
        await it.log.step("close", it.ws.close(message="grüße"))

    return listen, server


@scene(connect={"autoclose": False})
def the_client_closes_later() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.log.step("receive", it.ws.receive())
        it.log.state(it.ws)
        await it.log.step("send", it.ws.send_str("a"))
        await it.log.step("close", it.ws.close(code=3999))
        it.log.state(it.ws)

    async def server(it: Conversation) -> None:
        await it.log.step("close", it.ws.close())
        it.log.state(it.ws)

    return client, server


@scene(connect={"autoclose": False})
def the_client_receives_while_closing() -> tuple[End, End]:
    async def server(it: Conversation) -> None:
        await it.log.step("close", it.ws.close())

    return listen, server


@scene(accept={"autoclose": False})
def the_server_closes_later() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.log.step("close", it.ws.close())
        it.log.state(it.ws)

    async def server(it: Conversation) -> None:
        await listen(it)
        await it.log.step("send", it.ws.send_str("a"))
        await it.log.step("close", it.ws.close())
        it.log.state(it.ws)

    return client, server


@scene()
def the_handler_returns() -> tuple[End, End]:
    async def server(it: Conversation) -> None:
        await it.log.step("receive", it.ws.receive())

    async def client(it: Conversation) -> None:
        await it.ws.send_str("a")
        await listen(it)

    return client, server


@scene()
def close_while_receiving() -> tuple[End, End]:
    async def server(it: Conversation) -> None:
        pending = asyncio.ensure_future(it.ws.receive())
        await asyncio.sleep(0)
        await it.log.step("close", it.ws.close())
        await it.log.step("pending", pending)

    return listen, server


@scene()
def close_with_messages_unread() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await asyncio.sleep(TICK)
        await it.log.step("close", it.ws.close())
        it.log.state(it.ws)
        await it.log.step("receive", it.ws.receive())

    async def server(it: Conversation) -> None:
        await it.ws.send_str("1")
        await it.ws.ping()
        await it.ws.send_str("2")
        await it.log.step("close", it.ws.close())

    return client, server


@scene()
def echo_to_a_client_that_closes_at_once() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.ws.send_str("a")
        await it.ws.send_str("b")
        await it.log.step("close", it.ws.close())

    return client, echo


@scene()
def leaving_the_block() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        async with it.ws as ws:
            assert ws is it.ws
        it.log.state(it.ws)

    return client, listen


@scene()
def iteration() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        async for message in it.ws:
            it.log.append(told(message))
        it.log.state(it.ws)

    async def server(it: Conversation) -> None:
        await it.ws.send_str("1")
        await it.ws.ping(b"x")
        await it.ws.pong(b"y")
        await it.ws.send_bytes(b"2")
        await it.ws.close(code=1001)

    return client, server


@scene(connect={"autoping": False})
def pings_by_hand() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        for _ in range(3):
            await it.log.step("receive", it.ws.receive())
        await it.ws.pong(b"x")
        await it.ws.ping(b"z")
        await it.log.step("receive", it.ws.receive())

    async def server(it: Conversation) -> None:
        await it.ws.ping(b"x")
        await it.ws.pong(b"y")
        await it.ws.send_str("a")
        await listen(it)

    return client, server


# ---- limits


@scene(connect={"max_msg_size": 100})
def too_much_for_the_client() -> tuple[End, End]:
    async def server(it: Conversation) -> None:
        await it.ws.send_str("a" * 101)
        await listen(it)

    return listen, server


@scene(accept={"max_msg_size": 100})
def too_much_for_the_server() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.ws.send_bytes(b"a" * 101)
        await listen(it)

    return client, listen


@scene(connect={"max_msg_size": 100, "compress": 15})
def too_much_when_inflated() -> tuple[End, End]:
    async def server(it: Conversation) -> None:
        await it.ws.send_str("a" * 10_000)
        await listen(it)

    return listen, server


@scene()
def timeouts_of_receive() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.log.step("receive", it.ws.receive(timeout=TICK / 5))
        await it.log.step("receive_str", it.ws.receive_str(timeout=TICK / 5))
        await it.ws.send_str("a")
        await it.log.step("receive", it.ws.receive(timeout=HANG))

    return client, echo


@scene(accept={"receive_timeout": TICK})
def a_receive_timeout() -> tuple[End, End]:
    async def server(it: Conversation) -> None:
        await it.log.step("receive", it.ws.receive())
        it.log.state(it.ws)
        await it.log.step("receive", it.ws.receive())

    async def client(it: Conversation) -> None:
        await asyncio.sleep(3 * TICK)
        await it.ws.send_str("a")
        await listen(it)

    return client, server


@scene(accept={"timeout": TICK})
def a_client_that_does_not_close() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await wait(it)

    async def server(it: Conversation) -> None:
        await it.log.step("close", it.ws.close())
        it.log.state(it.ws)

    return client, server


@scene(connect={"heartbeat": 2 * TICK}, accept={"autoping": False})
def a_silent_server() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await listen(it)
        await it.log.step("send", it.ws.send_str("a"))

    return client, wait


@scene(accept={"heartbeat": 2 * TICK}, connect={"autoping": False})
def a_silent_client() -> tuple[End, End]:
    return wait, listen


@scene(accept={"heartbeat": TICK}, connect={"heartbeat": TICK})
def heartbeats() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.log.step("receive", it.ws.receive())
        await it.log.step("close", it.ws.close())

    async def server(it: Conversation) -> None:
        pending = asyncio.ensure_future(it.ws.receive())
        await asyncio.sleep(4 * TICK)
        await it.ws.send_str("a")
        await it.log.step("receive", pending)

    return client, server


# ---- losses


@scene()
def the_server_is_lost() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await listen(it)
        await it.log.step("send", it.ws.send_str("a"))
        await it.log.step("close", it.ws.close())

    async def server(it: Conversation) -> None:
        it.request.transport.abort()

    return client, server


@scene()
def the_server_is_lost_after_messages() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await asyncio.sleep(TICK)
        await listen(it)

    async def server(it: Conversation) -> None:
        await it.ws.send_str("1")
        await it.ws.send_str("2")
        it.request.transport.close()

    return client, server


@scene()
def the_client_is_lost() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.ws.send_str("a")
        await asyncio.sleep(TICK)
        it.ws._response.connection.transport.abort()
        await asyncio.sleep(TICK)
        it.log.state(it.ws)
        await listen(it)

    async def server(it: Conversation) -> None:
        await listen(it)
        await it.log.step("send", it.ws.send_str("a"))
        await it.log.step("close", it.ws.close())

    return client, server


@scene()
def the_session_is_closed() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        await it.session.close()
        await listen(it)

    return client, echo


@scene()
def the_handler_fails() -> tuple[End, End]:
    async def server(it: Conversation) -> None:
        raise KeyError("a fault of the handler")

    return listen, server


@scene()
def the_handler_raises_a_response() -> tuple[End, End]:
    async def server(it: Conversation) -> None:
        raise it.lib.web.HTTPForbidden

    return listen, server


@scene()
def cancelled_receive() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        for _ in range(3):
            task = asyncio.ensure_future(it.ws.receive())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await it.ws.send_str("a")
        await it.log.step("receive", it.ws.receive())

    return client, echo


@scene()
def cancelled_close() -> tuple[End, End]:
    async def client(it: Conversation) -> None:
        task = asyncio.ensure_future(it.ws.close())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        it.log.append(task.cancelled())
        it.log.state(it.ws)
        await it.log.step("receive", it.ws.receive())

    return client, wait


# ---- how a scene is played


async def play(one: Scene, client: ModuleType, server: ModuleType) -> dict[str, list[Any]]:
    """Play a scene with one library at each end; return what both saw."""
    logs = {"client": Log(), "server": Log()}
    ended = asyncio.Event()

    async def handler(request: Any) -> Any:
        ws = server.web.WebSocketResponse(**one.accept)
        try:
            await ws.prepare(request)
            await (one.server or echo)(Conversation(server, ws, logs["server"], request))
        except asyncio.CancelledError:
            logs["server"].append("cancelled")
            raise
        finally:
            ended.set()
        return ws

    app = server.web.Application()
    app.router.add_get("/", handler)
    runner = server.web.AppRunner(app, shutdown_timeout=TICK)
    await runner.setup()
    try:
        site = server.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with client.ClientSession() as session:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                ws = await session.ws_connect(f"http://{host}:{port}/", **one.connect)
            await one.client(Conversation(client, ws, logs["client"], session=session))
            if not session.closed:
                await ws.close()
        async with asyncio.timeout(HANG):
            await ended.wait()
    finally:
        await runner.cleanup()
    return {name: list(log) for name, log in logs.items()}
