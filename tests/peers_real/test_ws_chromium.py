"""WebSockets of a page in Chromium: text, binary, large and compressed messages, subprotocols, and closing codes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.peers_real.test_server_chromium import COMMON, Site, posted

import fairlead
from fairlead import web

pytestmark = pytest.mark.slow

SCRIPT = """
  const open = (path, protocols) => new Promise((resolve, reject) => {
    const ws = new WebSocket(`ws://${location.host}${path}`, protocols || []);
    ws.binaryType = "arraybuffer";
    ws.inbox = []; ws.waiting = [];
    ws.onmessage = (event) => ws.waiting.length ? ws.waiting.shift()(event.data) : ws.inbox.push(event.data);
    ws.closed = new Promise((done) => ws.onclose = (e) => done([e.code, e.reason, e.wasClean]));
    ws.next = () => new Promise((got) => ws.inbox.length ? got(ws.inbox.shift()) : ws.waiting.push(got));
    ws.onopen = () => resolve(ws); ws.onerror = () => reject("refused");
  });
  await step("talk", async () => {
    const ws = await open("/ws", ["other", "chat.v1"]);
    const seen = {protocol: ws.protocol, extensions: ws.extensions};
    ws.send("grüße €"); seen.text = await ws.next();
    ws.send(""); seen.empty = await ws.next();
    ws.send(new Uint8Array([0, 255, 7])); seen.binary = [...new Uint8Array(await ws.next())];
    const big = new Uint8Array(3000000).map((_, i) => (i * 31) % 251);
    ws.send(big); const back = new Uint8Array(await ws.next());
    seen.big = back.length === big.length && back.every((byte, i) => byte === big[i]);
    const long = "say it again, ".repeat(100000);
    ws.send(long); seen.long = (await ws.next()) === long;
    for (let i = 0; i < 500; i++) ws.send("message " + i);
    seen.order = true;
    for (let i = 0; i < 500; i++) seen.order = (await ws.next()) === "message " + i && seen.order;
    ws.close(4001, "that is all"); seen.closed = await ws.closed;
    return seen;
  });
  await step("left", async () => (await open("/leave")).closed);
  await step("failed", async () => (await open("/fail")).closed);
  await step("dropped", async () => (await open("/drop")).closed);
  await step("refused", () => open("/told"));
"""


class Chat(Site):
    """The site with WebSockets."""

    def __init__(self, root: Path, script: str) -> None:
        super().__init__(root, script)
        self.closes: asyncio.Queue[tuple[int | None, bool]] = asyncio.Queue()
        self.app.add_routes(
            [web.get("/ws", self.ws), web.get("/leave", self.leave), web.get("/fail", self.fail),
             web.get("/drop", self.drop)]
        )  # fmt: skip

    async def ws(self, request: web.Request) -> Any:
        ws = web.WebSocketResponse(protocols=("chat.v1",), heartbeat=10)
        await ws.prepare(request)
        async for message in ws:
            if message.type is fairlead.WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        self.closes.put_nowait((ws.close_code, bool(ws.compress)))
        return ws

    async def leave(self, request: web.Request) -> Any:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.close(code=4002, message="schluß".encode())
        return ws

    async def fail(self, request: web.Request) -> Any:
        ws = web.WebSocketResponse(max_msg_size=1)
        await ws.prepare(request)
        await ws.close(code=fairlead.WSCloseCode.INTERNAL_ERROR)
        return ws

    async def drop(self, request: web.Request) -> Any:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        return ws


async def test_a_page_that_talks(tmp_path: Path) -> None:
    async with Chat(tmp_path, SCRIPT) as server:
        seen = await posted(server)
        extensions = seen["talk"].pop("extensions")
        assert extensions.startswith("permessage-deflate")
        assert seen == COMMON | {
            "talk": {
                "protocol": "chat.v1", "text": "grüße €", "empty": "", "binary": [0, 255, 7], "big": True,
                "long": True, "order": True, "closed": [4001, "", True],  # the reason is not sent back
            },
            "left": [4002, "schluß", True],
            "failed": [1011, "", True],
            "dropped": [1006, "", False],
            "refused": "failed: refused",
        }, json.dumps(seen)  # fmt: skip
        assert await server.closes.get() == (4001, True)
