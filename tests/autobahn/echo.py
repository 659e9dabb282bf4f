"""The testee: an echo client and an echo server with the public API of fairlead or aiohttp, compression on.

In: `--library`, `--side`, and the port of the suite (client) or of the testee (server).  A client asks the suite for
the number of cases, takes part in each, and has the report written; a server runs until its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
from typing import Any

CASE_SECONDS = 120.0
"""For one case; those of a thousand large messages take ten on a slow machine."""


async def echo(library: Any, ws: Any) -> None:
    """Send every message back until the WebSocket ends."""
    async for message in ws:
        if message.type is library.WSMsgType.TEXT:
            await ws.send_str(message.data)
        elif message.type is library.WSMsgType.BINARY:
            await ws.send_bytes(message.data)
        else:
            return


async def client(library: Any, name: str, port: int) -> None:
    base = f"ws://127.0.0.1:{port}"
    async with library.ClientSession() as session:
        async with session.ws_connect(f"{base}/getCaseCount") as ws:
            count = int(await ws.receive_str())
        for case in range(1, count + 1):
            url = f"{base}/runCase?case={case}&agent={name}"
            try:
                async with asyncio.timeout(CASE_SECONDS):
                    async with session.ws_connect(url, compress=15, max_msg_size=0) as ws:
                        await echo(library, ws)
            except Exception as error:  # the report says whether that was right
                print(f"case {case}: {type(error).__name__}: {error}", file=sys.stderr)
        async with session.ws_connect(f"{base}/updateReports?agent={name}") as ws:
            await ws.receive()


async def server(library: Any, web: Any, port: int) -> None:
    async def handle(request: Any) -> Any:
        ws = web.WebSocketResponse(max_msg_size=0)
        await ws.prepare(request)
        await echo(library, ws)
        return ws

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="An echo client or server; started by python -m tests.autobahn.")
    parser.add_argument("--library", choices=("fairlead", "aiohttp"), required=True)
    parser.add_argument("--side", choices=("client", "server"), required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    library = importlib.import_module(options.library)
    if options.side == "client":
        asyncio.run(client(library, options.library, options.port))
    else:
        asyncio.run(server(library, importlib.import_module(f"{options.library}.web"), options.port))


if __name__ == "__main__":
    main()
