"""One server process: ``python -m bench.web.serve --server aiohttp --loop uvloop --port 8080``.

It serves until its standard input ends. A server that runs in a loop of this module also takes two orders from there,
one a line: ``begin`` and ``end`` mark a phase for callgrind, as in ``bench.client``; each is answered with a line of
JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable

from ..client import Phases
from ..processes import new_event_loop, pin_to
from .servers import HOST, SERVERS

ASGI_APPS = {
    "uvicorn+starlette": "bench.web.apps.starlette_app:app",
    "granian+starlette": "bench.web.apps.starlette_app:app",
    "uvicorn+blacksheep": "bench.web.apps.blacksheep_app:app",
}
BACKLOG = 1024


class Orders:
    """Reads orders from standard input without a thread or a task."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        self.phases = Phases()
        self.loop.add_reader(sys.stdin.fileno(), self.read)

    def read(self) -> None:
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            self.loop.remove_reader(sys.stdin.fileno())
            self.ended.set()
        for word in data.split():
            if word == b"begin":
                self.phases.begin()
            else:
                self.phases.end(word.decode())
            print(json.dumps({"done": word.decode()}), flush=True)


async def serve_web(module: str, port: int) -> None:
    """Serve with ``aiohttp.web`` or ``fairlead.web``."""
    from .apps.aiohttp_style import make_app

    web = importlib.import_module(module)
    runner = web.AppRunner(make_app(web), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, backlog=BACKLOG).start()
    await Orders().ended.wait()
    await runner.cleanup()


async def serve_bare(port: int) -> None:
    from .apps.bare import Bare

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bare, HOST, port, backlog=BACKLOG)
    await Orders().ended.wait()
    server.close()


async def serve_uvicorn(app: str, port: int) -> None:
    import uvicorn

    config = uvicorn.Config(app, HOST, port, http="httptools", access_log=False, log_level="warning", backlog=BACKLOG)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    ended = asyncio.ensure_future(Orders().ended.wait())
    await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = server.force_exit = True
    ended.cancel()
    await serving


def serve_granian(app: str, loop: str, port: int) -> None:
    from granian import Granian
    from granian.constants import Interfaces, Loops

    def stop_at_end() -> None:
        # Not sys.stdin.read(): the worker is forked meanwhile, and would wait for the lock of that file for ever.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_at_end, daemon=True).start()
    Granian(
        app, HOST, port, interface=Interfaces.ASGI, workers=1, loop=Loops(loop), log_enabled=False, log_access=False,
        backlog=BACKLOG, workers_kill_timeout=2,
    ).serve()  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one server; started by python -m bench.web.")
    parser.add_argument("--server", choices=SERVERS, required=True)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--core", type=int, help="pin the process, and what it starts, to this core")
    options = parser.parse_args()
    pin_to(options.core)
    name, port = options.server, options.port
    if name.startswith("granian"):
        serve_granian(ASGI_APPS[name], options.loop, port)
        return
    servers: dict[str, Callable[[], Awaitable[None]]] = {
        "fairlead": lambda: serve_web("fairlead.web", port),
        "aiohttp": lambda: serve_web("aiohttp.web", port),
        "bare": lambda: serve_bare(port),
    }
    serve = servers.get(name) or (lambda: serve_uvicorn(ASGI_APPS[name], port))
    with contextlib.closing(new_event_loop(options.loop)) as loop:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())


if __name__ == "__main__":
    main()
