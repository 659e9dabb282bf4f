"""A tour of client and server, which this program starts itself: nine scenes. `make demo` runs it."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable

import screen
import server
from yarl import URL

import fairlead

MIB = 1024 * 1024
CHUNK = 256 * 1024

# Requests of the first scene, and seconds that the server takes for each.
REQUESTS = 50
WAIT = 0.1


async def concurrent_requests(session: fairlead.ClientSession, peer: server.Running) -> None:
    screen.title(f"{REQUESTS} requests at once, one session")
    screen.code("await asyncio.gather(*(fetch() for _ in range(50)))")

    async def fetch() -> None:
        async with session.get("/wait", params={"seconds": str(WAIT)}) as response:
            await response.json()

    rows = []
    for label in ("cold: connections are opened", "warm: connections are reused"):
        before, start = len(peer.guests.connections), time.perf_counter()
        await asyncio.gather(*(fetch() for _ in range(REQUESTS)))
        took = time.perf_counter() - start
        opened = len(peer.guests.connections) - before
        rows.append([label, f"{took * 1000:.0f} ms", f"{REQUESTS * WAIT / took:.0f} x", str(opened)])
    screen.table(["", "took", f"against {REQUESTS * WAIT:g} s one by one", "new connections"], rows)


async def download(session: fairlead.ClientSession, size: int) -> None:
    screen.title("A download, streamed")
    screen.code("async for chunk in response.content.iter_chunked(256 * 1024): ...")
    async with session.get("/download", params={"bytes": str(size)}) as response:
        with screen.progress("download", size) as advance:
            async for chunk in response.content.iter_chunked(CHUNK):
                advance(len(chunk))
    screen.line(f"{size // MIB} MiB came through without ever being in memory whole")


async def upload(session: fairlead.ClientSession, size: int) -> None:
    screen.title("An upload, streamed from a generator")
    screen.code('await session.post("/upload", data=chunks())')
    digest = hashlib.sha256()

    async def chunks(advance: Callable[[int], None]) -> AsyncIterator[bytes]:
        for start in range(0, size, CHUNK):
            chunk = (start // CHUNK).to_bytes(4, "big") * (min(CHUNK, size - start) // 4)
            digest.update(chunk)
            advance(len(chunk))
            yield chunk

    with screen.progress("upload  ", size) as advance:
        async with session.post("/upload", data=chunks(advance)) as response:
            answer = await response.json()
    same = "the same" if answer["sha256"] == digest.hexdigest() else "ANOTHER"
    screen.line(f"the server got {answer['bytes'] // MIB} MiB with {same} SHA-256 {answer['sha256'][:16]}...")


async def log_in(session: fairlead.ClientSession) -> None:
    screen.title("Cookies: a login")
    screen.code('await session.post("/login", data={"name": "Ada"})')
    async with session.get("/me") as response:
        screen.line(f"before: {response.status} {await response.text()}")
    async with session.post("/login", data={"name": "Ada"}) as response:
        await response.read()
    screen.line("jar:    " + ", ".join(f"{cookie.key}={cookie.value}" for cookie in session.cookie_jar))
    async with session.get("/me") as response:
        screen.line(f"after:  {response.status} {await response.text()}")


async def redirect(session: fairlead.ClientSession) -> None:
    screen.title("Redirects, and the way that was taken")
    screen.code("response.history")
    async with session.get("/old") as response:
        for hop in response.history:
            screen.line(f"{hop.status} {hop.url.path} -> {hop.headers['Location']}")
        screen.line(f"{response.status} {response.url.path} {await response.text()}")


async def collection(session: fairlead.ClientSession) -> None:
    screen.title("Routes with parameters, and JSON both ways")
    screen.code('@routes.put("/knots/{name}")')
    for method, name, value in (
        ("PUT", "bowline", {"use": "a loop that does not slip"}),
        ("GET", "bowline", None),
        ("GET", "granny", None),
        ("DELETE", "bowline", None),
    ):
        async with session.request(method, f"/knots/{name}", json=value) as response:
            allowed = f" (allowed: {response.headers['Allow']})" if "Allow" in response.headers else ""
            screen.line(f"{method:6} /knots/{name:8} {response.status} {await response.text()}{allowed}")


async def static_page(session: fairlead.ClientSession) -> None:
    screen.title("A static page: whole, a part of it, and not at all")
    screen.code('app.router.add_static("/page", directory)')
    async with session.get("/page/index.html") as response:
        page, tag = await response.text(), response.headers["ETag"]
        screen.line(f"{response.status} {response.content_type}, {len(page)} bytes, ETag {tag}")
    async with session.get("/page/index.html", headers={"Range": "bytes=0-14"}) as response:
        screen.line(f"{response.status} {response.headers['Content-Range']}: {await response.text()}")
    async with session.get("/page/index.html", headers={"If-None-Match": tag}) as response:
        screen.line(f"{response.status} {response.reason}: the copy is still good")
    async with session.get(URL("/page/..%2Fserver.py", encoded=True)) as response:
        screen.line(f"{response.status} /page/..%2Fserver.py: nothing outside of the directory")


async def goodbye(session: fairlead.ClientSession, peer: server.Running) -> None:
    screen.title("The server stops while it is busy")
    screen.code("await runner.cleanup()")

    async def slow() -> str:
        async with session.get("/wait", params={"seconds": "0.3"}) as response:
            return f"{response.status} {await response.text()}"

    async with session.get("/ticks") as stream:
        lines = stream.content
        screen.line(f"stream: {(await lines.readline()).decode().strip()}")
        request = asyncio.create_task(slow())
        await asyncio.sleep(0.05)  # it is on its way
        stopping = asyncio.create_task(peer.stop())
        rest = (await lines.read()).decode().split("\n\n")
        screen.line(f"stream: ... {rest[-2]}")
    screen.line(f"the request that was being answered: {await request}")
    screen.line(f"stopped after {await stopping:.1f} s, with an answer for everybody")


async def errors(session: fairlead.ClientSession) -> None:
    screen.title("What goes wrong says so")

    async def attempt(shown: str, url: str, **options: object) -> None:
        screen.code(shown)
        try:
            async with session.get(url, **options) as response:  # type: ignore[arg-type]
                await response.json()
        except (fairlead.ClientError, TimeoutError) as exc:
            screen.line(f"{type(exc).__name__}: {exc}")

    slow, limit = "/wait?seconds=60", fairlead.ClientTimeout(total=0.2)
    await attempt(f'session.get("{slow}", timeout=ClientTimeout(total=0.2))', slow, timeout=limit)
    await attempt('session.get("/nowhere", raise_for_status=True)', "/nowhere", raise_for_status=True)
    listener = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    await attempt('session.get("http://127.0.0.1:<nobody listens>/")', f"http://127.0.0.1:{port}/")


async def main(size: int) -> None:
    start = time.perf_counter()
    jar = fairlead.CookieJar(unsafe=True)  # unsafe: also take cookies from an IP address
    async with server.running() as peer, fairlead.ClientSession(peer.base, cookie_jar=jar) as session:
        screen.line(f"fairlead {fairlead.__version__} against itself at {peer.base}")
        await concurrent_requests(session, peer)
        await download(session, size)
        await upload(session, size // 4)
        await log_in(session)
        await redirect(session)
        await collection(session)
        await static_page(session)
        await errors(session)
        await goodbye(session, peer)
        screen.title("That was all")
        guests, took = peer.guests, time.perf_counter() - start
        screen.line(f"{guests.requests} requests over {len(guests.connections)} connections in {took:.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64, metavar="MIB", help="size of the download (default 64)")
    asyncio.run(main(parser.parse_args().size * MIB))
