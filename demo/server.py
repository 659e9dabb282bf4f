"""The server of the demo: an application of `fairlead.web` with the pages that the demo visits."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fairlead import web

# Bytes of a download that are written at a time.
CHUNK = 64 * 1024

# Seconds between two events of the endless stream.
TICK = 0.05

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Guests:
    """What the server remembers of its visitors."""

    requests: int = 0
    connections: set[object] = field(default_factory=set)
    sessions: dict[str, str] = field(default_factory=dict)
    knots: dict[str, object] = field(default_factory=dict)


GUESTS = web.AppKey("GUESTS", Guests)

routes = web.RouteTableDef()


@web.middleware
async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count requests and connections."""
    guests = request.app[GUESTS]
    guests.requests += 1
    guests.connections.add(request.get_extra_info("peername"))
    return await handler(request)


# ---- waiting, and large bodies


@routes.get("/wait")
@web.cancel_on_disconnect
async def wait(request: web.Request) -> web.Response:
    await asyncio.sleep(float(request.query["seconds"]))
    return web.json_response({"waited": request.query["seconds"]})


@routes.get("/download")
async def download(request: web.Request) -> web.StreamResponse:
    size = int(request.query["bytes"])
    response = web.StreamResponse()
    response.content_length = size
    await response.prepare(request)
    for start in range(0, size, CHUNK):
        await response.write(bytes(min(CHUNK, size - start)))  # waits while the client reads slower than we write
    return response


@routes.post("/upload")
async def upload(request: web.Request) -> web.Response:
    digest, size = hashlib.sha256(), 0
    async for chunk in request.content.iter_any():
        digest.update(chunk)
        size += len(chunk)
    return web.json_response({"bytes": size, "sha256": digest.hexdigest()})


@routes.get("/ticks")
async def ticks(request: web.Request) -> web.StreamResponse:
    """Send events until the server stops, or until nobody listens any more."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    number = 0
    while not request.shutting_down:
        number += 1
        await response.write(b"data: tick %d\n\n" % number)
        try:
            await asyncio.wait_for(request.wait_for_shutdown(), TICK)
        except TimeoutError:
            pass
    await response.write(b"data: the server says goodbye\n\n")
    return response


# ---- cookies and redirects


@routes.post("/login")
async def log_in(request: web.Request) -> web.Response:
    name = str((await request.post())["name"])
    token = secrets.token_hex(8)
    request.app[GUESTS].sessions[token] = name
    response = web.json_response({"welcome": name})
    response.set_cookie("session", token, httponly=True)
    return response


@routes.get("/me")
async def me(request: web.Request) -> web.Response:
    name = request.app[GUESTS].sessions.get(request.cookies.get("session", ""))
    if name is None:
        return web.json_response({"error": "log in first"}, status=401)
    return web.json_response({"name": name})


@routes.get("/old")
async def old(request: web.Request) -> web.Response:
    raise web.HTTPMovedPermanently("/moved")


@routes.get("/moved")
async def moved(request: web.Request) -> web.Response:
    raise web.HTTPTemporaryRedirect("/new")


@routes.get("/new")
async def new(request: web.Request) -> web.Response:
    return web.json_response({"found": "here I am"})


# ---- a collection


@routes.put("/knots/{name}")
async def put_knot(request: web.Request) -> web.Response:
    knots, name = request.app[GUESTS].knots, request.match_info["name"]
    status = 200 if name in knots else 201
    knots[name] = await request.json()
    return web.json_response(knots[name], status=status)


@routes.get("/knots/{name}")
async def get_knot(request: web.Request) -> web.Response:
    try:
        return web.json_response(request.app[GUESTS].knots[request.match_info["name"]])
    except KeyError:
        raise web.HTTPNotFound(text="no such knot") from None


# ---- the whole


def make_app() -> web.Application:
    """Put the application together."""
    app = web.Application(middlewares=[count])
    app[GUESTS] = Guests()
    app.add_routes(routes)
    app.router.add_static("/page", Path(__file__).parent / "page")
    return app


class Running:
    """A server that runs."""

    def __init__(self, app: web.Application, runner: web.AppRunner) -> None:
        self.guests = app[GUESTS]
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self.base = f"http://{host}:{port}"

    async def stop(self) -> float:
        """Stop gracefully; return the seconds that it took."""
        start = time.perf_counter()
        await self._runner.cleanup()
        return time.perf_counter() - start


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    """Serve on a free port of this machine."""
    app = make_app()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Running(app, runner)
    finally:
        await runner.cleanup()
