"""One end of a crowd of WebSockets, in a process of its own: `python ws_crowd.py LIBRARY server|client [PORT]`.

A server prints its port.  Orders come one a line: `open N` (client), `measure`, `broadcast`, `received N` (client);
each is answered with a line of JSON.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

AT_ONCE = 50
"""Handshakes under way at the same time."""

TEXT = "to all of you " * 20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def blocks() -> dict[str, int]:
    """Measure the process: resident bytes, and bytes that the allocator of Python's objects has given out."""
    gc.collect()
    return {"resident": resident(), "blocks": sys.getallocatedblocks()}


class Crowd:
    """What an end has open."""

    def __init__(self, library: str) -> None:
        self.library = importlib.import_module(library)
        self.web = importlib.import_module(f"{library}.web")
        self.open: list[Any] = []
        self.received = 0
        self.more = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> int:
        """Start the server; return its port."""

        async def handle(request: Any) -> Any:
            ws = self.web.WebSocketResponse()
            await ws.prepare(request)
            self.open.append(ws)
            async for _ in ws:
                pass
            return ws

        app = self.web.Application()
        app.router.add_get("/", handle)
        runner = self.web.AppRunner(app, access_log=None)
        await runner.setup()
        await self.web.TCPSite(runner, "127.0.0.1", 0, backlog=512).start()
        return int(runner.addresses[0][1])

    async def connect(self, session: Any, port: int, count: int) -> None:
        limit = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with limit:
                self.open.append(await session.ws_connect(f"http://127.0.0.1:{port}/", compress=15))

        async def read(ws: Any) -> None:
            async for message in ws:
                assert message.data == TEXT
                self.received += 1
                self.more.set()

        opened = len(self.open)
        await asyncio.gather(*(one() for _ in range(count)))
        for ws in self.open[opened:]:
            self.tasks.add(asyncio.create_task(read(ws)))
        await asyncio.sleep(0)

    async def broadcast(self) -> dict[str, float]:
        """Send a text to all; return seconds until all are written, and processor time."""
        wall, own = time.perf_counter(), time.process_time()
        for ws in self.open:
            await ws.send_str(TEXT)
        return {"wall": time.perf_counter() - wall, "own": time.process_time() - own, "sent": len(self.open)}

    async def wait_for(self, count: int) -> dict[str, float]:
        while self.received < count:
            await self.more.wait()
            self.more.clear()
        return {"received": self.received}


async def main() -> None:
    library, side = sys.argv[1:3]
    crowd = Crowd(library)
    session = crowd.library.ClientSession(connector=crowd.library.TCPConnector(limit=0))
    if side == "server":
        print(json.dumps({"port": await crowd.listen()}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, *rest = line.split()
        answer: dict[str, Any] = {}
        if word == "open":
            await crowd.connect(session, int(sys.argv[3]), int(rest[0]))
        elif word == "measure":
            answer = blocks()
        elif word == "broadcast":
            answer = await crowd.broadcast()
        elif word == "received":
            answer = await crowd.wait_for(int(rest[0]))
        print(json.dumps(answer), flush=True)
    os._exit(0)  # two thousand goodbyes are not what is measured


if __name__ == "__main__":
    asyncio.run(main())
