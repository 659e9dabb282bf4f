"""The measured ends: a client and a server of each library, with its public interface and its defaults.

Only what would make the work unequal is set: no heartbeat, no limit of size, compression when the case has it.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

from .cases import BY_NAME, Case

HOST = "127.0.0.1"


class Client:
    """One connection for one case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.message: Any = case.message

    async def run(self, count: int) -> None:
        await getattr(self, self.case.action)(count)

    async def open(self, url: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class AiohttpStyle(Client):
    """aiohttp or fairlead."""

    module = "aiohttp"

    async def open(self, url: str) -> None:
        self.session = importlib.import_module(self.module).ClientSession()
        self.ws = await self.session.ws_connect(url, max_msg_size=0, compress=15 if self.case.compress else 0)

    async def close(self) -> None:
        await self.session.close()

    async def echo(self, count: int) -> None:
        message, ws = self.message, self.ws
        send, receive = (ws.send_str, ws.receive_str) if self.case.text else (ws.send_bytes, ws.receive_bytes)
        for _ in range(count):
            await send(message)
            if len(await receive()) != len(message):
                raise ValueError("wrong answer")

    async def send(self, count: int) -> None:
        message, ws = self.message, self.ws
        for _ in range(count):
            await ws.send_str(message)
        await ws.receive_str()

    async def receive(self, count: int) -> None:
        await self.ws.send_str(self.message)
        async for message in self.ws:
            if len(message.data) != len(self.message):
                raise ValueError("wrong message")
            count -= 1
            if not count:
                break


class FairleadClient(AiohttpStyle):
    module = "fairlead"


class WebsocketsClient(Client):
    async def open(self, url: str) -> None:
        from websockets.asyncio.client import connect

        self.ws = await connect(
            url, max_size=None, ping_interval=None, proxy=None, compression="deflate" if self.case.compress else None
        )

    async def close(self) -> None:
        self.ws.transport.abort()

    async def echo(self, count: int) -> None:
        message, ws = self.message, self.ws
        for _ in range(count):
            await ws.send(message)
            if len(await ws.recv()) != len(message):
                raise ValueError("wrong answer")

    async def send(self, count: int) -> None:
        message, ws = self.message, self.ws
        for _ in range(count):
            await ws.send(message)
        await ws.recv()

    async def receive(self, count: int) -> None:
        await self.ws.send(self.message)
        async for message in self.ws:
            if len(message) != len(self.message):
                raise ValueError("wrong message")
            count -= 1
            if not count:
                break


class PicowsClient(Client):
    """picows calls a listener and has neither ``receive`` nor a queue."""

    async def open(self, url: str) -> None:
        import picows

        client = self
        self.kind = picows.WSMsgType.TEXT if self.case.text else picows.WSMsgType.BINARY
        self.raw = self.message.encode() if self.case.text else self.message
        self.left = self.to_send = 0

        class Listener(picows.WSListener):  # type: ignore[misc]
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                data = frame.get_payload_as_utf8_text() if client.case.text else frame.get_payload_as_bytes()
                if len(data) != len(client.message):
                    raise ValueError("wrong message")
                client.left -= 1
                if not client.left:
                    client.done.set_result(None)
                elif client.to_send:
                    transport.send(client.kind, client.raw)

            def pause_writing(self) -> None:
                client.writable.clear()

            def resume_writing(self) -> None:
                client.writable.set()

        self.writable = asyncio.Event()
        self.writable.set()
        self.transport, _ = await picows.ws_connect(Listener, url, max_frame_size=2**31 - 1)

    async def close(self) -> None:
        self.transport.disconnect()

    async def expect(self, messages: int, to_send: int) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.left, self.to_send = messages, to_send
        self.transport.send(self.kind, self.raw)
        await self.done

    async def echo(self, count: int) -> None:
        await self.expect(count, 1)

    async def receive(self, count: int) -> None:
        await self.expect(count, 0)

    async def send(self, count: int) -> None:
        for _ in range(count - 1):
            if not self.writable.is_set():
                await self.writable.wait()
            self.transport.send(self.kind, self.raw)
        await self.expect(1, 0)


CLIENTS: dict[str, type[Client]] = {
    "fairlead": FairleadClient, "aiohttp": AiohttpStyle, "websockets": WebsocketsClient, "picows": PicowsClient
}  # fmt: skip


def asked(target: str) -> tuple[Case, int]:
    """Return the case and the count that a request asks for."""
    found = re.match(r"/([\w-]+)\?count=(\d+)$", target)
    if found is None:
        raise ValueError(f"not a target of the benchmark: {target}")
    return BY_NAME[found[1]], int(found[2])


def serve_aiohttp_style(module: str) -> Callable[[int, Awaitable[None]], Awaitable[None]]:
    async def serve(port: int, ended: Awaitable[None]) -> None:
        web = importlib.import_module(module)

        async def handle(request: Any) -> Any:
            case, count = asked(request.path_qs)
            ws = web.WebSocketResponse(max_msg_size=0)
            await ws.prepare(request)
            send = ws.send_str if case.text else ws.send_bytes
            own, received = cast("Any", case.message), 0
            async for message in ws:
                if case.action == "echo":
                    await send(message.data)
                elif case.action == "send":
                    for _ in range(count):
                        await send(own)
                else:
                    received += 1
                    if received == count:
                        received = 0
                        await send(own)
            return ws

        app = web.Application()
        app.router.add_get("/{case}", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        await ended

    return serve


async def serve_websockets(port: int, ended: Awaitable[None]) -> None:
    from websockets.asyncio.server import serve

    async def handle(ws: Any) -> None:
        case, count = asked(ws.request.path)
        received = 0
        async for message in ws:
            if case.action == "echo":
                await ws.send(message)
            elif case.action == "send":
                for _ in range(count):
                    await ws.send(case_message)
            else:
                received += 1
                if received == count:
                    received = 0
                    await ws.send(case_message)

    case_message = BY_NAME["send"].message
    async with serve(handle, HOST, port, max_size=None, ping_interval=None):
        await ended


async def serve_picows(port: int, ended: Awaitable[None]) -> None:
    import picows

    tasks: set[asyncio.Task[None]] = set()

    class Listener(picows.WSListener):  # type: ignore[misc]
        def __init__(self, target: str) -> None:
            super().__init__()
            self.case, self.count = asked(target)
            message = self.case.message
            self.raw = message.encode() if isinstance(message, str) else message
            self.kind = picows.WSMsgType.TEXT if self.case.text else picows.WSMsgType.BINARY
            self.received = 0
            self.writable = asyncio.Event()
            self.writable.set()

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type is picows.WSMsgType.CLOSE:
                transport.disconnect()
            elif self.case.action == "echo":
                data = frame.get_payload_as_utf8_text().encode() if self.case.text else frame.get_payload_as_bytes()
                transport.send(self.kind, data)
            elif self.case.action == "send":
                task = asyncio.get_running_loop().create_task(self.flood(transport))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            else:
                frame.get_payload_as_utf8_text()
                self.received += 1
                if self.received == self.count:
                    self.received = 0
                    transport.send(self.kind, self.raw)

        async def flood(self, transport: Any) -> None:
            for _ in range(self.count):
                if not self.writable.is_set():
                    await self.writable.wait()
                transport.send(self.kind, self.raw)

        def pause_writing(self) -> None:
            self.writable.clear()

        def resume_writing(self) -> None:
            self.writable.set()

    def listener(request: Any) -> Any:
        return Listener(request.path.decode() if isinstance(request.path, bytes) else request.path)

    server = await picows.ws_create_server(listener, HOST, port, max_frame_size=2**31 - 1)
    await ended
    server.close()


SERVERS: dict[str, Callable[[int, Awaitable[None]], Awaitable[None]]] = {
    "fairlead": serve_aiohttp_style("fairlead.web"),
    "aiohttp": serve_aiohttp_style("aiohttp.web"),
    "websockets": serve_websockets,
    "picows": serve_picows,
}
