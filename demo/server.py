"""A small HTTP/1.1 server for the demo, on asyncio streams alone; it knows the six pages that the demo visits."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

# Bytes of a download or upload that are handled at a time.
CHUNK = 64 * 1024


@dataclass
class Request:
    """One request; the body is read as the handler asks for it."""

    method: str
    path: str
    query: dict[str, list[str]]
    fields: dict[str, str]
    body: AsyncIterator[bytes]


@dataclass
class Server:
    """The pages, and what the server remembers of its visitors."""

    connections: int = 0
    requests: int = 0
    sessions: dict[str, str] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until it is closed."""
        self.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    request = await read_request(reader, writer)
                    self.requests += 1
                    await self.answer(request, writer)
                    async for _ in request.body:  # what the page left unread stands before the next request
                        pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        match request.path:
            case "/wait":
                await asyncio.sleep(float(request.query["seconds"][0]))
                await send(writer, {"waited": request.query["seconds"][0]})
            case "/download":
                await send_zeros(writer, int(request.query["bytes"][0]))
            case "/upload":
                digest, size = hashlib.sha256(), 0
                async for chunk in request.body:
                    digest.update(chunk)
                    size += len(chunk)
                await send(writer, {"bytes": size, "sha256": digest.hexdigest()})
            case "/login":
                form = parse_qs(b"".join([chunk async for chunk in request.body]).decode())
                token = secrets.token_hex(8)
                self.sessions[token] = form["name"][0]
                await send(writer, {"welcome": form["name"][0]}, f"Set-Cookie: session={token}; Path=/; HttpOnly")
            case "/me":
                cookies = dict(pair.split("=", 1) for pair in request.fields.get("cookie", "").split("; ") if pair)
                name = self.sessions.get(cookies.get("session", ""))
                await send(writer, {"name": name} if name else {"error": "log in first"}, status=200 if name else 401)
            case "/old":
                await send(writer, {}, "Location: /moved", status=301)
            case "/moved":
                await send(writer, {}, "Location: /new", status=307)
            case "/new":
                await send(writer, {"found": "here I am"})
            case _:
                await send(writer, {"error": f"no page {request.path}"}, status=404)


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    """Read one head; IncompleteReadError at the end of the connection."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    pairs = (line.split(":", 1) for line in lines[1:] if line)
    fields = {name.lower(): value.strip() for name, value in pairs}
    if fields.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    url = urlsplit(target)
    return Request(method, url.path, parse_qs(url.query), fields, read_body(reader, fields))


async def read_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> AsyncIterator[bytes]:
    """Yield the body of a request, chunked or with a length."""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while size := int(await reader.readline(), 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
        return
    rest = int(fields.get("content-length", 0))
    while rest:
        chunk = await reader.readexactly(min(rest, CHUNK))
        rest -= len(chunk)
        yield chunk


async def send(writer: asyncio.StreamWriter, value: object, *lines: str, status: int = 200) -> None:
    """Write a JSON response."""
    body = json.dumps(value).encode()
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *lines,
    ]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    await writer.drain()


async def send_zeros(writer: asyncio.StreamWriter, size: int) -> None:
    """Write ``size`` bytes, waiting for the client whenever it reads slower than we write."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/octet-stream", f"Content-Length: {size}", "", ""]
    writer.write("\r\n".join(lines).encode())
    for start in range(0, size, CHUNK):
        writer.write(bytes(min(CHUNK, size - start)))
        await writer.drain()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Server, str]]:
    """Serve on a free port of this machine; yield the server and its base URL."""
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        host, port = listener.sockets[0].getsockname()[:2]
        yield server, f"http://{host}:{port}"
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
